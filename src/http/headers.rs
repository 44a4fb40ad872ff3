//! Header fields that end at this hop, and those that we set (RFC 9110 section 7.6, RFC 7239).
//!
//! A sidecar on loopback is a trusted forwarder to gunicorn, ASP.NET and others: a field that means nothing from the
//! Internet becomes authoritative when we relay it.

pub(crate) mod forwarded;
mod kind;

use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};

use forwarded::X_FORWARDED_FOR;
use kind::{Kind, kind};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Why a request's fields are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHeaders {
    /// A field that must occur once occurs twice; servers pick different ones.
    #[error("a header field that may occur once occurs twice")]
    Duplicate,
    /// `Connection` names a field that is ours or decides about the request.
    #[error("Connection names a header field that must not be dropped")]
    Nomination,
    /// An expectation that nobody here can meet.
    #[error("this expectation cannot be met")]
    Expectation,
    /// Anything but `chunked`.
    #[error("this Transfer-Encoding is not supported")]
    TransferEncoding,
}

/// The other end of a connection, and what is the same in all of its requests.
#[derive(Debug)]
pub(crate) struct Node {
    address: IpAddr,
    written: HeaderValue,
    /// The host that its first request named: nearly always, that of the others.
    pub host: OnceLock<Authority>,
    /// Where it is a trusted proxy's: the client of the request at hand. Requests come one after the other.
    client: Mutex<Option<IpAddr>>,
    /// What was said of its first request: the host, the scheme, and the element of `Forwarded`.
    forwarded: OnceLock<(String, &'static str, HeaderValue)>,
}

impl Node {
    /// Of a connection that was just accepted.
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

    /// The peer's address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The client of the request that begins, as far as the proxy says it.
    pub(crate) fn speaks_for(&self, client: Option<IpAddr>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// The client of the request at hand, where it is not the peer itself.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer's address as it is written.
    pub(crate) fn as_str(&self) -> &str {
        self.written.to_str().unwrap_or_default()
    }
}

/// Who sent the request, and how the client reached us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    /// The other end of the connection.
    pub node: &'a Node,
    /// Whether its Forwarded and X-Forwarded-* are believed.
    pub trusted: bool,
    /// The Host that it named.
    pub host: &'a str,
    /// `https` or `http`: how clients reach the gate.
    pub scheme: &'static str,
}

/// Refuses what is ambiguous.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), BadHeaders> {
    // In nearly all requests no field is there twice.
    if headers.len() > headers.keys_len() {
        for name in [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::TRANSFER_ENCODING,
        ] {
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(BadHeaders::Duplicate);
            }
        }
    }
    if headers
        .get(header::TRANSFER_ENCODING)
        .is_some_and(|te| !te.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(BadHeaders::TransferEncoding);
    }
    if headers
        .get(header::EXPECT)
        .is_some_and(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(BadHeaders::Expectation);
    }
    if nominated(headers).any(|name| is_ours(&name)) {
        return Err(BadHeaders::Nomination);
    }
    Ok(())
}

/// What a trusted proxy has said, or what decides about the request, is not for a client to take away.
fn is_ours(name: &HeaderName) -> bool {
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

/// Drops what `Connection` names, and what else goes by its kind. Nothing is allocated where nothing does.
fn strip(headers: &mut HeaderMap, goes: impl Fn(Kind) -> bool) {
    let by_kind = headers.keys().filter(|name| goes(kind(name.as_str())));
    let gone: Vec<HeaderName> = nominated(headers).chain(by_kind.cloned()).collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Makes a client's fields those of our own request to the upstream.
pub(crate) fn towards_upstream(headers: &mut HeaderMap, peer: Peer<'_>) {
    strip(headers, |kind| match kind {
        Kind::Hop | Kind::Nobodys => true,
        Kind::Forwarders => !peer.trusted,
        // Written below.
        Kind::Ours | Kind::Ordinary => false,
    });
    let Peer {
        node, host, scheme, ..
    } = peer;
    // As it came: it was checked to be one host.
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
        put(
            headers,
            X_FORWARDED_PROTO,
            Some(HeaderValue::from_static(scheme)),
        );
    }
}

/// The element alone, which is made once where a connection is for one host.
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
            // Another request of the connection cannot have been quicker: they come one after the other.
            let _first = peer.node.forwarded.set(first);
            Some(value)
        }
    }
}

/// RFC 7239 section 4.
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

/// Makes an upstream's fields those of our own response.
pub(crate) fn towards_client(headers: &mut HeaderMap) {
    strip(headers, |kind| kind == Kind::Hop);
}

/// Drops everything that describes a body which was replaced.
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

/// Sets a field; a value that is none is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let list = before.chain([value]).collect::<Vec<_>>().join(", ");
    set(headers, name, &list);
}

/// The value of a cookie, when exactly one has that name.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(cookie, _)| *cookie == name)
        .map(|(_, value)| value);
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// Takes a cookie of ours out of what the upstream gets to see.
pub(crate) fn without_cookie(headers: &mut HeaderMap, name: &str) {
    without_cookies(headers, |cookie| cookie == name);
}

/// Takes out every cookie of such a name, in all Cookie fields. To some servers a comma separates cookies, too.
pub(crate) fn without_cookies(headers: &mut HeaderMap, is_unwanted: impl Fn(&str) -> bool) {
    let has_name = |cookie: &[u8]| {
        let name = cookie.split(|&byte| byte == b'=').next();
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        name.is_some_and(|name| is_unwanted(name.trim()))
    };
    let goes = |cookie: &[u8]| cookie.split(|&byte| byte == b',').any(has_name);
    let cookies = |value: &HeaderValue| -> Vec<Vec<u8>> {
        let cookies = value.as_bytes().split(|&byte| byte == b';');
        cookies.map(|cookie| cookie.trim_ascii().to_vec()).collect()
    };
    let all = headers.get_all(header::COOKIE).iter();
    let mut all = all.flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
    if !all.any(&goes) {
        return;
    }
    let fields: Vec<_> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(cookies)
        .collect();
    headers.remove(header::COOKIE);
    for field in fields {
        let kept: Vec<_> = field.into_iter().filter(|cookie| !goes(cookie)).collect();
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
    fn what_ends_at_this_hop_and_what_only_forwarders_may_say_is_dropped() {
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
    fn each_request_of_a_connection_says_its_own_host_and_scheme() {
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
                Err(BadHeaders::Duplicate),
            ),
            (
                vec![("content-type", "a"), ("content-type", "a")],
                Err(BadHeaders::Duplicate),
            ),
            (
                vec![("connection", "close, Authorization")],
                Err(BadHeaders::Nomination),
            ),
            (
                vec![("connection", "x-forwarded-for")],
                Err(BadHeaders::Nomination),
            ),
            (
                vec![("connection", "close, X-Real-IP")],
                Err(BadHeaders::Nomination),
            ),
            (
                vec![("connection", "x-ssl-client-verify")],
                Err(BadHeaders::Nomination),
            ),
            (
                vec![("connection", "remote-user")],
                Err(BadHeaders::Nomination),
            ),
            (vec![("connection", "upgrade, x-hop, te")], Ok(())),
            (
                vec![("transfer-encoding", "gzip, chunked")],
                Err(BadHeaders::TransferEncoding),
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
            assert_eq!(check(&headers), expected, "{list:?}");
        }
    }

    #[test]
    fn our_cookie_is_read_once_and_not_sent_on() {
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
