//! Finds the upstream and the endpoint of a request.
//!
//! Servers normalise paths (case, `//`, `;…`, escapes, extensions) in as many ways as there are frameworks. The gate does not
//! emulate them. A path that is equal to an endpoint's, byte for byte, is that endpoint. A path that *some* normalisation turns
//! into a protected endpoint is refused, also if it is the endpoint of another upstream: several upstreams may be one server. An
//! ambiguous path ([`Readings::Ambiguous`]) is refused as well.

mod code_in_json;
mod endpoints;
pub(crate) mod fold;
mod host;
mod no_route;
mod policy;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

use crate::oauth::Endpoint;

pub(crate) use code_in_json::CodeInJson;
pub(crate) use endpoints::{Alias, Endpoints, OwnDocument};
use fold::{Readings, fold_path, is_below, merge_slashes};
use host::valid_host;
pub(crate) use no_route::Misdirection;
pub(crate) use policy::RoutePolicy;

/// The hosts and paths of all upstreams.
#[derive(Debug)]
pub(crate) struct Routes {
    entries: Vec<Entry>,
}

/// The hosts, the path prefix and the endpoints of an upstream.
#[derive(Debug)]
pub struct Territory {
    /// Host values (`name` or `name:port`, lower case). Empty: any host.
    pub hosts: Vec<String>,
    /// `/`, or `/something` without a trailing slash.
    pub prefix: String,
    pub endpoints: Endpoints,
    /// Whether its default rule enforces.
    pub enforces: bool,
}

#[derive(Debug)]
struct Entry {
    territory: Territory,
    /// The paths of the authorization, continuation and token endpoints, normalised by [`fold_path`].
    protected: HashSet<String>,
    /// The other upstreams whose hosts overlap.
    neighbours: Vec<usize>,
}

/// The route of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route<'u> {
    /// The index of the upstream. If `endpoint` is `None`, of the upstream whose rules apply.
    pub upstream: usize,
    /// `None`: some servers would treat the path as a protected endpoint.
    pub endpoint: Option<Endpoint>,
    /// The path with runs of `/` merged, as it was matched and is forwarded. For an alias, the path that it stands for.
    pub path: Cow<'u, str>,
    /// Whether the request has an alias in place of `path`.
    pub is_alias: bool,
    /// The host in the request.
    pub host: Authority,
}

impl Routes {
    /// The routes to these upstreams, whose order defines the indices.
    pub(crate) fn new(upstreams: impl IntoIterator<Item = Territory>) -> Self {
        let mut entries: Vec<Entry> = upstreams.into_iter().map(Entry::new).collect();
        let hosts = entries.iter().map(|entry| entry.territory.hosts.clone());
        let hosts: Vec<_> = hosts.collect();
        for (at, entry) in entries.iter_mut().enumerate() {
            let others = hosts.iter().enumerate();
            let near = others
                .filter(|(other, hosts)| *other != at && overlap(&entry.territory.hosts, hosts));
            entry.neighbours = near.map(|(other, _)| other).collect();
        }
        Self { entries }
    }

