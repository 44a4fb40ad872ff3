//! TLS to the upstream: the roots that are trusted (the system's, or a CA file), and the handshake.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::ConfigVerifierExt as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files;

use super::error::NoConnection;
use super::settings::Settings;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the CA file {path}: {source}")]
    CaFile {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    /// The file contains no certificate, or an invalid one.
    #[error("the CA file {path} contains no usable certificate")]
    NoCertificate { path: PathBuf },
    #[error("the system's certificate roots cannot be used: {0}")]
    System(#[from] rustls::Error),
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
        let mut hash = None;
        let config = match &settings.ca {
            None => ClientConfig::with_platform_verifier()?,
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                let unreadable = |source| TlsError::CaFile {
                    path: path.clone(),
                    source,
                };
                let unusable = || TlsError::NoCertificate { path: path.clone() };
                let pem = files::read(path).map_err(rustls::pki_types::pem::Error::Io);
                let pem = pem.map_err(unreadable)?;
                hash = Some(Sha256::digest(&pem).into());
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(unreadable)?;
                    roots.add(certificate).map_err(|_| unusable())?;
                }
                if roots.is_empty() {
                    return Err(unusable());
                }
                ClientConfig::builder()
                    .with_root_certificates(roots)
                    .with_no_client_auth()
            }
        };
        let name = ServerName::try_from(settings.host.clone())
            .map_err(|_| TlsError::Host(settings.host.clone()))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
            roots: hash,
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
