//! Passes events to every sink: the metrics, and the log.

use std::fmt::Debug;
use std::sync::Arc;

use crate::clock::Clock;

use super::event::Event;
use super::log::Log;
use super::metrics::Metrics;
use super::sampler::Sampler;
use super::settings::{Level, Settings};

/// Receives every event of the gate.
trait Sink: Debug + Send + Sync {
    fn take(&self, event: &Event<'_>);
}

impl Sink for Metrics {
    fn take(&self, event: &Event<'_>) {
        self.count(event);
    }
}

/// A log that leaves out events when too many like them occur. At `debug` it has all of them.
#[derive(Debug)]
struct SampledLog {
    log: Log,
    sampler: Sampler,
}

impl SampledLog {
    fn has_all(&self) -> bool {
        self.log.has(Level::Debug)
    }
}

impl Sink for SampledLog {
    fn take(&self, event: &Event<'_>) {
        if !self.log.has(event.level()) {
            return;
        }
        let line = if self.has_all() {
            Some(0)
        } else {
            self.sampler.line(event)
        };
        if let Some(left_out) = line {
            self.log.write(event, left_out);
        }
    }
}

/// Passes events to the sinks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry(Arc<Sinks>);

#[derive(Debug)]
struct Sinks {
    metrics: Metrics,
    log: Option<SampledLog>,
}

impl Sinks {
    fn all(&self) -> impl Iterator<Item = &dyn Sink> {
        let log = self.log.iter().map(|log| log as &dyn Sink);
        std::iter::once(&self.metrics as &dyn Sink).chain(log)
    }
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        Self::to(None)
    }

    pub(crate) fn logging(log: &Log) -> Self {
        let telemetry = Self::to(Some(log.clone()));
        telemetry.0.metrics.count_dropped_lines(log.lost());
        telemetry
    }

    fn to(log: Option<Log>) -> Self {
        let sampled = |log| SampledLog {
            log,
            sampler: Sampler::new(Clock::system()),
        };
        Self(Arc::new(Sinks {
            metrics: Metrics::new(),
            log: log.map(sampled),
        }))
    }

    /// Passes an event to every sink.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        for sink in self.0.all() {
            sink.take(event);
        }
    }

    /// Changes level and format of the log from now on.
    pub(crate) fn set_log(&self, settings: Settings) {
        if let Some(sampled) = &self.0.log {
            sampled.log.set(settings);
        }
    }

    /// Whether the level is `debug` or more detailed, so that every event is logged.
    pub(crate) fn logs_requests(&self) -> bool {
        self.0.log.as_ref().is_some_and(SampledLog::has_all)
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> Option<&Log> {
        self.0.log.as_ref().map(|sampled| &sampled.log)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
