//! Keeps the counts of the review and the promotions of clients: in a file, so that they survive a restart, and in Redis, where the
//! gates that share it add them up.

mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, mem};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::clock::{self, date};
use crate::config::Config;
use crate::gateway::settings::Promote;
use crate::gateway::site::ratchet::Turned;
use crate::gateway::site::{Gates, Site};
use crate::gateway::{Shared, Snapshot};
use crate::telemetry::tally::{Name, Row};
use crate::telemetry::{Event, Telemetry};

use file::{OfUpstream, Stored, Unreadable};

/// How often they are written. A crash loses so much of them.
const EVERY: Duration = Duration::from_mins(1);

/// How often the counts of other gates are read, to promote clients, and all of one's own are written again.
const SUM: Duration = Duration::from_hours(1);

/// The counts of all upstreams, and their file. `None`: they are not kept.
pub(super) struct Counts {
    shared: Arc<Shared>,
    file: Option<PathBuf>,
    /// Held while the file is written.
    writing: Arc<AsyncMutex<()>>,
    signals: Signals,
}

/// What the counts and the configuration tell each other.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// Clients are promoted: they are to be enforced.
    pub(super) promoted: Arc<Notify>,
    /// Another configuration is in force, which may promote more clients.
    pub(super) reloaded: Arc<Notify>,
    pub(super) absent: Absent,
    /// Whether there is a file that keeps promotions over a restart.
    pub(super) has_file: bool,
}

/// What is known of upstreams that are not configured now: it is theirs again when they are.
#[derive(Clone, Default)]
pub(super) struct Absent(Arc<Mutex<Stored>>);

impl Absent {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what the upstreams have that the next configuration lacks, and gives what is kept to those that it adds. Returns whether
    /// more clients are enforced.
    pub(super) fn exchange(&self, before: &Snapshot, next: &Snapshot) -> bool {
        let mut stored = self.stored();
        let lacks = |snapshot: &Snapshot, site: &Site| {
            let mut sites = snapshot.sites.iter();
            !sites.any(|other| Arc::ptr_eq(&other.state, &site.state))
        };
        let removed = before.sites.iter().filter(|site| lacks(next, site));
        let removed = removed.map(|site| of_upstream(site, site.state.telemetry.tally().rows()));
        *stored = mem::take(&mut *stored).with(removed);
        let mut enforces = false;
        for site in next.sites.iter().filter(|site| lacks(before, site)) {
            enforces |= give(site, &mut stored);
        }
        enforces
    }
}

/// Without the file the gate would enforce fewer clients than before.
#[derive(Debug, thiserror::Error)]
#[error(
    "review.snapshot: {problem}. The file says which clients are enforced (promote)\nhelp: create or mount its folder, or correct the \
     file; without the file, the promoted clients are in report mode again"
)]
pub(crate) struct Lost {
    problem: String,
}

/// What a turn did.
#[derive(Debug, Default)]
struct Done {
    /// Clients were promoted that are not enforced yet.
    has_promoted: bool,
    /// The next turn may promote more.
    is_full: bool,
}

