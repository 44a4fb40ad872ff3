//! The files of `deploy/proxies`, each in its real proxy in front of a real gate. The tests check what reaches the upstream.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fixture::free_port;
use crate::support::fixture::program;
use crate::support::front::{Front, Proxy, TRUSTED, url};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::{Act, Received, Scripted, Then, reply};
use crate::support::servers::OIDC_PROVIDER_BEHIND_TLS;
use crate::support::stage::Stage;
use crate::support::tree::read;

/// The fields of a request without fields at the upstream: the proxy adds no others.
const OURS: [&str; 6] = [
    "accept-encoding",
    "forwarded",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// A proxy, a gate, and an upstream that records requests.
struct Way {
    front: Front,
    rig: Rig,
}

impl Way {
    fn through(proxy: Proxy) -> Self {
        let port = free_port();
        let rig = Rig::with(Config {
            server: TRUSTED,
            upstream: &format!("public_url = \"{}\"", url(port)),
            ..Config::default()
        });
        let front = Front::start(proxy, port, rig.address().port());
        Self { front, rig }
    }

    /// The answer, and the request that reached the upstream, if any.
    #[track_caller]
    fn ask(&self, request: &Value) -> (Value, Option<Received>) {
        let before = self.rig.upstream.ledger().len();
        let answer = self.front.ask(request);
        let mut seen = self.rig.upstream.ledger().split_off(before);
        assert!(seen.len() <= 1, "{request}: {seen:?}");
        (answer, seen.pop())
    }

    /// The request, which must reach the upstream.
    #[track_caller]
    fn arrives(&self, request: &Value) -> Received {
        let (answer, seen) = self.ask(request);
        assert_eq!(answer["status"], 200, "{request}: {answer}");
        seen.unwrap_or_else(|| panic!("{request}: {answer}"))
    }
}

/// The field names that the gate accepts from a trusted proxy, from the unit test that lists them.
fn believed() -> Vec<String> {
    let source = read("src/http/headers/kind.rs");
    let (_, tests) = source.split_once("mod tests").expect("there are tests");
    let (_, list) = tests.split_once("Kind::Forwarders,").expect("a list");
    let list = list.split('"').nth(1).expect("a string");
    let names = list.split(|letter: char| letter == '\\' || letter.is_whitespace());
    let names = names.filter(|name| !name.is_empty());
    let ours = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    let names: Vec<String> = names.chain(ours).map(str::to_owned).collect();
    assert!(names.len() > 50, "{names:?}");
    names
}

/// The request contains what gate and proxy say about a client at that address, and no other such field.
#[track_caller]
fn assert_truth(seen: &Received, authority: &str, client: &str) {
    let chain = format!("{client}, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-for"), Some(chain.as_str()));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some(authority));
    assert_eq!(seen.header("host"), Some(authority));
    let told = seen.header("forwarded").expect("Forwarded is there");
    let (first, ours) = told.split_once(", ").expect("two elements");
    let own = format!("for=127.0.0.1;host=\"{authority}\";proto=https");
    assert_eq!(ours, own, "{told}");
    let client = if client.contains(':') {
        format!("[{client}]")
    } else {
        client.to_owned()
    };
    // RFC 7239 section 6: quoted if it has a port or a bracket.
    let node = first
        .strip_prefix("for=")
        .and_then(|node| node.strip_suffix(";proto=https"))
        .unwrap_or_else(|| panic!("{told}"));
    let quoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    let is_it = match quoted {
        Some(node) => node == client || node.starts_with(&format!("{client}:")),
        None => node == client && !node.contains(':'),
    };
    assert!(is_it, "{told}");
    let named = |name: &str| {
        seen.header_names()
            .iter()
            .filter(|seen| *seen == name)
            .count()
    };
    for name in ["host", "forwarded", "x-forwarded-for", "x-forwarded-proto"] {
        assert_eq!(named(name), 1, "{name}: {seen:?}");
    }
}

