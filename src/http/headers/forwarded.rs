//! Finds the client's address in the fields of trusted proxies.

use std::net::{IpAddr, SocketAddr};

use http::header::HeaderName;
use http::{HeaderMap, header};
use ipnet::IpNet;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the peer's, or if the peer is a trusted proxy, the last address in the field that is not a proxy's. The
/// client may have written the addresses before that one. `None`: the proxies do not name the client, or the field cannot be
/// parsed.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer;
    // X-Forwarded-For first: most proxies set it, and forward the client's own `Forwarded` unchanged.
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

/// Whether the address is a trusted proxy's. An IPv4-mapped IPv6 address counts as the IPv4 address.
pub(crate) fn is_proxy(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// The `for` parameter in an element of `Forwarded` (RFC 7239 section 4).
fn node(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(node.trim().trim_matches('"'))
}

/// Parses an address, with or without a port, and with or without the brackets of IPv6.
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
    fn fields_of_untrusted_peers_are_ignored() {
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
    fn the_last_address_that_is_not_a_proxy_counts() {
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
    fn forwarded_is_read_if_there_is_no_x_forwarded_for() {
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
    fn a_missing_or_invalid_address_is_not_guessed() {
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
