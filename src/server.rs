//! The I/O shell towards clients.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

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
