//! Opening connections: the name is resolved, then TCP, then TLS where the upstream's URL is `https`.

use std::fmt;
use std::io;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::socket::{self, Batch};

use super::dns::Lookups;
use super::error::NoConnection;
use super::settings::Settings;
use super::tls::{Tls, TlsError};

pub(super) type Socket = Either<socket::Socket, Box<TlsStream<TcpStream>>>;

#[derive(Clone)]
pub(crate) struct Connector {
    host: String,
    port: u16,
    lookups: Lookups,
    tls: Option<Tls>,
}

impl Connector {
    /// Loads the roots, so that a problem is reported at start and not at the first request.
    pub(crate) fn new(settings: &Settings) -> Result<Self, TlsError> {
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            lookups: Lookups::new(),
            tls: settings.tls.then(|| Tls::new(settings)).transpose()?,
        })
    }

    /// Whether both trust the same roots: the system's, or CA files with equal content.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        let roots = |of: &Self| of.tls.as_ref().map(Tls::roots);
        roots(self) == roots(other)
    }

    pub(super) async fn connect(&self, batch: &Batch) -> Result<Socket, NoConnection> {
        let of_tcp = |error: io::Error| NoConnection::of_tcp(&error);
        let addresses = self.lookups.of(&self.host, self.port).await;
        let addresses = addresses.map_err(|error| {
            let is_of_process = of_tcp(error) == NoConnection::Descriptors;
            if is_of_process {
                NoConnection::Descriptors
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
            None => Ok(Either::Left(batch.socket(tcp))),
            Some(tls) => Ok(Either::Right(Box::new(tls.connect(tcp).await?))),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        write!(f, "Connector({}:{}, tls: {tls})", self.host, self.port)
    }
}
