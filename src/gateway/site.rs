//! One upstream in the gateway: its configuration ([`Site`]), and the state that outlives a configuration ([`SiteState`]).

mod challenges;
pub(crate) mod ratchet;
mod replicas;
mod report;
pub(super) mod state;

use std::sync::Arc;

use dashmap::DashMap;
use http::HeaderValue;
use memchr::memmem::Finder;

use crate::answer::carrier::metadata::Truth;
use crate::answer::origins::Origins;
use crate::oauth::redirect::target_digest;
use crate::oauth::{CodeKind, Digest};
use crate::policy::{Namesake, Rules};
use crate::store::{Store, StoreError};
use crate::telemetry::tally::{Name, Row};
use crate::upstream::{self, Connector};

use super::settings::{BrowserBinding, Correlation, Settings};

use ratchet::{Promoted, Ratchet, Turned};
use replicas::Replica;
pub(crate) use replicas::{Counted, Gates};
pub(crate) use report::Reporting;
pub(crate) use state::SiteState;

/// The most entries of [`Site::namesakes`].
const MAX_NAMESAKES: usize = 10_000;

/// The address of an upstream, and how to connect to it.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub settings: upstream::Settings,
    pub connector: Connector,
    /// The most idle connections that each worker keeps.
    pub most_idle: usize,
}

impl Destination {
    /// Whether connections to one can be used for the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.most_idle == other.most_idle
            && self.connector.trusts_as(&other.connector)
    }
}

/// The configuration of one upstream, shared by all workers.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct Site {
    pub settings: Settings,
    /// The destination of its requests. While this `Arc` stays the same, workers keep their connections.
    pub destination: Arc<Destination>,
    /// The state that outlives a change of the configuration.
    pub state: Arc<SiteState>,
    /// Its sign-ins. They outlive a change of the configuration, too.
    pub store: Arc<Store>,
    /// `scheme://authority` of the upstream itself.
    pub origin: String,
    /// Finds `origin` in a page.
    pub origin_finder: Finder<'static>,
    /// The upstream's origin and the public one.
    pub origins: Origins,
    /// The value of its Host field.
    pub host: HeaderValue,
    /// Client names that some server takes for a client with a stricter rule, by digest, and the key of that rule.
    namesakes: DashMap<Digest, Namesake>,
    /// Whether nothing is ever rewritten or refused.
    pub observes_only: bool,
    /// Whether requests may have the gate's cookie.
    pub reads_cookie: bool,
    /// Whether requests may have cookies with clients' states.
    pub reads_states: bool,
    /// Whether requests may have cookies with handles.
    pub reads_flows: bool,
}

