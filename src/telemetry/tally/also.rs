//! What the requests of a client show beside PKCE. It is observed only: no rule depends on it.

use serde::{Deserialize, Serialize};

/// Something that RFC 9700 or RFC 7636 advises against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbour {
    /// An access token in an authorization response.
    Implicit,
    /// A token for the user's password.
    Password,
    /// A challenge with the method `plain`.
    Plain,
    /// A token for a code or a refresh token, without client authentication.
    Unauthenticated,
}

/// How often something occurred. Times are in seconds since 1970; 0: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) number: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Times {
    const fn once(now: u64) -> Self {
        Self {
            number: 1,
            first: now,
            last: now,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.number == 0 {
            return;
        }
        self.first = if self.number == 0 {
            other.first
        } else {
            self.first.min(other.first)
        };
        self.last = self.last.max(other.last);
        self.number = self.number.saturating_add(other.number);
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Also {
    implicit: Times,
    password: Times,
    plain: Times,
    unauthenticated: Times,
    /// The last token request with client authentication that the upstream accepted.
    pub(crate) last_authenticated: u64,
}

impl Also {
    pub(crate) const fn of(&self, neighbour: Neighbour) -> &Times {
        match neighbour {
            Neighbour::Implicit => &self.implicit,
            Neighbour::Password => &self.password,
            Neighbour::Plain => &self.plain,
            Neighbour::Unauthenticated => &self.unauthenticated,
        }
    }

    pub(super) fn note(&mut self, neighbour: Neighbour, now: u64) {
        let times = match neighbour {
            Neighbour::Implicit => &mut self.implicit,
            Neighbour::Password => &mut self.password,
            Neighbour::Plain => &mut self.plain,
            Neighbour::Unauthenticated => &mut self.unauthenticated,
        };
        times.add(&Times::once(now));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.implicit.add(&other.implicit);
        self.password.add(&other.password);
        self.plain.add(&other.plain);
        self.unauthenticated.add(&other.unauthenticated);
        self.last_authenticated = self.last_authenticated.max(other.last_authenticated);
    }
}
