//! Reloading the configuration while the gate runs: it is read, checked as by `check`, and applied completely or not at
//! all.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::admin::InForce;
use crate::clock;
use crate::config::{self, Config, NamedFile, file};
use crate::files;
use crate::gateway::Shared;
use crate::server::{Crowd, Places};
use crate::store::Settings;
use crate::telemetry::Event;

use super::counts::Signals;
use super::open_files::{self, Need};
use super::sites::Maker;
use super::worker::Orders;

/// How often the file is checked. (Watching its directory would not suffice: a mounted `ConfigMap` is a link that is
/// replaced.)
const POLL: Duration = Duration::from_secs(2);
/// A changed file is read again after this time until its content stays the same, because it may be written at the
/// moment.
const SETTLED: Duration = Duration::from_millis(300);
/// Maximum number of such reads.
const TRIES: usize = 20;
/// How long to wait until all workers use the new configuration; they usually do at once.
const TAKEN_UP: Duration = Duration::from_secs(1);

/// The origin of a configuration, and the signal to reload it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub path: PathBuf,
    /// The content at the start of the gate.
    pub text: String,
    /// Notified on SIGHUP.
    pub asked: Arc<Notify>,
}

/// The configuration in force, and everything that has to be informed of changes.
pub(super) struct Reload {
    pub(super) maker: Maker,
    pub(super) shared: Arc<Shared>,
    pub(super) crowd: Crowd,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) in_force: InForce,
    /// The configuration as written, without limits reduced for lack of descriptors.
    pub(super) config: Config,
    pub(super) signals: Signals,
    /// Until this time, sign-ins may be in progress that began under an earlier configuration.
    pub(super) overlap: Option<Instant>,
    /// The last refused file, and why. It is retried, because a file that it needs may appear later.
    pub(super) refused: Option<(Seen, String)>,
}

/// The content of the configuration file and of the files that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    text: Result<String, file::Unreadable>,
    /// SHA-256 of each file that the configuration in force names.
    others: Vec<Option<[u8; 32]>>,
}

