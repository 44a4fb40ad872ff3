//! Which upstream a request is for, and the target that it receives.

use crate::support::http::Response;
use crate::support::rig::{Config, HOST, Rig, request};
use crate::support::scripted::Scripted;

const ENDPOINTS: &str =
    "[upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\nmetadata = []";

fn upstream(name: &str, at: &Scripted, keys: &str) -> String {
    format!(
        "[[upstream]]\nname = \"{name}\"\nurl = \"{}\"\npublic_url = \"http://{HOST}\"\n{keys}\n{ENDPOINTS}\n",
        at.url()
    )
}

/// Sends a request with any target and any `Host` fields.
fn ask(rig: &Rig, target: &str, hosts: &[&str]) -> Response {
    let hosts: Vec<_> = hosts
        .iter()
        .map(|host| format!("Host: {host}\r\n"))
        .collect();
    rig.send(format!("GET {target} HTTP/1.1\r\n{}\r\n", hosts.concat()).as_bytes())
}

#[test]
fn upstreams_are_selected_by_host_and_then_by_the_longest_prefix() {
    let (second, third) = (Scripted::start(), Scripted::start());
    let tables = upstream(
        "second",
        &second,
        "hosts = [\"second.test\", \"2.test:8443\"]",
    ) + &upstream(
        "third",
        &third,
        "hosts = [\"second.test\"]\nprefix = \"/three\"",
    );
    let rig = Rig::with(Config {
        upstream: "hosts = [\"gate.test\"]",
        tables: &tables,
        ..Config::default()
    });
    let mut expected = [0, 0, 0];
    for (target, host, which) in [
        ("/x", "gate.test", 0),
        ("/three/x", "gate.test", 0),
        ("/x", "GATE.test:80", 0),
        ("/x", "second.test", 1),
        ("/threefold", "second.test", 1),
        ("/x", "2.test:8443", 1),
        ("/three", "second.test", 2),
        ("/three/x", "second.test:1234", 2),
        ("//three//x", "second.test", 2),
        ("http://second.test/three/x", "second.test", 2),
    ] {
        assert_eq!(ask(&rig, target, &[host]).status, 200, "{host} {target}");
        expected[which] += 1;
        let seen = [&rig.upstream, &second, &third].map(|upstream| upstream.ledger().len());
        assert_eq!(seen, expected, "{host} {target}");
    }
    for (target, host) in [
        ("/x", "other.test"),
        ("/x", "2.test"),
        ("/x", "second.test."),
        ("/x", "a.second.test"),
        ("http://other.test/x", "second.test"),
        ("http://second.test/x", "gate.test"),
    ] {
        assert_eq!(ask(&rig, target, &[host]).status, 421, "{host} {target}");
    }
    let seen = [&rig.upstream, &second, &third].map(|upstream| upstream.ledger().len());
    assert_eq!(seen, expected, "nobody else heard of anything");
}

#[test]
fn endpoints_of_an_upstream_are_below_its_prefix() {
    let second = Scripted::start();
    let tables = upstream("second", &second, "prefix = \"/two\"");
    let rig = Rig::tables(&tables);
    let query = rig.authorization().params.encoded();
    let entry = rig.get(&format!("/two/authorize?{query}"));
    assert_eq!(entry.status, 303, "{entry}");
    assert!(
        entry
            .header("location")
            .is_some_and(|to| to.starts_with("/two/authorize?")),
        "{entry}"
    );
    assert_eq!(rig.get(&format!("/authorize?{query}")).status, 303);
    assert_eq!(
        rig.post("/two/token", &[], "grant_type=refresh_token")
            .status,
        200
    );
    assert_eq!(
        second.ledger()[0].target(),
        "/two/token",
        "the prefix belongs to the path"
    );
    assert_eq!(
        rig.post("/two/token/", &[], "grant_type=refresh_token")
            .status,
        400
    );

    // One gate, two servers: neither knows the handles of the other.
    let dead = entry
        .header("location")
        .and_then(|to| to.strip_prefix("/two"))
        .expect("a location")
        .to_owned();
    let elsewhere = rig.get(&dead);
    assert!(
        !elsewhere.raw.windows(6).any(|six| six == b"code=u"),
        "{elsewhere}"
    );
}

