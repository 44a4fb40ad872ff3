//! Header fields that a proxy removes, and those that it sets (RFC 9110 section 7.6, RFC 7239).
//!
//! gunicorn, ASP.NET and others trust forwarders on the loopback interface: a field that they ignore from the Internet becomes
//! authoritative if the gate forwards it.

pub(crate) mod forwarded;
mod kind;

use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use http::header::{self, AsHeaderName, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode};

use forwarded::X_FORWARDED_FOR;
use kind::{Kind, kind};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The peer of a client connection, and values that are cached for all of its requests.
#[derive(Debug)]
pub(crate) struct Node {
    address: IpAddr,
    written: HeaderValue,
    /// The host in its first request. Later requests nearly always name the same.
    pub host: OnceLock<Authority>,
    /// The client of the current request, if the peer is a trusted proxy. A connection has one request at a time.
    client: Mutex<Option<IpAddr>>,
    /// The host, the scheme and the `Forwarded` element of its first request.
    forwarded: OnceLock<(String, &'static str, HeaderValue)>,
}

impl Node {
    pub(crate) fn new(address: IpAddr) -> Self {
        let written = HeaderValue::try_from(address.to_string());
        Self {
            address,
            written: written.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            host: OnceLock::new(),
            client: Mutex::default(),
            forwarded: OnceLock::new(),
        }
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Sets the client of the current request. `None`: the proxy does not name it.
    pub(crate) fn speaks_for(&self, client: Option<IpAddr>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// The client of the current request, if the peer is a trusted proxy that names it.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer's address as text.
    pub(crate) fn as_str(&self) -> &str {
        self.written.to_str().unwrap_or_default()
    }
}

/// The sender of a request, and how the client reached the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub node: &'a Node,
    /// Whether its `Forwarded` and `X-Forwarded-*` fields are kept.
    pub trusted: bool,
    /// The Host of the request.
    pub host: &'a str,
    /// `https` or `http`: the scheme of the public URL.
    pub scheme: &'static str,
}

/// Servers differ in which one they use.
const TWICE: &str = "a header field that may occur once occurs twice";
/// `Connection` names a field that the gate needs: see [`must_stay`].
const NOMINATION: &str = "Connection names a header field that must not be dropped";
const TRANSFER_ENCODING: &str = "this Transfer-Encoding is not supported";

/// Refuses header fields that servers may read differently, or that the gate does not support: with this status, for this reason.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let refuse = |reason| Err((StatusCode::BAD_REQUEST, reason));
    let is_other = |name: HeaderName, known: &[u8]| {
        value(headers, name).is_some_and(|value| !value.eq_ignore_ascii_case(known))
    };
    // A quick test: nearly all requests have no repeated fields.
    if headers.len() > headers.keys_len() {
        for name in [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::TRANSFER_ENCODING,
        ] {
            if headers.get_all(name).iter().nth(1).is_some() {
                return refuse(TWICE);
            }
        }
    }
    if is_other(header::TRANSFER_ENCODING, b"chunked") {
        return refuse(TRANSFER_ENCODING);
    }
    if is_other(header::EXPECT, b"100-continue") {
        let status = StatusCode::EXPECTATION_FAILED;
        return Err((status, "this expectation cannot be met"));
    }
    if nominated(headers).any(|name| must_stay(&name)) {
        return refuse(NOMINATION);
    }
    Ok(())
}

/// The Content-Type, empty if there is none that is ASCII.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Whether `Connection` must not remove this field: it decides about the request, or a trusted proxy set it.
fn must_stay(name: &HeaderName) -> bool {
    let decides = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::HOST,
    ];
    decides.contains(name) || matches!(kind(name.as_str()), Kind::Ours | Kind::Forwarders)
}

fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
}

