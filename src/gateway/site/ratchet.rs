//! Clients that send nothing but good requests are enforced before their upstream is (`promote`), and stay so.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::gateway::settings::Promote;
use crate::oauth::ClientId;
use crate::policy::{Mode, Namesake, Rule, Rules, namesakes};
use crate::telemetry::tally::{DAYS, NO_CLIENT, Name, Row};

const DAY: u64 = 86_400;

/// The most promotions of an upstream. Each is a rule in memory.
const MOST: usize = 10_000;

/// The violations of requests that may be of any client.
const OF_ANY_CLIENT: [&str; 2] = ["request_object_refused", "unknown_request_uri"];

/// The most clients that one turn of the ratchet promotes or tells of. The others follow in the next one: each has a line in the log.
const AT_ONCE: usize = 100;

/// What was done with a client. Times are in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promotion {
    /// Since when it is proposed or enforced.
    pub(crate) since: u64,
    pub(crate) is_enforced: bool,
    /// When the log last said that it sends bad requests again; 0: never.
    #[serde(default)]
    pub(crate) downgraded: u64,
}

impl Promotion {
    /// Whether it sent a bad request in the last day, as far as the log has said.
    pub(crate) fn is_downgraded(&self, now: u64) -> bool {
        self.downgraded > 0 && now < self.downgraded.saturating_add(DAY)
    }

    /// The same promotion as another replica, or an earlier process, knows it.
    fn meet(&mut self, other: Self) {
        match (self.is_enforced, other.is_enforced) {
            (true, false) => {}
            (false, true) => *self = other,
            (true, true) | (false, false) => {
                self.since = self.since.min(other.since);
                self.downgraded = self.downgraded.max(other.downgraded);
            }
        }
    }
}

/// The promotions of each client of an upstream.
pub(crate) type Promoted = BTreeMap<String, Promotion>;

/// The promotions of an upstream. They outlive a configuration.
#[derive(Debug, Default)]
pub(crate) struct Promotions(Mutex<Promoted>);

impl Promotions {
    fn all(&self) -> MutexGuard<'_, Promoted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All promotions.
    pub(crate) fn get(&self) -> Promoted {
        self.all().clone()
    }

    /// The clients that are enforced.
    pub(crate) fn enforced(&self) -> Vec<String> {
        let all = self.all();
        let enforced = all.iter().filter(|(_, promotion)| promotion.is_enforced);
        enforced.map(|(client, _)| client.clone()).collect()
    }

    /// Adds promotions that another process made. Returns whether more clients are enforced.
    pub(crate) fn add(&self, more: Promoted) -> bool {
        let before = self.enforced().len();
        let mut all = self.all();
        for (client, promotion) in more {
            let known = all.entry(client).or_insert(promotion);
            known.meet(promotion);
        }
        drop(all);
        self.enforced().len() > before
    }
}

/// What a turn of the ratchet changed, by client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    pub(crate) proposed: Vec<String>,
    pub(crate) promoted: Vec<String>,
    /// Proposed or enforced, and it sends bad requests again. The proposal is withdrawn; the enforcement stays.
    pub(crate) downgraded: Vec<(String, Promotion)>,
}

impl Turned {
    /// Whether more clients may follow in the next turn.
    pub(crate) fn is_full(&self) -> bool {
        self.proposed.len() + self.promoted.len() >= AT_ONCE
    }
}

/// The promotions of an upstream, and what decides about them.
pub(super) struct Ratchet<'s> {
    pub(super) promote: Promote,
    pub(super) rules: &'s Rules,
    pub(super) promotions: &'s Promotions,
}