impl Reload {
    /// Checks the file regularly, and on request. Never returns.
    pub(super) async fn watch(&mut self, source: Option<Source>) {
        let promoted = Arc::clone(&self.signals.promoted);
        let Some(source) = source else {
            loop {
                promoted.notified().await;
                self.promote();
            }
        };
        let mut known = Seen {
            text: Ok(source.text.clone()),
            others: self.others_in_force(),
        };
        // A pipe can be read only once.
        let is_pipe = fs::metadata(&source.path).is_ok_and(|file| !file.is_file());
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                () = promoted.notified() => {
                    self.promote();
                    continue;
                }
                () = source.asked.notified() => true,
                _ = poll.tick() => false,
            };
            self.end_overlap();
            let has_changed = |of: &Self, seen: &Seen| *seen != known || of.refused.is_some();
            if !is_asked && (is_pipe || !has_changed(self, &self.look(&source.path))) {
                continue;
            }
            let now = self.settled(&source.path).await;
            if (is_asked || has_changed(self, &now))
                && self.reload(&source.path, &now, is_asked).await
            {
                known = Seen {
                    others: self.others_in_force(),
                    ..now
                };
            }
        }
    }

    /// The content of the file once it is no longer being written.
    async fn settled(&self, path: &Path) -> Seen {
        let mut now = self.look(path);
        for _ in 0..TRIES {
            sleep(SETTLED).await;
            let later = self.look(path);
            if later == now {
                break;
            }
            now = later;
        }
        now
    }

    fn look(&self, path: &Path) -> Seen {
        let files = self.config.files.iter();
        let hash = |file: &NamedFile| Some(Sha256::digest(files::read(&file.path).ok()?).into());
        Seen {
            text: file::read_again(path),
            others: files.map(hash).collect(),
        }
    }

    /// The hashes of these files when the configuration was read. Components read them later, so that a file that changes
    /// in between is seen as changed.
    fn others_in_force(&self) -> Vec<Option<[u8; 32]>> {
        let files = self.config.files.iter();
        files.map(|file| Some(file.sha256)).collect()
    }

    /// Reloads the configuration. Returns whether it is in force now. A repeated failure with the same reason is only
    /// reported if the reload was requested.
    async fn reload(&mut self, path: &Path, seen: &Seen, is_asked: bool) -> bool {
        let telemetry = self.shared.telemetry.clone();
        match self.apply(path, seen) {
            Ok((sha256, needs_restart)) => {
                self.refused = None;
                self.taken_up().await;
                self.in_force.applied(&sha256, &needs_restart);
                self.signals.reloaded.notify_one();
                let needs_restart = needs_restart.join(", ");
                telemetry.tell(&Event::Reloaded {
                    sha256: &sha256,
                    needs_restart: &needs_restart,
                });
                true
            }
            Err(problem) => {
                let refused = Some((seen.clone(), problem));
                let is_new = self.refused != refused;
                self.refused = refused;
                if let Some((_, problem)) = self.refused.as_ref().filter(|_| is_new || is_asked) {
                    self.in_force.failed(problem);
                    telemetry.tell(&Event::ReloadFailed { problem });
                }
                false
            }
        }
    }

    /// Waits until all workers use the new configuration. (One that has ended never will.)
    async fn taken_up(&self) {
        let taken_up = Arc::clone(&self.orders.borrow().taken_up);
        let workers = u32::try_from(self.config.server.workers.max(1)).unwrap_or(u32::MAX);
        let all = timeout(TAKEN_UP, taken_up.acquire_many(workers));
        drop(all.await);
    }

    /// Enforces the clients that are promoted by now.
    fn promote(&mut self) {
        let snapshot = self.shared.snapshot().promoting();
        self.shared.replace(Arc::new(snapshot));
        self.orders.send_modify(|_| {});
        let overlap = Instant::now() + longest(&self.config);
        self.overlap = self.overlap.max(Some(overlap));
    }

    /// Drops an earlier configuration when the last sign-in that began under it has expired.
    fn end_overlap(&mut self) {
        if self.overlap.is_some_and(|until| until <= Instant::now()) {
            self.overlap = None;
            let snapshot = self.shared.snapshot().alone();
            self.shared.replace(Arc::new(snapshot));
            // Makes the workers adopt the snapshot.
            self.orders.send_modify(|_| {});
        }
    }

    /// Applies a file. Returns its hash, and the changed keys that need a restart.
    fn apply(&mut self, path: &Path, seen: &Seen) -> Result<(String, Vec<&'static str>), String> {
        let text = seen.text.as_ref().map_err(ToString::to_string)?;
        let name = path.display().to_string();
        let checked = config::load(text, &name, clock::today());
        let mut config = checked
            .map_err(|problems| problems.first_error().unwrap_or_default())?
            .config;
        let mut needs_restart = keep_fixed(&mut config, &self.config);
        let written = config.clone();
        let fewer = Need::of(&config)
            .fit(&mut config, open_files::usable())
            .map_err(|few| few.to_string())?;
        let before = self.shared.snapshot();
        let snapshot = self.maker.snapshot(&config, Some(&before));
        let snapshot = snapshot.map_err(|unusable| unusable.to_string())?;
        // Nothing below fails.
        if let Some(fewer) = fewer {
            self.shared.telemetry.tell(&fewer);
        }
        let snapshot = if self.signals.absent.exchange(&before, &snapshot) {
            Arc::new(snapshot.promoting())
        } else {
            snapshot
        };
        if snapshot.promotes() && !self.signals.has_file {
            needs_restart.push("upstream.pkce.promote");
        }
        for site in &snapshot.sites {
            site.store.configure(&config.store);
        }
        self.shared.telemetry.set_log(config.log);
        self.shared.replace(snapshot);
        self.crowd.set(Places::of(&config.server));
        self.orders.send_replace(Orders::of(&config));
        let sha256 = sha256(text);
        let overlap = Instant::now() + longest(&self.config).max(longest(&written));
        self.overlap = self.overlap.max(Some(overlap));
        self.config = written;
        Ok((sha256, needs_restart))
    }
}

/// Restores the keys that cannot change at run time. Returns the names of those that differed.
fn keep_fixed(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let pairs = config.fixed().into_iter().zip(running.fixed());
    let changed = pairs.filter(|((_, new), (_, old))| new != old);
    let changed = changed.map(|((key, _), _)| key).collect();
    config.server.listen.clone_from(&running.server.listen);
    config.server.workers = running.server.workers;
    config.admin = running.admin.clone();
    config.review.snapshot.clone_from(&running.review.snapshot);
    changed
}

/// How long a sign-in that begins now can be known: until its code is issued, and then as long as the store remembers
/// the code ([`crate::store`]).
fn longest(config: &Config) -> Duration {
    let Settings { pending, code, .. } = config.store;
    pending + pending + code
}

/// The SHA-256 in hexadecimal, as printed by `sha256sum`.
pub fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
