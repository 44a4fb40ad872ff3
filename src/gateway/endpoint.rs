//! Which upstream and which endpoint a request is for: exact matches, and the path gate.
//!
//! Servers fold paths (case, `//`, `;…`, escapes, extensions) in as many ways as there are frameworks. Nothing here
//! emulates them: a path that is an endpoint's byte for byte is that endpoint, and a path that *some* folding turns
//! into a protected endpoint is refused.

use std::borrow::Cow;
use std::collections::HashSet;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

use super::{Endpoints, Settings};

/// What a path is at its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// RFC 6749 section 3.1, and configured continuations.
    Authorization,
    /// RFC 6749 section 3.2.
    Token,
    /// RFC 8414.
    Metadata,
    /// Anything else.
    Other,
}

/// Why a request is for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misrouted {
    /// None, several, or one that is no authority.
    #[error("exactly one valid Host is needed")]
    Host,
    /// The request target and Host name different servers.
    #[error("Host and request target disagree")]
    Disagreement,
    /// No upstream has that host and prefix.
    #[error("no upstream here has this host and path")]
    Unknown,
    /// `*`, or an authority alone.
    #[error("the request target is no path")]
    Target,
}

impl Misrouted {
    /// 421 where the request may be right elsewhere, 400 where it is wrong.
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::Host | Self::Target => http::StatusCode::BAD_REQUEST,
            Self::Disagreement | Self::Unknown => http::StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

/// Host and path patterns of all upstreams.
#[derive(Debug)]
pub struct Routes {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    hosts: Vec<String>,
    prefix: String,
    endpoints: Endpoints,
    protected: HashSet<String>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Route<'u> {
    /// Index of the upstream.
    pub upstream: usize,
    /// What the path is there; `None`: some servers would take it for a protected endpoint.
    pub endpoint: Option<Endpoint>,
    /// With runs of `/` merged: what was matched is what is forwarded.
    pub path: Cow<'u, str>,
    /// The host that the client named.
    pub host: String,
}

impl Routes {
    /// The routes of these upstreams, in order.
    pub fn new<'s>(upstreams: impl IntoIterator<Item = &'s Settings>) -> Self {
        let entry = |settings: &Settings| {
            let Endpoints {
                authorization,
                continuation,
                token,
                metadata: _,
            } = &settings.endpoints;
            let protected = authorization.iter().chain(continuation).chain(token);
            Entry {
                hosts: settings.hosts.clone(),
                prefix: settings.prefix.clone(),
                endpoints: settings.endpoints.clone(),
                protected: protected.map(|path| fold_path(path)).collect(),
            }
        };
        Self {
            entries: upstreams.into_iter().map(entry).collect(),
        }
    }

    /// Finds the upstream: the host first, then the longest prefix.
    pub fn find<'u>(&self, uri: &'u Uri, headers: &HeaderMap) -> Result<Route<'u>, Misrouted> {
        let host = host_of(uri, headers)?;
        let path = uri.path();
        if !path.starts_with('/') {
            return Err(Misrouted::Target);
        }
        let path = if path.contains("//") {
            Cow::Owned(crate::carrier::metadata::merge_slashes(path))
        } else {
            Cow::Borrowed(path)
        };
        let (upstream, entry) = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.serves(&host) && entry.contains(&path))
            .max_by_key(|(_, entry)| (!entry.hosts.is_empty(), entry.prefix.len()))
            .ok_or(Misrouted::Unknown)?;
        let endpoint = entry.endpoint(&path);
        Ok(Route {
            upstream,
            endpoint,
            path,
            host: host.as_str().to_ascii_lowercase(),
        })
    }
}

impl Entry {
    fn serves(&self, host: &Authority) -> bool {
        let (name, whole) = (
            host.host().to_ascii_lowercase(),
            host.as_str().to_ascii_lowercase(),
        );
        self.hosts.is_empty()
            || self
                .hosts
                .iter()
                .any(|known| *known == name || *known == whole)
    }

