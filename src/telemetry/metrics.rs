//! Prometheus metrics. Labels come from closed lists and from the configuration, never from a request.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::event::Event;
use super::families::Families;
use super::upstream::Upstream;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    upstream: String,
    fault: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    families: Families,
    upstream_errors: Family<FaultLabels, Counter>,
    incidents: Family<KindLabel, Counter>,
    reloads: Family<ResultLabel, Counter>,
    connections: Gauge,
}

impl Metrics {
    /// With everything registered.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("pkce_gate");
        let families = Families {
            decisions: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 2.0, 16))
            }),
        };
        let metrics = Self {
            families,
            upstream_errors: Family::default(),
            incidents: Family::default(),
            reloads: Family::default(),
            connections: Gauge::default(),
            registry: Mutex::default(),
        };
        registry.register(
            "decisions",
            "Judged requests and answers",
            metrics.families.decisions.clone(),
        );
        registry.register(
            "requests",
            "Answered requests",
            metrics.families.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to that of its answer",
            Unit::Seconds,
            metrics.families.durations.clone(),
        );
        registry.register(
            "upstream_errors",
            "Requests without an upstream answer",
            metrics.upstream_errors.clone(),
        );
        registry.register(
            "incidents",
            "Things worth a look",
            metrics.incidents.clone(),
        );
        registry.register(
            "reload",
            "Reloads of the configuration",
            metrics.reloads.clone(),
        );
        registry.register(
            "connections",
            "Open client connections",
            metrics.connections.clone(),
        );
        registry.register(
            "build",
            "Version",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    /// An upstream that events tell of.
    pub(crate) fn upstream(&self, name: &str) -> Upstream {
        Upstream::new(name, &self.families)
    }

    /// Open client connections.
    pub(crate) fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// Something whose numbers are read when they are asked for.
    pub(crate) fn register(&self, collector: Box<dyn Collector>) {
        self.registry().register_collector(collector);
    }

    /// Lines that the log has dropped are a metric too.
    pub(crate) fn count_dropped_lines(&self, dropped: Counter) {
        self.registry().register(
            "log_lines_dropped",
            "Log lines that were not read in time",
            dropped,
        );
    }

    /// The OpenMetrics text.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry())?;
        Ok(out)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Decision {
                upstream,
                endpoint,
                decided,
                violation,
                ..
            } => upstream.decided(*endpoint, *decided, *violation),
            Event::UpstreamFailed {
                upstream, fault, ..
            } => {
                let labels = FaultLabels {
                    upstream: upstream.name().to_owned(),
                    fault,
                };
                self.upstream_errors.get_or_create(&labels).inc();
            }
            Event::Misdirected { .. } => self.incident("misdirected"),
            Event::OtherBrowser { .. } => self.incident("other_browser"),
            Event::UpstreamOriginInBody { .. } => self.incident("upstream_origin_in_body"),
            Event::Overloaded { .. } => self.incident("overloaded"),
            Event::Panicked => self.incident("panicked"),
            Event::ConnectionTimedOut { .. } => self.incident("connection_timed_out"),
            Event::ConnectionSpared { .. } => self.incident("connection_spared"),
            Event::MalformedHead { .. } => self.incident("malformed_head"),
            Event::Reloaded { .. } => self.reloaded("applied"),
            Event::ReloadFailed { .. } => self.reloaded("failed"),
            Event::Library { .. } => self.incident("library"),
            // Answers are counted when their head is there ([`Upstream::answered`]).
            Event::Answered { .. }
            | Event::Panic { .. }
            | Event::LogLinesLost { .. }
            | Event::Listening { .. }
            | Event::FewDescriptors { .. }
            | Event::ClockInDoubt(_)
            | Event::SignalIgnored { .. }
            | Event::Draining { .. }
            | Event::Stopped { .. } => {}
        }
    }

    fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&ResultLabel { result }).inc();
    }

    fn incident(&self, kind: &'static str) {
        self.incidents.get_or_create(&KindLabel { kind }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Endpoint;
    use crate::policy::Violation;
    use crate::telemetry::{Decided, RequestId};

    #[test]
    fn a_decision_is_counted_by_closed_labels_and_never_by_client() {
        let metrics = Metrics::new();
        let upstream = metrics.upstream("legacy");
        for client in ["a", "b"] {
            metrics.count(&Event::Decision {
                request: RequestId(1),
                upstream: &upstream,
                endpoint: Endpoint::Token,
                decided: Decided::Refused,
                violation: Some(&Violation::UnknownCode),
                client: Some(client),
                method: None,
                redirect_origin: None,
                peer: "192.0.2.1",
            });
        }
        let text = metrics.encode().unwrap();
        let line = "pkce_gate_decisions_total{upstream=\"legacy\",endpoint=\"token\",decision=\"refused\",\
                    violation=\"unknown_code\"} 2";
        assert!(text.contains(line), "{text}");
    }
}
