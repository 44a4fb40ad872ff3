//! Opening connections: TCP, and TLS with the system's roots or a CA file.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::ConfigVerifierExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files;
use crate::socket::{self, Batch};

use super::dns::Lookups;
use super::settings::Settings;

#[derive(Clone)]
pub(crate) struct Connector {
    host: String,
    port: u16,
    lookups: Lookups,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// SHA-256 of the CA file. `None`: the system's roots are used.
    roots: Option<[u8; 32]>,
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoConnection {
    /// Nothing listens at the address.
    #[error("connection refused")]
    Refused,
    /// The name has no address, or no name server answered.
    #[error("the name cannot be resolved")]
    Unresolvable,
    /// No route to the host or network.
    #[error("unreachable")]
    Unreachable,
    /// The process or the system has reached its limit of open files.
    #[error("out of descriptors")]
    Descriptors,
    /// The certificate has expired or is not valid yet.
    #[error("TLS: the certificate is not valid at this time")]
    CertificateTime,
    #[error("TLS: the certificate is for another name")]
    CertificateName,
    #[error("TLS: the certificate is signed by an issuer that is not trusted")]
    CertificateIssuer,
    /// The certificate is invalid for another reason.
    #[error("TLS: the certificate is not valid")]
    Certificate,
    /// The handshake failed: the upstream does not speak TLS, or supports no common version or cipher suite.
    #[error("TLS: the handshake failed")]
    Handshake,
    #[error("the connection broke while it was opened")]
    Broken,
}

impl NoConnection {
    /// Classifies an error of connecting.
    fn of_tcp(error: &io::Error) -> Self {
        // EMFILE (this process) and ENFILE (the system), as in POSIX.
        const DESCRIPTORS: [i32; 2] = [24, 23];
        let kind = error.kind();
        if error
            .raw_os_error()
            .is_some_and(|code| DESCRIPTORS.contains(&code))
        {
            Self::Descriptors
        } else if kind == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if kind == io::ErrorKind::HostUnreachable
            || kind == io::ErrorKind::NetworkUnreachable
        {
            Self::Unreachable
        } else {
            Self::Broken
        }
    }

    /// Classifies an error of the TLS handshake.
    fn of_tls(error: &io::Error) -> Self {
        use rustls::CertificateError as Wrong;
        let inside = error.get_ref();
        let Some(error) = inside.and_then(|inside| inside.downcast_ref::<rustls::Error>()) else {
            return Self::Handshake;
        };
        let rustls::Error::InvalidCertificate(wrong) = error else {
            return Self::Handshake;
        };
        if matches!(
            wrong,
            Wrong::Expired
                | Wrong::ExpiredContext { .. }
                | Wrong::NotValidYet
                | Wrong::NotValidYetContext { .. }
        ) {
            Self::CertificateTime
        } else if matches!(
            wrong,
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }
        ) {
            Self::CertificateName
        } else if matches!(wrong, Wrong::UnknownIssuer) {
            Self::CertificateIssuer
        } else {
            Self::Certificate
        }
    }
}

impl Connector {
    /// Loads the roots, so that a problem is reported at start and not at the first request.
    pub(crate) fn new(settings: &Settings) -> Result<Self, TlsError> {
        let tls = settings.tls.then(|| Self::tls(settings)).transpose()?;
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            lookups: Lookups::new(),
            tls,
        })
    }

    fn tls(settings: &Settings) -> Result<Tls, TlsError> {
        let mut hash = None;
        let config = match &settings.ca {
            None => ClientConfig::with_platform_verifier()?,
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                let pem = files::read(path).map_err(rustls::pki_types::pem::Error::Io);
                let pem = pem.map_err(|source| TlsError::CaFile {
                    path: path.clone(),
                    source,
                })?;
                hash = Some(Sha256::digest(&pem).into());
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|source| TlsError::CaFile {
                        path: path.clone(),
                        source,
                    })?;
                    roots
                        .add(certificate)
                        .map_err(|_| TlsError::NoCertificate { path: path.clone() })?;
                }
                if roots.is_empty() {
                    return Err(TlsError::NoCertificate { path: path.clone() });
                }
                ClientConfig::builder()
                    .with_root_certificates(roots)
                    .with_no_client_auth()
            }
        };
        let name = ServerName::try_from(settings.host.clone())
            .map_err(|_| TlsError::Host(settings.host.clone()))?;
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            name,
            roots: hash,
        })
    }

    /// Whether both trust the same roots: the system's, or CA files with equal content.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        let roots = |of: &Self| of.tls.as_ref().map(|tls| tls.roots);
        roots(self) == roots(other)
    }

    /// SHA-256 of the CA file as it was read. `None`: no CA file is configured.
    pub(crate) fn roots(&self) -> Option<[u8; 32]> {
        self.tls.as_ref()?.roots
    }

    pub(super) async fn connect(&self, batch: &Batch) -> Result<Socket, NoConnection> {
        let of_tcp = |error: io::Error| NoConnection::of_tcp(&error);
        let addresses = self.lookups.of(&self.host, self.port).await;
        let addresses = addresses.map_err(|error| {
            let why = of_tcp(error);
            if why == NoConnection::Descriptors {
                why
            } else {
                NoConnection::Unresolvable
            }
        })?;
        if addresses.is_empty() {
            return Err(NoConnection::Unresolvable);
        }
        let tcp = TcpStream::connect(&*addresses).await.map_err(of_tcp)?;
        tcp.set_nodelay(true).map_err(of_tcp)?;
        match &self.tls {
            None => Ok(Socket::Plain(batch.socket(tcp))),
            Some(Tls {
                connector, name, ..
            }) => {
                let tls = connector.connect(name.clone(), tcp).await;
                let tls = tls.map_err(|error| NoConnection::of_tls(&error))?;
                Ok(Socket::Tls(Box::new(tls)))
            }
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Connector({}:{}, tls: {})",
            self.host,
            self.port,
            self.tls.is_some()
        )
    }
}

#[derive(Debug)]
pub(super) enum Socket {
    Plain(socket::Socket),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
