//! Connections to the upstream: TCP, TLS, pooling, timeouts.
//!
//! Each worker has its own small last-in-first-out pool, so that no request waits for another thread. Every error says
//! whether the request may have reached the upstream: a token request that was provably not sent may be retried, any
//! other may not.

mod connect;
mod connection;
mod dns;
mod download;
mod error;
mod framing;
mod idle;
mod pool;
mod settings;
mod smuggling;
mod tls;
mod upload;

pub(crate) use connect::Connector;
pub(crate) use download::Download;
pub(crate) use error::UpstreamError;
pub(crate) use pool::Client;
pub(crate) use settings::{Settings, authority};
pub(crate) use smuggling::Lookalike;
pub(crate) use tls::TlsError;
pub(crate) use upload::Upload;
