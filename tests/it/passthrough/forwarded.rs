//! Header fields that the gate drops, sets or translates.

use crate::support::rig::{Config, HOST, Rig, request};
use crate::support::scripted::{Act, Then, reply};

#[test]
fn hop_by_hop_fields_are_dropped() {
    let rig = Rig::new();
    rig.get_with(
        "/page",
        &[
            ("Accept", "text/html"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "X"),
            ("Upgrade", "x"),
            ("X_Under_Score", "1"),
            ("Content_Length", "7"),
            ("X-Kept", "1"),
            ("Cookie", "a=b"),
        ],
    );
    let mut names = rig.upstream.ledger()[0].header_names();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "cookie",
            "forwarded",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-kept"
        ]
    );

    let fields = [
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Upgrade", "h2c"),
        ("X-Kept", "1"),
        ("X-Kept", "2"),
    ];
    rig.upstream.once(
        "/page",
        Act::Say(reply("200 OK", &fields, b"ok"), Then::GoOn),
    );
    let response = rig.get("/page");
    for name in ["connection", "x-hop", "keep-alive", "upgrade"] {
        assert_eq!(response.header(name), None, "{response}");
    }
    let kept: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name == "x-kept")
        .collect();
    assert_eq!(kept.len(), 2, "{response}");
}

/// Many frameworks treat a proxy in front of them as trusted, and would believe what the client claims in these fields.
#[test]
fn forwarding_fields_from_a_client_are_dropped() {
    let rig = Rig::new();
    rig.get_with(
        "/page",
        &[
            ("X-Forwarded-For", "192.0.2.6"),
            ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/x"),
            ("X-Forwarded-Port", "1"),
            ("Forwarded", "for=192.0.2.6;host=evil.test"),
            ("X-Original-URL", "/token"),
            ("X-Rewrite-URL", "/token"),
            ("X-HTTP-Method-Override", "POST"),
            ("SCRIPT_NAME", "/x"),
            ("Script-Name", "/x"),
            ("Path-Info", "/token"),
            ("X-Real-IP", "192.0.2.6"),
        ],
    );
    let seen = rig.upstream.ledger().remove(0);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some(HOST));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(
        seen.header("forwarded"),
        Some("for=127.0.0.1;host=\"gate.test\";proto=http")
    );
    for name in seen.header_names() {
        let known = [
            "host",
            "accept-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "forwarded",
        ];
        assert!(known.contains(&name.as_str()), "{seen:?}");
    }
}

#[test]
fn forwarding_fields_from_a_trusted_proxy_are_kept_and_extended() {
    for (trusted, believed) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let server = format!("trusted_proxies = [\"{trusted}\"]");
        let rig = Rig::with(Config {
            server: &server,
            ..Config::default()
        });
        rig.get_with(
            "/page",
            &[
                ("X-Forwarded-For", "192.0.2.6"),
                ("X-Forwarded-For", "192.0.2.7"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "public.test"),
            ],
        );
        let seen = rig.upstream.ledger().remove(0);
        let (chain, host, proto) = if believed {
            ("192.0.2.6, 192.0.2.7, 127.0.0.1", "public.test", "https")
        } else {
            ("127.0.0.1", HOST, "http")
        };
        assert_eq!(seen.header("x-forwarded-for"), Some(chain));
        assert_eq!(seen.header("x-forwarded-host"), Some(host));
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto));
    }
}

#[test]
fn the_upstream_learns_of_an_https_public_url() {
    let rig = Rig::with(Config {
        upstream: "public_url = \"https://gate.test\"",
        ..Config::default()
    });
    rig.get("/page");
    assert_eq!(
        rig.upstream.ledger()[0].header("x-forwarded-proto"),
        Some("https")
    );
    let entry = rig.enter(&rig.authorization());
    let cookie = entry.header("set-cookie").expect("a cookie");
    assert!(
        cookie.starts_with("__Host-pkce-gate=") && cookie.contains("; Secure"),
        "{cookie}"
    );
}

#[test]
fn host_is_the_clients_or_the_upstreams() {
    for (keys, expected) in [
        ("", None),
        ("preserve_host = true", None),
        ("preserve_host = false", Some(())),
    ] {
        let rig = Rig::with(Config {
            upstream: keys,
            ..Config::default()
        });
        rig.get("/page");
        let own = rig.upstream.address().to_string();
        let seen = rig.upstream.ledger().remove(0);
        assert_eq!(
            seen.header("host"),
            Some(if expected.is_some() {
                own.as_str()
            } else {
                HOST
            })
        );
        assert_eq!(seen.header("x-forwarded-host"), Some(HOST));
        assert_eq!(
            seen.header_names()
                .iter()
                .filter(|name| *name == "host")
                .count(),
            1
        );
    }
}

