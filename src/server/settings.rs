//! What the server is told by the configuration.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::rounds::Rounds;

/// Listeners and what one connection may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
    /// Threads that serve; each has a runtime, a listener and an upstream pool of its own.
    pub workers: usize,
    /// Peers whose Forwarded and X-Forwarded-* are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may take after SIGTERM.
    pub drain: Duration,
    /// Connections at once, over all workers.
    pub connections: usize,
    /// Of one peer: an IPv4 address, or the /64 of an IPv6 one.
    pub connections_per_peer: usize,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header fields in a request.
    pub headers: usize,
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request head to its end.
    pub header_read: Duration,
    /// Between two reads of a request body, and between two writes of a response.
    pub body_read: Duration,
    /// A kept-alive connection without a request.
    pub idle: Duration,
}

impl Settings {
    /// The shortest time that anybody may take for anything.
    pub fn shortest(&self) -> Duration {
        let Self {
            first_byte,
            idle,
            header_read,
            body_read,
            ..
        } = *self;
        first_byte.min(idle).min(header_read).min(body_read)
    }

    /// Kept by these rounds' clock, none of the limits is over too soon.
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