    /// Finds the upstream: an upstream with matching hosts before one for any host, then the one with the longest prefix.
    /// `known`: the host of the first request of the connection, which need not be parsed again.
    pub(crate) fn find<'u>(
        &self,
        uri: &'u Uri,
        headers: &HeaderMap,
        known: &OnceLock<Authority>,
    ) -> Result<Route<'u>, Misdirection> {
        let host = host_of(uri, headers, known)?;
        let path = uri.path();
        if !path.starts_with('/') {
            return Err(Misdirection::TARGET);
        }
        let path = if path.contains("//") {
            Cow::Owned(merge_slashes(path))
        } else {
            Cow::Borrowed(path)
        };
        let (upstream, entry) = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.serves(&host) && entry.contains(&path))
            .max_by_key(|(_, entry)| {
                let hosts = &entry.territory.hosts;
                (!hosts.is_empty(), entry.closeness(&path))
            })
            .ok_or(Misdirection::UNKNOWN)?;
        let target = entry.territory.endpoints.target_of(&path);
        let is_alias = target.is_some();
        let path = target.map_or(path, |target| Cow::Owned(target.to_owned()));
        let exact = entry.exactly(&path);
        let (upstream, endpoint) = match exact {
            Some(endpoint) => (upstream, Some(endpoint)),
            None if is_alias => (upstream, Some(Endpoint::Other)),
            None => match self.inexactly(upstream, entry, &path) {
                (upstream, Some(Endpoint::Other)) if entry.territory.endpoints.is_smart(&path) => {
                    (upstream, Some(Endpoint::Metadata))
                }
                inexact => inexact,
            },
        };
        Ok(Route {
            upstream,
            endpoint,
            path,
            is_alias,
            host,
        })
    }

    /// The route of a path that is not equal to an endpoint. If some server may treat it as an endpoint, the rules of an upstream
    /// that enforces apply, if the path may be an endpoint of it: a laxer upstream must not be a way around a stricter one.
    fn inexactly(&self, upstream: usize, entry: &Entry, path: &str) -> (usize, Option<Endpoint>) {
        let readings = Readings::of(path);
        let near = || {
            let near = entry.neighbours.iter();
            near.filter_map(|&at| Some((at, self.entries.get(at)?)))
                .filter(|(_, other)| other.may_be_meant(&readings))
        };
        if !entry.may_be_meant(&readings) && near().next().is_none() {
            return (upstream, Some(Endpoint::Other));
        }
        let stricter =
            near().find(|(_, other)| other.territory.enforces && !entry.territory.enforces);
        (stricter.map_or(upstream, |(at, _)| at), None)
    }
}

