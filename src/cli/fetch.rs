//! An HTTP client for commands that ask a server: one server, one connection per request, bounded in time and bytes. It follows
//! no redirects, so it never talks to a server that the operator did not name.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;
use url::{Host, Url};

use crate::clock::{Clock, Timestamp};
use crate::roots::{self, NoRoots};

/// Maximum time for one exchange, from the name lookup to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum size of a body.
const BODY: usize = 1024 * 1024;
/// Maximum size of a response head.
const HEAD: usize = 64 * 1024;

/// The only server that this client asks.
pub(super) struct Fetch {
    origin: String,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    clock: Clock,
    end: Timestamp,
}

/// The server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoServer {
    #[error(transparent)]
    Roots(#[from] NoRoots),
    #[error("{0:?} has no host that can be connected to")]
    Host(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the name cannot be resolved: {0}")]
    Name(io::Error),
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Slow,
    #[error("the time for all requests is over")]
    Over,
    #[error("the answer is larger than {BODY} bytes")]
    Large,
    #[error("the answer is not HTTP, or incomplete: {0}")]
    Broken(hyper::Error),
    #[error("the request cannot be sent: {0}")]
    Request(http::Error),
    #[error("the system refuses: {0}")]
    System(io::Error),
}

impl Failed {
    /// Whether no server was reached.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Connect(_) | Self::Slow)
    }

    /// Whether further requests would fail in the same way.
    pub(super) fn is_of_server(&self) -> bool {
        match self {
            Self::Name(_) | Self::Connect(_) | Self::Tls(_) | Self::System(_) | Self::Over => true,
            Self::Slow | Self::Large | Self::Broken(_) | Self::Request(_) => false,
        }
    }
}

/// A request to the server.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) headers: Vec<(HeaderName, &'a str)>,
    pub(super) body: String,
}

impl<'a> Ask<'a> {
    pub(super) fn get(target: &'a str) -> Self {
        Self {
            method: Method::GET,
            target,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(super) fn form(target: &'a str, form: String) -> Self {
        Self {
            method: Method::POST,
            target,
            headers: vec![(header::CONTENT_TYPE, "application/x-www-form-urlencoded")],
            body: form,
        }
    }
}

/// An answer, of any status.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The address that answered.
    pub(super) peer: IpAddr,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The target of a redirect, resolved against the URL of the request.
    pub(super) fn location(&self, asked: &Url) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        asked.join(location).ok()
    }
}

impl Fetch {
    /// Prepares requests to the origin of `url`. `ca`: a PEM file with the certificates to trust; `None`: the system's.
    /// `budget`: the time for all requests together.
    pub(super) fn new(url: &Url, ca: Option<&Path>, budget: Duration) -> Result<Self, NoServer> {
        let no_host = || NoServer::Host(url.to_string());
        let host = match url.host().ok_or_else(no_host)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let tls = if url.scheme() == "https" {
            let name = ServerName::try_from(host.clone()).map_err(|_| no_host())?;
            let trust = roots::load(ca)?;
            Some((TlsConnector::from(Arc::new(trust.config)), name))
        } else {
            None
        };
        let clock = Clock::system();
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            port: url.port_or_known_default().ok_or_else(no_host)?,
            end: clock.now().after(budget),
            host,
            tls,
            clock,
        })
    }

    /// `scheme://authority` of the server.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends one request on a new connection and reads the whole answer.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        let left = self.end.since(self.clock.now());
        if left.is_zero() {
            return Err(Failed::Over);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failed::System)?;
        let answer = runtime.block_on(async {
            let exchange = Box::pin(self.exchange(ask));
            timeout(PATIENCE.min(left), exchange).await
        });
        // A name server that does not answer must not delay the end.
        runtime.shutdown_background();
        match answer {
            Ok(answer) => answer,
            Err(_) if left < PATIENCE => Err(Failed::Over),
            Err(_) => Err(Failed::Slow),
        }
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        let request = self.request(ask).map_err(Failed::Request)?;
        let address = (self.host.as_str(), self.port);
        let found = tokio::net::lookup_host(address).await;
        let addresses: Vec<_> = found.map_err(Failed::Name)?.collect();
        let tcp = TcpStream::connect(&*addresses).await;
        let tcp = tcp.map_err(Failed::Connect)?;
        let peer = tcp.peer_addr().map_err(Failed::System)?.ip();
        let socket = match &self.tls {
            None => Either::Left(tcp),
            Some((tls, name)) => {
                let tls = tls.connect(name.clone(), tcp).await;
                Either::Right(tls.map_err(Failed::Tls)?)
            }
        };
        let mut builder = http1::Builder::new();
        let builder = builder.max_buf_size(HEAD).max_headers(128);
        let (mut sender, connection) = builder
            .handshake(TokioIo::new(socket))
            .await
            .map_err(Failed::Broken)?;
        // Ends with the sender; its errors are also those of the request or of the body.
        TaskTracker::new().spawn(connection);
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(Failed::Broken)?.into_parts();
        Ok(Answer {
            peer,
            status: head.status,
            headers: head.headers,
            body: whole(body).await?,
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let (_, authority) = self.origin.split_once("://").unwrap_or_default();
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(ask.target)
            .header(header::HOST, authority)
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, AGENT);
        if ask.method == Method::POST {
            // Also for an empty body, which some servers take for no body otherwise.
            request = request.header(header::CONTENT_LENGTH, ask.body.len());
        }
        for (name, value) in &ask.headers {
            request = request.header(name, HeaderValue::try_from(*value)?);
        }
        request.body(Full::from(ask.body.clone()))
    }
}

