//! Metrics whose values are read on each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType::{Counter, Gauge};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::clock;
use crate::gateway::Shared;
use crate::gateway::settings::Promote;
use crate::gateway::site::Site;
use crate::gateway::site::ratchet::Promotion;

/// The stores and requests in flight of all upstreams.
#[derive(Debug)]
pub(super) struct Sites(pub(super) Arc<Shared>);

impl Collector for Sites {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.0.snapshot();
        let sites = &snapshot.sites;
        let help = "Records in the store, by kind";
        let mut family = encoder.encode_descriptor("store_records", help, None, Gauge)?;
        for site in sites {
            let statistics = site.store.statistics();
            let unfollowed = statistics.unfollowed;
            for (kind, number) in [
                ("pending", statistics.pending.saturating_sub(unfollowed)),
                ("unfollowed", unfollowed),
                ("code", statistics.codes),
                ("tombstone", statistics.tombstones),
            ] {
                let labels = [("upstream", site.settings.name.as_str()), ("kind", kind)];
                gauge(number).encode(family.encode_family(&labels)?)?;
            }
        }
        let statistics = |site: &Site| site.store.statistics();
        let help = "Memory used by records";
        let family = encoder.encode_descriptor("store", help, Some(&Unit::Bytes), Gauge)?;
        by_upstream(family, sites, |site| gauge(statistics(site).bytes))?;
        let help = "Requests refused because the store, or a share of it, is full";
        let family = encoder.encode_descriptor("store_refused", help, None, Counter)?;
        by_upstream(family, sites, |site| {
            ConstCounter::new(statistics(site).refused)
        })?;
        let help = "Sign-ins evicted before their redirect was followed";
        let family = encoder.encode_descriptor("store_evicted", help, None, Counter)?;
        by_upstream(family, sites, |site| {
            ConstCounter::new(statistics(site).evicted)
        })?;
        let help = "Calls to a store in Redis, by operation and result";
        let mut family = encoder.encode_descriptor("store_calls", help, None, Counter)?;
        for (site, redis) in sites
            .iter()
            .filter_map(|site| Some((site, site.store.redis()?)))
        {
            for (verb, result, number) in redis.keyspace().calls().numbers() {
                let upstream = ("upstream", site.settings.name.as_str());
                let labels = [upstream, ("verb", verb), ("result", result)];
                ConstCounter::new(number).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Days in report mode, as far as counted, of upstreams that are in it";
        let mut family = encoder.encode_descriptor("report_mode_days", help, None, Gauge)?;
        let now = clock::wall();
        for (site, reporting) in sites
            .iter()
            .filter_map(|site| Some((site, site.reporting(now)?)))
        {
            let overdue = if reporting.is_overdue {
                "true"
            } else {
                "false"
            };
            let labels = [
                ("upstream", site.settings.name.as_str()),
                ("overdue", overdue),
            ];
            let days = usize::try_from(reporting.days).unwrap_or(usize::MAX);
            gauge(days).encode(family.encode_family(&labels)?)?;
        }
        promoted_clients(&mut encoder, sites)?;
        let help = "Requests in flight";
        let family = encoder.encode_descriptor("in_flight", help, None, Gauge)?;
        by_upstream(family, sites, |site| gauge(site.state.places.count()))
    }
}

fn promoted_clients(
    encoder: &mut DescriptorEncoder<'_>,
    sites: &[Arc<Site>],
) -> Result<(), fmt::Error> {
    let help = "Clients of an upstream in report mode that are enforced, or proposed for it";
    let mut family = encoder.encode_descriptor("promoted_clients", help, None, Gauge)?;
    let now = clock::wall();
    for site in sites {
        let promotions = site.promotions();
        if site.settings.promote == Promote::Off && promotions.is_empty() {
            continue;
        }
        let count = |is: &dyn Fn(&Promotion) -> bool| {
            promotions
                .values()
                .filter(|promotion| is(promotion))
                .count()
        };
        for (state, number) in [
            ("proposed", count(&|promotion| !promotion.is_enforced)),
            ("enforced", count(&|promotion| promotion.is_enforced)),
            (
                "downgraded",
                count(&|promotion| promotion.is_downgraded(now)),
            ),
        ] {
            let labels = [("upstream", site.settings.name.as_str()), ("state", state)];
            gauge(number).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn gauge(number: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX))
}

fn by_upstream<M: EncodeMetric>(
    mut family: MetricEncoder<'_>,
    sites: &[Arc<Site>],
    metric: impl Fn(&Site) -> M,
) -> Result<(), fmt::Error> {
    for site in sites {
        let labels = [("upstream", site.settings.name.as_str())];
        metric(site).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
