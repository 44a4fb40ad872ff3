//! Keeps the counts of the review and the promotions of clients: in a file, so that they survive a restart, and in Redis, where the
//! gates that share it add them up.

mod file;

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::clock::{self, date};
use crate::config::Config;
use crate::gateway::settings::Promote;
use crate::gateway::site::ratchet::Turned;
use crate::gateway::site::{Gates, Site};
use crate::gateway::{Shared, Snapshot};
use crate::telemetry::{Event, Telemetry};

use file::{OfUpstream, Stored};

/// How often they are written. A crash loses so much of them.
const EVERY: Duration = Duration::from_mins(1);

/// How often the counts of other gates are read, to promote clients, and all of one's own are written again.
const SUM: Duration = Duration::from_hours(1);

/// The counts of all upstreams, and their file. `None`: they are not kept.
pub(super) struct Counts {
    shared: Arc<Shared>,
    kept: Option<Kept>,
    signals: Signals,
}

/// What the counts and the configuration tell each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    /// Clients are promoted: they are to be enforced.
    pub(super) promoted: Arc<Notify>,
    /// Another configuration is in force, which may promote more clients.
    pub(super) reloaded: Arc<Notify>,
}

/// The file, and what it has of upstreams that are not configured now.
#[derive(Clone)]
struct Kept {
    file: PathBuf,
    others: Stored,
}

/// Without the file the gate would enforce fewer clients than before.
#[derive(Debug, thiserror::Error)]
#[error(
    "review.snapshot: {problem}. It says which clients are enforced (promote): correct or remove it"
)]
pub(crate) struct Lost {
    problem: String,
}

impl Counts {
    /// Adds what the file and Redis have to the counts, enforces the clients that are promoted, and writes the file, so that a folder
    /// that does not exist is noticed at once. A file that cannot be read is left alone and reported, and nothing is kept: the next
    /// write would replace it.
    pub(super) async fn restore(shared: &Arc<Shared>, file: Option<PathBuf>) -> Result<Self, Lost> {
        let kept = match file {
            None => None,
            Some(file) => match Stored::read(&file) {
                Ok(stored) => {
                    let others = give(&shared.snapshot(), stored);
                    Some(Kept { file, others })
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
        let counts = Self {
            shared: Arc::clone(shared),
            kept,
            signals: Signals::default(),
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
        let (mut warned, mut summed) = (None, Instant::now());
        loop {
            let today = clock::today();
            if warned != Some(today) {
                warned = Some(today);
                warn(&self.shared, clock::wall());
            }
            let mut is_due = summed.elapsed() >= SUM;
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.signals.reloaded.notified() => is_due = true,
            }
            if is_due {
                summed = Instant::now();
            }
            if self.turn(is_due).await {
                self.signals.promoted.notify_one();
            }
        }
    }

    /// Writes everything for the last time.
    pub(super) async fn finish(self) {
        self.turn(false).await;
        for site in &self.shared.snapshot().sites {
            if let Some(redis) = site.store.redis() {
                // Without an answer, the seat is free after an hour.
                let _left = site.state.leave(&redis.seats()).await;
            }
        }
    }

    /// Shares the counts, promotes clients, and writes the file. `is_due`: what the other gates counted is read. Returns whether
    /// clients were promoted that are not enforced yet.
    async fn turn(&self, is_due: bool) -> bool {
        let (snapshot, now) = (self.shared.snapshot(), clock::wall());
        let mut has_promoted = false;
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
            let counted = counted.filter(|counted| counted.gates != Some(Gates::This));
            let rows = match (&counted, is_shared) {
                (Some(counted), _) => Some(counted.rows.as_slice()),
                (None, false) => Some(own.as_slice()),
                (None, true) => None,
            };
            let turned = site.turn_ratchet(rows, &own, now);
            if !turned.promoted.is_empty() {
                share(&self.shared.telemetry, site, now).await;
            }
            has_promoted |= site.state.promotions.enforced().len() > enforced;
            tell(&self.shared.telemetry, site, &turned);
            let kept = if is_shared { Vec::new() } else { own };
            let name = site.settings.name.clone();
            all.push((name, kept, site.state.promotions.get()));
        }
        let shared = Arc::clone(&self.shared);
        if let Some(kept) = self.kept.clone() {
            // The disk may be slow.
            let written = spawn_blocking(move || write(&shared, kept, all));
            drop(written.await);
        }
        has_promoted
    }
}

/// Shares the counts with other gates, if the store is in Redis.
async fn share(telemetry: &Telemetry, site: &Site, now: u64) {
    let Some(redis) = site.store.redis() else {
        return;
    };
    let shared = site.state.share(&redis.seats(), now).await;
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

fn write(shared: &Shared, Kept { file, others }: Kept, all: Vec<OfUpstream>) {
    if let Err(error) = others.with(all).write(&file) {
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

/// Adds the rows and promotions of configured upstreams. Returns the others. Rows of a store in Redis are there.
fn give(snapshot: &Snapshot, mut stored: Stored) -> Stored {
    for site in &snapshot.sites {
        let (rows, promotions) = stored.take(&site.settings.name);
        if site.store.redis().is_none() {
            site.state.telemetry.tally().restore(rows);
        }
        site.state.promotions.add(promotions);
    }
    stored
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
                until: reporting.until.map(date::format).as_deref(),
            });
        }
    }
}