/// Removes the fields that `Connection` names, and those of certain kinds. Does not allocate if there are none.
fn strip(headers: &mut HeaderMap, goes: impl Fn(Kind) -> bool) {
    let by_kind = headers.keys().filter(|name| goes(kind(name.as_str())));
    let gone: Vec<HeaderName> = nominated(headers).chain(by_kind.cloned()).collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Turns the header fields of a client's request into those of the request to the upstream.
pub(crate) fn towards_upstream(headers: &mut HeaderMap, peer: Peer<'_>) {
    strip(headers, |kind| match kind {
        Kind::Hop | Kind::Never => true,
        Kind::Forwarders => !peer.trusted,
        // Set below.
        Kind::Ours | Kind::Ordinary => false,
    });
    let Peer {
        node, host, scheme, ..
    } = peer;
    // Unchanged: routing has checked that it is one valid host.
    let host = headers
        .get(header::HOST)
        .cloned()
        .or_else(|| HeaderValue::from_str(host).ok());
    if peer.trusted {
        append(headers, X_FORWARDED_FOR, node.as_str());
        append(headers, header::FORWARDED, &element(peer));
    } else {
        headers.insert(X_FORWARDED_FOR, node.written.clone());
        put(headers, header::FORWARDED, forwarded(peer));
    }
    let believed =
        |headers: &HeaderMap, name: HeaderName| peer.trusted && headers.contains_key(name);
    if !believed(headers, X_FORWARDED_HOST) {
        put(headers, X_FORWARDED_HOST, host);
    }
    if !believed(headers, X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
}

/// The `Forwarded` value with only the gate's element. Cached for the host and scheme of the connection's first request.
fn forwarded(peer: Peer<'_>) -> Option<HeaderValue> {
    let make = || HeaderValue::try_from(element(peer)).ok();
    match peer.node.forwarded.get() {
        Some((host, scheme, value)) if host == peer.host && *scheme == peer.scheme => {
            Some(value.clone())
        }
        Some(_) => make(),
        None => {
            let value = make()?;
            let first = (peer.host.to_owned(), peer.scheme, value.clone());
            // Cannot fail: a connection has one request at a time.
            let _first = peer.node.forwarded.set(first);
            Some(value)
        }
    }
}

/// The `Forwarded` element of the gate (RFC 7239 section 4).
fn element(peer: Peer<'_>) -> String {
    let node = peer.node.as_str();
    let (open, close) = if peer.node.address.is_ipv6() {
        ("\"[", "]\"")
    } else {
        ("", "")
    };
    [
        "for=",
        open,
        node,
        close,
        ";host=\"",
        peer.host,
        "\";proto=",
        peer.scheme,
    ]
    .concat()
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// Removes the fields of an upstream's response that end at this hop.
pub(crate) fn towards_client(headers: &mut HeaderMap) {
    strip(headers, |kind| kind == Kind::Hop);
}

/// Removes the fields that describe a body, after it was replaced.
pub(crate) fn forget_body(headers: &mut HeaderMap) {
    let describes = |name: &&HeaderName| {
        matches!(
            name.as_str(),
            "content-length"
                | "content-encoding"
                | "content-range"
                | "content-md5"
                | "content-digest"
                | "accept-ranges"
                | "etag"
                | "last-modified"
                | "digest"
                | "repr-digest"
        )
    };
    let gone: Vec<HeaderName> = headers.keys().filter(describes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// The value of a field; of the first one if there are several.
pub(crate) fn value(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// Sets a field. Removes it if the value is not a valid field value.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    put(headers, name, HeaderValue::from_str(value).ok());
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let list = before.chain([value]).collect::<Vec<_>>().join(", ");
    set(headers, name, &list);
}

/// The value of a cookie, if exactly one has that name.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = cookie_pairs(headers)
        .filter(|(cookie, _)| *cookie == name)
        .map(|(_, value)| value);
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// The cookies of a request with their values, without those that are not UTF-8. Only the blanks that browsers write are removed
/// (RFC 6265 section 5.4): a name with other blanks does not begin with `__Host-` for a browser, so any host may have set it.
pub(crate) fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(header::COOKIE).iter();
    let texts = fields
        .flat_map(cookies)
        .filter_map(|cookie| str::from_utf8(cookie).ok());
    texts.filter_map(|cookie| cookie.trim_matches([' ', '\t']).split_once('='))
}

/// Removes the cookie with this name.
pub(crate) fn without_cookie(headers: &mut HeaderMap, name: &str) {
    without_cookies(headers, |cookie| cookie == name);
}

fn cookies(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field.as_bytes().split(|&byte| byte == b';')
}

/// Removes every cookie whose name is unwanted, from all Cookie fields. Some servers also split cookies at commas.
pub(crate) fn without_cookies(headers: &mut HeaderMap, is_unwanted: impl Fn(&str) -> bool) {
    let has_name = |cookie: &[u8]| {
        let name = cookie.split(|&byte| byte == b'=').next();
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        name.is_some_and(|name| is_unwanted(name.trim()))
    };
    let goes = |cookie: &[u8]| cookie.split(|&byte| byte == b',').any(has_name);
    let fields = headers.get_all(header::COOKIE);
    if !fields.iter().flat_map(cookies).any(goes) {
        return;
    }
    let fields: Vec<HeaderValue> = fields.iter().cloned().collect();
    headers.remove(header::COOKIE);
    for field in &fields {
        let cookies = cookies(field).map(<[u8]>::trim_ascii);
        let kept: Vec<_> = cookies.filter(|cookie| !goes(cookie)).collect();
        let value = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
        if let (false, Ok(value)) = (kept.is_empty(), value) {
            headers.append(header::COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn forwarded(list: &[(&str, &str)], trusted: bool) -> HeaderMap {
        let mut headers = headers(list);
        let peer = Peer {
            node: &Node::new([192, 0, 2, 1].into()),
            trusted,
            host: "login.example",
            scheme: "https",
        };
        towards_upstream(&mut headers, peer);
        headers
    }

    #[test]
    fn hop_by_hop_and_forwarder_fields_of_clients_are_removed() {
        let out = forwarded(
            &[
                ("connection", "keep-alive, x-hop"),
                ("x-hop", "1"),
                ("upgrade", "h2c"),
                ("te", "trailers"),
                ("expect", "100-continue"),
                ("content-length", "5"),
                ("x_forwarded_for", "1.2.3.4"),
                ("script_name", "/x"),
                ("x-original-url", "/token"),
                ("x-http-method-override", "POST"),
                ("x-forwarded-for", "6.6.6.6"),
                ("forwarded", "for=6.6.6.6"),
                ("x-forwarded-user", "admin"),
                ("x-forwarded-client-cert", "x"),
                ("x-ssl-client-verify", "SUCCESS"),
                ("remote-user", "admin"),
                ("x-auth-request-email", "admin@client.test"),
                ("proxy", "http://evil.test"),
                ("accept", "*/*"),
            ],
            false,
        );
        let mut names: Vec<&str> = out.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto"
            ]
        );
        assert_eq!(out["x-forwarded-for"], "192.0.2.1");
        assert_eq!(
            out["forwarded"],
            "for=192.0.2.1;host=\"login.example\";proto=https"
        );
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_appended_to() {
        let out = forwarded(
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "http"),
                ("x-real-ip", "6.6.6.6"),
                ("x-ssl-client-verify", "NONE"),
                ("x-original-url", "/token"),
                ("proxy", "http://evil.test"),
            ],
            true,
        );
        assert_eq!(out["x-forwarded-for"], "6.6.6.6, 192.0.2.1");
        assert_eq!(out["x-forwarded-proto"], "http");
        assert_eq!(out["x-real-ip"], "6.6.6.6");
        assert_eq!(out["x-ssl-client-verify"], "NONE");
        assert!(!out.contains_key("x-original-url") && !out.contains_key("proxy"));
        assert_eq!(out["x-forwarded-host"], "login.example");
    }

    #[test]
    fn forwarded_has_the_host_and_scheme_of_each_request() {
        let node = Node::new([192, 0, 2, 1].into());
        for (host, scheme) in [
            ("a.test", "https"),
            ("a.test", "http"),
            ("b.test", "https"),
            ("a.test", "https"),
        ] {
            let mut headers = HeaderMap::new();
            let peer = Peer {
                node: &node,
                trusted: false,
                host,
                scheme,
            };
            towards_upstream(&mut headers, peer);
            let expected = format!("for=192.0.2.1;host=\"{host}\";proto={scheme}");
            assert_eq!(headers["forwarded"], expected);
        }
    }

    #[test]
    fn ambiguous_fields_are_refused() {
        for (list, expected) in [
            (
                vec![("authorization", "a"), ("authorization", "b")],
                Err(TWICE),
            ),
            (
                vec![("content-type", "a"), ("content-type", "a")],
                Err(TWICE),
            ),
            (
                vec![("connection", "close, Authorization")],
                Err(NOMINATION),
            ),
            (vec![("connection", "x-forwarded-for")], Err(NOMINATION)),
            (vec![("connection", "close, X-Real-IP")], Err(NOMINATION)),
            (vec![("connection", "x-ssl-client-verify")], Err(NOMINATION)),
            (vec![("connection", "remote-user")], Err(NOMINATION)),
            (vec![("connection", "upgrade, x-hop, te")], Ok(())),
            (
                vec![("transfer-encoding", "gzip, chunked")],
                Err(TRANSFER_ENCODING),
            ),
            (
                vec![("transfer-encoding", "chunked"), ("connection", "close")],
                Ok(()),
            ),
        ] {
            let headers: HeaderMap = {
                let mut map = HeaderMap::new();
                for (name, value) in &list {
                    map.append(
                        name.parse::<HeaderName>().unwrap(),
                        HeaderValue::from_str(value).unwrap(),
                    );
                }
                map
            };
            let checked = check(&headers).map_err(|(_, reason)| reason);
            assert_eq!(checked, expected, "{list:?}");
        }
    }

    #[test]
    fn the_cookie_of_the_gate_is_read_and_not_forwarded() {
        let mut map = headers(&[("cookie", "sid=1; pkce-gate=abc; x=2")]);
        assert_eq!(cookie(&map, "pkce-gate"), Some("abc"));
        without_cookie(&mut map, "pkce-gate");
        assert_eq!(map["cookie"], "sid=1; x=2");
        let mut map = headers(&[("cookie", "sid=1;x=2"), ("cookie", "pkce-gate=abc")]);
        map.append("cookie", HeaderValue::from_static("pkce-gate=b;\u{20}y=3"));
        without_cookie(&mut map, "pkce-gate");
        let left: Vec<_> = map.get_all("cookie").iter().collect();
        assert_eq!(left, ["sid=1; x=2", "y=3"]);
        assert_eq!(cookie(&headers(&[("cookie", "a=1; a=2")]), "a"), None);
    }
}
