//! Who the client is, as trusted proxies say it.

use std::net::{IpAddr, SocketAddr};

use http::header::HeaderName;
use http::{HeaderMap, header};
use ipnet::IpNet;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: that of the peer; where the peer is one of these proxies, the last that they say and that is none of
/// theirs. What stands before it the client may have written. `None`: they do not say it, or not so that it can be read.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer;
    // Most proxies write X-Forwarded-For, and pass on what clients send as `Forwarded`.
    let is_forwarded = !headers.contains_key(X_FORWARDED_FOR);
    let name = if is_forwarded {
        header::FORWARDED
    } else {
        X_FORWARDED_FOR
    };
    let values = headers.get_all(name).into_iter().rev();
    let mut said = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_proxy(address, proxies) {
        let element = str::from_utf8(said.next()?).ok()?;
        let node = if is_forwarded {
            node(element)?
        } else {
            element
        };
        address = self::address(node)?;
    }
    Some(address)
}

/// Whether it is the address of a trusted proxy, also where an IPv4 address is written as IPv6.
pub(crate) fn is_proxy(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// `for` in an element of `Forwarded` (RFC 7239 section 4).
fn node(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(node.trim().trim_matches('"'))
}

/// With a port or without one, an IPv6 address in brackets or not.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'));
    let address = bare.unwrap_or(node).parse();
    address
        .or_else(|_| node.parse().map(|address: SocketAddr| address.ip()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, fields: &[(&'static str, &'static str)]) -> Option<String> {
        let proxies = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:1::/48".parse().unwrap(),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        client(&headers, peer.parse().unwrap(), &proxies).map(|address| address.to_string())
    }

    #[test]
    fn what_strangers_say_is_not_believed() {
        let said = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ];
        assert_eq!(
            client_of("198.51.100.1", &said).as_deref(),
            Some("198.51.100.1")
        );
    }

    #[test]
    fn the_last_address_that_is_no_proxys_counts() {
        let of = |value| client_of("10.0.0.1", &[("x-forwarded-for", value)]);
        for (value, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1 , 10.0.0.2", "192.0.2.1"),
            ("not an address, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1,::ffff:10.0.0.2", "192.0.2.1"),
        ] {
            assert_eq!(of(value).as_deref(), Some(address), "{value}");
        }
        let fields = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(
            client_of("2001:db8:1::1", &fields).as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(
            client_of("::ffff:10.0.0.1", &fields).as_deref(),
            Some("192.0.2.1")
        );
    }

    #[test]
    fn forwarded_is_read_where_it_is_alone() {
        for (value, address) in [
            ("for=192.0.2.1", "192.0.2.1"),
            (
                "for=203.0.113.9;proto=https, For=\"192.0.2.1:80\"",
                "192.0.2.1",
            ),
            ("proto=https;for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:4711\";host=a", "2001:db8::1"),
        ] {
            let client = client_of("10.0.0.1", &[("forwarded", value)]);
            assert_eq!(client.as_deref(), Some(address), "{value}");
        }
        let both = [
            ("forwarded", "for=203.0.113.9"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client_of("10.0.0.1", &both).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn what_proxies_do_not_say_is_not_guessed() {
        let x = |value| client_of("10.0.0.1", &[("x-forwarded-for", value)]);
        for value in [
            "",
            "unknown",
            "192.0.2.1, unknown",
            "10.0.0.3, 10.0.0.2",
            "192.0.2.1,",
        ] {
            assert_eq!(x(value), None, "{value}");
        }
        for value in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=192.0.2.1, by=10.0.0.2",
        ] {
            assert_eq!(
                client_of("10.0.0.1", &[("forwarded", value)]),
                None,
                "{value}"
            );
        }
        assert_eq!(client_of("10.0.0.1", &[]), None);
    }
}
