//! What happened: one [`Event`], told to the log and to the metrics, so that they agree exactly: the metrics count every event,
//! and a line of the log says how many like it, before it, had none. Answers are the exception: they are counted when their head
//! is there ([`Upstream::answered`]), and have a line at `debug` when they have ended.
//!
//! No event can hold a secret: its fields are labels, identifiers and numbers. Client identifiers stand in the log,
//! never in a metric's label, where an attacker could make as many as he likes.

mod event;
pub mod log;
pub mod metrics;
mod sampler;
mod upstream;

use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use log::Log;
use sampler::Sampler;

pub use event::{Decided, Ended, Event, RequestId};
pub use metrics::Metrics;
pub use upstream::Upstream;

/// Tells events to the log and to the metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry(Arc<Told>);

#[derive(Debug)]
struct Told {
    metrics: Metrics,
    sampler: Sampler,
    log: Option<Log>,
}

impl Telemetry {
    /// With a registry of its own, and without a log.
    pub fn new() -> Self {
        Self::to(None)
    }

    /// With that log.
    pub fn logging(log: &Log) -> Self {
        let telemetry = Self::to(Some(log.clone()));
        telemetry.0.metrics.count_dropped_lines(log.lost());
        telemetry
    }

    fn to(log: Option<Log>) -> Self {
        Self(Arc::new(Told {
            metrics: Metrics::new(),
            sampler: Sampler::new(Clock::system()),
            log,
        }))
    }

    /// Something happened. It is counted, and has a line in the log unless there are too many like it.
    pub fn tell(&self, event: &Event<'_>) {
        self.0.metrics.count(event);
        let Some(log) = self.0.log.as_ref().filter(|log| log.has(event.level())) else {
            return;
        };
        let line = if self.logs_requests() {
            Some(0)
        } else {
            self.0.sampler.line(event)
        };
        if let Some(left_out) = line {
            log.write(event, left_out);
        }
    }

    /// Changes how the log is written from now on.
    pub fn set_log(&self, settings: Settings) {
        if let Some(log) = &self.0.log {
            log.set(settings);
        }
    }

    /// Whether the operator wants a line for each request, and so for each event.
    pub fn logs_requests(&self) -> bool {
        let log = self.0.log.as_ref();
        log.is_some_and(|log| log.has(Level::Debug))
    }

    /// For the admin listener.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most detailed level that is written.
    pub level: Level,
    /// One JSON object a line, or text.
    pub format: Format,
}

/// Levels, from few lines to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The gate cannot do its work.
    Error,
    /// Something that an operator should look at.
    Warn,
    /// Every decision.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
