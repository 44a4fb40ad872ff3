//! Health and metrics, on a listener and a thread of their own.

use std::net::SocketAddr;

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Never the address of the server.
    pub listen: SocketAddr,
}
