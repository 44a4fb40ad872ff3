use crate::config::testing::{check_text, config};

const ENDPOINTS: &str = "[upstream.endpoints]\nauthorization = [\"/a\"]\ntoken = [\"/t\"]\n";

fn text(upstream: &str) -> String {
    format!("[[upstream]]\n{upstream}\n{ENDPOINTS}")
}

fn check(upstream: &str, expected: &[&str]) {
    check_text(&text(upstream), expected);
}

#[test]
fn written_values_are_used() {
    let config = config(&text(
        "name = \"vendor-2\"\nurl = \"https://[fd00::1]:8443/\"\nca = \"/ca.pem\"\n\
         hosts = [\"Login.Example.com\", \"localhost:8080\"]\nprefix = \"/auth/\"\n\
         public_url = \"https://login.example.com/\"\npreserve_host = false\n\
         connect = \"1s\"\nresponse = \"1m\"\nidle = \"30s\"\n\
         metadata = { rewrite = false, issuer = \"https://login.example.com/auth\" }",
    ));
    let upstream = &config.upstreams[0];
    let connection = &upstream.connection;
    assert_eq!((connection.tls, connection.port), (true, 8443));
    assert_eq!(connection.host, "fd00::1");
    assert_eq!(connection.origin(), "https://[fd00::1]:8443");
    assert_eq!(connection.ca.as_deref(), Some("/ca.pem".as_ref()));
    assert_eq!(connection.response.as_secs(), 60);
    let gateway = &upstream.gateway;
    assert_eq!(gateway.name, "vendor-2");
    assert_eq!(gateway.hosts, ["login.example.com", "localhost:8080"]);
    assert_eq!(gateway.prefix, "/auth");
    assert_eq!(gateway.endpoints.token, ["/auth/t"]);
    assert_eq!(gateway.public_origin, "https://login.example.com");
    assert!(!gateway.preserve_host && !gateway.rewrite_metadata);
    assert_eq!(
        gateway.issuer.as_deref(),
        Some("https://login.example.com/auth")
    );
}

#[test]
fn an_upstream_needs_a_valid_url() {
    check(
        "name = \"x\"",
        &[
            "1:1 error: `upstream.url` is missing | the gate has to know where this upstream is | \
           add url = \"http://127.0.0.1:9000\"",
        ],
    );
    check(
        "url = \"http://127.0.0.1:9000/auth\"",
        &[
            "2:7 error: `upstream.url` is not a URL of scheme, host and port | it has a path | \
           write \"http://127.0.0.1:9000\"; which paths belong to it is said by prefix and endpoints",
        ],
    );
    check(
        "url = \"unix:/run/upstream.sock\"",
        &[
            "2:7 error: `upstream.url`: a unix: socket is not supported in this version | \
           comes with a later version | write a TCP address, for example \"http://127.0.0.1:9000\"",
        ],
    );
}

#[test]
fn ca_needs_an_https_url_and_a_readable_file() {
    const HELP: &str = "write the path of a PEM file with CERTIFICATE blocks; relative paths begin beside this file";
    check(
        "url = \"http://127.0.0.1:9000\"\nca = \"ca.pem\"",
        &["3:6 error: `upstream.ca` needs an https:// upstream | \
           nothing is checked against it over plain http | remove it, or write url = \"https://…\""],
    );
    for (file, path, label) in [
        ("none.pem", "etc/none.pem", "no such file"),
        ("empty.pem", "etc/empty.pem", "it contains no certificate"),
    ] {
        check(
            &format!("url = \"https://127.0.0.1:9000\"\nca = \"{file}\""),
            &[&format!(
                "3:6 error: \"{path}\" cannot be used | {label} | {HELP}"
            )],
        );
    }
    let config = config(&text("url = \"https://127.0.0.1:9000\"\nca = \"ca.pem\""));
    let ca = config.upstreams[0].connection.ca.as_deref();
    assert_eq!(ca, Some("etc/ca.pem".as_ref()), "beside the file");
}

#[test]
fn names_are_labels() {
    for (name, label) in [
        ("", "it is empty"),
        ("my server", "' ' does not belong in a name"),
        ("a\\u001b", "'\\u{1b}' does not belong in a name"),
        (&"x".repeat(65), "it is too long"),
    ] {
        check(
            &format!("url = \"http://127.0.0.1\"\nname = \"{name}\""),
            &[&format!(
                "3:8 error: `upstream.name` is not a name | {label} | \
                 write at most 64 letters, digits, '-', '_' and '.', for example \"legacy\""
            )],
        );
    }
}

#[test]
fn an_issuer_is_a_url_without_a_query() {
    let issuer =
        |issuer: &str| format!("url = \"http://127.0.0.1\"\nmetadata.issuer = \"{issuer}\"");
    check(&issuer("http://127.0.0.1:8080"), &[]);
    check(
        &issuer("https://a.example/?x"),
        &[
            "3:19 error: `upstream.metadata.issuer` is not an issuer | it has a query or a fragment | \
           write the issuer exactly as its metadata has it",
        ],
    );
    check(
        &issuer("a.example"),
        &["3:19 error: `upstream.metadata.issuer` is not an issuer | \
           it does not begin with http:// or https:// | write \"https://a.example\""],
    );
}
