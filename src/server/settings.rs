//! Settings of the server.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::rounds::Rounds;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub listen: Vec<SocketAddr>,
    /// Number of worker threads; each has its own runtime, listeners and upstream pools.
    pub workers: usize,
    /// Peers whose `Forwarded` and `X-Forwarded-*` fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Maximum time for requests in flight after SIGTERM.
    pub drain: Duration,
    /// Maximum number of connections of all workers.
    pub connections: usize,
    /// Maximum number of connections of one peer: an IPv4 address, or a /64 of IPv6.
    pub connections_per_peer: usize,
    /// Maximum size of a request head, in bytes.
    pub header_bytes: usize,
    /// Maximum number of header fields in a request.
    pub headers: usize,
    /// Maximum time from accept to the first byte.
    pub first_byte: Duration,
    /// Maximum time from the first byte of a request head to its end.
    pub header_read: Duration,
    /// Maximum time between two reads of a request body, and between two writes of a response.
    pub body_read: Duration,
    /// Maximum time of a kept-alive connection without a request.
    pub idle: Duration,
}

impl Settings {
    pub fn shortest(&self) -> Duration {
        let first = self.first_byte.min(self.idle);
        first.min(self.header_read).min(self.body_read)
    }

    /// Extends the time limits so that these rounds never end a wait too early.
    #[must_use]
    pub fn at_least(mut self, rounds: &Rounds) -> Self {
        for limit in [
            &mut self.first_byte,
            &mut self.idle,
            &mut self.header_read,
            &mut self.body_read,
        ] {
            *limit = rounds.at_least(*limit);
        }
        self
    }
}
