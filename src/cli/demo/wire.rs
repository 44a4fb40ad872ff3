//! Minimal HTTP for the demonstration: a client for one exchange, and servers that only this machine may use.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::form_urlencoded::Serializer;

use crate::admin::responder;
use crate::oauth::Params;

pub(super) type Failed = Box<dyn Error + Send + Sync>;
pub(super) type Answer = Result<Response<String>, Failed>;
/// Decoded parameters, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// Limits that no message of the demonstration reaches.
const MAX_BODY: usize = 64 * 1024;
const MAX_PAIRS: usize = 64;
/// Maximum time for an exchange on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first value with this name; empty if there is none.
pub(super) fn value<'p>(pairs: &'p Pairs, name: &str) -> &'p str {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

/// The text of a header field; empty if there is none.
pub(super) fn field(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

pub(super) fn query(uri: &Uri) -> Result<Pairs, Failed> {
    pairs(uri.query().unwrap_or_default())
}

pub(super) fn pairs(encoded: &str) -> Result<Pairs, Failed> {
    let params = Params::parse(encoded.as_bytes(), MAX_PAIRS)?;
    let own = params
        .iter()
        .map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
    Ok(own.collect())
}

pub(super) fn encoded<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An HTML page that loads no resources and cannot be framed.
pub(super) fn page(html: String) -> Response<String> {
    let mut response = responder::response(StatusCode::OK, "text/html; charset=utf-8", html);
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<String> {
    responder::response(status, "application/json", value.to_string())
}

pub(super) fn redirect(status: StatusCode, to: &str) -> Answer {
    let mut response = responder::plain(status, "");
    response.headers_mut().insert(header::LOCATION, to.parse()?);
    Ok(response)
}

pub(super) fn plain(status: StatusCode, text: &str) -> Response<String> {
    responder::plain(status, format!("{text}\n"))
}

/// Sends a request to an absolute `http` URL, on a new connection.
pub(super) async fn send(mut request: Request<String>) -> Answer {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let authority = uri.authority.ok_or("not an absolute URL")?;
    let host = HeaderValue::try_from(authority.as_str())?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = uri.path_and_query.ok_or("no path")?.into();
    let exchange = async {
        let socket = TcpStream::connect(authority.as_str()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Ends with the sender; its errors are also those of the request or of the body.
        TaskTracker::new().spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, text(body).await?))
    };
    timeout(PATIENCE, exchange).await?
}

async fn text(body: Incoming) -> Result<String, Failed> {
    let body = Limited::new(body, MAX_BODY).collect().await?;
    Ok(String::from_utf8(body.to_bytes().into())?)
}

/// Serves a site until the runtime ends.
pub(super) fn serve<F>(
    listener: TcpListener,
    site: impl Fn(Request<String>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send,
{
    let answer = move |request: Request<Incoming>| {
        let site = site.clone();
        async move {
            if !is_this_machine(field(request.headers(), header::HOST)) {
                let refused = "this demonstration only serves the machine that it runs on";
                return plain(StatusCode::MISDIRECTED_REQUEST, refused);
            }
            let (head, body) = request.into_parts();
            let answer = match text(body).await {
                Ok(body) => site(Request::from_parts(head, body)).await,
                Err(error) => Err(error),
            };
            answer.unwrap_or_else(|error| plain(StatusCode::BAD_REQUEST, &error.to_string()))
        }
    };
    TaskTracker::new().spawn(responder::serve(listener, answer));
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
