//! The metrics that every request updates.

use std::borrow::Cow;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Names and values.
pub(super) type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// The metrics that every request updates, by upstream. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Families {
    pub(super) decisions: Family<Labels<4>, Counter>,
    pub(super) requests: Family<Labels<3>, Counter>,
    pub(super) durations: Family<Labels<2>, Histogram, fn() -> Histogram>,
}
