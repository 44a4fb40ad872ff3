//! Idle connections, used last in, first out, so that few stay in use and the others expire.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

use super::connection::Line;
use super::upload::Outgoing;

/// The maximum number of idle connections of a worker.
const MAX_IDLE: usize = 256;

#[derive(Debug)]
pub(super) struct Idle<B: Outgoing> {
    clock: Clock,
    keep: Duration,
    most: usize,
    lines: Mutex<Vec<(Box<Line<B>>, Timestamp)>>,
}

impl<B: Outgoing> Idle<B> {
    pub(super) fn new(clock: Clock, keep: Duration, most: usize) -> Self {
        Self {
            clock,
            keep,
            most: most.min(MAX_IDLE),
            lines: Mutex::default(),
        }
    }

    /// Returns a connection to the pool after its response has ended, if it can serve another request.
    pub(super) fn keep(&self, line: Box<Line<B>>) {
        if !line.is_ready() {
            return;
        }
        line.rest();
        let now = self.clock.now();
        let mut lines = self.lines();
        if lines.len() < self.most {
            lines.push((line, now));
        }
    }

    /// Takes the most recently used connection. If it is too old, all are closed: an upstream that closes idle
    /// connections (some after five seconds) would reset the request.
    pub(super) fn take(&self) -> Option<Box<Line<B>>> {
        let now = self.clock.now();
        let mut lines = self.lines();
        let (line, since) = lines.pop()?;
        if now.since(since) >= self.keep {
            lines.clear();
            return None;
        }
        Some(line)
    }

    /// Closes connections that are idle for too long.
    pub(super) fn close_old(&self) {
        let now = self.clock.now();
        self.lines()
            .retain(|(_, since)| now.since(*since) < self.keep);
    }

    fn lines(&self) -> MutexGuard<'_, Vec<(Box<Line<B>>, Timestamp)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