fn a_client_cannot_set_fields_that_only_a_proxy_may_set(proxy: Proxy) {
    let way = Way::through(proxy);
    let authority = way.front.authority();
    let mut names = believed();
    if proxy == Proxy::Nginx {
        // nginx can only drop complete names, as the manual says.
        names.retain(|name| name != "x-forwarded-anything");
    }
    let shout = |name: &String| name.to_ascii_uppercase();
    let underscored = |name: &String| name.replace('-', "_");
    let spellings: [Vec<String>; 3] = [
        names.clone(),
        names.iter().map(shout).collect(),
        names.iter().map(underscored).collect(),
    ];
    for protocol in PROTOCOLS {
        // The gate accepts 64 fields.
        for names in spellings.iter().flat_map(|names| names.chunks(20)) {
            let twice = names.iter().chain(names);
            let fields: Vec<_> = twice.map(|name| [name, "smuggled"]).collect();
            let seen = way.arrives(&json!({"protocol": protocol, "fields": fields}));
            let head = str::from_utf8(&seen.head).expect("ASCII");
            assert!(!head.contains("smuggled"), "{protocol}: {head}");
            assert_truth(&seen, &authority, "127.0.0.2");
        }
    }
    for protocol in PROTOCOLS {
        let seen = way.arrives(&json!({"protocol": protocol, "from": "::1"}));
        assert_truth(&seen, &authority, "::1");
    }
}

/// `Connection` can name fields to be dropped, including those that the proxy sets.
fn a_client_cannot_remove_fields_that_the_proxy_sets(proxy: Proxy) {
    let way = Way::through(proxy);
    for name in ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Host"] {
        let fields = [["Connection", &format!("close, {name}")]];
        let (answer, seen) = way.ask(&json!({"protocol": "http/1.1", "fields": fields}));
        match seen {
            Some(seen) => assert_truth(&seen, &way.front.authority(), "127.0.0.2"),
            None => assert_eq!(answer["status"], 400, "{name}: {answer}"),
        }
    }
}

/// With two host names in a request, the answer is a refusal, or it is about the host that the client asked for.
fn the_host_is_that_of_the_client(proxy: Proxy) {
    let way = Way::through(proxy);
    let authority = way.front.authority();
    for protocol in PROTOCOLS {
        for name in ["Host", "X-Host", "X-Forwarded-Host"] {
            let fields = [[name, "evil.test"]];
            let (answer, seen) = way.ask(&json!({"protocol": protocol, "fields": fields}));
            match seen {
                Some(seen) => assert_truth(&seen, &authority, "127.0.0.2"),
                None => assert!(
                    answer["status"] == 400
                        || answer["body"]
                            .as_str()
                            .is_some_and(|why| why.contains("PROTOCOL_ERROR")),
                    "{protocol} {name}: {answer}"
                ),
            }
        }
    }
}

fn requests_and_answers_pass_unchanged(proxy: Proxy) {
    let way = Way::through(proxy);
    for protocol in PROTOCOLS {
        let mut names = way.arrives(&json!({"protocol": protocol})).header_names();
        names.retain(|name| proxy != Proxy::Caddy || name != "via");
        names.sort_unstable();
        assert_eq!(names, OURS, "{protocol}");

        let path = "/a%2Fb/%7Ec;v=1/d?x=a%20b+c&y=%2F&z=%7e&x=%C3%A9";
        let fields = [["Cookie", "a=1"], ["X-Kept", "1"]];
        let seen = way.arrives(&json!({"protocol": protocol, "path": path, "fields": fields}));
        assert_eq!(seen.target(), path, "{protocol}");
        for (name, value) in [("cookie", "a=1"), ("x-kept", "1")] {
            assert_eq!(seen.header(name), Some(value), "{protocol}: {seen:?}");
        }

        // The proxy accepts what the gate accepts: a long URI, one long field, a long body, and a long head of an answer.
        let path = format!("/page?x={}", "a".repeat(15 * 1024));
        let seen = way.arrives(&json!({"protocol": protocol, "path": path}));
        assert_eq!(seen.target(), path);
        let field = "a".repeat(28 * 1024);
        let seen = way.arrives(&json!({"protocol": protocol, "fields": [["X-Long", field]]}));
        assert_eq!(seen.header("x-long"), Some(field.as_str()));
        let bytes = 3 << 20;
        let request = json!({"protocol": protocol, "method": "POST", "bytes": bytes,
            "fields": [["Content-Type", "application/octet-stream"]]});
        assert_eq!(way.arrives(&request).content().len(), bytes);
        let cookie = format!("long={}", "a".repeat(56 * 1024));
        let answer = reply("200 OK", &[("Set-Cookie", &cookie)], b"");
        way.rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
        let (answer, _) = way.ask(&json!({"protocol": protocol}));
        assert_eq!(answer["status"], 200, "{protocol}");
        assert!(answer.to_string().contains(&cookie), "{protocol}");

        // Requests that the gate refuses do not reach the upstream.
        let field = "a".repeat(40 * 1024);
        let (answer, seen) = way.ask(&json!({"protocol": protocol, "fields": [["X-Long", field]]}));
        assert!(
            seen.is_none() && answer["status"] != 200,
            "{protocol}: {answer}"
        );
    }
    // RFC 9113 section 8.2.3: over HTTP/2 a cookie may be split into several fields.
    let fields = [["Cookie", "a=1"], ["Cookie", "b=2"]];
    let seen = way.arrives(&json!({"fields": fields}));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(
        seen.header_names()
            .iter()
            .filter(|name| *name == "cookie")
            .count(),
        1
    );
}

