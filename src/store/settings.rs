//! The limits of a store.

use std::path::PathBuf;
use std::time::Duration;

use super::redis::Target;

/// A network may begin the sign-ins of this time at once: a class of students, an office in the morning.
pub(super) const BURST: Duration = Duration::from_secs(10);

/// A key file, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFile {
    /// Distinguishes the keys. Part of each record, as four bytes of a hash.
    pub id: String,
    /// The file contains 32 random bytes in base64 (`pkce-gate keygen`).
    pub file: PathBuf,
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the memory of this process.
    Memory,
    /// In the handles, encrypted by the first of these keys. `claims`: where gates remember together what became of them; `None`:
    /// each for itself.
    Sealed {
        keys: Vec<KeyFile>,
        claims: Option<Remote>,
    },
    /// In Redis, encrypted by the first of these keys.
    Redis { keys: Vec<KeyFile>, at: Remote },
}

/// The most writes of a worker that wait for the replicas of one server at the same time. Each has a connection.
pub(crate) const WAITING_WRITES: usize = 32;

impl Kind {
    /// Redis, if the store depends on it.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Memory => None,
            Self::Sealed { claims, .. } => claims.as_ref(),
            Self::Redis { at, .. } => Some(at),
        }
    }
}

/// A deployment of Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub target: Target,
    /// For TLS; `None`: the system's roots.
    pub ca: Option<PathBuf>,
    /// The beginning of all keys.
    pub prefix: String,
    /// The longest time that a request waits for it.
    pub deadline: Duration,
    /// So many replicas must have a write before the gate acts on it.
    pub min_replicas: u32,
    /// Whether the gate is not ready while it is out of reach.
    pub fails_readiness: bool,
}

impl Remote {
    /// The most connections of a worker to a server.
    pub(crate) fn connections(&self) -> usize {
        let waiting = if self.min_replicas > 0 {
            WAITING_WRITES
        } else {
            0
        };
        1 + waiting
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Lifetime of a pending authorization: from the authorization request to the code.
    pub pending: Duration,
    /// Lifetime of a code: from its issue to the token request.
    pub code: Duration,
    /// Maximum number of records of all kinds, tombstones included. When it is reached, new requests are refused.
    pub capacity: usize,
    /// The largest share of `capacity` (0 to 1) for the pending authorizations of one client.
    pub per_client: f64,
    /// The largest share of `capacity` (0 to 1) for the sign-ins from one [`crate::network::Network`].
    pub per_network: f64,
    /// Sign-ins per second that one [`crate::network::Network`] may begin, at least one. A burst of ten seconds' worth
    /// is allowed.
    pub network_rate: u32,
    /// Wrong verifiers after which a code is burnt.
    pub attempts: u8,
}

impl Settings {
    /// The defaults of the configuration.
    pub const DEFAULT: Self = Self {
        pending: Duration::from_mins(15),
        code: Duration::from_mins(5),
        capacity: 1_000_000,
        per_client: 0.5,
        per_network: 0.125,
        network_rate: 100,
        attempts: 3,
    };

    /// Records that the sign-ins of one client may hold.
    pub(super) fn client_share(&self) -> usize {
        share(self.capacity, self.per_client)
    }

    /// Records that the sign-ins from one network may hold.
    pub(super) fn network_share(&self) -> usize {
        share(self.capacity, self.per_network)
    }
}

/// At least one record: a share of nothing would lock its holder out of an empty store.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a number of records, rounded down; float casts saturate"
)]
fn share(capacity: usize, part: f64) -> usize {
    if part < 1.0 {
        ((capacity as f64 * part) as usize).max(1)
    } else {
        // One may have everything.
        usize::MAX
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A limit that new records must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Settings::capacity`].
    Capacity,
    /// [`Settings::per_client`].
    Client,
    /// [`Settings::per_network`].
    Network,
    /// [`Settings::network_rate`].
    Rate,
}

impl Limit {
    /// The text for the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Capacity => "the store is full",
            Self::Client => "the client has used up its share of the store",
            Self::Network => "the network has used up its share of the store",
            Self::Rate => "the network begins too many sign-ins per second",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_at_least_one() {
        assert_eq!(share(9, 0.5), 4);
        assert_eq!(share(9, 0.0), 1);
        assert_eq!(share(9, -1.0), 1);
        assert_eq!(share(9, 1.0), usize::MAX);
        assert_eq!(share(9, f64::NAN), usize::MAX);
    }
}
