//! The names, paths and hosts that identify upstreams and their requests.

use std::net::Ipv6Addr;

use super::value::{Kind, Wrong};
use super::wording::quoted;

/// An exact path.
pub(super) const PATH: Kind<String> = Kind::new("a path", "/oauth2/authorize", path).pattern("^/");

/// An exact path, or with `/**` at its end everything below it.
pub(super) const PATTERN: Kind<String> = Kind::new("a path", "/assets/**", pattern).pattern("^/");

/// An exact path in which `*` is any one segment.
pub(super) const SEGMENTS: Kind<String> =
    Kind::new("a path", "/auth/login_flow/*", segments).pattern("^/");

/// A path prefix: `/`, or a path without a trailing slash.
pub(super) const PREFIX: Kind<String> = Kind::new("a path", "/auth", prefix).pattern("^/");

/// `name` or `name:port`.
pub(super) const HOST: Kind<String> = Kind::new("a host", "login.example.com", host);

/// The name of an upstream.
pub(super) const NAME: Kind<String> =
    Kind::new("a name", "legacy", name).pattern("^[A-Za-z0-9._-]{1,64}$");

fn path(text: &str) -> Result<String, Wrong> {
    if let Some((_, after)) = text.split_once("://") {
        let path = after.find('/').and_then(|slash| after.get(slash..));
        return Err(Wrong::new(
            "it has a scheme and a host",
            format!("write {}", quoted(path.unwrap_or(PATH.example))),
        ));
    }
    if !text.starts_with('/') {
        return Err(Wrong::new(
            "it does not begin with /",
            format!("write {}", quoted(&format!("/{text}"))),
        ));
    }
    if let Some(odd) = text.chars().find(|&odd| !may_be_in_a_path(odd)) {
        let label = match odd {
            '?' => "it has a query".to_owned(),
            '#' => "it has a fragment".to_owned(),
            '%' => "it has a percent escape".to_owned(),
            '*' => "it has a wildcard, and paths are exact".to_owned(),
            odd => format!("{odd:?} does not belong in a path"),
        };
        return Err(Wrong::new(
            label,
            "write the exact path, without query or escapes",
        ));
    }
    if text.contains("//") {
        return Err(Wrong::new(
            "it has an empty segment",
            "write single slashes; the gate merges them in requests",
        ));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Wrong::new(
            "it has a dot segment",
            "write the path that it leads to",
        ));
    }
    Ok(text.to_owned())
}

/// RFC 3986 `pchar` and `/`, without percent-encoding, without `;` (servers strip it) and without `*` (patterns use it).
fn may_be_in_a_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/-._~!$&'()+,=:@".contains(character)
}

fn pattern(text: &str) -> Result<String, Wrong> {
    let (above, below) = match text.strip_suffix("/**") {
        Some("") => return Ok(text.to_owned()),
        Some(above) => (above, "/**"),
        None => (text, ""),
    };
    match path(above) {
        Ok(path) => Ok(format!("{path}{below}")),
        Err(mut wrong) if text.contains('*') => {
            wrong
                .help
                .push_str("; everything below a path is written \"/assets/**\"");
            Err(wrong)
        }
        Err(wrong) => Err(wrong),
    }
}

fn segments(text: &str) -> Result<String, Wrong> {
    let exact: Vec<&str> = text
        .split('/')
        .map(|segment| if segment == "*" { "a" } else { segment })
        .collect();
    path(&exact.join("/")).map(|_| text.to_owned())
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let path = path(text)?;
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

fn host(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write a host name, with a port where clients send one: \"login.example.com\", \"localhost:8080\"";
    if text.contains("://") || text.contains('/') {
        return Err(Wrong::new("it is a URL", HELP));
    }
    if text.contains('*') {
        return Err(Wrong::new(
            "wildcards are not known here",
            "list every host, or leave hosts empty for any",
        ));
    }
    let text = text.to_ascii_lowercase();
    let (name, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => text.split_at(colon),
        _ => (text.as_str(), ""),
    };
    let port_is_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.parse::<u16>()
                .is_ok_and(|number| number.to_string() == port)
        });
    if !port_is_good {
        return Err(Wrong::new("the port is not a number", HELP));
    }
    let bracketed = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name_is_good = match bracketed {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => {
            name.split('.').all(|label| !label.is_empty())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    if name_is_good {
        Ok(text)
    } else {
        Err(Wrong::new("not a valid host name", HELP))
    }
}

/// Parses a name. The characters are limited because names appear in metric labels and log lines.
fn name(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write at most 64 letters, digits, '-', '_' and '.', for example \"legacy\"";
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() {
        return Err(Wrong::new("it is empty", HELP));
    }
    if let Some(odd) = text.chars().find(|&c| !good(c)) {
        return Err(Wrong::new(
            format!("{odd:?} does not belong in a name"),
            HELP,
        ));
    }
    if text.len() > 64 {
        return Err(Wrong::new("it is too long", HELP));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(kind: &Kind<T>, input: &str, expected: Result<T, &str>)
    where
        T: PartialEq + std::fmt::Debug,
    {
        let found = (kind.read)(input).map_err(|wrong| wrong.label);
        assert_eq!(found, expected.map_err(str::to_owned), "{input:?}");
    }

    #[test]
    fn endpoint_paths_are_exact() {
        for good in [
            "/",
            "/oauth2/authorize",
            "/o/token/",
            "/a.b/~c/@d:e",
            "/..a/b..",
        ] {
            check(&PATH, good, Ok(good.to_owned()));
        }
        for (bad, label) in [
            ("", "it does not begin with /"),
            ("token", "it does not begin with /"),
            ("https://a.example/token", "it has a scheme and a host"),
            ("/token?x", "it has a query"),
            ("/token#x", "it has a fragment"),
            ("/%74oken", "it has a percent escape"),
            ("/oauth/*", "it has a wildcard, and paths are exact"),
            ("/token;x", "';' does not belong in a path"),
            ("/a\\b", "'\\\\' does not belong in a path"),
            ("/a b", "' ' does not belong in a path"),
            ("/ä", "'ä' does not belong in a path"),
            ("//token", "it has an empty segment"),
            ("/a/./b", "it has a dot segment"),
            ("/a/..", "it has a dot segment"),
        ] {
            check(&PATH, bad, Err(label));
        }
    }

    #[test]
    fn a_prefix_loses_its_trailing_slash() {
        check(&PREFIX, "/", Ok("/".to_owned()));
        check(&PREFIX, "/auth/", Ok("/auth".to_owned()));
        check(&PREFIX, "/auth/v1", Ok("/auth/v1".to_owned()));
        check(&PREFIX, "auth", Err("it does not begin with /"));
    }

    #[test]
    fn hosts_are_lower_case_names_with_or_without_a_port() {
        for (good, expected) in [
            ("Login.Example.com", "login.example.com"),
            ("localhost:8080", "localhost:8080"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            check(&HOST, good, Ok(expected.to_owned()));
        }
        for (bad, label) in [
            ("https://login.example.com", "it is a URL"),
            ("login.example.com/", "it is a URL"),
            ("*.example.com", "wildcards are not known here"),
            ("login.example.com:http", "the port is not a number"),
            ("login.example.com:080", "the port is not a number"),
            ("login.example.com:99999", "the port is not a number"),
            ("login..example.com", "not a valid host name"),
            ("bücher.example", "not a valid host name"),
            ("user@host", "not a valid host name"),
            ("::1", "not a valid host name"),
            ("[::g]", "not a valid host name"),
            ("", "not a valid host name"),
        ] {
            check(&HOST, bad, Err(label));
        }
    }
}
