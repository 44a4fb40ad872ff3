//! New connections: TCP, and TLS with the system's roots or a CA file.

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

use super::lookups::Lookups;
use super::settings::Settings;

/// Opens connections to one upstream.
#[derive(Clone)]
pub(crate) struct Connector {
    host: String,
    port: u16,
    lookups: Lookups,
    tls: Option<Tls>,
}

/// TLS to one name.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// SHA-256 of the CA file. `None`: the system's roots.
    roots: Option<[u8; 32]>,
}

/// TLS to the upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The CA file.
    #[error("cannot read the CA file {path}: {source}")]
    CaFile {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in it, or one that is none.
    #[error("the CA file {path} holds no usable certificate")]
    NoCertificate {
        /// As configured.
        path: PathBuf,
    },
    /// The system's roots.
    #[error("the system's certificate roots cannot be used: {0}")]
    System(#[from] rustls::Error),
    /// The host.
    #[error("{0:?} is not a valid TLS server name")]
    Host(String),
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoConnection {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The name has no address, or nothing answered that knows it.
    #[error("the name cannot be resolved")]
    Unresolvable,
    /// No way there.
    #[error("unreachable")]
    Unreachable,
    /// This process may open no more files.
    #[error("out of descriptors")]
    Descriptors,
    /// The certificate is over, or not begun.
    #[error("TLS: the certificate is not valid at this time")]
    CertificateTime,
    /// The certificate is for another name.
    #[error("TLS: the certificate is for another name")]
    CertificateName,
    /// The certificate is signed by a stranger.
    #[error("TLS: the certificate is signed by an issuer that is not trusted")]
    CertificateIssuer,
    /// The certificate is wrong in another way.
    #[error("TLS: the certificate is not good")]
    Certificate,
    /// No handshake: another protocol, or none in common.
    #[error("TLS: no handshake")]
    Handshake,
    /// Broken off while it began.
    #[error("the connection broke while it was opened")]
    Broken,
}

impl NoConnection {
    /// Of a connection that was being opened.
    fn of_tcp(error: &io::Error) -> Self {
        // Too many in this process, too many on this machine (POSIX).
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

    /// Of a handshake over it.
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
    /// Reads the roots; fails at start rather than at the first request.
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

    /// Whether it trusts the same certificates: the same ones of a file, or the system's.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        let roots = |of: &Self| of.tls.as_ref().map(|tls| tls.roots);
        roots(self) == roots(other)
    }

    /// SHA-256 of the CA file as it was read. `None`: there is none.
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

/// A connection, encrypted or not.
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
