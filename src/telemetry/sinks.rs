//! Passes events to the metrics and the log.

use std::sync::Arc;

use crate::clock::Clock;

use super::event::Event;
use super::log::Log;
use super::metrics::Metrics;
use super::sampler::Sampler;
use super::settings::{Level, Settings};

/// Passes events to the metrics and the log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    sampler: Sampler,
    log: Option<Log>,
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
        Self(Arc::new(Inner {
            metrics: Metrics::new(),
            sampler: Sampler::new(Clock::system()),
            log,
        }))
    }

    /// Counts an event, and logs it unless too many like it are logged.
    pub(crate) fn tell(&self, event: &Event<'_>) {
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

    /// Changes level and format of the log from now on.
    pub(crate) fn set_log(&self, settings: Settings) {
        if let Some(log) = &self.0.log {
            log.set(settings);
        }
    }

    /// Whether the level is `debug` or more detailed, so that every event is logged.
    pub(crate) fn logs_requests(&self) -> bool {
        let log = self.0.log.as_ref();
        log.is_some_and(|log| log.has(Level::Debug))
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> Option<&Log> {
        self.0.log.as_ref()
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
