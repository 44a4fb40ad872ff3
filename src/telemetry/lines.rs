//! How many lines about one kind of event may still be written.

use std::time::Duration;

use crate::clock::Timestamp;

/// The lines of one kind, or of one client of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lines {
    /// When no line will be owed for those that were written.
    pub(super) even: Timestamp,
    /// Events since the last line.
    pub(super) left_out: u64,
}

impl Lines {
    /// Whether there is a line for one more event, and how many before it had none.
    pub(super) fn next(&mut self, budget: Budget, now: Timestamp) -> Option<u64> {
        let owed = self.even.since(now);
        if owed > budget.pause.saturating_mul(budget.burst.saturating_sub(1)) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.even = self.even.max(now).after(budget.pause);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Nothing is lost with it.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        self.even <= now && self.left_out == 0
    }
}

/// How many lines may be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// At once, after a time without any.
    pub(super) burst: u32,
    /// Between two of them then.
    pub(super) pause: Duration,
}

/// Of what was refused, or failed.
pub(super) const FAILED: Budget = Budget {
    burst: 100,
    pause: Duration::from_secs(10),
};

/// Of what was allowed, at each endpoint: the record of sign-ins. No server that has so many would miss a line.
pub(super) const ALLOWED: Budget = Budget {
    burst: 10_000,
    pause: Duration::from_millis(10),
};