    fn contains(&self, path: &str) -> bool {
        self.prefix == "/"
            || path
                .strip_prefix(&self.prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let is = |paths: &[String]| paths.iter().any(|known| known == path);
        let Endpoints {
            authorization,
            continuation,
            token,
            metadata,
        } = &self.endpoints;
        if is(authorization) || is(continuation) {
            Some(Endpoint::Authorization)
        } else if is(token) {
            Some(Endpoint::Token)
        } else if has_nul(path) || self.protected.contains(&fold_path(path)) {
            None
        } else if is(metadata) {
            Some(Endpoint::Metadata)
        } else {
            Some(Endpoint::Other)
        }
    }
}

/// The one host that the request names, in Host and in an absolute target alike.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Misrouted> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| Misrouted::Host)?,
        (None | Some(_), _) => return Err(Misrouted::Host),
    };
    if host.as_str().contains('@') || !has_valid_port(&host) {
        return Err(Misrouted::Host);
    }
    match uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host.as_str()) => {
            Err(Misrouted::Disagreement)
        }
        Some(_) | None => Ok(host),
    }
}

/// No port, or one that is a number: the parser takes any text for a port.
fn has_valid_port(host: &Authority) -> bool {
    let port = host.as_str().strip_prefix(host.host());
    port.is_some_and(str::is_empty) || host.port_u16().is_some()
}

