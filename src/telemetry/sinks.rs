//! Passes events to the metrics and to the log.

use std::sync::Arc;

use crate::clock::{self, Clock};

use super::event::Event;
use super::log::Log;
use super::metrics::Metrics;
use super::sampler::Sampler;
use super::settings::{Level, Settings};
use super::tally::Told;

/// Receives every event of the gate. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry(Arc<Sinks>);

#[derive(Debug)]
struct Sinks {
    metrics: Metrics,
    log: Option<SampledLog>,
}

/// A log that leaves out events when too many like them occur. At `debug` it has all of them.
#[derive(Debug)]
struct SampledLog {
    log: Log,
    sampler: Sampler,
}

/// Counts a decision for the review, and codes that cannot be judged.
fn tally(event: &Event<'_>) {
    if let Event::UnknownCodeAccepted {
        upstream, client, ..
    } = event
    {
        upstream.tally().count_uncertain(*client, clock::wall());
    } else if let Event::Decision {
        upstream,
        step,
        decided,
        violation,
        client,
        method,
        redirect_origin,
        is_uncertain,
        hint,
        ..
    } = event
    {
        let told = Told {
            step: *step,
            decided: *decided,
            violation: *violation,
            client: *client,
            method: *method,
            redirect_origin: *redirect_origin,
            is_uncertain: *is_uncertain,
            hint: *hint,
        };
        upstream.tally().count(&told, clock::wall());
    }
}

impl Telemetry {
    /// Without a log: for the demo and for tests.
    #[cfg(any(feature = "demo", test))]
    pub(crate) fn new() -> Self {
        Self(Arc::new(Sinks {
            metrics: Metrics::new(),
            log: None,
        }))
    }

    pub(crate) fn logging(log: &Log) -> Self {
        let metrics = Metrics::new();
        metrics.count_dropped_lines(log.lost());
        let log = SampledLog {
            log: log.clone(),
            sampler: Sampler::new(Clock::system()),
        };
        Self(Arc::new(Sinks {
            metrics,
            log: Some(log),
        }))
    }

    /// Counts an event, and logs it.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.0.metrics.count(event);
        tally(event);
        let Some(SampledLog { log, sampler }) = &self.0.log else {
            return;
        };
        if !log.has(event.about().level) {
            return;
        }
        let line = if log.has(Level::Debug) {
            Some(0)
        } else {
            sampler.line(event)
        };
        if let Some(left_out) = line {
            log.write(event, left_out);
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
        let log = self.0.log.as_ref();
        log.is_some_and(|sampled| sampled.log.has(Level::Debug))
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> Option<&Log> {
        self.0.log.as_ref().map(|sampled| &sampled.log)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}
