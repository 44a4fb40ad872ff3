//! Metrics whose values are read on each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::gateway::Shared;
use crate::store::Statistics;

/// Selects a counter of a store.
type Count = fn(&Statistics) -> u64;

/// The stores and requests in flight of all upstreams.
#[derive(Debug)]
pub(super) struct Sites(pub(super) Arc<Shared>);

impl Collector for Sites {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.0.snapshot();
        let sites = || {
            let sites = snapshot.sites.iter();
            sites.map(|site| (site, site.state.store.statistics()))
        };
        let gauge = |number: usize| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
        let help = "Records in the store, by kind";
        let mut family =
            encoder.encode_descriptor("store_records", help, None, gauge(0).metric_type())?;
        for (site, statistics) in sites() {
            let kinds = [
                (
                    "pending",
                    statistics.pending - statistics.unfollowed.min(statistics.pending),
                ),
                ("unfollowed", statistics.unfollowed),
                ("code", statistics.codes),
                ("tombstone", statistics.tombstones),
            ];
            for (kind, number) in kinds {
                let labels = [("upstream", site.settings.name.as_str()), ("kind", kind)];
                gauge(number).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Memory used by records";
        let mut family =
            encoder.encode_descriptor("store", help, Some(&Unit::Bytes), gauge(0).metric_type())?;
        for (site, statistics) in sites() {
            let labels = [("upstream", site.settings.name.as_str())];
            gauge(statistics.bytes).encode(family.encode_family(&labels)?)?;
        }
        let refused = "Requests refused because the store, or a share of it, is full";
        let evicted = "Sign-ins evicted before their redirect was followed";
        let counts: [(&str, &str, Count); 2] = [
            ("store_refused", refused, |statistics| statistics.refused),
            ("store_evicted", evicted, |statistics| statistics.evicted),
        ];
        for (name, help, count) in counts {
            let counter = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for (site, statistics) in sites() {
                let labels = [("upstream", site.settings.name.as_str())];
                ConstCounter::new(count(&statistics)).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Requests in flight";
        let mut family =
            encoder.encode_descriptor("in_flight", help, None, gauge(0).metric_type())?;
        for site in &snapshot.sites {
            let labels = [("upstream", site.settings.name.as_str())];
            gauge(site.state.places.count()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
