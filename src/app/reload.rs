//! Another configuration while the gate runs: read, checked as `check` does, and put in force as a whole or not at all.

use std::fmt::Write as _;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{interval, sleep};

use crate::admin::InForce;
use crate::clock;
use crate::config::{self, Config, file};
use crate::gateway::Shared;
use crate::server::{Crowd, Places};
use crate::telemetry::Event;

use super::descriptors::{self, Need};
use super::sites::Maker;
use super::worker::Orders;

/// How often the file is looked at. (Its directory cannot be watched: what is mounted from a `ConfigMap` is a link that is swapped.)
const POLL: Duration = Duration::from_secs(2);
/// A file that has changed is read again after that time, until it stays the same: it may be half written.
const SETTLED: Duration = Duration::from_millis(100);
/// So often at the most.
const TRIES: usize = 20;

/// Where a configuration came from, and what says that it is to be read again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its text, as it was when the gate started.
    pub text: String,
    /// SIGHUP.
    pub asked: Arc<Notify>,
}

/// A gate's configuration, and all that has to be told when it changes.
pub(super) struct Reload {
    pub(super) maker: Maker,
    pub(super) shared: Arc<Shared>,
    pub(super) crowd: Crowd,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) in_force: InForce,
    /// As it was written: what there were too few descriptors for is not taken off here.
    pub(super) config: Config,
}

/// What a file and those that it names hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    text: Result<String, file::Unreadable>,
    /// Of each CA file.
    others: Vec<Option<[u8; 32]>>,
}

impl Reload {
    /// Without a file there is nothing to look at.
    pub(super) async fn watch_or_wait(&mut self, source: Option<&Source>) {
        match source {
            Some(source) => self.watch(source).await,
            None => pending().await,
        }
    }

    /// Looks at the file for ever, and at once when it is asked to.
    async fn watch(&mut self, source: &Source) {
        let mut known = self.look(&source.path);
        // Between the start and now it may have changed.
        if known.text.as_ref() != Ok(&source.text) {
            self.reload(&source.path, &known);
        }
        let mut poll = interval(POLL);
        loop {
            let is_asked = tokio::select! {
                () = source.asked.notified() => true,
                _ = poll.tick() => false,
            };
            let mut now = self.look(&source.path);
            if now == known && !is_asked {
                continue;
            }
            for _ in 0..TRIES {
                sleep(SETTLED).await;
                let later = self.look(&source.path);
                if later == now {
                    break;
                }
                now = later;
            }
            self.reload(&source.path, &now);
            // The new one may name other files.
            known = Seen {
                others: self.others(),
                ..now
            };
        }
    }

    fn look(&self, path: &Path) -> Seen {
        Seen {
            text: file::read(path),
            others: self.others(),
        }
    }

    fn others(&self) -> Vec<Option<[u8; 32]>> {
        let upstreams = self.config.upstreams.iter();
        let files = upstreams.filter_map(|upstream| upstream.connection.ca.as_ref());
        files
            .map(|file| {
                fs::read(file)
                    .ok()
                    .map(|bytes| Sha256::digest(bytes).into())
            })
            .collect()
    }

    fn reload(&mut self, path: &Path, seen: &Seen) {
        let telemetry = self.shared.telemetry().clone();
        match self.apply(path, seen) {
            Ok((sha256, needs_restart)) => {
                let needs_restart = needs_restart.join(", ");
                telemetry.tell(&Event::Reloaded {
                    sha256: &sha256,
                    needs_restart: &needs_restart,
                });
            }
            Err(problem) => {
                self.in_force.failed(&problem);
                telemetry.tell(&Event::ReloadFailed { problem: &problem });
            }
        }
    }

    /// Puts a text in force. Says its hash, and what it changes that needs a restart.
    fn apply(&mut self, path: &Path, seen: &Seen) -> Result<(String, Vec<&'static str>), String> {
        let text = seen.text.as_ref().map_err(ToString::to_string)?;
        let name = path.display().to_string();
        let checked = config::load(text, &name, clock::today());
        let mut config = checked
            .map_err(|problems| problems.first_error().unwrap_or_default())?
            .config;
        let needs_restart = keep_fixed(&mut config, &self.config);
        let written = config.clone();
        let fewer = Need::of(&config)
            .fit(&mut config, descriptors::available())
            .map_err(|few| few.to_string())?;
        let before = self.shared.snapshot();
        let snapshot = self.maker.snapshot(&config, Some(&before));
        let snapshot = snapshot.map_err(|no_tls| no_tls.to_string())?;
        // From here on nothing fails.
        if let Some(fewer) = fewer {
            self.shared.telemetry().tell(&fewer.event());
        }
        for site in &snapshot.sites {
            site.state.store.configure(&config.store);
        }
        self.shared.telemetry().set_log(config.log);
        self.shared.replace(snapshot);
        self.crowd.set(Places::of(&config.server));
        self.orders.send_replace(Orders::of(&config));
        let sha256 = sha256(text);
        self.in_force.applied(&sha256, &needs_restart);
        self.config = written;
        Ok((sha256, needs_restart))
    }
}

/// What cannot change stays as it is. The names of those keys that were to change.
fn keep_fixed(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let pairs = config.fixed().into_iter().zip(running.fixed());
    let changed = pairs.filter(|((_, new), (_, old))| new != old);
    let changed = changed.map(|((key, _), _)| key).collect();
    config.server.listen.clone_from(&running.server.listen);
    config.server.workers = running.server.workers;
    config.admin = running.admin.clone();
    changed
}

/// In hex, as `sha256sum` writes it.
pub(super) fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |mut hex, byte| {
        // A string takes everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
