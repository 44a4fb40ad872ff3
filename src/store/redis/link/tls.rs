//! TLS to Redis.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::roots::{self, NoRoots};

#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Loads the roots. `None`: the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, NoRoots> {
        let trust = roots::load(ca)?;
        Ok(Self(TlsConnector::from(Arc::new(trust.config))))
    }

    /// The certificate must be valid for `host`.
    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.0.connect(name, tcp).await
    }
}
