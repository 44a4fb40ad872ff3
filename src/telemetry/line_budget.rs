//! The number of log lines that may still be written about one kind of event.

use std::time::Duration;

use crate::clock::Timestamp;

/// The state of one kind of event, or of one client within a kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lines {
    /// The time at which the budget is completely available again.
    pub(super) even: Timestamp,
    /// Events without a line since the last line.
    pub(super) left_out: u64,
}

impl Lines {
    /// Whether an event gets a line; if so, the number of events before it that got none.
    pub(super) fn next(&mut self, budget: Budget, now: Timestamp) -> Option<u64> {
        let owed = self.even.since(now);
        if owed > budget.pause.saturating_mul(budget.burst.saturating_sub(1)) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.even = self.even.max(now).after(budget.pause);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Whether the state equals that of a new kind, so that it can be dropped.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        self.even <= now && self.left_out == 0
    }
}

/// A limit on log lines: a token bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Lines that may be written at once after a pause.
    pub(super) burst: u32,
    /// Time between lines after that.
    pub(super) pause: Duration,
}

/// For refused requests and failures.
pub(super) const FAILED: Budget = Budget {
    burst: 100,
    pause: Duration::from_secs(10),
};

/// For allowed requests at each endpoint, which are the record of sign-ins: with up to a hundred per second, every one gets
/// a line.
pub(super) const ALLOWED: Budget = Budget {
    burst: 10_000,
    pause: Duration::from_millis(10),
};
