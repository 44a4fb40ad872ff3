//! The state of one upstream that outlives a configuration: what the gate learned of the server and its
//! clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::answer::carrier::metadata::Issuer;
use crate::flow::HandleKey;
use crate::oauth::redirect::Loopback;
use crate::oauth::{ClientId, Digest, RedirectDigest, RedirectUri, RegisteredRedirectUri};
use crate::policy::Rule;
use crate::server::in_flight::InFlight;
use crate::telemetry;

use super::challenges::Challenges;
use super::ratchet::Promotions;
use super::replicas::Seat;

/// The most entries of each map.
const MAX_CLIENTS: usize = 10_000;
/// The most redirect URIs that are learned for a client. Beyond that, errors are shown on a page instead.
pub(crate) const MAX_LEARNED: usize = 16;

/// The state of one upstream. A new configuration takes it over by the upstream's name.
#[derive(Debug)]
pub(crate) struct SiteState {
    pub telemetry: telemetry::Upstream,
    pub key: HandleKey,
    /// For each client, the redirect URIs to which the upstream has sent a code.
    learned: DashMap<Digest, Vec<Digest>>,
    /// For each redirect URI at a loopback address, its digest without the port ([`Loopback`]), under which it is learned.
    loopback: DashMap<Digest, Digest>,
    /// Client names by digest, for the log and for [`SiteState::clients`].
    names: DashMap<Digest, ClientId>,
    /// Codes whose sign-in is uncertain, because observed clients get no cookie that would distinguish their sign-ins.
    uncertain: DashMap<Digest, ()>,
    /// The challenges of recent sign-ins, for hints.
    pub challenges: Challenges,
    /// The clients that are enforced before the upstream is.
    pub promotions: Promotions,
    /// Where the counts are in Redis.
    pub seat: Seat,
    /// Whether the log says that the counts cannot be shared.
    pub is_share_lost: AtomicBool,
    issuer: Mutex<Issuer>,
    /// Whether the log says that clients refuse the issuer.
    is_issuer_told: AtomicBool,
    /// Whether the log says that the store does not answer.
    pub is_store_lost: AtomicBool,
    /// Whether the log says that the store may evict records.
    pub store_evicts: AtomicBool,
    /// Whether the log says that clocks differ.
    pub clocks_differ: AtomicBool,
    /// The requests in flight, including those whose answer is not written yet.
    pub places: InFlight,
}

impl SiteState {
    pub(crate) fn new(name: &str, telemetry: telemetry::Upstream) -> Self {
        Self {
            telemetry,
            key: HandleKey::for_upstream(name),
            learned: DashMap::new(),
            loopback: DashMap::new(),
            names: DashMap::new(),
            uncertain: DashMap::new(),
            challenges: Challenges::default(),
            promotions: Promotions::default(),
            seat: Seat::default(),
            is_share_lost: AtomicBool::new(false),
            issuer: Mutex::default(),
            is_issuer_told: AtomicBool::new(false),
            is_store_lost: AtomicBool::new(false),
            store_evicts: AtomicBool::new(false),
            clocks_differ: AtomicBool::new(false),
            places: InFlight::default(),
        }
    }

    /// Remembers the redirect URI of a new sign-in without its port, if it is at a loopback address. Records have only its
    /// digest, from which the port cannot be removed.
    pub(crate) fn note_redirect(&self, uri: &RedirectUri) {
        let Some(loopback) = Loopback::of(uri.as_str()) else {
            return;
        };
        // An attacker can fill the map with sign-ins at many ports. Then errors of other clients go to a page.
        note(&self.loopback, uri.digest().exact, loopback.digest());
    }

    /// Remembers a client's name. Records have only its digest.
    pub(crate) fn note_client(&self, client: &ClientId) {
        /// The longest name that is remembered, in bytes. Client identifiers may be URLs.
        const LONGEST: usize = 2048;
        let digest = client.digest();
        if client.as_str().len() > LONGEST || self.names.contains_key(&digest) {
            return;
        }
        // Invented names can fill the map, and other names are then forgotten: the log lacks them, and after a change of the
        // configuration their sign-ins are not recognised as namesakes.
        note(&self.names, digest, client.clone());
    }

