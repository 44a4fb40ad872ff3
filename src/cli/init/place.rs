//! Where the new gate listens, and the address at which clients reach it.

use std::net::{Ipv4Addr, SocketAddr};

use url::Url;

use crate::cli::loopback::this_machine;
use crate::config::accepts;

/// The addresses of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) listen: SocketAddr,
    /// Scheme, host and port.
    pub(super) public: String,
    /// Where the public address comes from.
    pub(super) why: &'static str,
    /// Whether a proxy in front of the gate has that address, and not the gate itself.
    pub(super) is_behind_proxy: bool,
}

impl Place {
    /// `given`: the public URL that the operator named; otherwise the issuer says it, if it is not at the upstream itself.
    pub(super) fn of(
        upstream: &Url,
        issuer: Option<&str>,
        given: Option<&Url>,
        admin: SocketAddr,
    ) -> Self {
        let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
        let issuer = issuer.filter(|issuer| !is_one_server(issuer, upstream));
        let named = given.map(|url| (url, "as --public-url says"));
        let named = named.or(issuer
            .as_ref()
            .map(|url| (url, "as the issuer of the server says")));
        let named = named
            .map(|(url, why)| (url.origin().ascii_serialization(), url, why))
            .filter(|(origin, _, _)| accepts::origin(origin).is_ok());
        let Some((public, url, why)) = named else {
            let listen = free(upstream, admin);
            return Self {
                listen,
                public: format!("http://{listen}"),
                why: "for a try on this machine; later, the address that clients use",
                is_behind_proxy: false,
            };
        };
        let own = this_machine(url).filter(|_| url.scheme() == "http");
        Self {
            listen: own.unwrap_or_else(|| free(upstream, admin)),
            public,
            why,
            is_behind_proxy: own.is_none(),
        }
    }
}

fn is_one_server(one: &Url, other: &Url) -> bool {
    let ports = [one, other].map(|url| this_machine(url).map(|address| address.port()));
    one.origin() == other.origin() || matches!(ports, [Some(a), Some(b)] if a == b)
}

/// 127.0.0.1:8080, or the next port that neither the upstream nor the admin listener has.
fn free(upstream: &Url, admin: SocketAddr) -> SocketAddr {
    let taken = [upstream.port_or_known_default(), Some(admin.port())];
    let port = (8080..8090).find(|port| !taken.contains(&Some(*port)));
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(8080)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(upstream: &str, issuer: Option<&str>, given: Option<&str>) -> (String, String, bool) {
        let url = |text: &str| Url::parse(text).unwrap();
        let admin = "127.0.0.1:9901".parse().unwrap();
        let given = given.map(url);
        let place = Place::of(&url(upstream), issuer, given.as_ref(), admin);
        (
            place.listen.to_string(),
            place.public,
            place.is_behind_proxy,
        )
    }

    #[test]
    fn the_public_address_is_given_or_that_of_the_issuer() {
        for (upstream, issuer, given, listen, public, is_behind_proxy) in [
            (
                "http://10.0.0.5:9000",
                Some("https://login.example/t"),
                None,
                "127.0.0.1:8080",
                "https://login.example",
                true,
            ),
            (
                "http://10.0.0.5:9000",
                Some("https://login.example"),
                Some("https://other.example:8443/"),
                "127.0.0.1:8080",
                "https://other.example:8443",
                true,
            ),
            (
                "https://login.example",
                Some("https://login.example"),
                None,
                "127.0.0.1:8080",
                "http://127.0.0.1:8080",
                false,
            ),
            (
                "http://127.0.0.1:8080",
                Some("http://localhost:8080"),
                None,
                "127.0.0.1:8081",
                "http://127.0.0.1:8081",
                false,
            ),
            (
                "http://127.0.0.1:9000",
                Some("http://localhost:7000"),
                None,
                "127.0.0.1:7000",
                "http://localhost:7000",
                false,
            ),
            (
                "http://127.0.0.1:9000",
                None,
                Some("http://[::1]:7000"),
                "[::1]:7000",
                "http://[::1]:7000",
                false,
            ),
            (
                "http://127.0.0.1:8080",
                Some("https://localhost"),
                None,
                "127.0.0.1:8081",
                "https://localhost",
                true,
            ),
        ] {
            let found = place(upstream, issuer, given);
            let expected = (listen.to_owned(), public.to_owned(), is_behind_proxy);
            assert_eq!(found, expected, "{upstream} {issuer:?} {given:?}");
        }
    }

    #[test]
    fn an_issuer_without_a_usable_origin_says_nothing() {
        for issuer in ["https://login.example:0", "data:x", "no URL"] {
            let (listen, public, _) = place("https://a.example", Some(issuer), None);
            assert_eq!(
                (&*listen, &*public),
                ("127.0.0.1:8080", "http://127.0.0.1:8080")
            );
        }
    }
}