impl Counts {
    /// Adds what the file and Redis have to the counts, enforces the clients that are promoted, and writes the file, so that a folder
    /// that does not exist is noticed at once. A file that cannot be read is left alone and reported, and nothing is kept: the next
    /// write would replace it.
    pub(super) async fn restore(shared: &Arc<Shared>, file: Option<PathBuf>) -> Result<Self, Lost> {
        let mut stored = Stored::default();
        let file = match file {
            None => None,
            Some(file) => match read(&file, shared.snapshot().promotes()) {
                Ok(read) => {
                    stored = read;
                    Some(file)
                }
                Err(unreadable) => {
                    let problem = format!("{}: {unreadable}", file.display());
                    if shared.snapshot().promotes() {
                        return Err(Lost { problem });
                    }
                    let problem = &problem;
                    shared
                        .telemetry
                        .tell(&Event::ReviewSnapshotUnreadable { problem });
                    None
                }
            },
        };
        for site in &shared.snapshot().sites {
            give(site, &mut stored);
        }
        let counts = Self {
            shared: Arc::clone(shared),
            signals: Signals {
                absent: Absent(Arc::new(Mutex::new(stored))),
                has_file: file.is_some(),
                ..Signals::default()
            },
            file,
            writing: Arc::default(),
        };
        counts.turn(true).await;
        shared.replace(Arc::new(shared.snapshot().promoting()));
        Ok(counts)
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Turns the ratchet, shares the counts and writes the file again and again, and warns once a day of report mode that does not
    /// end.
    pub(super) async fn keep(&self) {
        let (mut warned, mut summed, mut is_full) = (None, Instant::now(), false);
        loop {
            let today = clock::today();
            if warned != Some(today) {
                warned = Some(today);
                warn(&self.shared, clock::wall());
            }
            let mut is_due = is_full || summed.elapsed() >= SUM;
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.signals.reloaded.notified() => is_due = true,
            }
            if is_due {
                summed = Instant::now();
            }
            let done = self.turn(is_due).await;
            is_full = done.is_full;
            if done.has_promoted {
                self.signals.promoted.notify_one();
            }
        }
    }

    /// Writes everything for the last time.
    pub(super) async fn finish(self) {
        self.turn(false).await;
        for site in &self.shared.snapshot().sites {
            site.leave().await;
        }
    }

    /// Shares the counts, promotes clients, and writes the file. `is_due`: what the other gates counted is read.
    async fn turn(&self, is_due: bool) -> Done {
        let (snapshot, now) = (self.shared.snapshot(), clock::wall());
        let mut done = Done::default();
        let mut all = Vec::with_capacity(snapshot.sites.len());
        for site in &snapshot.sites {
            let enforced = site.state.promotions.enforced().len();
            if is_due {
                site.state.seat.begin_again();
            }
            share(&self.shared.telemetry, site, now).await;
            let own = site.state.telemetry.tally().rows();
            let is_shared = site.store.redis().is_some();
            let is_off = site.settings.promote == Promote::Off;
            let counted = match (is_shared, is_due && !is_off) {
                (true, true) => Some(site.counted().await),
                (true, false) | (false, _) => None,
            };
            let counted = counted.filter(|counted| counted.gates.is_none_or(Gates::are_complete));
            let rows = match (&counted, is_shared) {
                (Some(counted), _) => Some(counted.rows.as_slice()),
                (None, false) => Some(own.as_slice()),
                (None, true) => None,
            };
            // A restart would take the promotions back. A clock in doubt says that days have passed.
            let is_lost = site.settings.is_promoting() && !self.signals.has_file;
            let is_held = is_lost || clock::doubt().is_some();
            let turned = site.turn_ratchet(rows.filter(|_| !is_held), &own, now);
            // Also what was told of clients that fell back: the other gates need not tell it again.
            if !turned.promoted.is_empty() || !turned.downgraded.is_empty() {
                share(&self.shared.telemetry, site, now).await;
            }
            done.is_full |= turned.is_full();
            done.has_promoted |= site.state.promotions.enforced().len() > enforced;
            tell(&self.shared.telemetry, site, &turned);
            all.push(of_upstream(site, own));
        }
        if let Some(file) = self.file.clone() {
            let (shared, absent) = (Arc::clone(&self.shared), self.signals.absent.clone());
            let alone = Arc::clone(&self.writing).lock_owned().await;
            // The disk may be slow.
            let written = spawn_blocking(move || {
                let _alone = alone;
                write(&shared, &file, &absent, all);
            });
            drop(written.await);
        }
        done
    }
}

