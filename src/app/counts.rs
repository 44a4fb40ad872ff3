//! Keeps the counts of the review in a file, so that they survive a restart.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock::{self, date};
use crate::gateway::{Shared, Snapshot};
use crate::telemetry::{Event, Telemetry};

use file::Stored;

/// How often they are written. A crash loses so much of them.
const EVERY: Duration = Duration::from_mins(1);

/// The counts of all upstreams, and their file. `None`: they are not kept.
pub(super) struct Counts {
    shared: Arc<Shared>,
    file: Option<PathBuf>,
}

impl Counts {
    /// Adds what the file has to the counts. One that cannot be read is left alone and reported, and nothing is kept: the next write
    /// would replace it.
    pub(super) fn restore(shared: &Arc<Shared>, file: Option<PathBuf>) -> Self {
        let read = file.as_deref().map(Stored::read);
        let file = match read {
            Some(Ok(stored)) => {
                give(&shared.snapshot(), stored);
                file
            }
            Some(Err(unreadable)) => {
                told(&shared.telemetry, &unreadable.to_string());
                None
            }
            None => None,
        };
        Self {
            shared: Arc::clone(shared),
            file,
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
            let (shared, file) = (Arc::clone(&self.shared), self.file.clone());
            // The disk may be slow.
            drop(spawn_blocking(move || write(&shared, file)).await);
        }
    }

    /// Writes the file for the last time.
    pub(super) fn finish(self) {
        write(&self.shared, self.file);
    }
}

fn give(snapshot: &Snapshot, mut stored: Stored) {
    for site in &snapshot.sites {
        let rows = stored.take(&site.settings.name);
        site.state.telemetry.tally().restore(rows);
    }
}

fn write(shared: &Shared, file: Option<PathBuf>) {
    let Some(file) = file else {
        return;
    };
    let snapshot = shared.snapshot();
    let all = snapshot.sites.iter().map(|site| {
        let rows = site.state.telemetry.tally().rows();
        (site.settings.name.clone(), rows)
    });
    if let Err(error) = Stored::new(all).write(&file) {
        told(&shared.telemetry, &format!("it cannot be written: {error}"));
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

fn told(telemetry: &Telemetry, problem: &str) {
    telemetry.tell(&Event::ReviewSnapshotFailed { problem });
}
