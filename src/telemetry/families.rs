//! The metrics that every request updates.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    pub(super) upstream: String,
    pub(super) endpoint: &'static str,
    pub(super) decision: &'static str,
    pub(super) violation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) upstream: String,
    pub(super) endpoint: &'static str,
    pub(super) status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndpointLabels {
    pub(super) upstream: String,
    pub(super) endpoint: &'static str,
}

/// The metrics that every request updates, by upstream. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Families {
    pub(super) decisions: Family<DecisionLabels, Counter>,
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) durations: Family<EndpointLabels, Histogram, fn() -> Histogram>,
}