const AGENT: &str = concat!("pkce-gate/", env!("CARGO_PKG_VERSION"));

async fn whole(body: Incoming) -> Result<Vec<u8>, Failed> {
    match Limited::new(body, BODY).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(broken) => Failed::Broken(*broken),
            Err(other) if other.is::<LengthLimitError>() => Failed::Large,
            Err(other) => Failed::System(io::Error::other(other)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    use super::*;

    const BUDGET: Duration = Duration::from_mins(1);

    /// A server that answers one request with these bytes, and returns the request.
    fn server(answer: Vec<u8>) -> (Url, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"a=b") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            // The client may have read enough.
            socket.write_all(&answer).ok();
            String::from_utf8(request).unwrap()
        });
        (Url::parse(&url).unwrap(), served)
    }

    fn send(url: &Url, ask: &Ask<'_>) -> Result<Answer, Failed> {
        Fetch::new(url, None, BUDGET).unwrap().send(ask)
    }

    #[test]
    fn a_form_is_sent_and_the_answer_read_whole() {
        let text = "HTTP/1.1 302 Found\r\nLocation: /b?c\r\nContent-Length: 2\r\n\r\nok";
        let (url, served) = server(text.into());
        let answer = send(&url, &Ask::form("/a?x=y", "a=b".to_owned())).unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (302, &b"ok"[..]));
        assert!(answer.peer.is_loopback());
        let asked = url.join("/a").unwrap();
        assert_eq!(answer.location(&asked), url.join("/b?c").ok());
        let request = served.join().unwrap().to_lowercase();
        let authority = url.authority();
        assert!(request.starts_with("post /a?x=y http/1.1\r\n"), "{request}");
        for field in [
            &format!("host: {authority}"),
            "content-length: 3",
            "content-type: application/x-www-form-urlencoded",
            "user-agent: pkce-gate/",
        ] {
            assert!(request.contains(&format!("\r\n{field}")), "{request}");
        }
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY + 1);
        let body = vec![b'a'; BODY + 1];
        let (url, served) = server([head.into_bytes(), body].concat());
        let failed = send(&url, &Ask::get("/")).unwrap_err();
        assert!(matches!(failed, Failed::Large), "{failed}");
        served.join().unwrap();
        let field = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(2 * HEAD));
        let (url, served) = server(field.into_bytes());
        let failed = send(&url, &Ask::get("/")).unwrap_err();
        assert!(matches!(failed, Failed::Broken(_)), "{failed}");
        served.join().unwrap();
    }

    #[test]
    fn every_failure_has_a_reason() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        let url = Url::parse(&url).unwrap();
        drop(closed);
        let failed = send(&url, &Ask::get("/")).unwrap_err();
        assert!(failed.is_of_server(), "{failed}");
        assert!(failed.to_string().starts_with("cannot connect: "));

        let spent = Fetch::new(&url, None, Duration::ZERO).unwrap();
        let over = spent.send(&Ask::get("/")).unwrap_err();
        assert!(matches!(over, Failed::Over) && over.is_of_server());

        let (url, _served) = server(b"220 mail.example\r\n".to_vec());
        let failed = send(&url, &Ask::get("/")).unwrap_err();
        assert!(matches!(failed, Failed::Broken(_)), "{failed}");
        let refused = send(&url, &Ask::get("/a b")).unwrap_err();
        assert!(matches!(refused, Failed::Request(_)), "{refused}");

        let url = Url::parse("https://127.0.0.1:1").unwrap();
        let missing = Fetch::new(&url, Some(Path::new("/no/such/file")), BUDGET);
        assert!(matches!(missing.err(), Some(NoServer::Roots(_))));
    }
}
