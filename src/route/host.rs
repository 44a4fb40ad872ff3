//! Validates `Host` (RFC 9110 section 7.2), so that all servers read the same host.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use http::uri::Authority;

use super::no_route::Misdirection;

/// Parses a name or an address, with or without a port. Refuses userinfo, escapes, and everything that some server trims or
/// repairs.
pub(super) fn valid_host(host: &HeaderValue) -> Result<Authority, Misdirection> {
    let text = host.to_str().map_err(|_| Misdirection::HOST)?;
    // The colons of an IPv6 address are inside brackets.
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if !is_name_or_address(name) || !port.is_none_or(is_port) {
        return Err(Misdirection::HOST);
    }
    Authority::try_from(text).map_err(|_| Misdirection::HOST)
}

fn is_name_or_address(name: &str) -> bool {
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    if let Some(address) = bracketed {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return false;
    }
    // Some parsers read a name whose last label is a number as an IPv4 address: 0x7f.1 is 127.0.0.1.
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next();
    let is_number = last.is_some_and(|last| {
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        last.bytes().all(|byte| byte.is_ascii_digit())
            || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    !is_number || name.parse::<Ipv4Addr>().is_ok()
}

/// A port number without sign and leading zeros.
fn is_port(port: &str) -> bool {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Url;

    fn is_valid(host: &str) -> bool {
        HeaderValue::from_bytes(host.as_bytes()).is_ok_and(|host| valid_host(&host).is_ok())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_an_optional_port() {
        for host in [
            "a.test",
            "A.Test:8080",
            "a.test.:80",
            "a-b_c.test",
            "xn--bcher-kva.test",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "[2001:db8::ffff:192.0.2.1]:1",
        ] {
            assert!(is_valid(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "a.test:",
            "a.test:+80",
            "a.test:-1",
            "a.test:080",
            "a.test:0",
            "a.test:00",
            "a.test: 80",
            "a.test:80 ",
            "a.test:8O",
            "a.test:0x50",
            "a.test:65536",
            "a.test:99999999999999999999",
            "a.test:80:80",
            "a.test::80",
            "user@a.test",
            "user:password@a.test:80",
            "@a.test",
            " a.test",
            "a.test ",
            "a. test",
            "a\ttest",
            "a%2etest",
            "a.test%00",
            "%61.test",
            "a.test/",
            "a.test?",
            "a.test#",
            "a.test\\b",
            "a.test,b.test",
            "a.test;b",
            "a=b",
            "a!b",
            "(a)",
            "\"a.test\"",
            "é.test",
            "[::1",
            "::1]",
            "[::1]]",
            "[[::1]]",
            "[]",
            "[]:80",
            "[::1]80",
            "[::1]:",
            "[::1]:+80",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "[a.test]",
            "::1",
            "::1:80",
            "1.2.3",
            "1.2.3.4.5",
            "256.0.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "127.0.0.01",
            "a.0x",
        ] {
            assert!(!is_valid(host), "{host:?}");
        }
    }

    /// A part of an authority, valid or not.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zA-Z0-9.-]{0,8}",
            2 => ":[0-9]{0,6}",
            1 => "[:+@%/?#\\\\ \\[\\]_~0x;,=!-]{1,2}",
            1 => Just("[::1]".to_owned()),
            1 => "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}",
            1 => "0x[0-9a-f]{0,3}",
        ]
    }

    proptest! {
        /// The url crate parses like a browser, which repairs much.
        #[test]
        fn a_valid_host_is_parsed_alike_by_a_lenient_parser(pieces in prop::collection::vec(piece(), 1..4)) {
            let host = pieces.concat();
            if is_valid(&host) {
                let authority = Authority::try_from(host.as_str()).unwrap();
                let url = Url::parse(&format!("http://{host}/"));
                // It also validates internationalised names, which the gate does not.
                if let Ok(url) = url {
                    let lower = authority.host().to_ascii_lowercase();
                    prop_assert_eq!(url.host_str().unwrap_or_default(), lower);
                    prop_assert_eq!(url.port_or_known_default(), authority.port_u16().or(Some(80)));
                    prop_assert!(url.username().is_empty() && url.password().is_none());
                    prop_assert_eq!(url.path(), "/");
                } else {
                    prop_assert!(host.to_ascii_lowercase().contains("xn--"), "{}", host);
                }
            }
        }
    }
}