impl Site {
    /// `state` may come from an earlier configuration.
    pub(crate) fn new(
        settings: Settings,
        destination: Arc<Destination>,
        state: Arc<SiteState>,
        store: Arc<Store>,
    ) -> Self {
        let enforced = state.promotions.enforced();
        let rules = settings
            .rules
            .promoting(enforced.iter().map(String::as_str));
        let settings = Settings { rules, ..settings };
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
            reads_states: store.spills(),
            reads_flows: settings.correlation == Correlation::Cookie,
            settings,
            destination,
            state,
            store,
        };
        // These clients may have sign-ins in progress.
        for client in site.state.clients() {
            if let Some(namesake) = site.settings.rules.namesake(&client) {
                site.remember_namesake(client.digest(), namesake);
            }
        }
        site
    }

    /// This site while sign-ins may be in progress that began under the configuration `earlier`
    /// ([`crate::policy::Rules::after`]).
    #[must_use]
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        self.settings.rules = self.settings.rules.after(&earlier.settings.rules);
        self.observes_only = self.settings.rules.observes_only();
        self.reads_cookie |= earlier.reads_cookie;
        self.reads_states |= earlier.reads_states;
        self.reads_flows |= earlier.reads_flows;
        self
    }

    /// This site when all of those sign-ins have ended.
    #[must_use]
    pub(crate) fn alone(&self) -> Self {
        let rules = self.settings.rules.clone().alone();
        self.with(rules)
    }

    /// This site with the clients that are promoted by now.
    #[must_use]
    pub(crate) fn promoting(&self) -> Self {
        self.with(self.settings.rules.clone()).after(self)
    }

    fn with(&self, rules: Rules) -> Self {
        let settings = Settings {
            rules,
            ..self.settings.clone()
        };
        let (destination, state) = (Arc::clone(&self.destination), Arc::clone(&self.state));
        Self::new(settings, destination, state, Arc::clone(&self.store))
    }

    /// The targets of a redirect URI with that path at the upstream: at its own origin and at the public one.
    pub(crate) fn targets(&self, path: &str) -> [Digest; 2] {
        [&self.origin, &self.settings.public_origin]
            .map(|origin| target_digest(&format!("{origin}{path}")))
    }

    /// Remembers a client name that some server takes for another client.
    pub(crate) fn remember_namesake(&self, client: Digest, namesake: Namesake) {
        // Attackers can fill the map with invented names. No entry is dropped then: records of new names get the default rule.
        if self.namesakes.len() < MAX_NAMESAKES {
            self.namesakes.insert(client, namesake);
        }
    }

    /// The key of the rule for a name that some server takes for another client.
    pub(crate) fn namesake(&self, client: Digest) -> Option<Namesake> {
        self.namesakes.get(&client).map(|namesake| *namesake)
    }

    /// What documents must say.
    pub(crate) fn truth(&self) -> Truth<'_> {
        Truth {
            public_origin: &self.settings.public_origin,
            upstream_origin: &self.origin,
            endpoints: &self.settings.endpoints,
            rule: self.settings.rules.default_rule(),
        }
    }

    /// The issuer of the upstream: the configured one, else that of its metadata. `None`: none is known.
    pub(crate) fn issuer(&self) -> Option<String> {
        let configured = self.settings.issuer.clone();
        configured.or_else(|| self.state.issuer().issuer)
    }

    /// The `iss` parameter of authorization responses (RFC 9207). `None`: neither the upstream's metadata nor that of the gate
    /// promises it, and the upstream does not send it.
    pub(crate) fn response_issuer(&self) -> Option<String> {
        let is_promised = self.settings.adds_issuer() || self.state.promises_issuer();
        is_promised.then(|| self.issuer()).flatten()
    }

    /// The kinds of codes that may be bound.
    pub(crate) fn code_kinds(&self) -> &'static [CodeKind] {
        self.settings.code_kinds()
    }

    /// How far report mode has come, as this gate has counted. `None`: clients without an exception are not in it. `now`: seconds
    /// since 1970.
    pub(crate) fn reporting(&self, now: u64) -> Option<Reporting> {
        let began = self.state.telemetry.tally().began();
        self.reporting_since(began.unwrap_or(now), now)
    }

    /// How far it has come since then.
    pub(crate) fn reporting_since(&self, began: u64, now: u64) -> Option<Reporting> {
        let Settings {
            rules,
            report_until,
            ..
        } = &self.settings;
        Reporting::of(rules, *report_until, began, now)
    }

    /// The promotions of clients that are in force or proposed.
    pub(crate) fn promotions(&self) -> Promoted {
        self.ratchet().in_force()
    }

    /// Promotes clients by what all gates counted ([`Ratchet::promote`]), and finds promoted ones that fall back in what this one
    /// counted.
    pub(crate) fn turn_ratchet(
        &self,
        all: Option<&[(Name, Row)]>,
        own: &[(Name, Row)],
        now: u64,
    ) -> Turned {
        let ratchet = self.ratchet();
        let mut turned = ratchet.fall_back(own, now);
        if let Some(all) = all {
            ratchet.promote(all, now, &mut turned);
        }
        turned
    }

    /// What all gates that share the store have counted.
    pub(crate) async fn counted(&self) -> Counted {
        let tally = self.state.telemetry.tally();
        match self.replica() {
            Some(replica) => replica.counted(tally.most()).await,
            None => Counted {
                rows: tally.rows(),
                gates: None,
            },
        }
    }

    /// Shares counts and promotions with the other gates ([`Replica::share`]). `None`: no store is shared.
    pub(crate) async fn share(&self, now: u64) -> Option<Result<(), StoreError>> {
        Some(self.replica()?.share(now).await)
    }

    /// Leaves the place of the counts to the next gate.
    pub(crate) async fn leave(&self) {
        if let Some(replica) = self.replica() {
            // Without an answer, the seat is free after an hour.
            let _left = replica.leave().await;
        }
    }

    fn replica(&self) -> Option<Replica<'_>> {
        Some(Replica {
            seats: self.store.redis()?.seats(),
            seat: &self.state.seat,
            tally: self.state.telemetry.tally(),
            promotions: &self.state.promotions,
        })
    }

    /// The clients for which promotions wait ([`Ratchet::waits_for`]).
    pub(crate) fn promotions_wait_for<'r>(
        &self,
        rows: &'r [(Name, Row)],
        now: u64,
    ) -> Vec<&'r str> {
        self.ratchet().waits_for(rows, now)
    }

    fn ratchet(&self) -> Ratchet<'_> {
        Ratchet {
            promote: self.settings.promote,
            rules: &self.settings.rules,
            promotions: &self.state.promotions,
        }
    }

    /// Whether clients reach the gate over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_origin.starts_with("https://")
    }
}