impl Ratchet<'_> {
    /// The promotions that matter: in report mode, of clients whose mode is not written.
    pub(super) fn in_force(&self) -> Promoted {
        let mut all = self.promotions.get();
        let is_observed = self.is_observed();
        all.retain(|client, promotion| {
            let client = ClientId::new(client);
            let is_wanted = if promotion.is_enforced {
                self.rules.keeps_promotion(&client)
            } else {
                self.promote != Promote::Off && self.rules.may_promote(&client)
            };
            is_observed && is_wanted
        });
        all
    }

    /// Finds clients that were promoted or proposed, and send bad requests again.
    pub(super) fn fall_back(&self, rows: &[(Name, Row)], now: u64) -> Turned {
        let mut turned = Turned::default();
        if !self.is_observed() {
            return turned;
        }
        let mut all = self.promotions.all();
        for (client, row) in clients(rows) {
            let Some(known) = all.get_mut(client) else {
                continue;
            };
            let is_told = known.is_downgraded(now) || row.last_bad <= known.downgraded;
            if row.last_bad >= known.since && !is_told && turned.downgraded.len() < AT_ONCE {
                known.downgraded = now;
                turned.downgraded.push((client.into(), *known));
            }
        }
        for (client, promotion) in &turned.downgraded {
            if !promotion.is_enforced {
                all.remove(client);
            }
        }
        turned
    }

    /// Withdraws proposals of clients that sent bad requests to another gate.
    fn withdraw(&self, rows: &[(Name, Row)], now: u64, turned: &mut Turned) {
        let mut all = self.promotions.all();
        for (client, row) in clients(rows) {
            let known = all.get(client);
            let known = known.filter(|known| !known.is_enforced && row.last_bad >= known.since);
            if let Some(known) = known.copied() {
                let downgraded = Promotion {
                    downgraded: now,
                    ..known
                };
                all.remove(client);
                turned.downgraded.push((client.into(), downgraded));
            }
        }
    }

    /// Proposes and promotes clients by what they sent. `rows`: what all gates counted.
    pub(super) fn promote(&self, rows: &[(Name, Row)], now: u64, turned: &mut Turned) {
        if !self.is_observed() {
            return;
        }
        self.withdraw(rows, now, turned);
        let is_held = self.is_automatic() && !self.waits_for(rows, now).is_empty();
        let steady = if is_held {
            Vec::new()
        } else {
            self.steady(rows, now)
        };
        let mut all = self.promotions.all();
        // Those whose mode is written by now are no proposals any more.
        let is_open = |client: &str| self.promote != Promote::Off && self.may_promote(client, now);
        all.retain(|client, promotion| promotion.is_enforced || is_open(client));
        let is_enforced = self.is_automatic();
        for client in steady {
            if turned.is_full() {
                break;
            }
            let known = all.get(client).map(|promotion| promotion.is_enforced);
            let is_news = match known {
                None => all.len() < MOST,
                Some(was_enforced) => is_enforced && !was_enforced,
            };
            if is_news {
                let promotion = Promotion {
                    since: now,
                    is_enforced,
                    downgraded: 0,
                };
                all.insert(client.into(), promotion);
                let news = if is_enforced {
                    &mut turned.promoted
                } else {
                    &mut turned.proposed
                };
                news.push(client.into());
            }
        }
    }

    /// The clients that complete sign-ins, and whose requests may be of any client: those with a request object, or with a `request_uri`
    /// that was not pushed through the gate. As soon as one client is enforced, such requests are refused.
    pub(super) fn waits_for<'r>(&self, rows: &'r [(Name, Row)], now: u64) -> Vec<&'r str> {
        let (Promote::Propose { days } | Promote::Enforce { days }) = self.promote else {
            return Vec::new();
        };
        let begin = now.saturating_sub(days * DAY) / DAY;
        let is_of_any = |(client, row): &(&str, &Row)| {
            let numbers = row.since(begin);
            let completed = [numbers.verified, numbers.unverified, numbers.uncertain];
            let violations = row.violations_since(begin);
            let mut codes = violations.iter().map(|(code, _)| *code);
            completed != [0; 3]
                && self.is_observed()
                && self.rule(client, now).mode == Mode::Report
                && codes.any(|code| OF_ANY_CLIENT.contains(&code))
        };
        let found = clients(rows).filter(is_of_any);
        found.map(|(client, _)| client).collect()
    }

    /// Whether clients are enforced without a word of the operator.
    fn is_automatic(&self) -> bool {
        matches!(self.promote, Promote::Enforce { .. })
    }

    fn is_observed(&self) -> bool {
        self.rules.default_rule().mode == Mode::Report
    }

    /// The clients that have sent nothing but good requests for so many days as `promote` says, and whose enforcement concerns no
    /// client that has not.
    fn steady<'r>(&self, rows: &'r [(Name, Row)], now: u64) -> Vec<&'r str> {
        let (Promote::Propose { days } | Promote::Enforce { days }) = self.promote else {
            return Vec::new();
        };
        let is_steady = |(client, row): &(&str, &Row)| {
            self.may_promote(client, now) && is_good(row, self.rule(client, now), days, now)
        };
        // Anyone can send a request with an invented name. It must not prevent a promotion for ever.
        let month = now.saturating_sub(DAYS * DAY).max(1);
        let (steady, others): (Vec<_>, Vec<_>) = clients(rows)
            .filter(|(_, row)| row.last_seen >= month)
            .partition(is_steady);
        // The rule of a promoted client also applies to names that some server takes for it.
        let others: HashSet<Namesake> = others.iter().flat_map(|(id, _)| namesakes(id)).collect();
        let stand_alone = |client: &&str| !namesakes(client).any(|key| others.contains(&key));
        let steady = steady.into_iter().map(|(client, _)| client);
        steady.filter(stand_alone).collect()
    }

    fn may_promote(&self, client: &str, now: u64) -> bool {
        let is_observed = self.rule(client, now).mode == Mode::Report;
        is_observed && self.rules.may_promote(&ClientId::new(client))
    }

    fn rule(&self, client: &str, now: u64) -> &Rule {
        self.rules.of_name(&ClientId::new(client), now / DAY)
    }
}

/// The rows of single clients, by their names.
fn clients(rows: &[(Name, Row)]) -> impl Iterator<Item = (&str, &Row)> {
    rows.iter().filter_map(|(name, row)| match name {
        Name::Client(client) if **client != *NO_CLIENT => Some((&**client, row)),
        Name::Client(_)
        | Name::Origin(_)
        | Name::Unrequested(_)
        | Name::Route(_)
        | Name::Others => None,
    })
}

/// Whether all sign-ins of the last days were good for certain, and some were complete.
fn is_good(row: &Row, rule: &Rule, days: u64, now: u64) -> bool {
    let begin = now.saturating_sub(days * DAY);
    let numbers = row.since(begin / DAY);
    row.first_seen <= begin
        && row.last_bad.max(row.last_uncertain) < begin.max(1)
        && row.last_good >= begin
        && numbers.verified > 0
        && numbers.failing() == 0
        && (numbers.unverified == 0 || !rule.challenge_required)
}

#[cfg(test)]
mod tests;
