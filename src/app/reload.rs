//! Another configuration while the gate runs: read, checked as `check` does, and put in force as a whole or not at all.

use std::fmt::Write as _;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::admin::InForce;
use crate::clock;
use crate::config::{self, Config, file};
use crate::files;
use crate::gateway::Shared;
use crate::gateway::site::Site;
use crate::server::{Crowd, Places};
use crate::store::Settings;
use crate::telemetry::Event;

use super::descriptors::{self, Need};
use super::sites::Maker;
use super::worker::Orders;

/// How often the file is looked at. (Its directory cannot be watched: what is mounted from a `ConfigMap` is a link that is swapped.)
const POLL: Duration = Duration::from_secs(2);
/// A file that has changed is read again after that time, until it stays the same: it may be half written.
const SETTLED: Duration = Duration::from_millis(300);
/// So often at the most.
const TRIES: usize = 20;
/// Workers take up a configuration at once, unless they are very busy.
const TAKEN_UP: Duration = Duration::from_secs(1);

/// Where a configuration came from, and what says that it is to be read again.
#[derive(Debug, Clone)]
pub(crate) struct Source {
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
    /// Until when sign-ins may be under way that were begun under another one.
    pub(super) overlap: Option<Instant>,
    /// The last one that was refused, and why. It is tried again, because what it needs may come after it.
    pub(super) refused: Option<(Seen, String)>,
}

/// What a file and those that it names hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    text: Result<String, file::Unreadable>,
    /// SHA-256 of each CA file.
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
        let mut known = Seen {
            text: Ok(source.text.clone()),
            others: self.others_in_force(),
        };
        // What came through a pipe does not come again.
        let is_pipe = fs::metadata(&source.path).is_ok_and(|file| !file.is_file());
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
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

    /// What it holds when nobody writes it any more.
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
        let snapshot = self.shared.snapshot();
        let ca = |site: &Arc<Site>| site.destination.settings.ca.clone();
        let files = snapshot.sites.iter().filter_map(ca);
        let hash = |file: PathBuf| Some(Sha256::digest(files::read(&file).ok()?).into());
        Seen {
            text: file::read_again(path),
            others: files.map(hash).collect(),
        }
    }

    /// The same as it was read for what is in force.
    fn others_in_force(&self) -> Vec<Option<[u8; 32]>> {
        let snapshot = self.shared.snapshot();
        let destinations = snapshot.sites.iter().map(|site| &site.destination);
        let with_ca = destinations.filter(|to| to.settings.ca.is_some());
        with_ca.map(|to| to.connector.roots()).collect()
    }

    /// Whether it is in force now. What is refused once more for the same reason is told again only where somebody asks.
    async fn reload(&mut self, path: &Path, seen: &Seen, is_asked: bool) -> bool {
        let telemetry = self.shared.telemetry().clone();
        match self.apply(path, seen) {
            Ok((sha256, needs_restart)) => {
                self.refused = None;
                self.taken_up().await;
                self.in_force.applied(&sha256, &needs_restart);
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

    /// Waits until all workers go by it. (One that has ended never will.)
    async fn taken_up(&self) {
        let taken_up = Arc::clone(&self.orders.borrow().taken_up);
        let workers = u32::try_from(self.config.server.workers.max(1)).unwrap_or(u32::MAX);
        let all = timeout(TAKEN_UP, taken_up.acquire_many(workers));
        drop(all.await);
    }

    /// When the last sign-in is over that an earlier configuration let in, it is as if that one had never been.
    fn end_overlap(&mut self) {
        if self.overlap.is_some_and(|until| until <= Instant::now()) {
            self.overlap = None;
            let snapshot = self.shared.snapshot().alone();
            self.shared.replace(Arc::new(snapshot));
            // Workers take up what is in force.
            self.orders.send_modify(|_| {});
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
            .fit(&mut config, descriptors::usable())
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
        let overlap = Instant::now() + longest(&self.config).max(longest(&written));
        self.overlap = self.overlap.max(Some(overlap));
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

/// For how long something may be known of a sign-in that began just now: until its code is there, and for as long as the store
/// remembers that ([`crate::store`]).
fn longest(config: &Config) -> Duration {
    let Settings { pending, code, .. } = config.store;
    pending + pending + code
}

/// In hex, as `sha256sum` writes it.
pub fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |mut hex, byte| {
        // A string takes everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
