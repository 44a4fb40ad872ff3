//! The certificates that TLS connections of the gate trust: the system's, or those in a CA file.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt as _;
use sha2::{Digest as _, Sha256};

use crate::files;

#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRoots {
    #[error("cannot read the CA file {path}: {source}")]
    Unreadable { path: PathBuf, source: pem::Error },
    /// The file contains no certificate, or an invalid one.
    #[error("the CA file {path} contains no usable certificate")]
    NoCertificate { path: PathBuf },
    #[error("the system's certificate roots cannot be used: {0}")]
    System(#[from] rustls::Error),
}

/// A client without a certificate of its own, which trusts these roots.
pub(crate) struct Trust {
    pub config: ClientConfig,
    /// SHA-256 of the CA file. `None`: the system's roots.
    pub ca: Option<[u8; 32]>,
}

/// Loads the roots. `ca`: a PEM file; `None`: the system's.
pub(crate) fn load(ca: Option<&Path>) -> Result<Trust, NoRoots> {
    let Some(path) = ca else {
        let config = ClientConfig::with_platform_verifier()?;
        return Ok(Trust { config, ca: None });
    };
    let unreadable = |source| NoRoots::Unreadable {
        path: path.to_owned(),
        source,
    };
    let unusable = || NoRoots::NoCertificate {
        path: path.to_owned(),
    };
    let pem = files::read(path).map_err(|error| unreadable(pem::Error::Io(error)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let ca = Some(Sha256::digest(&pem).into());
    Ok(Trust { config, ca })
}
