//! One upstream as the gateway knows it: what is configured ([`Site`]), and what lives ([`SiteState`]).

mod state;

use std::sync::Arc;

use dashmap::DashMap;
use http::HeaderValue;
use memchr::memmem::Finder;

use crate::answer::origins::Origins;
use crate::oauth::Digest;
use crate::oauth::redirect::target_digest;
use crate::policy::Namesake;
use crate::upstream::{self, Connector};

use super::settings::{BrowserBinding, Settings};

pub(crate) use state::SiteState;

/// Names that are remembered because some server takes them for another client's.
const MAX_NAMESAKES: usize = 10_000;

/// How the upstream is reached.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// As configured.
    pub settings: upstream::Settings,
    /// Opens connections.
    pub connector: Connector,
    /// Connections that each worker keeps for later, at the most.
    pub most_idle: usize,
}

impl Destination {
    /// Whether connections to either are as good.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.most_idle == other.most_idle
            && self.connector.trusts_as(&other.connector)
    }
}

/// One configuration of one upstream, shared by all workers.
#[derive(Debug)]
pub(crate) struct Site {
    /// From the configuration.
    pub settings: Settings,
    /// Where its requests go. As long as it stays the same one, so do the connections.
    pub destination: Arc<Destination>,
    /// What lives on when the configuration changes.
    pub state: Arc<SiteState>,
    /// `scheme://authority` of the upstream itself.
    pub origin: String,
    /// Finds it in a page.
    pub origin_finder: Finder<'static>,
    /// Its own origin and the gate's, as answers name them.
    pub origins: Origins,
    /// Its Host as a field.
    pub host: HeaderValue,
    /// Names that some server takes for a client with a stricter rule, and under what that rule is found.
    namesakes: DashMap<Digest, Namesake>,
    /// Whether nothing is ever rewritten: every client is off, or observed.
    pub observes_only: bool,
    /// Whether sign-ins may be tied to browsers by a cookie of ours.
    pub reads_cookie: bool,
}

impl Site {
    /// `state` may be that of an earlier configuration.
    pub(crate) fn new(
        settings: Settings,
        destination: Arc<Destination>,
        state: Arc<SiteState>,
    ) -> Self {
        let to = &destination.settings;
        let host = HeaderValue::try_from(to.authority());
        let site = Self {
            origins: Origins::new(&to.origin(), &settings.public_origin),
            origin_finder: Finder::new(&to.origin()).into_owned(),
            origin: to.origin(),
            host: host.unwrap_or_else(|_| HeaderValue::from_static("")),
            namesakes: DashMap::new(),
            observes_only: settings.rules.observes_only(),
            reads_cookie: settings.browser_binding != BrowserBinding::Off,
            settings,
            destination,
            state,
        };
        // Their sign-ins may be under way.
        for client in site.state.clients() {
            if let Some(namesake) = site.settings.rules.namesake(&client) {
                site.remember_namesake(client.digest(), namesake);
            }
        }
        site
    }

    /// This one while sign-ins may be under way that were begun under `earlier` ([`crate::policy::Rules::after`]).
    #[must_use]
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        self.settings.rules = self.settings.rules.after(&earlier.settings.rules);
        self.observes_only = self.settings.rules.observes_only();
        self.reads_cookie |= earlier.reads_cookie;
        self
    }

    /// This one when all of those are over.
    #[must_use]
    pub(crate) fn alone(&self) -> Self {
        let mut settings = self.settings.clone();
        settings.rules = settings.rules.alone();
        let (destination, state) = (Arc::clone(&self.destination), Arc::clone(&self.state));
        Self::new(settings, destination, state)
    }

    /// Where a redirect URI with that path leads, if it is one of the server's own: by either of its names.
    pub(crate) fn targets(&self, path: &str) -> [Digest; 2] {
        [&self.origin, &self.settings.public_origin]
            .map(|origin| target_digest(&format!("{origin}{path}")))
    }

    /// A client was named so that some server takes it for another one.
    pub(crate) fn remember_namesake(&self, client: Digest, namesake: Namesake) {
        // Full of names that somebody made up, it forgets none: what is judged later is only reported then.
        if self.namesakes.len() < MAX_NAMESAKES {
            self.namesakes.insert(client, namesake);
        }
    }

    /// The rule that holds for a name which some server takes for another client's.
    pub(crate) fn namesake(&self, client: Digest) -> Option<Namesake> {
        self.namesakes.get(&client).map(|namesake| *namesake)
    }

    /// The `iss` of error responses, where the upstream uses it (RFC 9207).
    pub(crate) fn response_issuer(&self) -> Option<String> {
        let learned = self.state.issuer();
        let issuer = self.settings.issuer.clone().or(learned.issuer);
        issuer.filter(|_| learned.in_responses)
    }

    /// Whether clients reach the gate over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_origin.starts_with("https://")
    }
}