/// What a path looks like to the most forgiving server: escapes decoded twice, case folded, `\` as `/`, path
/// parameters, dot segments, doubled slashes, trailing dots, blanks and the extension gone.
pub fn fold_path(path: &str) -> String {
    let decoded = decode_lossy(&decode_lossy(path.as_bytes()));
    let text: String = decoded
        .iter()
        .map(|&byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    let text = text
        .split('\0')
        .next()
        .unwrap_or_default()
        .replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        let segment = segment.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut folded = segments.join("/");
    let last = folded.rfind('/').map_or(0, |at| at + 1);
    if let Some(dot) = folded.get(last..).and_then(|name| name.find(['.', ':'])) {
        folded.truncate(last + dot);
        folded.truncate(folded.trim_end().len());
    }
    folded
}

/// Whether a NUL stands in the path after decoding it once or twice. Some servers end the path there, others drop it: no
/// single folding is right, and nobody's path has one.
fn has_nul(path: &str) -> bool {
    path.contains('%') && decode_lossy(&decode_lossy(path.as_bytes())).contains(&0)
}

/// Percent-decoding that leaves broken escapes alone; for folding only, nothing decoded here is ever used.
fn decode_lossy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| {
            tail.get(at)
                .and_then(|&digit| char::from(digit).to_digit(16))
        };
        rest = match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                tail.get(2..).unwrap_or_default()
            }
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn entry(hosts: &[&str], prefix: &str) -> Entry {
        let path = |path: &str| vec![format!("{}{path}", prefix.trim_end_matches('/'))];
        let endpoints = Endpoints {
            authorization: path("/oauth2/authorize"),
            continuation: path("/oauth2/callback"),
            token: path("/oauth2/token"),
            metadata: path("/.well-known/openid-configuration"),
        };
        let protected = [
            &endpoints.authorization,
            &endpoints.continuation,
            &endpoints.token,
        ];
        Entry {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            prefix: prefix.to_owned(),
            protected: protected
                .into_iter()
                .flatten()
                .map(|path| fold_path(path))
                .collect(),
            endpoints,
        }
    }

    fn find(
        routes: &Routes,
        target: &str,
        host: &str,
    ) -> Result<(usize, Option<Endpoint>, String), Misrouted> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        let uri: Uri = target.parse().unwrap();
        let route = routes.find(&uri, &headers)?;
        Ok((route.upstream, route.endpoint, route.path.into_owned()))
    }

    #[test]
    fn endpoints_match_exactly_and_what_folds_onto_one_is_refused() {
        let routes = Routes {
            entries: vec![entry(&[], "/")],
        };
        let endpoint = |target: &str| find(&routes, target, "h").unwrap().1;
        assert_eq!(endpoint("/oauth2/token"), Some(Endpoint::Token));
        assert_eq!(endpoint("//oauth2///token?x"), Some(Endpoint::Token));
        assert_eq!(
            endpoint("/oauth2/authorize?a=b"),
            Some(Endpoint::Authorization)
        );
        assert_eq!(endpoint("/oauth2/callback"), Some(Endpoint::Authorization));
        assert_eq!(
            endpoint("/.well-known/openid-configuration"),
            Some(Endpoint::Metadata)
        );
        for other in [
            "/",
            "/login",
            "/oauth2/tokens",
            "/oauth2/token/introspect",
            "/assets/token.css",
        ] {
            assert_eq!(endpoint(other), Some(Endpoint::Other), "{other}");
        }
        for folded in [
            "/oauth2/token/",
            "/OAuth2/TOKEN",
            "/oauth2/%74oken",
            "/oauth2/%2574oken",
            "/x/../oauth2/token",
            "/x/%2e%2e/oauth2/token",
            "/./oauth2/token",
            "/oauth2/token;jsessionid=1",
            "/x;a/..;/oauth2/token",
            "/oauth2%2ftoken",
            "/oauth2/token%00",
            "/oauth2/token%00.css",
            "/oauth2/token.json",
            "/oauth2/token.",
            "/oauth2/token%20",
            "/oauth2\\token",
            "/x\\..\\oauth2/token",
            "/%5coauth2/token",
            "/oauth2/token::$DATA",
            "/oauth2/token%0a",
            "/oauth2/token%20.css",
            "/%00oauth2/token",
            "/oauth2/%2500token",
            "/login%00",
            "/oauth2;/token",
            "/Oauth2/Authorize/",
        ] {
            assert_eq!(endpoint(folded), None, "{folded}");
        }
    }

    #[test]
    fn the_host_comes_first_and_then_the_longest_prefix() {
        let routes = Routes {
            entries: vec![
                entry(&[], "/"),
                entry(&["a.example"], "/"),
                entry(&["a.example"], "/two"),
            ],
        };
        let upstream = |target, host| find(&routes, target, host).map(|found| found.0);
        assert_eq!(upstream("/two/x", "a.example"), Ok(2));
        assert_eq!(upstream("/twofold", "A.example:443"), Ok(1));
        assert_eq!(upstream("/two/x", "b.example"), Ok(0));
        assert_eq!(
            find(&routes, "/two/oauth2/token", "a.example").unwrap().1,
            Some(Endpoint::Token)
        );
        let named = Routes {
            entries: vec![entry(&["a.example"], "/")],
        };
        assert_eq!(find(&named, "/", "b.example"), Err(Misrouted::Unknown));
    }

    #[test]
    fn one_host_that_agrees_with_the_target() {
        let routes = Routes {
            entries: vec![entry(&[], "/")],
        };
        assert!(find(&routes, "http://h/x", "h").is_ok());
        assert_eq!(
            find(&routes, "http://evil/x", "h"),
            Err(Misrouted::Disagreement)
        );
        assert_eq!(find(&routes, "*", "h"), Err(Misrouted::Target));
        for host in ["user@h", "h:x", "h:", "h:99999", "[::1]:x"] {
            assert_eq!(find(&routes, "/", host), Err(Misrouted::Host), "{host}");
        }
        assert!(find(&routes, "/", "[::1]:80").is_ok() && find(&routes, "/", "[::1]").is_ok());
        let mut headers = HeaderMap::new();
        assert_eq!(
            routes.find(&Uri::from_static("/"), &headers),
            Err(Misrouted::Host)
        );
        headers.append(header::HOST, HeaderValue::from_static("a"));
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert_eq!(
            routes.find(&Uri::from_static("/"), &headers),
            Err(Misrouted::Host)
        );
    }
}
