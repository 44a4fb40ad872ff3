//! How many files the process may have open (`RLIMIT_NOFILE`), and what the limits of the configuration need of them.
//!
//! A gate that runs out of descriptors answers 502, loses its log and its health checks. So the soft limit is raised to the hard one,
//! which may be done without asking; and where that is too few, fewer connections and requests are let in from the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::telemetry::Event;

/// For standard streams, the admin listener and its clients, and for name lookups.
const RESERVE: usize = 64;
/// Of each worker: its poller, its waker and its clock.
const OF_A_WORKER: usize = 8;
/// With fewer for connections and requests nobody can sign in.
const LEAST: usize = 16;

/// How many descriptors a configuration needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Listeners, workers, and a reserve.
    pub fixed: usize,
    /// Of clients, one each.
    pub connections: usize,
    /// To all upstreams, one for each request in flight, and as many that wait for one.
    pub requests: usize,
}

/// What was let in less, because there are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fewer {
    /// How many there are.
    pub limit: usize,
    /// How many the configuration needs.
    pub needed: usize,
    /// In place of `connections`.
    pub connections: usize,
    /// In place of `in_flight`.
    pub in_flight: usize,
}

impl Fewer {
    /// For the log.
    pub(crate) fn event(self) -> Event<'static> {
        Event::FewDescriptors {
            limit: self.limit,
            needed: self.needed,
            connections: self.connections,
            in_flight: self.in_flight,
        }
    }
}

/// There are so few that the gate cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files, and a gate needs at least {least}, with this configuration {needed}: raise the limit \
     (LimitNOFILE= of systemd, ulimits of compose, ulimit -n of a shell)"
)]
pub(crate) struct TooFew {
    limit: usize,
    least: usize,
    needed: usize,
}

impl Need {
    /// What a configuration needs at the most.
    pub(crate) fn of(config: &Config) -> Self {
        let server = &config.server;
        let workers = server.workers.max(1);
        Self {
            fixed: RESERVE + workers * (OF_A_WORKER + server.listen.len()),
            connections: server.connections,
            requests: upstream_connections(config) * config.limits.in_flight,
        }
    }

    /// All of it.
    pub(crate) fn total(&self) -> usize {
        self.fixed + self.connections + self.requests
    }

    /// Lowers the limits of a configuration where there are too few descriptors, each by the same share. `None`: there are enough.
    pub(crate) fn fit(self, config: &mut Config, limit: usize) -> Result<Option<Fewer>, TooFew> {
        let needed = self.total();
        if limit >= needed {
            return Ok(None);
        }
        let spare = limit.saturating_sub(self.fixed);
        if spare < LEAST {
            let least = self.fixed + LEAST;
            return Err(TooFew {
                limit,
                least,
                needed,
            });
        }
        let both = self.connections + self.requests;
        let part = |most: usize| (most * spare / both).max(1);
        config.server.connections = part(self.connections);
        let per_peer = config.server.connections_per_peer;
        config.server.connections_per_peer = per_peer.min(config.server.connections);
        config.limits.in_flight = (part(self.requests) / upstream_connections(config)).max(1);
        Ok(Some(Fewer {
            limit,
            needed,
            connections: config.server.connections,
            in_flight: config.limits.in_flight,
        }))
    }
}

/// For each that may be in flight to one upstream.
fn upstream_connections(config: &Config) -> usize {
    2 * config.upstreams.len().max(1)
}

/// How many files the process may open once the limit is raised.
pub(crate) fn available() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let most = limits.maximum.or(limits.current);
    most.and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX)
}

/// How many files the process may open as things are.
pub(crate) fn usable() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

/// Raises the soft limit to the hard one, and says how many files the process may open now.
pub(crate) fn raise() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => available(),
        Err(_) => usable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(connections: usize, in_flight: usize) -> Config {
        let text = format!(
            "[limits]\nconnections = {connections}\nin_flight = {in_flight}\n[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\n\
             [[upstream]]\nurl = \"http://127.0.0.1:9000\"\npublic_url = \"http://127.0.0.1:8080\"\n\
             [upstream.endpoints]\nauthorization = [\"/a\"]\ntoken = [\"/t\"]\n"
        );
        crate::config::load(&text, "test", 0)
            .expect("a good configuration")
            .config
    }

    #[test]
    fn where_there_are_enough_nothing_changes() {
        let mut config = config(100, 50);
        let need = Need::of(&config);
        assert_eq!(need.total(), 64 + 2 * 9 + 100 + 2 * 50);
        assert_eq!(need.fit(&mut config, need.total()), Ok(None));
        assert_eq!(
            (config.server.connections, config.limits.in_flight),
            (100, 50)
        );
    }

    #[test]
    fn sixty_four_are_an_error_that_says_how_many_it_takes() {
        let mut config = config(4096, 512);
        let error = Need::of(&config)
            .fit(&mut config, 64)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("this process may open 64 files, and a gate needs at least 98, "),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn what_is_let_in_fits(connections in 1_usize..9000, in_flight in 1_usize..2000, limit in 0_usize..9000) {
            let mut config = config(connections, in_flight);
            let need = Need::of(&config);
            match need.fit(&mut config, limit) {
                Ok(None) => prop_assert!(need.total() <= limit),
                Ok(Some(fewer)) => {
                    let now = Need::of(&config);
                    // One of each, however few there are.
                    prop_assert!(now.total() <= limit + 3);
                    prop_assert!(now.connections <= connections && now.requests <= need.requests);
                    prop_assert_eq!(fewer.connections, now.connections);
                    prop_assert!(config.server.connections_per_peer <= now.connections);
                }
                Err(_) => prop_assert!(limit < need.fixed + LEAST),
            }
        }
    }
}