/// An event stream is forwarded piece by piece: the second event is sent after the client has received the first.
fn event_streams_are_forwarded_piece_by_piece(proxy: Proxy) {
    let way = Way::through(proxy);
    let (front, upstream) = (&way.front, &way.rig.upstream);
    for (rounds, protocol) in (1..).zip(PROTOCOLS) {
        let feed = upstream.feed("/events");
        // nginx needs this field for it.
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        feed.send([head, "d\r\ndata: first\n\n\r\n"].concat().into_bytes())
            .expect("the event arrives");
        let request = json!({"protocol": protocol, "path": "/events", "until": "first"});
        let answer = thread::scope(|scope| {
            let client = scope.spawn(|| front.ask(&request));
            while upstream.requests_to("/seen").len() < rounds && !client.is_finished() {
                thread::sleep(Duration::from_millis(10));
            }
            let rest = b"e\r\ndata: second\n\n\r\n0\r\n\r\n".to_vec();
            feed.send(rest).ok(); // the stream may have ended, which the client reports
            client.join().expect("the client")
        });
        let text = answer["body"].as_str().unwrap_or_default();
        assert!(
            text.contains("first") && text.contains("second"),
            "{answer}"
        );
    }
}

/// In place of the gate, a server closes a kept-alive connection after it has received a token request: it may have redeemed
/// the code.
fn a_token_request_is_sent_once(proxy: Proxy) {
    let server = Scripted::start();
    let front = Front::start(proxy, free_port(), server.address().port());
    for protocol in PROTOCOLS {
        for _ in 0..3 {
            assert_eq!(front.ask(&json!({"protocol": protocol}))["status"], 200);
            server.once("/token", Act::Interrupt(Vec::new(), Then::Close));
            let fields = [["Content-Type", "application/x-www-form-urlencoded"]];
            let answer = front.ask(
                &json!({"protocol": protocol, "method": "POST", "path": "/token",
                "fields": fields, "bytes": 50}),
            );
            let status = answer["status"].as_u64().unwrap_or_default();
            // HAProxy leaves a retry to the client: it closes the client's stream if the connection had been used before.
            let is_left_open = proxy == Proxy::Haproxy && status == 0;
            assert!(status / 100 == 5 || is_left_open, "{answer}");
        }
    }
    assert_eq!(server.requests_to("/token").len(), 3 * PROTOCOLS.len());
}