#[test]
fn redirects_to_the_upstream_are_rewritten_to_the_gate_and_others_unchanged() {
    let rig = Rig::new();
    let own = rig.upstream.url();
    let other_port = "http://127.0.0.1:1/x";
    for (location, expected) in [
        (
            format!("{own}/login?next=%2Fa%20b#top"),
            "http://gate.test/login?next=%2Fa%20b#top".to_owned(),
        ),
        (own.clone(), "http://gate.test".to_owned()),
        (format!("{own}?x"), "http://gate.test?x".to_owned()),
        (
            own.replace("http:", "HTTP:") + "/x",
            "http://gate.test/x".to_owned(),
        ),
        (
            own.replace("http:", "https:") + "/x",
            own.replace("http:", "https:") + "/x",
        ),
        (other_port.to_owned(), other_port.to_owned()),
        ("/login".to_owned(), "/login".to_owned()),
        ("../x?y".to_owned(), "../x?y".to_owned()),
        (
            "https://elsewhere.test/a?b=c".to_owned(),
            "https://elsewhere.test/a?b=c".to_owned(),
        ),
        ("app.test:/cb".to_owned(), "app.test:/cb".to_owned()),
    ] {
        for status in ["302 Found", "201 Created"] {
            let answer = reply(status, &[("Location", &location)], b"");
            rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
            assert_eq!(
                rig.get("/page").header("location"),
                Some(expected.as_str()),
                "{location}"
            );
        }
    }
}

#[test]
fn cookies_for_the_upstreams_own_host_become_cookies_for_the_gate() {
    let rig = Rig::new();
    let fields = [
        ("Set-Cookie", "a=1; Path=/; Domain=127.0.0.1; HttpOnly"),
        ("Set-Cookie", "b=2; domain=.127.0.0.1;Secure"),
        ("Set-Cookie", "c=Domain=127.0.0.1; Path=/x"),
        ("Set-Cookie", "d=4; Domain=elsewhere.test"),
        ("Set-Cookie", "e=5"),
    ];
    rig.upstream
        .once("/page", Act::Say(reply("200 OK", &fields, b""), Then::GoOn));
    let response = rig.get("/page");
    let cookies = response
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(
        cookies,
        [
            "a=1; Path=/; HttpOnly",
            "b=2;Secure",
            "c=Domain=127.0.0.1; Path=/x",
            "d=4; Domain=elsewhere.test",
            "e=5"
        ]
    );
}

#[test]
fn an_ambiguous_head_is_refused() {
    let rig = Rig::new();
    for lines in [
        "Authorization: a\r\nAuthorization: a\r\n",
        "Content-Type: a\r\nContent-Type: b\r\n",
        "Connection: authorization\r\nAuthorization: a\r\n",
        "Connection: close, Cookie\r\n",
        "Connection: x-forwarded-for\r\n",
        "Connection: host\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: +1\r\n",
        "X : y\r\n",
        " X: folded\r\n",
        "X: \0\r\n",
    ] {
        let mut client = rig.connect();
        client.send(format!("POST /page HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n").as_bytes());
        let response = client.response();
        assert_eq!(response.status, 400, "{lines:?}: {response}");
        assert_eq!(
            client.rest(),
            b"",
            "and the connection ends, whatever else is on it"
        );
    }
    assert!(rig.upstream.ledger().is_empty());
}

/// Bytes behind a request with two framings never become a separate request at the upstream.
#[test]
fn a_request_in_two_framings_smuggles_nothing() {
    let rig = Rig::new();
    let inner = "POST /smuggled HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 0\r\n\r\n";
    for fields in [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
            5 + inner.len()
        ),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
            5 + inner.len()
        ),
    ] {
        let mut client = rig.connect();
        client.send(
            format!("POST /page HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n0\r\n\r\n{inner}")
                .as_bytes(),
        );
        client.rest();
        let mut next = rig.connect();
        next.send(&request("GET", "/next", &[], None));
        next.response();
    }
    for seen in rig.upstream.ledger() {
        assert!(seen.complete && seen.text().is_empty(), "{seen:?}");
        assert!(
            !(seen.header("content-length").is_some()
                && seen.header("transfer-encoding").is_some()),
            "{seen:?}"
        );
    }
}
