//! How much a store keeps, how long, and of whom.

use std::time::Duration;

/// How long records live and how many there may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// From the authorization request to the code.
    pub pending: Duration,
    /// From the code to the token.
    pub code: Duration,
    /// Records of all kinds, tombstones included; at this number new requests are refused.
    pub capacity: usize,
    /// The largest share of `capacity`, 0 to 1, that the pending authorizations of one client may hold.
    pub per_client: f64,
    /// The largest share of `capacity`, 0 to 1, that the sign-ins from one [`crate::network::Network`] may hold.
    pub per_network: f64,
    /// How many sign-ins a second one [`crate::network::Network`] may begin, at least one; ten seconds' worth at once.
    pub network_rate: u32,
    /// Wrong verifiers before a code is burnt.
    pub attempts: u8,
}

impl Settings {
    /// What holds where nothing else is configured.
    pub const DEFAULT: Self = Self {
        pending: Duration::from_mins(15),
        code: Duration::from_mins(5),
        capacity: 1_000_000,
        per_client: 0.5,
        per_network: 0.125,
        network_rate: 100,
        attempts: 3,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What new records may not exceed.
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
    /// As the log tells it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Capacity => "the store is full",
            Self::Client => "the client has used up its share of the store",
            Self::Network => "the network has used up its share of the store",
            Self::Rate => "the network begins too many sign-ins per second",
        }
    }
}
