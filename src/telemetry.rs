//! What happened: one [`Event`], told to the log and to the metrics, so that they agree exactly.
//!
//! No event can hold a secret: its fields are labels, identifiers and numbers. Client identifiers stand in the log,
//! never in a metric's label, where an attacker could make as many as he likes.

mod event;
pub mod log;
pub mod metrics;
mod sampler;
mod upstream;

use std::sync::Arc;

pub use event::{Decided, EndpointKind, Event, RequestId};
pub use metrics::Metrics;
pub use sampler::Sampler;
pub use upstream::Upstream;

/// Tells events to whoever listens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
}

impl Telemetry {
    /// With a registry of its own.
    pub fn new() -> Self {
        Self {
            metrics: Arc::new(Metrics::new()),
        }
    }

    /// Something happened.
    pub fn tell(&self, event: &Event<'_>) {
        self.metrics.count(event);
        log::write(event);
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
