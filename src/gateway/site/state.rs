//! What lives longer than a configuration: the sign-ins of one upstream, and what was learned of it and of its clients.

use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use crate::answer::carrier::metadata::Issuer;
use crate::flow::HandleKey;
use crate::oauth::redirect::Loopback;
use crate::oauth::{ClientId, Digest, RedirectDigest, RedirectUri, RegisteredRedirectUri};
use crate::policy::Rule;
use crate::server::place::InFlight;
use crate::store::Store;
use crate::telemetry;

/// Redirect URIs at a loopback address that are remembered until a code is sent to them.
const MAX_LOOPBACK: usize = 10_000;

/// Clients whose redirect URIs are learned at most, and how many of each; past it errors go to a page of ours instead.
const MAX_CLIENTS: usize = 10_000;
const MAX_LEARNED: usize = 16;

/// Of one upstream, known by its name, whatever its configuration becomes.
#[derive(Debug)]
pub(crate) struct SiteState {
    /// As events tell of it.
    pub telemetry: telemetry::Upstream,
    /// Makes and recognises its handles.
    pub key: HandleKey,
    /// Its pending authorizations and codes.
    pub store: Arc<Store>,
    /// Redirect URIs to which the upstream has itself sent a code, with their clients.
    learned: DashMap<Digest, Vec<Digest>>,
    /// Redirect URIs at a loopback address: under what they are learned, whatever their port is ([`Loopback`]).
    loopback: DashMap<Digest, Digest>,
    /// What clients call themselves, for the log.
    names: DashMap<Digest, ClientId>,
    /// Codes of which it cannot be said which sign-in they belong to, because nothing may be changed to tell.
    uncertain: DashMap<Digest, ()>,
    /// What the upstream says about its issuer.
    issuer: Mutex<Issuer>,
    in_flight: InFlight,
}

impl SiteState {
    /// With an empty memory of what was learned.
    pub(crate) fn new(name: &str, telemetry: telemetry::Upstream, store: Arc<Store>) -> Self {
        Self {
            telemetry,
            key: HandleKey::for_upstream(name),
            store,
            learned: DashMap::new(),
            loopback: DashMap::new(),
            names: DashMap::new(),
            uncertain: DashMap::new(),
            issuer: Mutex::default(),
            in_flight: InFlight::default(),
        }
    }

    /// Requests on their way at this moment, and answers that are not written yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// The places of requests on their way.
    pub(crate) fn places(&self) -> &InFlight {
        &self.in_flight
    }

    /// A sign-in with this redirect URI was begun. Of one at a loopback address it is remembered what it is without its port: a
    /// record has only digests of it.
    pub(crate) fn note_redirect(&self, uri: &RedirectUri) {
        let Some(loopback) = Loopback::of(uri.as_str()) else {
            return;
        };
        // Whoever begins sign-ins at every port makes others forget: their errors then go to a page, as all did before.
        if self.loopback.len() >= MAX_LOOPBACK {
            self.loopback.clear();
        }
        let exact = uri.digest().to_parts().0;
        self.loopback.insert(exact, loopback.digest());
    }

    /// A client was named: of its sign-in only the digest is kept, and the log is to name it.
    pub(crate) fn note_client(&self, client: &ClientId) {
        /// Bytes of a name that is kept.
        const LONGEST: usize = 128;
        let digest = client.digest();
        if client.as_str().len() > LONGEST || self.names.contains_key(&digest) {
            return;
        }
        // Made-up names make the log forget others, and nothing else.
        if self.names.len() >= MAX_CLIENTS {
            self.names.clear();
        }
        self.names.insert(digest, client.clone());
    }

    /// The name of a client that a sign-in belongs to, as far as it is remembered.
    pub(crate) fn client_name(&self, client: Digest) -> Option<ClientId> {
        self.names.get(&client).map(|name| name.clone())
    }

    /// A code went by of which it cannot be said which sign-in it belongs to.
    pub(crate) fn note_uncertain(&self, code: Digest) {
        // It only keeps a report from saying what it cannot know.
        if self.uncertain.len() >= MAX_CLIENTS {
            self.uncertain.clear();
        }
        self.uncertain.insert(code, ());
    }

    /// Whether that is so of this code. Said once.
    pub(crate) fn is_uncertain(&self, code: Digest) -> bool {
        self.uncertain.remove(&code).is_some()
    }

    /// The upstream has itself sent a code to this redirect URI for this client.
    pub(crate) fn learn_redirect(&self, client: Digest, redirect: RedirectDigest) {
        let exact = redirect.to_parts().0;
        let exact = self.loopback.get(&exact).map_or(exact, |found| *found);
        if self.has_learned(client, exact) {
            return;
        }
        if self.learned.len() < MAX_CLIENTS || self.learned.contains_key(&client) {
            let mut learned = self.learned.entry(client).or_default();
            if learned.len() < MAX_LEARNED && !learned.contains(&exact) {
                learned.push(exact);
            }
        }
    }

    fn has_learned(&self, client: Digest, exact: Digest) -> bool {
        let learned = self.learned.get(&client);
        learned.is_some_and(|learned| learned.contains(&exact))
    }

    /// The redirect URI as one that errors may be sent to, if it is known to be the client's.
    pub(crate) fn registered(
        &self,
        client: Digest,
        rule: &Rule,
        uri: &RedirectUri,
    ) -> Option<RegisteredRedirectUri> {
        RegisteredRedirectUri::configured(uri, &rule.redirect_uris).or_else(|| {
            let exact = uri.digest().to_parts().0;
            let loopback = Loopback::of(uri.as_str()).map(|loopback| loopback.digest());
            let known = self.has_learned(client, exact)
                || loopback.is_some_and(|loopback| self.has_learned(client, loopback));
            known.then(|| RegisteredRedirectUri::learned(uri))
        })
    }

    /// The clients of sign-ins, by the names that they were begun under, as far as they are remembered.
    pub(super) fn clients(&self) -> Vec<ClientId> {
        self.names.iter().map(|name| name.clone()).collect()
    }

    /// Metadata went by, or an answer.
    pub(crate) fn learn_issuer(&self, said: Issuer) {
        let mut issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        issuer.in_responses |= said.in_responses;
        if said.issuer.is_some() {
            issuer.issuer = said.issuer;
        }
    }

    /// What is known of it.
    pub(super) fn issuer(&self) -> Issuer {
        let issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        issuer.clone()
    }
}
