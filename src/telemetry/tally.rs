//! Counts the sign-ins of each client, for the review. A sink of the one stream of events, like the metrics and the log, so that the
//! three agree.
//!
//! Clients choose their names, so the number of rows is bounded: beyond it, and for many names with the same redirect origin, sign-ins
//! are counted in a common row.

mod also;
mod codes;
mod numbers;
mod pattern;
mod routes;
mod told;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};

use super::step::Step;

pub(crate) use also::{Neighbour, Times};
#[cfg(test)]
pub(crate) use codes::Codes;
use numbers::Count;
pub(crate) use numbers::{DAYS, GOOD, Numbers, Row};
pub(crate) use routes::PATTERNS;
use routes::Routes;
pub(super) use told::Told;

/// The most rows of an upstream, unless configured.
pub(crate) const ROWS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The most rows of an upstream.
    pub rows: usize,
    /// The file in which they survive a restart.
    pub snapshot: Option<PathBuf>,
}

/// The longest name that gets a row, in bytes. A client identifier that is a URL may have 2 KiB, but real ones are short.
const LONGEST_NAME: usize = 512;

/// How many names with one redirect origin get a row each. Clients that register themselves anew for every sign-in, and applications
/// whose client identifier is the URL of a document, would fill the table otherwise.
const NAMES_PER_ORIGIN: usize = 50;

/// The most origins to which codes are sent without a request. A server that redirects anywhere could fill the table otherwise.
const MOST_UNREQUESTED: usize = 50;

/// The row of requests that name no client.
pub(crate) const NO_CLIENT: &str = "";

/// What the rows are named that have no single client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Name {
    Client(Box<str>),
    /// Further clients with this redirect origin.
    Origin(Box<str>),
    /// Codes to this origin whose sign-in did not begin here. Their answers name no client.
    Unrequested(Box<str>),
    /// No client: a pattern of paths that were requested. Its row has no numbers.
    Route(Box<str>),
    /// All others.
    Others,
}

/// A token request that the upstream has accepted. Anyone can send others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted<'c> {
    pub(crate) client: Option<&'c str>,
    /// Whether the verifier of its code was checked.
    pub(crate) is_verified: bool,
    pub(crate) is_authenticated: bool,
    /// What it shows beside PKCE.
    pub(crate) neighbour: Option<Neighbour>,
}

/// The counts of one upstream.
#[derive(Debug)]
pub(crate) struct Tally {
    /// By the client's name alone, so that a frequent client is found without a copy of it.
    clients: DashMap<Box<str>, Row>,
    /// Rows of further clients, by their redirect origin; at most as many as there are crowded origins.
    shared: DashMap<Box<str>, Row>,
    /// Rows of codes whose sign-in did not begin here, by the origin that they are sent to.
    unrequested: DashMap<Box<str>, Row>,
    routes: Routes,
    others: Mutex<Option<Row>>,
    /// The number of names with each redirect origin.
    origins: DashMap<Box<str>, usize>,
    most: AtomicUsize,
    /// When the first row was made, in seconds since 1970; `u64::MAX`: there is none.
    began: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            clients: DashMap::new(),
            shared: DashMap::new(),
            unrequested: DashMap::new(),
            routes: Routes::default(),
            others: Mutex::default(),
            origins: DashMap::new(),
            most: AtomicUsize::new(ROWS),
            began: AtomicU64::new(u64::MAX),
        }
    }
}

impl Tally {
    /// Sets the maximum number of rows. Rows that exist stay.
    pub(crate) fn set_most(&self, rows: usize) {
        self.most.store(rows, Ordering::Relaxed);
    }

    /// The most rows of single clients and origins.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Forgets all rows.
    pub(crate) fn clear(&self) {
        self.clients.clear();
        self.shared.clear();
        self.unrequested.clear();
        self.routes.clear();
        *self.others() = None;
        self.origins.clear();
    }

