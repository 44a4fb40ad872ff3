//! An upstream's name and the counters that every request updates.
//!
//! Looking up a counter by its labels costs several times as much as counting. So the frequent ones are looked up once,
//! when they are first needed; until then their series do not exist, as with all others.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use serde::{Serialize, Serializer};

use super::decided::Decided;
use super::families::Families;
use super::line_budget::Lines;
use super::tally::Tally;
use crate::oauth::Endpoint;
use crate::policy::Violation;

/// Created by [`super::metrics::Metrics::upstream`].
#[derive(Debug)]
pub(crate) struct Upstream {
    name: String,
    families: Families,
    endpoints: [Counters; 7],
    tally: Tally,
}

#[derive(Debug, Default)]
struct Counters {
    allowed: OnceLock<Counter>,
    /// By class of status.
    responses: [OnceLock<Counter>; 5],
    duration: OnceLock<Histogram>,
    /// The budget for lines about allowed requests.
    lines: Mutex<Lines>,
}

impl Counters {
    /// The class of a status and its counter.
    fn of(&self, status: u16) -> (&'static str, &OnceLock<Counter>) {
        match status {
            100..=199 => ("1xx", &self.responses[0]),
            200..=299 => ("2xx", &self.responses[1]),
            300..=399 => ("3xx", &self.responses[2]),
            400..=499 => ("4xx", &self.responses[3]),
            _ => ("5xx", &self.responses[4]),
        }
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl Upstream {
    pub(super) fn new(name: &str, families: &Families) -> Self {
        Self {
            name: name.to_owned(),
            families: families.clone(),
            endpoints: Default::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The budget for lines about allowed requests at this endpoint.
    pub(super) fn allowed_lines(&self, endpoint: Endpoint) -> MutexGuard<'_, Lines> {
        let lines = &self.at(endpoint).lines;
        lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decided(
        &self,
        endpoint: Endpoint,
        decided: Decided,
        violation: Option<&Violation>,
    ) {
        let counter = || {
            let labels = [
                ("upstream", self.name.clone().into()),
                ("endpoint", endpoint.label().into()),
                ("decision", decided.label().into()),
                ("violation", violation.map_or("", Violation::label).into()),
            ];
            self.families.decisions.get_or_create_owned(&labels)
        };
        match (decided, violation) {
            (Decided::Allowed, None) => self.at(endpoint).allowed.get_or_init(counter).inc(),
            (Decided::Allowed | Decided::Reported | Decided::Refused, _) => counter().inc(),
        };
    }

    /// Counts a response. `took` is the time from the request head to the response head.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: u16, took: Duration) {
        let counters = self.at(endpoint);
        let (status, requests) = counters.of(status);
        let upstream = || ("upstream", self.name.clone().into());
        let endpoint = ("endpoint", endpoint.label().into());
        let counter = || {
            let labels = [upstream(), endpoint.clone(), ("status", status.into())];
            self.families.requests.get_or_create_owned(&labels)
        };
        let histogram = || {
            let labels = [upstream(), endpoint.clone()];
            self.families.durations.get_or_create_owned(&labels)
        };
        requests.get_or_init(counter).inc();
        let duration = counters.duration.get_or_init(histogram);
        duration.observe(took.as_secs_f64());
    }

    fn at(&self, endpoint: Endpoint) -> &Counters {
        let [
            authorization,
            token,
            device,
            pushed,
            challenge,
            metadata,
            other,
        ] = &self.endpoints;
        match endpoint {
            Endpoint::Authorization => authorization,
            Endpoint::Token => token,
            Endpoint::DeviceAuthorization => device,
            Endpoint::PushedAuthorizationRequest => pushed,
            Endpoint::AuthorizationChallenge => challenge,
            Endpoint::Metadata => metadata,
            Endpoint::Other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const ENDPOINTS: [Endpoint; 7] = [
        Endpoint::Authorization,
        Endpoint::Token,
        Endpoint::DeviceAuthorization,
        Endpoint::PushedAuthorizationRequest,
        Endpoint::AuthorizationChallenge,
        Endpoint::Metadata,
        Endpoint::Other,
    ];

    fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = metrics.encode().unwrap();
        let mut samples: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
            .collect();
        samples.sort();
        samples
    }

    #[test]
    fn a_series_appears_with_its_first_count() {
        let metrics = Metrics::new();
        let _upstreams = ["a", "b"].map(|name| metrics.upstream(name));
        for name in ["decisions_total", "requests_total", "request_duration"] {
            assert!(samples(&metrics, &format!("pkce_gate_{name}")).is_empty());
        }
    }

    #[test]
    fn requests_are_counted_by_endpoint_and_status_class() {
        let metrics = Metrics::new();
        let (one, other) = (metrics.upstream("a\"b"), metrics.upstream("other"));
        let statuses = [
            (100, "1xx"),
            (199, "1xx"),
            (200, "2xx"),
            (299, "2xx"),
            (302, "3xx"),
            (400, "4xx"),
            (499, "4xx"),
            (500, "5xx"),
            (599, "5xx"),
            (999, "5xx"),
        ];
        let mut expected = Vec::new();
        for (weight, endpoint) in (1..).zip(ENDPOINTS) {
            for (status, class) in statuses {
                for _ in 0..weight {
                    one.answered(endpoint, status, Duration::from_secs(3));
                }
                let alike = statuses.iter().filter(|(_, other)| *other == class).count();
                expected.push(format!(
                    "{{upstream=\"a\\\"b\",endpoint=\"{}\",status=\"{class}\"}} {}",
                    endpoint.label(),
                    alike * weight
                ));
            }
        }
        other.answered(Endpoint::Token, 200, Duration::ZERO);
        expected.push("{upstream=\"other\",endpoint=\"token\",status=\"2xx\"} 1".to_owned());
        expected.sort();
        expected.dedup();
        assert_eq!(samples(&metrics, "pkce_gate_requests_total"), expected);
        let durations = samples(&metrics, "pkce_gate_request_duration_seconds_count");
        assert_eq!(
            durations,
            [
                "{upstream=\"a\\\"b\",endpoint=\"authorization\"} 10",
                "{upstream=\"a\\\"b\",endpoint=\"authorization_challenge\"} 50",
                "{upstream=\"a\\\"b\",endpoint=\"device_authorization\"} 30",
                "{upstream=\"a\\\"b\",endpoint=\"metadata\"} 60",
                "{upstream=\"a\\\"b\",endpoint=\"other\"} 70",
                "{upstream=\"a\\\"b\",endpoint=\"pushed_authorization_request\"} 40",
                "{upstream=\"a\\\"b\",endpoint=\"token\"} 20",
                "{upstream=\"other\",endpoint=\"token\"} 1",
            ]
        );
        let sums = samples(&metrics, "pkce_gate_request_duration_seconds_sum");
        assert_eq!(
            sums[0],
            "{upstream=\"a\\\"b\",endpoint=\"authorization\"} 30.0"
        );
    }

    #[test]
    fn decisions_are_counted_by_endpoint_outcome_and_violation() {
        let metrics = Metrics::new();
        let upstream = metrics.upstream("a");
        let mut expected = Vec::new();
        for (weight, endpoint) in (1..).zip(ENDPOINTS) {
            for (decided, violation, label) in [
                (Decided::Allowed, None, ""),
                (
                    Decided::Reported,
                    Some(Violation::UnknownCode),
                    "unknown_code",
                ),
                (
                    Decided::Refused,
                    Some(Violation::UnknownCode),
                    "unknown_code",
                ),
                (Decided::Refused, None, ""),
            ] {
                for _ in 0..weight {
                    upstream.decided(endpoint, decided, violation.as_ref());
                }
                expected.push(format!(
                    "{{upstream=\"a\",endpoint=\"{}\",decision=\"{}\",violation=\"{label}\"}} {weight}",
                    endpoint.label(),
                    decided.label(),
                ));
            }
        }
        expected.sort();
        assert_eq!(samples(&metrics, "pkce_gate_decisions_total"), expected);
    }
}
