//! TLS: the roots that are trusted (the system's, or a CA file), and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the CA file {path}: {source}")]
    CaFile { path: PathBuf, source: pem::Error },
    /// The file contains no certificate, or an invalid one.
    #[error("the CA file {path} contains no usable certificate")]
    NoCertificate { path: PathBuf },
    #[error("the system's certificate roots cannot be used: {0}")]
    System(#[from] rustls::Error),
}

#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Loads the roots. `None`: the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let config = match ca {
            None => ClientConfig::with_platform_verifier()?,
            Some(path) => ClientConfig::builder()
                .with_root_certificates(roots(path)?)
                .with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
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

fn roots(path: &Path) -> Result<rustls::RootCertStore, TlsError> {
    let unreadable = |source| TlsError::CaFile {
        path: path.to_owned(),
        source,
    };
    let unusable = || TlsError::NoCertificate {
        path: path.to_owned(),
    };
    let pem = files::read(path).map_err(pem::Error::Io);
    let pem = pem.map_err(unreadable)?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    Ok(roots)
}
