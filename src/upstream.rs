//! The I/O shell towards the upstream: connections, TLS, timeouts.
//!
//! Each worker has a small last-in-first-out pool of its own, so that no request waits for another thread. Whether a
//! failed request can have reached the upstream is always told: a token request that was provably not sent may be
//! tried again, any other may not.

mod connect;
mod download;
mod error;
mod framing;
mod idle;
mod line;
mod lookalike;
mod lookups;
mod pool;
mod settings;
mod upload;

pub(crate) use connect::{Connector, TlsError};
pub(crate) use download::Download;
pub(crate) use error::UpstreamError;
pub(crate) use lookalike::Lookalike;
pub(crate) use pool::Client;
pub(crate) use settings::{Settings, authority};
pub(crate) use upload::Upload;
