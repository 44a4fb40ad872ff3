//! What happened: one [`Event`], told to the log and to the metrics, so that they agree exactly: the metrics count every event,
//! and a line of the log says how many like it, before it, had none.
//!
//! No event can hold a secret: its fields are labels, identifiers and numbers. Client identifiers stand in the log,
//! never in a metric's label, where an attacker could make as many as he likes.

mod event;
pub mod log;
pub mod metrics;
mod sampler;
mod upstream;

use std::sync::Arc;

use crate::clock::Clock;
use sampler::Sampler;

pub use crate::oauth::Endpoint as EndpointKind;
pub use event::{Decided, Event, RequestId};
pub use metrics::Metrics;
pub use upstream::Upstream;

/// Tells events to whoever listens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    sampler: Arc<Sampler>,
}

impl Telemetry {
    /// With a registry of its own.
    pub fn new() -> Self {
        Self {
            metrics: Arc::new(Metrics::new()),
            sampler: Arc::new(Sampler::new(Clock::system())),
        }
    }

    /// Something happened. It is counted, and has a line in the log unless there are too many like it.
    pub fn tell(&self, event: &Event<'_>) {
        self.metrics.count(event);
        let line = if log::leaves_nothing_out() {
            Some(0)
        } else {
            self.sampler.line(event)
        };
        if let Some(left_out) = line {
            log::write(event, left_out);
        }
    }

    /// For the admin listener.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
