//! Why there is no response, and whether the request may have reached the upstream.

use std::io::{self, ErrorKind};

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection; nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(NoConnection),
    /// No connection within the configured time; nothing was sent.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The connection broke. The request may have reached the upstream.
    #[error("the connection broke before the response")]
    Broken,
    /// No response within the configured time.
    #[error("the response took too long")]
    ResponseTimeout,
    /// The maximum number of requests is in flight; nothing was sent.
    #[error("too many requests are in flight")]
    Overloaded,
    #[error("the request body ended prematurely")]
    Request,
}

impl UpstreamError {
    /// Whether the upstream has provably not seen the request.
    pub(crate) const fn is_unsent(self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Overloaded => true,
            Self::Broken | Self::ResponseTimeout | Self::Request => false,
        }
    }

    /// The label in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Connect(NoConnection::Descriptors) => "descriptors",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken => "broken",
            Self::ResponseTimeout => "response_timeout",
            Self::Overloaded => "overloaded",
            Self::Request => "request",
        }
    }
}

/// Why no connection could be opened.
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
    pub(super) fn of_tcp(error: &io::Error) -> Self {
        // EMFILE (this process) and ENFILE (the system), as in POSIX.
        const DESCRIPTORS: [i32; 2] = [24, 23];
        match (error.raw_os_error(), error.kind()) {
            (Some(code), _) if DESCRIPTORS.contains(&code) => Self::Descriptors,
            (_, ErrorKind::ConnectionRefused) => Self::Refused,
            (_, ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Self::Unreachable,
            _ => Self::Broken,
        }
    }

    /// Classifies an error of the TLS handshake.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        use rustls::CertificateError as Wrong;
        let inside = error.get_ref();
        match inside.and_then(|inside| inside.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(
                Wrong::Expired
                | Wrong::ExpiredContext { .. }
                | Wrong::NotValidYet
                | Wrong::NotValidYetContext { .. },
            )) => Self::CertificateTime,
            Some(rustls::Error::InvalidCertificate(
                Wrong::NotValidForName | Wrong::NotValidForNameContext { .. },
            )) => Self::CertificateName,
            Some(rustls::Error::InvalidCertificate(Wrong::UnknownIssuer)) => {
                Self::CertificateIssuer
            }
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate,
            Some(_) | None => Self::Handshake,
        }
    }
}
