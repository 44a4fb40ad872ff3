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

pub use connect::{Connector, NoConnection, TlsError};
pub use download::Download;
pub use error::UpstreamError;
pub use lookalike::Lookalike;
pub use pool::Client;
pub use settings::{Settings, authority};
pub use upload::Upload;
