//! The limit on open files (`RLIMIT_NOFILE`), and how many the configuration needs.
//!
//! A gate without free descriptors responds with 502 and loses its log and health checks. So the soft limit is raised
//! to the hard one, which needs no privilege; if that is not enough, fewer connections and requests are admitted from
//! the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::store::Remote;
use crate::telemetry::Event;

/// For standard streams, the admin listener and its clients, and name lookups.
const RESERVE: usize = 64;
/// For each worker: its poller, waker and clock.
const OF_A_WORKER: usize = 8;
/// The minimum for connections and requests; with fewer, sign-ins would fail.
const LEAST: usize = 16;

/// The number of descriptors that a configuration needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// For listeners, workers, and the reserve.
    pub fixed: usize,
    /// One for each client connection.
    pub connections: usize,
    /// For all upstreams: one for each request in flight, and as many for idle connections.
    pub requests: usize,
}

/// The limit is too low for the gate to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit on open files is {limit}, but pkce-gate needs at least {least}, and {needed} with this configuration: raise it \
     (LimitNOFILE= in systemd, ulimits in Compose, ulimit -n in a shell)"
)]
pub(crate) struct TooFew {
    limit: usize,
    least: usize,
    needed: usize,
}

impl Need {
    /// The maximum that a configuration needs.
    pub(crate) fn of(config: &Config) -> Self {
        let server = &config.server;
        let workers = server.workers.max(1);
        let redis = config.kind.remote().map_or(0, Remote::connections);
        Self {
            fixed: RESERVE + workers * (OF_A_WORKER + server.listen.len() + redis),
            connections: server.connections,
            requests: upstream_connections(config) * config.limits.in_flight,
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.fixed + self.connections + self.requests
    }

    /// Reduces the limits of a configuration proportionally if there are too few descriptors; the event tells of it. `None`: there
    /// are enough.
    pub(crate) fn fit(
        self,
        config: &mut Config,
        limit: usize,
    ) -> Result<Option<Event<'static>>, TooFew> {
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
        Ok(Some(Event::FewDescriptors {
            limit,
            needed,
            connections: config.server.connections,
            in_flight: config.limits.in_flight,
        }))
    }
}

/// Descriptors for each request that may be in flight to one upstream.
fn upstream_connections(config: &Config) -> usize {
    2 * config.upstreams.len().max(1)
}

/// The limit on open files after [`raise`].
pub(crate) fn available() -> usize {
    let limits = getrlimit(Resource::Nofile);
    number(limits.maximum.or(limits.current))
}

/// The current limit on open files.
pub(crate) fn usable() -> usize {
    number(getrlimit(Resource::Nofile).current)
}

fn number(limit: Option<u64>) -> usize {
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

/// Raises the soft limit to the hard limit, if possible. Returns the resulting limit.
pub(crate) fn raise() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    // If it fails, the current limit stays.
    let _ = setrlimit(Resource::Nofile, raised);
    usable()
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
    fn enough_descriptors_change_nothing() {
        let mut config = config(100, 50);
        let need = Need::of(&config);
        assert_eq!(need.total(), 64 + 2 * 9 + 100 + 2 * 50);
        assert!(matches!(need.fit(&mut config, need.total()), Ok(None)));
        assert_eq!(
            (config.server.connections, config.limits.in_flight),
            (100, 50)
        );
    }

    #[test]
    fn sixty_four_descriptors_are_an_error_that_names_the_minimum() {
        let mut config = config(4096, 512);
        let error = Need::of(&config)
            .fit(&mut config, 64)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the limit on open files is 64, but pkce-gate needs at least 98, "),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn the_reduced_limits_fit(connections in 1_usize..9000, in_flight in 1_usize..2000, limit in 0_usize..9000) {
            let mut config = config(connections, in_flight);
            let need = Need::of(&config);
            match need.fit(&mut config, limit) {
                Ok(None) => prop_assert!(need.total() <= limit),
                Ok(Some(_)) => {
                    let now = Need::of(&config);
                    // At least one of each, however low the limit is.
                    prop_assert!(now.total() <= limit + 3);
                    prop_assert!(now.connections <= connections && now.requests <= need.requests);
                    prop_assert!(config.server.connections_per_peer <= now.connections);
                }
                Err(_) => prop_assert!(limit < need.fixed + LEAST),
            }
        }
    }
}
