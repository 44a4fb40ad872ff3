//! Keeps the counts of the review and the promotions of clients in a file, so that they survive a restart.

mod file;

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock::{self, date};
use crate::config::Config;
use crate::gateway::site::Site;
use crate::gateway::site::ratchet::Turned;
use crate::gateway::{Shared, Snapshot};
use crate::telemetry::{Event, Telemetry};

use file::Stored;

/// How often they are written. A crash loses so much of them.
const EVERY: Duration = Duration::from_mins(1);

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
    /// Adds what the file has to the counts, enforces the clients that are promoted, and writes the file, so that a folder that does
    /// not exist is noticed at once. A file that cannot be read is left alone and reported, and nothing is kept: the next write would
    /// replace it.
    pub(super) fn restore(shared: &Arc<Shared>, file: Option<PathBuf>) -> Result<Self, Lost> {
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
        turn(shared, kept.clone());
        shared.replace(Arc::new(shared.snapshot().promoting()));
        Ok(Self {
            shared: Arc::clone(shared),
            kept,
            signals: Signals::default(),
        })
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Turns the ratchet and writes the file again and again, and warns once a day of report mode that does not end.
    pub(super) async fn keep(&self) {
        let mut warned = None;
        loop {
            let today = clock::today();
            if warned != Some(today) {
                warned = Some(today);
                warn(&self.shared, clock::wall());
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.signals.reloaded.notified() => {}
            }
            let (shared, kept) = (Arc::clone(&self.shared), self.kept.clone());
            // The disk may be slow.
            let promoted = spawn_blocking(move || turn(&shared, kept)).await;
            if promoted.unwrap_or_default() {
                self.signals.promoted.notify_one();
            }
        }
    }

    /// Writes the file for the last time.
    pub(super) fn finish(self) {
        turn(&self.shared, self.kept);
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

/// Adds the rows and promotions of configured upstreams. Returns the others.
fn give(snapshot: &Snapshot, mut stored: Stored) -> Stored {
    for site in &snapshot.sites {
        let (rows, promotions) = stored.take(&site.settings.name);
        site.state.telemetry.tally().restore(rows);
        site.state.promotions.add(promotions);
    }
    stored
}

/// Promotes clients, and writes the file. Returns whether clients were promoted that are not enforced yet.
fn turn(shared: &Shared, kept: Option<Kept>) -> bool {
    let (snapshot, now) = (shared.snapshot(), clock::wall());
    let mut has_promoted = false;
    let mut all = Vec::with_capacity(snapshot.sites.len());
    for site in &snapshot.sites {
        let rows = site.state.telemetry.tally().rows();
        let turned = site.turn_ratchet(&rows, now);
        has_promoted |= !turned.promoted.is_empty();
        tell(&shared.telemetry, site, &turned);
        all.push((
            site.settings.name.clone(),
            rows,
            site.state.promotions.get(),
        ));
    }
    let Some(Kept { file, others }) = kept else {
        return has_promoted;
    };
    if let Err(error) = others.with(all).write(&file) {
        let problem = &format!("{}: {error}", file.display());
        shared
            .telemetry
            .tell(&Event::ReviewSnapshotUnwritten { problem });
    }
    has_promoted
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
