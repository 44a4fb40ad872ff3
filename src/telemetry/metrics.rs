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
use prometheus_client::registry::Registry;

use super::Event;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    upstream: String,
    endpoint: &'static str,
    decision: &'static str,
    violation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    upstream: String,
    endpoint: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    upstream: String,
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    upstream: String,
    fault: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Mutex<Registry>,
    decisions: Family<DecisionLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<EndpointLabels, Histogram>,
    upstream_errors: Family<FaultLabels, Counter>,
    incidents: Family<KindLabel, Counter>,
    connections: Gauge,
}

impl Metrics {
    /// With everything registered.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("pkce_gate");
        let durations = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.0005, 2.0, 16))) as fn() -> _,
        );
        let metrics = Self {
            decisions: Family::default(),
            requests: Family::default(),
            durations,
            upstream_errors: Family::default(),
            incidents: Family::default(),
            connections: Gauge::default(),
            registry: Mutex::default(),
        };
        registry.register(
            "decisions",
            "Judged requests and answers",
            metrics.decisions.clone(),
        );
        registry.register("requests", "Answered requests", metrics.requests.clone());
        registry.register(
            "request_duration_seconds",
            "Head to head",
            metrics.durations.clone(),
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

    /// Open client connections.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// Something whose numbers are read when they are asked for.
    pub fn register(&self, collector: Box<dyn Collector>) {
        self.registry().register_collector(collector);
    }

    /// Lines that the log has dropped are a metric too.
    pub fn count_dropped_lines(&self, dropped: Counter) {
        self.registry().register(
            "log_lines_dropped",
            "Log lines that nobody read in time",
            dropped,
        );
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
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
            } => {
                let labels = DecisionLabels {
                    upstream: (*upstream).to_owned(),
                    endpoint: endpoint.label(),
                    decision: decided.label(),
                    violation: violation.map_or("", |violation| violation.label()),
                };
                self.decisions.get_or_create(&labels).inc();
            }
            Event::Answered {
                upstream,
                endpoint,
                status,
                took,
                ..
            } => {
                let endpoint = endpoint.label();
                let upstream = (*upstream).to_owned();
                let labels = RequestLabels {
                    upstream: upstream.clone(),
                    endpoint,
                    status: class(*status),
                };
                self.requests.get_or_create(&labels).inc();
                self.durations
                    .get_or_create(&EndpointLabels { upstream, endpoint })
                    .observe(took.as_secs_f64());
            }
            Event::UpstreamFailed {
                upstream, fault, ..
            } => {
                let labels = FaultLabels {
                    upstream: (*upstream).to_owned(),
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
            Event::Listening { .. } | Event::Draining { .. } | Event::Stopped { .. } => {}
        }
    }

    fn incident(&self, kind: &'static str) {
        self.incidents.get_or_create(&KindLabel { kind }).inc();
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
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
    use crate::policy::Violation;
    use crate::telemetry::{Decided, EndpointKind, RequestId};

    #[test]
    fn a_decision_is_counted_by_closed_labels_and_never_by_client() {
        let metrics = Metrics::new();
        for client in ["a", "b"] {
            metrics.count(&Event::Decision {
                request: RequestId(1),
                upstream: "legacy",
                endpoint: EndpointKind::Token,
                decided: Decided::Refused,
                violation: Some(&Violation::UnknownCode),
                client: Some(client),
            });
        }
        let text = metrics.encode().unwrap();
        let line = "pkce_gate_decisions_total{upstream=\"legacy\",endpoint=\"token\",decision=\"refused\",\
                    violation=\"unknown_code\"} 2";
        assert!(text.contains(line), "{text}");
    }
}
