//! Which lines are written, of those that strangers can make happen as often as they like: each event is counted, and of many
//! of one kind one is written now and then, which says how many were not.
//!
//! A kind is what the labels of an event say. Where it is about a client, that client has lines of its own: one that fails all
//! the time hides none that fails once a day. But the names are a stranger's to choose, so the first line about each of them
//! is one of the kind's, and only so many are remembered.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use crate::clock::{Clock, Timestamp};
use crate::policy::Violation;

use super::decided::Decided;
use super::event::Event;
use super::lines::{ALLOWED, FAILED, Lines};

/// Clients of a kind that have lines of their own, over all kinds.
const CLIENTS: usize = 512;

/// What lines are alike.
#[derive(Debug)]
struct Kind<'e> {
    labels: [&'e str; 5],
    client: Option<&'e str>,
}

impl<'e> Kind<'e> {
    /// `None`: nothing that a stranger makes happen; or, at `debug`, what has a line for each request.
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

/// Chooses what is written.
#[derive(Debug)]
pub(super) struct Sampler {
    clock: Clock,
    /// Keyed: a stranger chooses the names of clients, and which of them share lines cannot be foreseen.
    key: RandomState,
    lines: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// As many as there are labels.
    kinds: HashMap<u64, Lines>,
    /// At most [`CLIENTS`].
    clients: HashMap<u64, Lines>,
    /// When there may be room again.
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

    /// Whether this event gets a line, and how many like it, before it, got none.
    pub(super) fn line(&self, event: &Event<'_>) -> Option<u64> {
        // What is most frequent has its lines where they need not be looked for.
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
    /// Whether one more client may have lines of its own. What is at rest makes room, which is looked for now and then.
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
