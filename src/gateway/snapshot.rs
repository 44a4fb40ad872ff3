//! The configuration that a request uses from its beginning to its end.

use std::sync::Arc;

use ipnet::IpNet;

use crate::http::Limits;
use crate::route::Routes;

use super::site::Site;

/// One configuration and its sites.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The upstreams in the order of the configuration.
    pub sites: Vec<Arc<Site>>,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Whether some upstream has cookies of sign-ins.
    pub(super) has_sign_in_cookies: bool,
}

impl Snapshot {
    /// Builds the routes from the sites.
    pub(crate) fn new(sites: Vec<Arc<Site>>, limits: Limits, trusted_proxies: Vec<IpNet>) -> Self {
        Self {
            routes: Routes::new(sites.iter().map(|site| site.settings.territory())),
            has_sign_in_cookies: sites
                .iter()
                .any(|site| site.reads_states || site.reads_flows),
            sites,
            limits,
            trusted_proxies,
        }
    }

    /// The same configuration when all sign-ins that began under an earlier one have ended ([`Site::after`]).
    #[must_use]
    pub(crate) fn alone(&self) -> Self {
        self.with(Site::alone)
    }

    /// The same configuration with the clients that are promoted by now.
    #[must_use]
    pub(crate) fn promoting(&self) -> Self {
        self.with(Site::promoting)
    }

    /// Whether some upstream's clients are promoted.
    pub(crate) fn promotes(&self) -> bool {
        self.sites.iter().any(|site| site.settings.is_promoting())
    }

    fn with(&self, change: fn(&Site) -> Site) -> Self {
        let sites = self.sites.iter().map(|site| Arc::new(change(site)));
        Self::new(sites.collect(), self.limits, self.trusted_proxies.clone())
    }

    /// The site of the upstream with this name.
    pub(crate) fn site(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.settings.name == name)
    }
}
