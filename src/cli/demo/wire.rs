//! Minimal HTTP for the demonstration: a client for one exchange, a server for one handler.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::oauth::Params;
use crate::oauth::params::append_pair;

/// Decoded parameters, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Limits that no message of the demonstration reaches.
const MAX_BODY: usize = 64 * 1024;
const MAX_PAIRS: usize = 64;
/// Maximum time for an exchange on this machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, probably for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(String);

/// Converts any error, for `map_err`.
pub(super) fn failed(error: impl fmt::Display) -> Failed {
    Failed(error.to_string())
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The `Host` field; through the gate, it is the gate's.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Pairs,
    pub(super) form: Pairs,
}

impl Asked {
    async fn read(request: Request<Incoming>) -> Result<Self, Failed> {
        let (head, body) = request.into_parts();
        let host = head.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let body = Limited::new(body, MAX_BODY).collect();
        let body = body.await.map_err(failed)?.to_bytes();
        Ok(Self {
            host: host.to_owned(),
            path: head.uri.path().to_owned(),
            query: pairs(head.uri.query().unwrap_or_default().as_bytes())?,
            form: pairs(&body)?,
            method: head.method,
        })
    }

    /// The parameters of the query, then those of the form.
    pub(super) fn pairs(&self) -> Pairs {
        self.query.iter().chain(&self.form).cloned().collect()
    }
}

/// The first value with this name; empty if there is none.
pub(super) fn value<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

pub(super) fn pairs(encoded: &[u8]) -> Result<Pairs, Failed> {
    let params = Params::parse(encoded, MAX_PAIRS).map_err(failed)?;
    let own = params
        .iter()
        .map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
    Ok(own.collect())
}

pub(super) fn encoded<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut out = Vec::new();
    for (name, value) in pairs {
        append_pair(&mut out, name, value);
    }
    // Percent-encoded text is ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// An HTML page that loads no resources and cannot be framed.
pub(super) fn page(status: StatusCode, html: String) -> Response<String> {
    let mut response = answer(status, "text/html; charset=utf-8", html);
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<String> {
    answer(status, "application/json", value.to_string())
}

/// A redirect, or an error if the target is not valid in a header field.
pub(super) fn redirect(status: StatusCode, to: &str) -> Response<String> {
    let Ok(to) = HeaderValue::try_from(to) else {
        return plain(StatusCode::BAD_REQUEST, "not a valid address");
    };
    let mut response = answer(status, "text/plain; charset=utf-8", String::new());
    response.headers_mut().insert(header::LOCATION, to);
    response
}

pub(super) fn plain(status: StatusCode, text: &str) -> Response<String> {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends a request to an absolute `http` URL, on a new connection.
pub(super) async fn send(mut request: Request<String>) -> Result<Response<String>, Failed> {
    let url = Url::parse(&request.uri().to_string()).map_err(failed)?;
    let authority = url.authority().to_owned();
    let target = url.path().to_owned() + &url.query().map_or(String::new(), |q| format!("?{q}"));
    *request.uri_mut() = target.parse().map_err(failed)?;
    let host = HeaderValue::try_from(&authority).map_err(failed)?;
    request.headers_mut().insert(header::HOST, host);
    let exchange = async {
        let socket = TcpStream::connect(&authority).await.map_err(failed)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket));
        let (mut sender, connection) = handshake.await.map_err(failed)?;
        let answer = async {
            let request = request.map(|body| Full::new(Bytes::from(body)));
            let (head, body) = sender
                .send_request(request)
                .await
                .map_err(failed)?
                .into_parts();
            let body = Limited::new(body, MAX_BODY).collect();
            let body = body.await.map_err(failed)?.to_bytes().to_vec();
            let body = String::from_utf8(body).map_err(failed)?;
            Ok(Response::from_parts(head, body))
        };
        // The connection may end before the response is completely read; its error is reported there.
        let drive = async {
            drop(connection.await);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = answer => answer,
            () = drive => Err(Failed("the connection has ended".to_owned())),
        }
    };
    timeout(PATIENCE, exchange).await.map_err(failed)?
}

/// Handles the requests of a listener.
pub(super) trait Answers: Send + Sync + 'static {
    fn answer(&self, asked: Asked) -> impl Future<Output = Response<String>> + Send;
}

/// Serves until `stop` is cancelled; open connections are closed then.
pub(super) async fn serve<A: Answers>(
    listener: TcpListener,
    site: Arc<A>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let (site, stop) = (Arc::clone(&site), stop.clone());
        tasks.spawn(async move {
            let service = service_fn(|request| handle(site.as_ref(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                () = stop.cancelled() => {}
                // Errors are ignored: the browser may disconnect at any time.
                _ended = connection => {}
            }
        });
    }
}

async fn handle<A: Answers>(
    site: &A,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match Asked::read(request).await {
        Ok(asked) if is_this_machine(&asked.host) => site.answer(asked).await,
        Ok(_) => plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this demonstration only serves the machine that it runs on",
        ),
        Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    Ok(answer.map(|body| Full::new(Bytes::from(body))))
}

/// Whether the request is for a loopback address. Other hosts are refused, because the demonstration must not be used
/// as a server, and as a protection against DNS rebinding.
fn is_this_machine(authority: &str) -> bool {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    ["127.0.0.1", "localhost"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_answered() {
        for own in ["127.0.0.1:8088", "localhost:8088", "127.0.0.1", "localhost"] {
            assert!(is_this_machine(own), "{own}");
        }
        for other in [
            "demo.example:8088",
            "127.0.0.1.example",
            "10.0.0.1:80",
            "",
            ":80",
        ] {
            assert!(!is_this_machine(other), "{other}");
        }
    }
}