    /// Makes rows for configured clients, which other names cannot take the place of.
    pub(crate) fn expect<'c>(&self, clients: impl Iterator<Item = &'c str>) {
        for client in clients {
            self.clients.entry(client.into()).or_default();
        }
    }

    /// Counts a decision. `now`: seconds since 1970.
    pub(super) fn count(&self, told: &Told<'_>, now: u64) {
        let count = Count::of(told.step, told.decided, told.violation, told.method);
        let Some(count) = count else {
            return;
        };
        if now < self.began.load(Ordering::Relaxed) {
            self.began.fetch_min(now, Ordering::Relaxed);
        }
        let note = |row: &mut Row| row.add(count, told, now);
        if told.step == Step::Unrequested {
            return self.count_unrequested(told.redirect_origin, note);
        }
        let name = told.client.unwrap_or(NO_CLIENT);
        match self.clients.get_mut(name) {
            Some(mut row) => note(&mut row),
            None => self.first(name, told, note),
        }
    }

    /// Counts a code that the upstream accepted, and that enforcement could refuse. `now`: seconds since 1970.
    pub(super) fn count_uncertain(&self, client: Option<&str>, now: u64) {
        self.of_known(client, now, |row| row.add_uncertain(now));
    }

    /// Notes a token request that the upstream has accepted. `now`: seconds since 1970.
    pub(crate) fn note_accepted(&self, accepted: &Accepted<'_>, now: u64) {
        // A client that uses passwords begins no sign-in. The upstream knows its name.
        if let (Some(Neighbour::Password), Some(client)) = (accepted.neighbour, accepted.client)
            && client.len() <= LONGEST_NAME
            && self.len() < self.most()
        {
            self.expect([client].into_iter());
        }
        self.of_known(accepted.client, now, |row| {
            if accepted.is_verified {
                row.note_good(now);
            }
            if let Some(neighbour) = accepted.neighbour {
                row.also().note(neighbour, now);
            }
            if accepted.is_authenticated {
                let last = &mut row.also().last_authenticated;
                *last = now.max(*last);
            }
        });
    }

    /// Notes what an answer to a client shows beside PKCE. `now`: seconds since 1970.
    pub(crate) fn note(&self, client: Option<&str>, neighbour: Neighbour, now: u64) {
        self.of_known(client, now, |row| row.also().note(neighbour, now));
    }

    /// Changes the row of a client, or the common one if the client has none.
    fn of_known(&self, client: Option<&str>, now: u64, change: impl FnOnce(&mut Row)) {
        let change = |row: &mut Row| {
            change(row);
            row.changed = row.changed.max(now);
        };
        match self.clients.get_mut(client.unwrap_or(NO_CLIENT)) {
            Some(mut row) => change(&mut row),
            None => change(self.others().get_or_insert_default()),
        }
    }

    /// Notes a path beside the endpoints for which the upstream has something.
    pub(crate) fn note_route(&self, path: &str) {
        self.routes.count(path);
    }

    /// Counts a code that the server sent to this origin without a request.
    fn count_unrequested(&self, origin: Option<&str>, note: impl FnOnce(&mut Row)) {
        let is_full = self.unrequested.len() >= MOST_UNREQUESTED;
        let origin = origin.filter(|origin| origin.len() <= LONGEST_NAME);
        match origin {
            Some(origin) if !is_full || self.unrequested.contains_key(origin) => {
                note(&mut self.unrequested.entry(origin.into()).or_default());
            }
            Some(_) | None => note(self.others().get_or_insert_default()),
        }
    }

    /// Notes the first request of a client. One that neither begins nor ends a sign-in makes no row: anyone could send such requests
    /// with any name.
    fn first(&self, client: &str, told: &Told<'_>, note: impl FnOnce(&mut Row)) {
        let origin = told.redirect_origin;
        let is_full = self.len() >= self.most();
        if told.step != Step::Begins || client.len() > LONGEST_NAME || is_full {
            return note(self.others().get_or_insert_default());
        }
        if let Some(origin) = origin.filter(|origin| self.is_crowded(Some(origin))) {
            return note(&mut self.shared.entry(origin.into()).or_default());
        }
        note(&mut self.clients.entry(client.into()).or_default());
    }

    fn others(&self) -> MutexGuard<'_, Option<Row>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.clients.len() + self.shared.len()
    }

    /// Counts another name with this redirect origin. `true`: there are too many.
    fn is_crowded(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin.filter(|origin| origin.len() <= LONGEST_NAME) else {
            return false;
        };
        if let Some(mut names) = self.origins.get_mut(origin) {
            *names += 1;
            return *names > NAMES_PER_ORIGIN;
        }
        if self.origins.len() < self.most() {
            self.origins.insert(origin.into(), 1);
        }
        false
    }

    /// When the counts began, in seconds since 1970. `None`: nothing was counted.
    pub(crate) fn began(&self) -> Option<u64> {
        let began = self.began.load(Ordering::Relaxed);
        (began < u64::MAX).then_some(began)
    }

    /// All rows, in no order.
    pub(crate) fn rows(&self) -> Vec<(Name, Row)> {
        let named = |of: fn(Box<str>) -> Name, rows: &DashMap<Box<str>, Row>| {
            let rows = rows.iter();
            let rows = rows.map(|row| (of(row.key().clone()), row.value().clone()));
            rows.collect::<Vec<_>>()
        };
        let mut all = named(Name::Client, &self.clients);
        all.extend(named(Name::Origin, &self.shared));
        all.extend(named(Name::Unrequested, &self.unrequested));
        let routes = self.routes.all().into_iter();
        all.extend(routes.map(|route| (Name::Route(route), Row::default())));
        all.extend(self.others().clone().map(|row| (Name::Others, row)));
        all
    }

    /// Adds rows that were stored earlier.
    pub(crate) fn restore(&self, rows: impl IntoIterator<Item = (Name, Row)>) {
        for (name, row) in rows {
            if row.first_seen > 0 {
                self.began.fetch_min(row.first_seen, Ordering::Relaxed);
            }
            let is_full = self.len() >= self.most();
            match name {
                Name::Client(client) if !is_full || self.clients.contains_key(&client) => {
                    self.is_crowded(row.origin.as_deref());
                    self.clients.entry(client).or_default().merge(&row);
                }
                Name::Origin(origin) if !is_full || self.shared.contains_key(&origin) => {
                    self.shared.entry(origin).or_default().merge(&row);
                }
                Name::Route(route) => self.routes.restore(&route),
                Name::Unrequested(origin)
                    if self.unrequested.len() < MOST_UNREQUESTED
                        || self.unrequested.contains_key(&origin) =>
                {
                    self.unrequested.entry(origin).or_default().merge(&row);
                }
                Name::Client(_) | Name::Origin(_) | Name::Unrequested(_) | Name::Others => {
                    self.others().get_or_insert_default().merge(&row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