#[test]
fn exactly_one_valid_host_is_needed() {
    let rig = Rig::new();
    for hosts in [
        &[] as &[&str],
        &["gate.test", "gate.test"],
        &["gate.test", "other.test"],
        &["user@gate.test"],
        &["gate.test/x"],
        &["gate.test, other.test"],
        &["a b"],
    ] {
        assert_eq!(ask(&rig, "/x", hosts).status, 400, "{hosts:?}");
    }
    assert_eq!(ask(&rig, "*", &[HOST]).status, 400);
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn the_target_arrives_as_it_was_sent() {
    let rig = Rig::new();
    for target in [
        "/a%2Fb/%7e/~/%E2%82%AC",
        "/a;b=c/d:e@f!$&'()*+,",
        "/x?",
        "/x?a=%zz&&=;b&c=%ff+%20#",
        "/x?%5B%5D[]{}|^`",
        "/x?http://elsewhere.test/?y=z",
        "/.hidden/...",
    ] {
        rig.get(target);
        let expected = target.trim_end_matches('#');
        assert_eq!(
            rig.upstream.ledger().pop().expect("a request").target(),
            expected
        );
    }
    rig.get("//a///b//");
    assert_eq!(
        rig.upstream.ledger().pop().expect("a request").target(),
        "/a/b/"
    );
}

#[test]
fn every_method_except_connect_and_trace_passes() {
    let rig = Rig::new();
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get",
    ] {
        let response = rig.send(&request(method, "/x", &[], None));
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(
            rig.upstream.ledger().pop().expect("a request").method(),
            method
        );
    }
    let before = rig.upstream.ledger().len();
    for line in ["TRACE /x", "CONNECT gate.test:80"] {
        let response =
            rig.send(format!("{line} HTTP/1.1\r\nHost: gate.test:80\r\n\r\n").as_bytes());
        assert_eq!(response.status, 405, "{line}");
    }
    assert_eq!(rig.upstream.ledger().len(), before);
}

#[test]
fn routes_may_be_denied_by_default() {
    let rig = Rig::with(Config {
        metadata: "[upstream.routes]\ndefault = \"deny\"\nallow = [\"/login\", \"/assets/**\"]\ndeny = [\"/assets/secret\"]",
        ..Config::default()
    });
    for (path, status) in [
        ("/login", 200),
        ("/.well-known/openid-configuration", 200),
        ("/assets/../admin", 400),
        ("/assets/..%2fadmin", 400),
        ("/assets/%73ecret", 404),
        ("/assets/Secret;x", 404),
        ("/assets/a/b.css", 200),
        ("/assets", 200),
        ("/login/", 404),
        ("/", 404),
        ("/assetsx", 404),
        ("/assets/secret", 404),
    ] {
        assert_eq!(rig.get(path).status, status, "{path}");
    }
    assert_eq!(rig.upstream.ledger().len(), 4);
}

#[test]
fn a_token_request_at_another_path_is_refused() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let form = authorization.redemption(&code).encoded();
    let before = rig.upstream.ledger().len();
    for path in [
        "/oauth/alias",
        "/",
        "/login",
        "/.well-known/openid-configuration",
    ] {
        let response = rig.post(path, &[], &form);
        assert_eq!(response.status, 400, "{path}: {response}");
        assert_eq!(rig.get(&format!("{path}?{form}")).status, 400, "{path}");
    }
    assert_eq!(rig.upstream.ledger().len(), before);
    assert_eq!(
        rig.post("/login", &[], "code=123456&client_id=x").status,
        200,
        "a one-time password"
    );
    assert_eq!(
        rig.get("/cb?code=abcdefghijkl&state=x").status,
        200,
        "nothing but a code"
    );
}