    /// The name of a client, if it is remembered.
    pub(crate) fn client_name(&self, client: Digest) -> Option<ClientId> {
        self.names.get(&client).map(|name| name.clone())
    }

    /// Remembers a code whose sign-in is uncertain.
    pub(crate) fn note_uncertain(&self, code: Digest) {
        // Only reports depend on it: nothing is refused because of an entry.
        note(&self.uncertain, code, ());
    }

    /// Whether the sign-in of this code is uncertain. Removes the entry.
    pub(crate) fn is_uncertain(&self, code: Digest) -> bool {
        self.uncertain.remove(&code).is_some()
    }

    /// Learns a redirect URI to which the upstream has sent a code for this client. Returns what is new for this process.
    pub(crate) fn learn_redirect(
        &self,
        client: Digest,
        redirect: RedirectDigest,
    ) -> Option<Digest> {
        let exact = redirect.exact;
        let exact = self.loopback.get(&exact).map_or(exact, |found| *found);
        self.learn(client, exact).then_some(exact)
    }

    /// Learns a redirect URI by its digest, of [`Self::names_of`]. Returns whether it is new.
    pub(crate) fn learn(&self, client: Digest, redirect: Digest) -> bool {
        if self.has_learned(client, redirect) {
            return false;
        }
        if self.learned.len() >= MAX_CLIENTS && !self.learned.contains_key(&client) {
            return false;
        }
        let mut learned = self.learned.entry(client).or_default();
        let is_new = learned.len() < MAX_LEARNED && !learned.contains(&redirect);
        if is_new {
            learned.push(redirect);
        }
        is_new
    }

    /// The digests under which a redirect URI may have been learned.
    pub(crate) fn names_of(uri: &RedirectUri) -> Vec<Digest> {
        let loopback = Loopback::of(uri.as_str()).map(|loopback| loopback.digest());
        [uri.digest().exact].into_iter().chain(loopback).collect()
    }

    fn has_learned(&self, client: Digest, exact: Digest) -> bool {
        let learned = self.learned.get(&client);
        learned.is_some_and(|learned| learned.contains(&exact))
    }

    /// The redirect URI for an error response, if it is configured or was learned for this client.
    pub(crate) fn registered(
        &self,
        client: Digest,
        rule: &Rule,
        uri: &RedirectUri,
    ) -> Option<RegisteredRedirectUri> {
        RegisteredRedirectUri::configured(uri, &rule.redirect_uris).or_else(|| {
            let mut names = Self::names_of(uri).into_iter();
            let known = names.any(|name| self.has_learned(client, name));
            known.then(|| RegisteredRedirectUri::learned(uri))
        })
    }

    /// The remembered client names.
    pub(super) fn clients(&self) -> Vec<ClientId> {
        self.names.iter().map(|name| name.clone()).collect()
    }

    /// Learns the issuer from metadata or an authorization response.
    pub(crate) fn learn_issuer(&self, said: Issuer) {
        let mut issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        issuer.in_responses |= said.in_responses;
        if said.issuer.is_some() {
            issuer.issuer = said.issuer;
        }
    }

    /// Whether this is the first time that the issuer has to be logged.
    pub(crate) fn tell_issuer_once(&self) -> bool {
        !self.is_issuer_told.swap(true, Ordering::Relaxed)
    }

    /// Whether answers of the upstream are said to have `iss`.
    pub(super) fn promises_issuer(&self) -> bool {
        let issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        issuer.in_responses
    }

    pub(super) fn issuer(&self) -> Issuer {
        let issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        issuer.clone()
    }
}

/// Adds to a map. A full one forgets all first.
fn note<V>(map: &DashMap<Digest, V>, key: Digest, value: V) {
    if map.len() >= MAX_CLIENTS {
        map.clear();
    }
    map.insert(key, value);
}