/// Whether some host matches both lists. An empty list matches any host; a name matches that name with any port.
pub(crate) fn overlap(one: &[String], other: &[String]) -> bool {
    let alike = |a: &str, b: &str| a == b || without_port(a) == b || without_port(b) == a;
    one.is_empty() || other.is_empty() || one.iter().any(|a| other.iter().any(|b| alike(a, b)))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

impl Entry {
    fn new(territory: Territory) -> Self {
        let protected = territory.endpoints.protected();
        Self {
            protected: protected.map(|path| fold_path(path)).collect(),
            territory,
            neighbours: Vec::new(),
        }
    }

    fn serves(&self, host: &Authority) -> bool {
        let is_named = |known: &String| {
            known.eq_ignore_ascii_case(host.host()) || known.eq_ignore_ascii_case(host.as_str())
        };
        let hosts = &self.territory.hosts;
        hosts.is_empty() || hosts.iter().any(is_named)
    }

    fn contains(&self, path: &str) -> bool {
        self.is_well_known(path) || is_below(self.territory.prefix.trim_end_matches('/'), path)
    }

    /// Whether the path is one of the issuer's well-known paths, which may be outside of the prefix.
    fn is_well_known(&self, path: &str) -> bool {
        let mut known = self.territory.endpoints.well_known.iter();
        known.any(|known| known == path)
    }

    /// By how much of the path it is for this upstream.
    fn closeness(&self, path: &str) -> usize {
        if self.is_well_known(path) {
            path.len()
        } else {
            self.territory.prefix.len()
        }
    }

    fn exactly(&self, path: &str) -> Option<Endpoint> {
        let is = |paths: &[String]| paths.iter().any(|known| known == path);
        let endpoints = &self.territory.endpoints;
        if is(&endpoints.authorization) || is(&endpoints.continuation) {
            Some(Endpoint::Authorization)
        } else if is(&endpoints.token) {
            Some(Endpoint::Token)
        } else if is(&endpoints.device_authorization) {
            Some(Endpoint::DeviceAuthorization)
        } else if is(&endpoints.authorization_challenge) {
            Some(Endpoint::AuthorizationChallenge)
        } else if is(&endpoints.pushed_authorization_request) {
            Some(Endpoint::PushedAuthorizationRequest)
        } else if endpoints.is_metadata(path) {
            Some(Endpoint::Metadata)
        } else {
            None
        }
    }

    /// Whether some server may treat the path as a protected endpoint of this upstream.
    fn may_be_meant(&self, readings: &Readings<'_>) -> bool {
        readings.any(|reading| self.protected.contains(reading))
    }
}

/// The host in the request: exactly one Host field, equal to the authority of an absolute target.
fn host_of(
    uri: &Uri,
    headers: &HeaderMap,
    known: &OnceLock<Authority>,
) -> Result<Authority, Misdirection> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Misdirection::HOST);
    };
    let host = match known.get().filter(|known| host == known.as_str()) {
        Some(known) => known.clone(),
        None => valid_host(host)?,
    };
    known.get_or_init(|| host.clone());
    match uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host.as_str()) => {
            Err(Misdirection::DISAGREEMENT)
        }
        Some(_) | None => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::well_known;
    use http::HeaderValue;

    fn entry(hosts: &[&str], prefix: &str) -> Territory {
        let path = |path: &str| vec![format!("{}{path}", prefix.trim_end_matches('/'))];
        let endpoints = Endpoints {
            authorization: path("/oauth2/authorize"),
            continuation: path("/oauth2/callback"),
            token: path("/oauth2/token"),
            device_authorization: path("/oauth2/device"),
            authorization_challenge: path("/oauth2/challenge"),
            metadata: path("/.well-known/openid-configuration"),
            ..Endpoints::default()
        };
        Territory {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            prefix: prefix.to_owned(),
            endpoints,
            enforces: true,
        }
    }

    fn find(
        routes: &Routes,
        target: &str,
        host: &str,
    ) -> Result<(usize, Option<Endpoint>, String), Misdirection> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        let uri: Uri = target.parse().unwrap();
        let route = routes.find(&uri, &headers, &OnceLock::new())?;
        Ok((route.upstream, route.endpoint, route.path.into_owned()))
    }

    #[test]
    fn each_request_of_a_connection_is_routed_by_its_own_host() {
        let routes = Routes::new(vec![entry(&["a.test"], "/"), entry(&["b.test:8443"], "/")]);
        let known = OnceLock::new();
        let root = Uri::from_static("/");
        let find = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            let route = routes.find(&root, &headers, &known);
            route.map(|route| (route.upstream, route.host.to_string()))
        };
        for host in ["a.test", "b.test:8443", "A.test", "a.test:1", "a.test"] {
            let upstream = usize::from(host.starts_with('b'));
            assert_eq!(find(host), Ok((upstream, host.to_owned())));
        }
        assert_eq!(find("x@a.test"), Err(Misdirection::HOST));
        assert_eq!(find("c.test"), Err(Misdirection::UNKNOWN));
    }

    #[test]
    fn endpoints_match_exactly_and_paths_that_fold_onto_one_are_refused() {
        let routes = Routes::new(vec![entry(&[], "/")]);
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
            "/oauth2/token%3Fa",
            "/oauth2/token%23",
            "/oauth2/%c1%b4oken",
            "/oauth2/%u0074oken",
            "/oauth2/%09/../token",
            "/login/%2e%2e",
        ] {
            assert_eq!(endpoint(folded), None, "{folded}");
        }
    }

    /// Two upstreams may be one server. A path that the laxer one forwards could be an endpoint of the stricter one.
    #[test]
    fn the_endpoints_of_a_neighbour_are_protected_by_its_own_rules() {
        let lax = |hosts, prefix| Territory {
            enforces: false,
            ..entry(hosts, prefix)
        };
        let routes = Routes::new(vec![
            entry(&["h"], "/a"),
            lax(&["h:80"], "/b"),
            lax(&[], "/"),
            entry(&["other"], "/c"),
        ]);
        let found = |target| find(&routes, target, "h:80").map(|found| (found.0, found.1));
        for target in [
            "/b/..%2fa/oauth2/authorize",
            "/b/%2e%2e/a/oauth2/token",
            "/A/oauth2/authorize",
            "/%61/oauth2/authorize",
            "/a;x/oauth2/token",
            "/b\\..\\a/oauth2/token",
            "/%2fa/oauth2/token",
        ] {
            assert_eq!(found(target), Ok((0, None)), "{target}");
        }
        assert_eq!(found("/a/oauth2/token"), Ok((0, Some(Endpoint::Token))));
        assert_eq!(found("/b/oauth2/token"), Ok((1, Some(Endpoint::Token))));
        assert_eq!(found("/oauth2/token"), Ok((2, Some(Endpoint::Token))));
        // An endpoint of its own, folded: its own rules apply.
        assert_eq!(found("/b/oauth2/TOKEN"), Ok((1, None)));
        assert_eq!(found("/b/login"), Ok((1, Some(Endpoint::Other))));
        assert_eq!(found("/login"), Ok((2, Some(Endpoint::Other))));
        // The upstream for any host overlaps with the host of the last one, too.
        assert_eq!(found("/c/oauth2/token"), Ok((3, None)));
        assert_eq!(find(&routes, "/b/oauth2/TOKEN", "h:80").unwrap().0, 1);
    }

    #[test]
    fn hosts_overlap_if_one_request_may_be_for_either() {
        let list = |hosts: &[&str]| -> Vec<String> {
            hosts.iter().map(|host| (*host).to_owned()).collect()
        };
        for (one, other, expected) in [
            (&[] as &[&str], &["a"] as &[&str], true),
            (&["a", "b"], &["c", "b"], true),
            (&["a"], &["a:80"], true),
            (&["a:80"], &["a:81"], false),
            (&["a"], &["b"], false),
            (&["[::1]"], &["[::1]:80"], true),
            (&["[::1]"], &["[::2]"], false),
        ] {
            let (one, other) = (list(one), list(other));
            assert_eq!(
                (overlap(&one, &other), overlap(&other, &one)),
                (expected, expected),
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn the_host_counts_first_and_then_the_longest_prefix() {
        let routes = Routes::new(vec![
            entry(&[], "/"),
            entry(&["a.example"], "/"),
            entry(&["a.example"], "/two"),
        ]);
        let upstream = |target, host| find(&routes, target, host).map(|found| found.0);
        assert_eq!(upstream("/two/x", "a.example"), Ok(2));
        assert_eq!(upstream("/twofold", "A.example:443"), Ok(1));
        assert_eq!(upstream("/two/x", "b.example"), Ok(0));
        assert_eq!(
            find(&routes, "/two/oauth2/token", "a.example").unwrap().1,
            Some(Endpoint::Token)
        );
        let named = Routes::new(vec![entry(&["a.example"], "/")]);
        assert_eq!(find(&named, "/", "b.example"), Err(Misdirection::UNKNOWN));
    }

    fn with_aliases() -> Routes {
        let mut one = entry(&[], "/");
        one.endpoints.registration = vec!["/connect/register".to_owned()];
        let pairs = [
            ("/authorize", "/oauth2/authorize"),
            ("/token", "/oauth2/token"),
            ("/register", "/connect/register"),
            ("/metadata", "/.well-known/openid-configuration"),
        ];
        one.endpoints.aliases = Vec::from(pairs.map(|(path, target)| Alias {
            path: path.to_owned(),
            target: target.to_owned(),
        }));
        Routes::new(vec![one])
    }

    #[test]
    fn an_alias_is_the_endpoint_that_it_stands_for() {
        let routes = with_aliases();
        for (target, endpoint, path) in [
            (
                "/authorize?a=b",
                Endpoint::Authorization,
                "/oauth2/authorize",
            ),
            ("//token", Endpoint::Token, "/oauth2/token"),
            ("/register", Endpoint::Other, "/connect/register"),
            (
                "/metadata",
                Endpoint::Metadata,
                "/.well-known/openid-configuration",
            ),
            ("/tokens", Endpoint::Other, "/tokens"),
        ] {
            let found = find(&routes, target, "h");
            assert_eq!(found, Ok((0, Some(endpoint), path.to_owned())), "{target}");
        }
    }

    #[test]
    fn other_spellings_of_an_alias_are_refused_as_those_of_its_endpoint() {
        let routes = with_aliases();
        for path in [
            "/token/",
            "/TOKEN",
            "/%74oken",
            "/x/../authorize",
            "/authorize;a",
            "/token.json",
        ] {
            assert_eq!(find(&routes, path, "h").unwrap().1, None, "{path}");
        }
        // An alias of what needs no protection is not protected either.
        assert_eq!(
            find(&routes, "/register/", "h").unwrap().1,
            Some(Endpoint::Other)
        );
    }

    #[test]
    fn the_well_known_paths_of_an_issuer_belong_to_its_upstream() {
        let mut tenant = entry(&[], "/tenant");
        tenant.endpoints.well_known = well_known::paths(well_known::OAUTH, "/tenant");
        let routes = Routes::new(vec![entry(&[], "/"), tenant]);
        for (path, expected) in [
            (
                "/.well-known/oauth-authorization-server/tenant",
                (1, Some(Endpoint::Metadata)),
            ),
            (
                "/tenant/.well-known/oauth-authorization-server",
                (1, Some(Endpoint::Metadata)),
            ),
            (
                "/.well-known/oauth-authorization-server/tenant2",
                (0, Some(Endpoint::Other)),
            ),
            (
                "/.well-known/openid-configuration",
                (0, Some(Endpoint::Metadata)),
            ),
        ] {
            let (upstream, endpoint, _) = find(&routes, path, "h").unwrap();
            assert_eq!((upstream, endpoint), expected, "{path}");
        }
    }

    #[test]
    fn smart_configurations_are_found_below_every_fhir_base_url() {
        let path = "/r4/acme/.well-known/smart-configuration";
        let routes = |one| Routes::new(vec![one]);
        let endpoint = |routes: &Routes, path| find(routes, path, "h").unwrap().1;
        let mut without = entry(&[], "/");
        without.endpoints.metadata.clear();
        assert_eq!(endpoint(&routes(without), path), Some(Endpoint::Other));
        let routes = routes(entry(&[], "/"));
        assert_eq!(endpoint(&routes, path), Some(Endpoint::Metadata));
        assert_eq!(
            endpoint(&routes, well_known::SMART),
            Some(Endpoint::Metadata)
        );
        let disguised = "/oauth2/token;/.well-known/smart-configuration/../../../oauth2/token";
        assert_eq!(endpoint(&routes, disguised), None);
        let ambiguous = "/oauth2/token%00/.well-known/smart-configuration";
        assert_eq!(endpoint(&routes, ambiguous), None);
    }

    #[test]
    fn a_request_needs_one_host_that_agrees_with_the_target() {
        let routes = Routes::new(vec![entry(&[], "/")]);
        assert!(find(&routes, "http://h/x", "h").is_ok());
        assert_eq!(
            find(&routes, "http://evil/x", "h"),
            Err(Misdirection::DISAGREEMENT)
        );
        assert_eq!(find(&routes, "*", "h"), Err(Misdirection::TARGET));
        for host in ["user@h", "h:x", "h:", "h:+80", "h:99999", "[::1]:x"] {
            assert_eq!(find(&routes, "/", host), Err(Misdirection::HOST), "{host}");
        }
        assert!(find(&routes, "/", "[::1]:80").is_ok() && find(&routes, "/", "[::1]").is_ok());
        let mut headers = HeaderMap::new();
        assert_eq!(
            routes.find(&Uri::from_static("/"), &headers, &OnceLock::new()),
            Err(Misdirection::HOST)
        );
        headers.append(header::HOST, HeaderValue::from_static("a"));
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert_eq!(
            routes.find(&Uri::from_static("/"), &headers, &OnceLock::new()),
            Err(Misdirection::HOST)
        );
    }
}