/// Shares the counts with other gates, if the store is in Redis.
async fn share(telemetry: &Telemetry, site: &Site, now: u64) {
    let Some(shared) = site.share(now).await else {
        return;
    };
    // After a lost seat, configured clients would have no row of their own.
    let clients = site.settings.rules.clients();
    let tally = site.state.telemetry.tally();
    tally.expect(clients.map(|client| client.id.as_str()));
    let is_lost = &site.state.is_share_lost;
    match shared {
        Ok(()) => is_lost.store(false, Ordering::Relaxed),
        Err(error) => {
            if !is_lost.swap(true, Ordering::Relaxed) {
                telemetry.tell(&Event::ReviewUnshared {
                    upstream: &site.state.telemetry,
                    problem: error.to_string(),
                });
            }
        }
    }
}

fn write(shared: &Shared, file: &Path, absent: &Absent, all: Vec<OfUpstream>) {
    let stored = absent.stored().clone();
    if let Err(error) = stored.with(all).write(file) {
        let problem = &format!("{}: {error}", file.display());
        shared
            .telemetry
            .tell(&Event::ReviewSnapshotUnwritten { problem });
    }
}

/// Applies the promotions in the file of the review to the rules. For commands that judge as the gate does.
pub(crate) fn promote(config: &mut Config) -> Result<(), Lost> {
    let Some(file) = &config.review.snapshot else {
        return Ok(());
    };
    let mut stored = Stored::read(file).map_err(|unreadable| Lost {
        problem: format!("{}: {unreadable}", file.display()),
    })?;
    for upstream in &mut config.upstreams {
        let (_, promotions) = stored.take(&upstream.gateway.name);
        let enforced = promotions.iter().filter(|(_, it)| it.is_enforced);
        let enforced = enforced.map(|(client, _)| client.as_str());
        let rules = &mut upstream.gateway.rules;
        *rules = mem::take(rules).promoting(enforced);
    }
    Ok(())
}

/// What the file has. Where clients are promoted, a folder that does not exist is not taken for a file without promotions.
fn read(file: &Path, promotes: bool) -> Result<Stored, Unreadable> {
    if promotes {
        fs::metadata(file::folder(file))?;
    }
    Stored::read(file)
}

/// Gives an upstream its rows and promotions. Rows of a store in Redis are there. Returns whether more clients are enforced.
fn give(site: &Site, stored: &mut Stored) -> bool {
    let (rows, promotions) = stored.take(&site.settings.name);
    if site.store.redis().is_none() {
        site.state.telemetry.tally().restore(rows);
    }
    site.state.promotions.add(promotions)
}

/// What the file has of an upstream.
fn of_upstream(site: &Site, rows: Vec<(Name, Row)>) -> OfUpstream {
    let rows = match site.store.redis() {
        Some(_) => Vec::new(),
        None => rows,
    };
    let name = site.settings.name.clone();
    (name, rows, site.state.promotions.get())
}

fn tell(telemetry: &Telemetry, site: &Site, turned: &Turned) {
    let upstream = &site.state.telemetry;
    let promote = &site.settings.promote.to_string();
    for client in &turned.proposed {
        telemetry.tell(&Event::PromotionProposed {
            upstream,
            client,
            promote,
        });
    }
    for client in &turned.promoted {
        telemetry.tell(&Event::ClientPromoted {
            upstream,
            client,
            promote,
        });
    }
    for (client, promotion) in &turned.downgraded {
        telemetry.tell(&Event::ClientDowngraded {
            upstream,
            client,
            enforced: promotion.is_enforced,
            since: clock::written_at(promotion.since),
        });
    }
}

fn warn(shared: &Shared, now: u64) {
    for site in &shared.snapshot().sites {
        let reporting = site.reporting(now);
        if let Some(reporting) = reporting.filter(|reporting| reporting.is_overdue) {
            shared.telemetry.tell(&Event::ReportModeLasts {
                upstream: &site.state.telemetry,
                days: reporting.days,
                is_long: reporting.is_long,
                until: reporting.until.map(date::format).as_deref(),
            });
        }
    }
}
