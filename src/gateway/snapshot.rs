//! What is configured, taken once for each request: one that has begun ends under the configuration that it began with.

use std::sync::Arc;

use ipnet::IpNet;

use crate::http::Limits;
use crate::route::Routes;

use super::site::Site;

/// One configuration, with the sites that it makes.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// In the order of the configuration.
    pub sites: Vec<Arc<Site>>,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
}

impl Snapshot {
    /// The routes are those of the sites.
    pub(crate) fn new(sites: Vec<Arc<Site>>, limits: Limits, trusted_proxies: Vec<IpNet>) -> Self {
        Self {
            routes: Routes::new(sites.iter().map(|site| site.settings.territory())),
            sites,
            limits,
            trusted_proxies,
        }
    }

    /// The same when all sign-ins are over that were begun under an earlier one ([`Site::after`]).
    #[must_use]
    pub(crate) fn alone(&self) -> Self {
        let sites = self.sites.iter().map(|site| Arc::new(site.alone()));
        Self::new(sites.collect(), self.limits, self.trusted_proxies.clone())
    }

    /// The site of an upstream.
    pub(crate) fn site(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.settings.name == name)
    }
}
