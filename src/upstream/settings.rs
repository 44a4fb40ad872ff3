//! Settings of the connections to one upstream.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub tls: bool,
    /// Host name or IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// PEM file with CA certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Maximum time to open a connection, including TLS.
    pub connect: Duration,
    /// Maximum time from the end of the request to the head of the response, and between two pieces of its body.
    pub response: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

impl Settings {
    /// `host:port` as in a `Host` header: without the scheme's default port.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port, self.tls)
    }

    pub fn origin(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.authority()
        )
    }
}

/// `host` or `host:port` as in a `Host` header: without the scheme's default port.
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
