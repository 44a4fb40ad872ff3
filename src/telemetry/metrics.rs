//! Prometheus metrics. Labels come from closed lists and the configuration, never from a request.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::event::Event;
use super::families::{Families, Labels};
use super::upstream::Upstream;

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    families: Families,
    upstream_errors: Family<Labels<2>, Counter>,
    incidents: Family<Labels<1>, Counter>,
    reloads: Family<Labels<1>, Counter>,
    connections: Gauge,
}

impl Metrics {
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
            "Decisions about requests and responses",
            metrics.families.decisions.clone(),
        );
        registry.register(
            "requests",
            "Requests by endpoint and status class of the response",
            metrics.families.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from the request head to the response head",
            Unit::Seconds,
            metrics.families.durations.clone(),
        );
        registry.register(
            "upstream_errors",
            "Requests to which the upstream gave no response",
            metrics.upstream_errors.clone(),
        );
        registry.register(
            "incidents",
            "Incidents that an operator should look at",
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
            "Version of pkce-gate",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    /// Creates the counters of an upstream.
    pub(crate) fn upstream(&self, name: &str) -> Upstream {
        Upstream::new(name, &self.families)
    }

    pub(crate) fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// Registers a collector whose numbers are read on each scrape.
    pub(crate) fn register(&self, collector: Box<dyn Collector>) {
        self.registry().register_collector(collector);
    }

    /// Registers the counter of lost log lines.
    pub(crate) fn count_dropped_lines(&self, dropped: Counter) {
        self.registry().register(
            "log_lines_dropped",
            "Log lines lost because the queue was full or they could not be written",
            dropped,
        );
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry())?;
        Ok(out)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, event: &Event<'_>) {
        if let Event::Decision {
            upstream,
            endpoint,
            decided,
            violation,
            ..
        } = event
        {
            upstream.decided(*endpoint, *decided, *violation);
        } else if let Event::UpstreamFailed {
            upstream, fault, ..
        } = event
        {
            let upstream = upstream.name().to_owned().into();
            let labels = [("upstream", upstream), ("fault", (*fault).into())];
            self.upstream_errors.get_or_create(&labels).inc();
        } else if let Event::Reloaded { .. } = event {
            self.reloads
                .get_or_create(&[("result", "applied".into())])
                .inc();
        } else if let Event::ReloadFailed { .. } = event {
            self.reloads
                .get_or_create(&[("result", "failed".into())])
                .inc();
        } else if let Some([kind, ..]) = event.about().incident {
            let labels = [("kind", kind.to_owned().into())];
            self.incidents.get_or_create(&labels).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Endpoint;
    use crate::policy::Violation;
    use crate::telemetry::{Decided, RequestId, Step};

    #[test]
    fn decisions_are_not_counted_by_client() {
        let metrics = Metrics::new();
        let upstream = metrics.upstream("legacy");
        for client in ["a", "b"] {
            metrics.count(&Event::Decision {
                request: RequestId(1),
                upstream: &upstream,
                endpoint: Endpoint::Token,
                step: Step::Other,
                decided: Decided::Refused,
                violation: Some(&Violation::UnknownCode),
                client: Some(client),
                method: None,
                redirect_origin: None,
                is_uncertain: false,
                codes: None,
                hint: None,
                peer: "192.0.2.1",
            });
        }
        let text = metrics.encode().unwrap();
        let line = "pkce_gate_decisions_total{upstream=\"legacy\",endpoint=\"token\",decision=\"refused\",\
                    violation=\"unknown_code\"} 2";
        assert!(text.contains(line), "{text}");
    }
}
