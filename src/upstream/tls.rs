//! TLS to the upstream.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::NoConnection;
use super::settings::Settings;
use crate::roots::{self, NoRoots};

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Roots(#[from] NoRoots),
    #[error("{0:?} is not a valid TLS server name")]
    Host(String),
}

#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// SHA-256 of the CA file. `None`: the system's roots are used.
    roots: Option<[u8; 32]>,
}

impl Tls {
    /// Loads the roots.
    pub(super) fn new(settings: &Settings) -> Result<Self, TlsError> {
        let trust = roots::load(settings.ca.as_deref())?;
        let name = ServerName::try_from(settings.host.clone())
            .map_err(|_| TlsError::Host(settings.host.clone()))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(trust.config)),
            name,
            roots: trust.ca,
        })
    }

    /// SHA-256 of the CA file. `None`: the system's roots are used.
    pub(super) fn roots(&self) -> Option<[u8; 32]> {
        self.roots
    }

    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, NoConnection> {
        let connected = self.connector.connect(self.name.clone(), tcp).await;
        connected.map_err(|error| NoConnection::of_tls(&error))
    }
}
