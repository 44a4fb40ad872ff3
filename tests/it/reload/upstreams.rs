//! Upstreams that are added, removed and changed: an upstream that keeps its name keeps its state.

use super::events;
use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::Scripted;

/// A second upstream, with other hosts.
fn second(upstream: &Scripted) -> String {
    format!(
        "[[upstream]]\nname = \"second\"\nurl = \"{}\"\nhosts = [\"second.test\"]\n\
         public_url = \"http://second.test\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n",
        upstream.url()
    )
}

fn both(rig: &Rig, other: &Scripted) -> String {
    let tables = second(other);
    Config {
        tables: &tables,
        upstream: "hosts = [\"gate.test\"]",
        ..Config::default()
    }
    .render(&rig.upstream)
}

fn alone(rig: &Rig) -> String {
    Config {
        upstream: "hosts = [\"gate.test\"]",
        ..Config::default()
    }
    .render(&rig.upstream)
}

#[test]
fn when_an_upstream_is_added_or_removed_the_other_keeps_its_sign_ins() {
    let rig = Rig::with(Config {
        upstream: "hosts = [\"gate.test\"]",
        ..Config::default()
    });
    let other = Scripted::start();
    let (alone, both) = (alone(&rig), both(&rig, &other));
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let at_second = request("GET", "/page", &[("Host", "second.test")], None);
    let at_second = String::from_utf8(at_second).expect("ASCII");
    let at_second = at_second.replacen("Host: gate.test\r\n", "", 1);
    assert_eq!(rig.send(at_second.as_bytes()).status, 421);

    rig.gate.reload(&both);
    assert_eq!(rig.send(at_second.as_bytes()).status, 200);
    let feed = other.feed("/page");
    let mut client = rig.connect();
    client.send(at_second.as_bytes());
    other.wait_until(|ledger| ledger.len() == 2);

    rig.gate.reload(&alone);
    assert_eq!(rig.send(at_second.as_bytes()).status, 421);
    // A request in progress there is answered.
    feed.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 4\r\n\r\n".to_vec())
        .expect("the feed is open");
    feed.send(b"abcd".to_vec()).expect("the feed is open");
    assert_eq!(client.response().body, b"abcd");
    assert_token(&rig.redeem(&authorization, &code));
    assert!(events(&rig.gate, "panic").is_empty());
}

#[test]
fn after_a_change_of_url_sign_ins_continue_at_the_new_server() {
    let rig = Rig::new();
    let moved = Scripted::start();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let text = Config::default().render(&moved);
    rig.gate.reload(&text);
    // The gate still has the client's request, and sends it to the new server.
    assert_eq!(rig.get(&entry).status, 302);
    assert_eq!(moved.requests_to("/authorize").len(), 1);
    assert_eq!(rig.upstream.requests_to("/authorize").len(), 0);
}

#[test]
fn learned_redirect_uris_and_counters_survive_a_reload() {
    let mut rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    let counter =
        "pkce_gate_requests_total{upstream=\"scripted\",endpoint=\"token\",status=\"2xx\"}";
    assert_eq!(rig.gate.metric(counter), 1);
    let strict = Config {
        pkce: "browser_binding = \"hard\"",
        ..Config::default()
    };
    rig.gate.reload(&strict.render(&rig.upstream));
    // Errors go to a redirect URI to which the upstream has sent a code.
    let refused = rig.enter(&rig.authorization().without_challenge());
    assert_eq!(refused.status, 303, "{refused}");
    let location = refused.header("location").expect("a 303 has a Location");
    assert!(
        location.starts_with("https://client.test/cb?"),
        "{location}"
    );
    assert_eq!(rig.gate.metric(counter), 1);
    let authorization = rig.authorization();
    let response = rig.enter(&authorization);
    let cookie = crate::support::rig::cookie_of(&response).expect("a cookie");
    let location = response.header("location").expect("an entry").to_owned();
    let response = rig.get_with(&location, &[("Cookie", &cookie)]);
    let found = crate::support::rig::authorization_response(&response, &authorization);
    let code = found.expect("a response").code().to_owned();
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(rig.gate.metric(counter), 2);
}

#[test]
fn a_renamed_upstream_loses_its_sign_ins() {
    // In other stores they come back with the name.
    let config = Config {
        store: "kind = \"memory\"",
        ..Config::default()
    };
    let rig = Rig::with(config);
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let text = config.render(&rig.upstream);
    let renamed = text.replace("name = \"scripted\"", "name = \"renamed\"");
    rig.gate.reload(&renamed);
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
    // It is also lost when the old name comes back.
    rig.gate.reload(&text);
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
}
