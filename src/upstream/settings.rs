//! What is configured of one upstream's connections.

use std::path::PathBuf;
use std::time::Duration;

/// Where the upstream is and how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Speak TLS.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// PEM file with the roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// For one connection, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the response, and between two pieces of its body.
    pub response: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

impl Settings {
    /// `host:port` as a Host header has it: without the scheme's own port.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port, self.tls)
    }

    /// `scheme://authority`.
    pub fn origin(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.authority()
        )
    }
}

/// `host` or `host:port` as a Host header has it: without the scheme's own port.
pub(crate) fn authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let own_port = if tls { 443 } else { 80 };
    if port == own_port {
        host
    } else {
        format!("{host}:{port}")
    }
}
