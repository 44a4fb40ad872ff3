//! Counts the sign-ins of each client, for the review. A sink of the one stream of events, like the metrics and the log, so that the
//! three agree.
//!
//! Clients choose their names, so the number of rows is bounded: beyond it, and for many names with the same redirect origin, sign-ins
//! are counted in a common row.

mod numbers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::one::RefMut;
use serde::{Deserialize, Serialize};

use super::decided::Decided;
use super::step::Step;
use crate::oauth::CodeChallengeMethod;
use crate::policy::Violation;

use numbers::Count;
#[cfg(test)]
pub(crate) use numbers::Day;
pub(crate) use numbers::{DAYS, Numbers, Row};

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

/// The row of requests that name no client.
pub(crate) const NO_CLIENT: &str = "";

/// What the rows are named that have no single client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Name {
    Client(Box<str>),
    /// Further clients with this redirect origin.
    Origin(Box<str>),
    /// All others.
    Others,
}

/// What counts of a decision, as in its event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'e> {
    pub(super) step: Step,
    pub(super) decided: Decided,
    pub(super) violation: Option<&'e Violation>,
    pub(super) client: Option<&'e str>,
    pub(super) method: Option<CodeChallengeMethod>,
    pub(super) redirect_origin: Option<&'e str>,
    /// Its code.
    pub(super) hint: Option<&'static str>,
}

/// The counts of one upstream.
#[derive(Debug)]
pub(crate) struct Tally {
    rows: DashMap<Name, Row>,
    /// The number of names with each redirect origin.
    origins: DashMap<Box<str>, usize>,
    most: AtomicUsize,
    /// When the first row was made, in seconds since 1970; `u64::MAX`: there is none.
    began: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rows: DashMap::new(),
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

    /// Makes rows for configured clients, which other names cannot take the place of.
    pub(crate) fn expect<'c>(&self, clients: impl Iterator<Item = &'c str>) {
        for client in clients {
            self.rows.entry(Name::Client(client.into())).or_default();
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
        let name = told.client.unwrap_or(NO_CLIENT);
        let mut row = self.row(name, told.redirect_origin, told.step);
        row.add(count, told.decided, told.violation, now);
        if let Some(hint) = told.hint {
            row.note(hint);
        }
    }

    /// The row of a client. A request that neither begins nor ends a sign-in makes none: anyone could send such requests with any name.
    fn row(&self, client: &str, origin: Option<&str>, step: Step) -> RefMut<'_, Name, Row> {
        let of = |name: Name| self.rows.entry(name).or_default();
        if client.len() > LONGEST_NAME {
            return of(Name::Others);
        }
        let name = Name::Client(client.into());
        if let Some(row) = self.rows.get_mut(&name) {
            return row;
        }
        if step != Step::Begins || self.rows.len() >= self.most.load(Ordering::Relaxed) {
            return of(Name::Others);
        }
        if let Some(origin) = origin.filter(|_| self.is_crowded(origin)) {
            return of(Name::Origin(origin.into()));
        }
        let mut row = of(name);
        row.origin = origin.map(Into::into);
        row
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
        if self.origins.len() < self.most.load(Ordering::Relaxed) {
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
        let rows = self.rows.iter();
        rows.map(|row| (row.key().clone(), row.value().clone()))
            .collect()
    }

    /// Adds rows that were stored earlier.
    pub(crate) fn restore(&self, rows: impl IntoIterator<Item = (Name, Row)>) {
        for (name, row) in rows {
            if row.first_seen > 0 {
                self.began.fetch_min(row.first_seen, Ordering::Relaxed);
            }
            if self.rows.len() >= self.most.load(Ordering::Relaxed) {
                self.rows.entry(Name::Others).or_default().merge(&row);
            } else {
                if let (Name::Client(_), Some(origin)) = (&name, &row.origin) {
                    self.is_crowded(Some(origin));
                }
                self.rows.entry(name).or_default().merge(&row);
            }
        }
    }
}

#[cfg(test)]
mod tests;
