//! Keeps the counts of the review in a file, so that they survive a restart.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock::{self, date};
use crate::gateway::{Shared, Snapshot};
use crate::telemetry::Event;

use file::Stored;

/// How often they are written. A crash loses so much of them.
const EVERY: Duration = Duration::from_mins(1);

/// The counts of all upstreams, and their file. `None`: they are not kept.
pub(super) struct Counts {
    shared: Arc<Shared>,
    kept: Option<Kept>,
}

/// The file, and what it has of upstreams that are not configured now.
#[derive(Clone)]
struct Kept {
    file: PathBuf,
    others: Stored,
}

impl Counts {
    /// Adds what the file has to the counts, and writes it, so that a folder that does not exist is noticed at once. A file that cannot
    /// be read is left alone and reported, and nothing is kept: the next write would replace it.
    pub(super) fn restore(shared: &Arc<Shared>, file: Option<PathBuf>) -> Self {
        let kept = file.and_then(|file| match Stored::read(&file) {
            Ok(stored) => {
                let others = give(&shared.snapshot(), stored);
                Some(Kept { file, others })
            }
            Err(unreadable) => {
                let problem = format!("{}: {unreadable}", file.display());
                let problem = &problem;
                shared
                    .telemetry
                    .tell(&Event::ReviewSnapshotUnreadable { problem });
                None
            }
        });
        write(shared, kept.clone());
        Self {
            shared: Arc::clone(shared),
            kept,
        }
    }

    /// Writes the file again and again, and warns once a day of report mode that does not end.
    pub(super) async fn keep(&self) {
        let mut warned = None;
        loop {
            let today = clock::today();
            if warned != Some(today) {
                warned = Some(today);
                warn(&self.shared, clock::wall());
            }
            sleep(EVERY).await;
            let (shared, kept) = (Arc::clone(&self.shared), self.kept.clone());
            // The disk may be slow.
            drop(spawn_blocking(move || write(&shared, kept)).await);
        }
    }

    /// Writes the file for the last time.
    pub(super) fn finish(self) {
        write(&self.shared, self.kept);
    }
}

/// Adds the rows of configured upstreams. Returns the others.
fn give(snapshot: &Snapshot, mut stored: Stored) -> Stored {
    for site in &snapshot.sites {
        let rows = stored.take(&site.settings.name);
        site.state.telemetry.tally().restore(rows);
    }
    stored
}

fn write(shared: &Shared, kept: Option<Kept>) {
    let Some(Kept { file, others }) = kept else {
        return;
    };
    let snapshot = shared.snapshot();
    let all = snapshot.sites.iter().map(|site| {
        let rows = site.state.telemetry.tally().rows();
        (site.settings.name.clone(), rows)
    });
    if let Err(error) = others.with(all).write(&file) {
        let problem = &format!("{}: {error}", file.display());
        shared
            .telemetry
            .tell(&Event::ReviewSnapshotUnwritten { problem });
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