/// The gate does not limit single clients of a trusted proxy.
fn one_client_leaves_room_for_others(proxy: Proxy) {
    for holder in ["127.0.0.2", "::1"] {
        let way = Way::through(proxy);
        let (feed, eaten) = channel();
        way.rig
            .upstream
            .on("/held", Act::Feed(Arc::new(Mutex::new(eaten))));
        let answers = way.front.client(&[
            ("--holder", holder.to_owned()),
            ("--held", "70".to_owned()),
            ("--refused", "6".to_owned()),
            ("--requests", json!([{"from": "127.0.0.3"}]).to_string()),
        ]);
        drop(feed);
        let statuses: Vec<_> = answers
            .iter()
            .map(|answer| answer["status"].as_u64().unwrap_or_default())
            .collect();
        assert_eq!(statuses, [429, 429, 429, 429, 429, 429, 200], "{holder}");
    }
}

/// In Chromium, which uses HTTP/2. With `hard` the gate refuses a browser without its cookie, so the cookie must pass in both
/// directions; `Secure` and `__Host-` cookies only do over TLS.
fn users_sign_in_with_a_browser(proxy: Proxy) {
    let target = &OIDC_PROVIDER_BEHIND_TLS;
    let stage = Stage::configured(target, "[upstream.pkce]\nbrowser_binding = \"hard\"\n");
    let (port, gate) = stage.ports();
    let front = Front::start(proxy, port, gate);
    let base = stage.gate_url();
    let (authorize, token) = (target.profile.authorization[0], target.profile.token[0]);
    let mut browser = program("browser/scenarios.mjs");
    browser.envs([front.trust()]);
    let report = stage.run_by(
        browser,
        &[
            "--base",
            &base,
            "--authorize",
            authorize,
            "--token",
            token,
            "--pin",
            front.pin(),
            "--only",
            "normal_login",
            "--only",
            "two_interleaved_tabs",
        ],
    );
    stage.granted(3);
    for (name, responses) in [("normal_login", 1), ("two_interleaved_tabs", 2)] {
        let scenario = &report[name];
        assert_eq!(scenario["failure"], Value::Null, "{name}: {scenario:#}");
        let redeemed = scenario["redeemed"].as_array().expect("a list");
        assert_eq!(redeemed.len(), responses, "{name}: {scenario:#}");
        for redeemed in redeemed {
            assert_eq!(redeemed["token"], true, "{name}: {scenario:#}");
        }
        assert_eq!(scenario["protocols"], json!(["h2"]), "{name}: {scenario:#}");
        let cookies = scenario["cookies"].as_array().expect("a list");
        let bound = cookies
            .iter()
            .any(|cookie| cookie["name"] == "__Host-pkce-gate");
        assert!(bound, "{name}: {scenario:#}");
    }
}

macro_rules! each_proxy {
    ($($test:ident: $proxy:ident;)*) => {$(
        mod $test {
            use super::Proxy;

            #[test]
            fn a_client_cannot_set_fields_that_only_a_proxy_may_set() {
                super::a_client_cannot_set_fields_that_only_a_proxy_may_set(Proxy::$proxy);
            }

            #[test]
            fn a_client_cannot_remove_fields_that_the_proxy_sets() {
                super::a_client_cannot_remove_fields_that_the_proxy_sets(Proxy::$proxy);
            }

            #[test]
            fn the_host_is_that_of_the_client() {
                super::the_host_is_that_of_the_client(Proxy::$proxy);
            }

            #[test]
            fn a_token_request_is_sent_once() {
                super::a_token_request_is_sent_once(Proxy::$proxy);
            }

            #[test]
            fn event_streams_are_forwarded_piece_by_piece() {
                super::event_streams_are_forwarded_piece_by_piece(Proxy::$proxy);
            }

            #[test]
            fn users_sign_in_with_a_browser() {
                super::users_sign_in_with_a_browser(Proxy::$proxy);
            }

            #[test]
            fn requests_and_answers_pass_unchanged() {
                super::requests_and_answers_pass_unchanged(Proxy::$proxy);
            }
        }
    )*};
}

each_proxy! {
    nginx: Nginx;
    haproxy: Haproxy;
    caddy: Caddy;
    envoy: Envoy;
}

#[test]
fn one_client_of_nginx_leaves_room_for_others() {
    one_client_leaves_room_for_others(Proxy::Nginx);
}

#[test]
fn one_client_of_haproxy_leaves_room_for_others() {
    one_client_leaves_room_for_others(Proxy::Haproxy);
}
