//! The I/O shell towards the upstream: connections, TLS, timeouts.
//!
//! Each worker has a small last-in-first-out pool of its own, so that no request waits for another thread. Whether a
//! failed request can have reached the upstream is always told: a token request that was provably not sent may be
//! tried again, any other may not.

mod connect;
mod download;
mod framing;
mod line;
mod lookalike;
mod lookups;
mod pool;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use connect::{Connector, NoConnection, TlsError};
pub use download::Download;
pub use lookalike::Lookalike;
pub use pool::Client;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(NoConnection),
    /// No connection in time: nothing was sent.
    #[error("connecting takes too long")]
    ConnectTimeout,
    /// The connection broke; whether the request arrived is unknown.
    #[error("the connection broke before the response")]
    Broken,
    /// No response in time.
    #[error("the response takes too long")]
    ResponseTimeout,
    /// As many requests as may be are on their way already: nothing was sent.
    #[error("too many requests are on their way")]
    Overloaded,
    /// The request itself broke off: its body has no proper end.
    #[error("the request's body breaks off")]
    Request,
}

/// How far the body of a request has come, for whoever waits for the response to it.
#[derive(Debug, Default)]
pub struct Upload {
    pieces: AtomicU64,
    broken: AtomicBool,
    through: AtomicBool,
    lookalike: Mutex<Lookalike>,
}

impl Upload {
    /// With what was seen of the body so far.
    pub fn after(lookalike: Lookalike) -> Self {
        Self {
            lookalike: Mutex::new(lookalike),
            ..Self::default()
        }
    }

    /// A piece of the body went through.
    pub fn advance(&self, piece: &[u8]) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.lookalike().feed(piece);
    }

    /// It broke off, which is not the upstream's doing.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// The last piece went through.
    pub fn finish(&self) {
        self.through.store(true, Ordering::Relaxed);
    }

    /// Whether what was seen of it could be read as a request.
    pub fn is_lookalike(&self) -> bool {
        self.lookalike().is_one()
    }

    fn lookalike(&self) -> MutexGuard<'_, Lookalike> {
        self.lookalike
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_through(&self) -> bool {
        self.through.load(Ordering::Relaxed)
    }

    fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

impl UpstreamError {
    /// Whether the upstream provably has not seen the request.
    pub const fn is_unsent(self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Overloaded => true,
            Self::Broken | Self::ResponseTimeout | Self::Request => false,
        }
    }

    /// For metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect(NoConnection::Descriptors) => "descriptors",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken => "broken",
            Self::ResponseTimeout => "response_timeout",
            Self::Overloaded => "overloaded",
            Self::Request => "request",
        }
    }
}

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
pub fn authority(host: &str, port: u16, tls: bool) -> String {
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
