//! Sampling of log lines about events that clients can cause at any rate. Every event is counted in the metrics; of
//! many events of one kind, a line is written now and then, with the number of events that got none.
//!
//! The kind of an event is given by its labels. A client named by an event gets a separate budget, so that a client
//! that fails constantly does not hide one that fails once a day. As clients choose their names, the first line about
//! each counts for the kind, and only a limited number of clients is remembered.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use crate::clock::{Clock, Timestamp};
use crate::policy::Violation;

use super::decided::Decided;
use super::event::Event;
use super::line_budget::{ALLOWED, FAILED, Lines};

/// Maximum number of clients with a separate budget, over all kinds.
const CLIENTS: usize = 512;

#[derive(Debug)]
pub(super) struct Sampler {
    clock: Clock,
    /// Keyed: clients choose their names, and must not be able to predict which of them share a budget.
    key: RandomState,
    lines: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// One entry for each combination of labels that occurred.
    kinds: HashMap<u64, Lines>,
    /// At most [`CLIENTS`] entries.
    clients: HashMap<u64, Lines>,
    /// When to look for room again.
    sweep: Timestamp,
}

impl Sampler {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            key: RandomState::new(),
            lines: Mutex::default(),
        }
    }

    /// Whether the event gets a line; if so, the number of similar events before it that got none.
    pub(super) fn line(&self, event: &Event<'_>) -> Option<u64> {
        let now = self.clock.now();
        let (of_all, of_client) = if let Event::Decision {
            upstream,
            endpoint,
            decided,
            violation,
            client,
            ..
        } = event
        {
            // The most frequent events need no search: their budget is part of the upstream.
            if *decided == Decided::Allowed {
                return upstream.allowed_lines(*endpoint).next(ALLOWED, now);
            }
            let violation = violation.map_or("", Violation::label);
            let labels = [
                upstream.name(),
                endpoint.label(),
                decided.label(),
                violation,
            ];
            let of_all = self.key.hash_one(labels);
            (
                of_all,
                client.map(|client| self.key.hash_one((of_all, client))),
            )
        } else if let Some(labels) = event.about().incident {
            (self.key.hash_one(labels), None)
        } else {
            // Clients cannot cause it, or it is written for each request at `debug`.
            return Some(0);
        };
        let mut table = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of_client.and_then(|client| table.clients.get_mut(&client)) {
            return own.next(FAILED, now);
        }
        let line = table.kinds.entry(of_all).or_default().next(FAILED, now);
        if let (Some(client), Some(_)) = (of_client, line)
            && table.has_room(now)
        {
            let mut own = Lines::default();
            own.next(FAILED, now);
            table.clients.insert(client, own);
        }
        line
    }
}

impl Table {
    /// Whether another client may get a separate budget. Unused entries are removed from time to time.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.clients.len() >= CLIENTS && self.sweep <= now {
            self.clients.retain(|_, lines| !lines.is_at_rest(now));
            self.sweep = now.after(FAILED.pause);
        }
        self.clients.len() < CLIENTS
    }
}

#[cfg(test)]
mod tests;
