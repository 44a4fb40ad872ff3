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

/// Events with equal kinds share a budget.
#[derive(Debug)]
struct Kind<'e> {
    labels: [&'e str; 5],
    client: Option<&'e str>,
}

impl<'e> Kind<'e> {
    /// `None`: the event is always written, because clients cannot cause it, or because it is written for each request
    /// at `debug`.
    fn of(event: &'e Event<'_>) -> Option<Self> {
        let failed = |name, upstream, detail| Self {
            labels: [name, upstream, detail, "", ""],
            client: None,
        };
        let kind = match event {
            Event::Decision {
                upstream,
                endpoint,
                decided,
                violation,
                client,
                ..
            } => {
                let violation = violation.map_or("", Violation::label);
                Self {
                    labels: [
                        "decision",
                        upstream.name(),
                        endpoint.label(),
                        decided.label(),
                        violation,
                    ],
                    client: *client,
                }
            }
            Event::Misdirected { reason, .. } => failed("misdirected", "", *reason),
            Event::UpstreamFailed {
                upstream, fault, ..
            } => failed("upstream_failed", upstream.name(), *fault),
            Event::OtherBrowser { upstream, .. } => failed("other_browser", upstream.name(), ""),
            Event::UpstreamOriginInBody { upstream, .. } => {
                failed("upstream_origin_in_body", upstream.name(), "")
            }
            Event::Overloaded { upstream, .. } => failed("overloaded", upstream.name(), ""),
            Event::Panicked => failed("panicked", "", ""),
            Event::ConnectionTimedOut { .. } => failed("connection_timed_out", "", ""),
            Event::ConnectionSpared { .. } => failed("connection_spared", "", ""),
            Event::MalformedHead { reason, .. } => failed("malformed_head", "", *reason),
            Event::Library { target, .. } => failed("library", "", *target),
            Event::Answered { .. }
            | Event::Panic { .. }
            | Event::LogLinesLost { .. }
            | Event::Listening { .. }
            | Event::FewDescriptors { .. }
            | Event::ClockInDoubt(_)
            | Event::SignalIgnored { .. }
            | Event::Reloaded { .. }
            | Event::ReloadFailed { .. }
            | Event::Draining { .. }
            | Event::Stopped { .. } => return None,
        };
        Some(kind)
    }
}

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
        // The most frequent events need no search: their budget is part of the upstream.
        if let Event::Decision {
            upstream,
            endpoint,
            decided: Decided::Allowed,
            ..
        } = event
        {
            let mut lines = upstream.allowed_lines(*endpoint);
            return lines.next(ALLOWED, self.clock.now());
        }
        let Some(kind) = Kind::of(event) else {
            return Some(0);
        };
        let now = self.clock.now();
        let of_all = self.key.hash_one(kind.labels);
        let of_client = kind
            .client
            .map(|client| self.key.hash_one((of_all, client)));
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
