//! Which address the client has that a trusted proxy speaks for: for the log, and for nothing that is decided.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};

use super::X_FORWARDED_FOR;

/// The last address that is no trusted proxy's, of those that proxies have written one behind the other: what stands before
/// it anybody may have written. `X-Forwarded-For` counts, and only where it is absent `Forwarded`. `None`: nothing is said.
pub fn client(headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let is_plain = headers.contains_key(X_FORWARDED_FOR);
    let name = if is_plain {
        X_FORWARDED_FOR
    } else {
        header::FORWARDED
    };
    let mut nearest = None;
    for field in headers.get_all(name).iter().rev() {
        // What cannot be read says nothing, and what stands before it is not believed.
        for element in field.to_str().ok()?.rsplit(',') {
            let node = if is_plain {
                Some(element)
            } else {
                node_of(element)
            };
            let Some(address) = node.and_then(address) else {
                return nearest;
            };
            nearest = Some(address);
            if !is_proxy(address) {
                return nearest;
            }
        }
    }
    nearest
}

/// The parameter `for` of an element (RFC 7239 section 4).
fn node_of(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, node) = nodes.next()?;
    Some(node.trim().trim_matches('"'))
}

/// With a port or without, in brackets or not.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'));
    let with_port = || node.parse().map(|address: SocketAddr| address.ip());
    bare.unwrap_or(node).parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::HeaderName;

    fn client_of(fields: &[(&'static str, &str)]) -> Option<String> {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (HeaderName::from_static(name), value)
        });
        let proxies: ipnet::IpNet = "10.0.0.0/8".parse().unwrap();
        let found = client(&fields.collect(), |address| proxies.contains(&address));
        found.map(|address| address.to_string())
    }

    #[test]
    fn it_is_the_last_address_that_is_no_proxys() {
        for (field, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.3", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80, 10.1.1.1", Some("2001:db8::1")),
            ("10.0.0.1, 10.0.0.2", Some("10.0.0.1")),
            // What stands before something that is no address anybody may have written.
            ("6.6.6.6, unknown", None),
            ("6.6.6.6, unknown, 10.0.0.2", Some("10.0.0.2")),
            ("6.6.6.6, <script>", None),
            ("", None),
            ("192.0.2.1,", None),
            ("é", None),
        ] {
            let found = client_of(&[("x-forwarded-for", field)]);
            assert_eq!(found.as_deref(), expected, "{field}");
        }
        let two = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
            ("x-forwarded-for", "10.0.0.9"),
        ];
        assert_eq!(client_of(&two).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_x_forwarded_for() {
        for (field, expected) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            (
                "for=6.6.6.6, For=\"192.0.2.1:80\";proto=https",
                Some("192.0.2.1"),
            ),
            (
                "proto=https; for=\"[2001:db8::1]:4711\"",
                Some("2001:db8::1"),
            ),
            ("for=192.0.2.1, for=10.0.0.7;by=10.0.0.8", Some("192.0.2.1")),
            ("for=6.6.6.6, for=_hidden", None),
            ("for=6.6.6.6, by=10.0.0.8", None),
            ("192.0.2.1", None),
        ] {
            assert_eq!(
                client_of(&[("forwarded", field)]).as_deref(),
                expected,
                "{field}"
            );
        }
        let both = [
            ("forwarded", "for=6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client_of(&both).as_deref(), Some("192.0.2.1"));
        assert_eq!(client_of(&[]), None);
    }
}
