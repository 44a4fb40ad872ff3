//! A private CA, and scripted upstreams with certificates of it.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::gate::{file, scratch};
use super::scripted::Scripted;

/// A CA that the tests make.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
            directory: scratch(),
        }
    }

    /// The file for `ca` in the configuration.
    pub(crate) fn pem(&self) -> PathBuf {
        file(&self.directory, "ca.pem", &self.issuer.pem())
    }

    /// An upstream with a certificate of this CA for that name.
    pub(crate) fn upstream(&self, name: &str) -> Scripted {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![CertificateDer::from(certificate)];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(
            config
                .with_single_cert(chain, key)
                .expect("the key matches the certificate"),
        );
        Scripted::start_with(Box::new(move |tcp: TcpStream| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            Box::new(StreamOwned::new(session, tcp))
        }))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}
