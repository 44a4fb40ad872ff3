use super::*;

fn check(input: &str, expected: Result<&str, &str>) {
    let found = (ORIGIN.read)(input);
    let found = found
        .as_ref()
        .map(ToString::to_string)
        .map_err(|wrong| wrong.label.as_str());
    assert_eq!(found, expected.map(str::to_owned), "{input:?}");
}

#[test]
fn an_origin_has_only_scheme_host_and_port() {
    for (input, shown) in [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("https://Login.Example.com/", "https://login.example.com"),
        ("https://login.example.com:443", "https://login.example.com"),
        ("HTTP://localhost:80", "http://localhost"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        (
            "https://xn--bcher-kva.example",
            "https://xn--bcher-kva.example",
        ),
    ] {
        check(input, Ok(shown));
    }
    for (input, label) in [
        ("", "it does not begin with http:// or https://"),
        (
            "127.0.0.1:9000",
            "it does not begin with http:// or https://",
        ),
        (
            "localhost:9000",
            "it does not begin with http:// or https://",
        ),
        ("//host", "it does not begin with http:// or https://"),
        ("ftp://host", "the scheme is \"ftp\""),
        ("http://", "the host is missing"),
        ("http:///host", "the host is missing"),
        ("http://:80", "empty host"),
        ("http://host:99999", "invalid port number"),
        ("http://host:0", "nothing is reached at port 0"),
        ("http://a b", "' ' does not belong in a URL"),
        ("http://host\\x", "'\\\\' does not belong in a URL"),
        ("http://user@host", "it has a user name or a password"),
        ("http://:pw@host", "it has a user name or a password"),
        ("http://@host", "it has a user name or a password"),
        ("http://host/auth", "it has a path"),
        ("http://host?x", "it has a query or a fragment"),
        ("http://host#x", "it has a query or a fragment"),
        ("http://0x7f.1", "this would be read as http://127.0.0.1"),
        (
            "http://bücher.example",
            "this would be read as http://xn--bcher-kva.example",
        ),
    ] {
        check(input, Err(label));
    }
}

#[test]
fn unix_sockets_are_reserved() {
    let wrong = (ORIGIN.read)("unix:/run/upstream.sock").unwrap_err();
    assert_eq!(wrong.later.as_deref(), Some("a unix: socket"));
}

#[test]
fn loopback_is_this_machine() {
    for (input, expected) in [
        ("http://127.0.0.1", true),
        ("http://127.8.9.1:9000", true),
        ("http://[::1]:9000", true),
        ("http://localhost", true),
        ("http://auth.localhost", true),
        ("http://10.0.0.1", false),
        ("http://0.0.0.0", false),
        ("http://localhost.example.com", false),
    ] {
        let origin = (ORIGIN.read)(input).unwrap();
        assert_eq!(origin.is_loopback(), expected, "{input}");
    }
}
