//! HTTP/1.1 over a socket, with one connection per request. Requests and answers are kept byte for byte, so no library
//! normalizes them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::wire::dechunked;

/// Longer than every time limit of the gate and the servers, so that a test fails with a reason instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: String,
}

impl<'a> Request<'a> {
    pub(crate) fn get(url: &'a str) -> Self {
        Self {
            method: "GET",
            url,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn post(url: &'a str, form: String) -> Self {
        let headers = vec![(
            "Content-Type",
            "application/x-www-form-urlencoded".to_owned(),
        )];
        Self {
            method: "POST",
            url,
            headers,
            body: form,
        }
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `None` if the connection is refused.
    pub(crate) fn try_send(&self) -> Option<Response> {
        let (authority, target) = split(self.url);
        let mut stream = TcpStream::connect(authority).ok()?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout is set");
        stream
            .write_all(self.bytes(authority, target).as_bytes())
            .expect("the request is sent");
        let mut raw = Vec::new();
        stream
            .read_to_end(&mut raw)
            .unwrap_or_else(|error| panic!("no answer to {} {}: {error}", self.method, self.url));
        Some(Response::parse(raw))
    }

    pub(crate) fn send(&self) -> Response {
        self.try_send()
            .unwrap_or_else(|| panic!("connection refused: {}", self.url))
    }

    fn bytes(&self, authority: &str, target: &str) -> String {
        let mut lines = vec![format!("{} {target} HTTP/1.1", self.method)];
        lines.push(format!("Host: {authority}"));
        lines.push("Connection: close".to_owned());
        lines.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        if self.method == "POST" {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        format!("{}\r\n\r\n{}", lines.join("\r\n"), self.body)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Every byte of the answer.
    pub(crate) raw: Vec<u8>,
}

impl Response {
    pub(crate) fn parse(raw: Vec<u8>) -> Self {
        let end = raw
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("not HTTP: {:?}", raw.escape_ascii()));
        let head = String::from_utf8(raw[..end].to_vec()).expect("a head is ASCII");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok());
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        let chunked = headers
            .iter()
            .any(|(n, v)| n == "transfer-encoding" && v == "chunked");
        let body = if chunked {
            dechunked(&raw[end + 4..])
        } else {
            raw[end + 4..].to_vec()
        };
        Self {
            status: status.expect("a status line"),
            headers,
            body,
            raw,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }
}

/// The whole answer, for assertion messages.
impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}",
            String::from_utf8(self.raw.clone())
                .unwrap_or_else(|_| format!("{}", self.raw.escape_ascii()))
        )
    }
}

/// `("127.0.0.1:8080", "/path?query")` for an absolute URL, without the fragment.
fn split(url: &str) -> (&str, &str) {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("not an http URL: {url}"));
    let rest = rest.split('#').next().unwrap_or_default();
    rest.find('/')
        .map_or((rest, "/"), |slash| rest.split_at(slash))
}

pub(crate) fn origin(url: &str) -> String {
    format!("http://{}", split(url).0)
}

/// Resolves a `Location` or a form's `action` against the URL of the page.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let page = base.split(['?', '#']).next().unwrap_or(base);
    match reference.chars().next() {
        None => base.to_owned(),
        Some('/') => origin(base) + reference,
        Some('?') => page.to_owned() + reference,
        Some(_) if reference.starts_with("http://") => reference.to_owned(),
        Some(_) => {
            page.rsplit_once('/')
                .map_or(page, |(folder, _)| folder)
                .to_owned()
                + "/"
                + reference
        }
    }
}
