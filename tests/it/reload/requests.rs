//! Requests in progress, connections, and shutdown during a reload.

use std::thread::sleep;
use std::time::Duration;

use super::{event, events};
use crate::support::client::assert_token;
use crate::support::rig::{Config, HOST, Rig, request};
use crate::support::scripted::{Act, Scripted, Then, reply};

const SLOW: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 8\r\n\r\n";

/// Only the endpoints and `/page` pass.
const DENY: &str = "[upstream.routes]\ndefault = \"deny\"\nallow = [\"/page\"]\n";

fn closed(upstream: &Scripted) -> String {
    Config {
        tables: DENY,
        ..Config::default()
    }
    .render(upstream)
}

#[test]
fn a_request_ends_under_the_configuration_under_which_it_began() {
    let rig = Rig::new();
    // An answer that has not begun, one that has, and a request body that is still arriving.
    let (late, long) = (rig.upstream.feed("/late"), rig.upstream.feed("/long"));
    let mut clients = [rig.connect(), rig.connect()];
    for (client, path) in clients.iter_mut().zip(["/late", "/long"]) {
        client.send(&request("GET", path, &[], None));
    }
    long.send([SLOW, b"long"].concat())
        .expect("the feed is open");
    let mut uploading = rig.connect();
    uploading.send(
        format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: image/png\r\nContent-Length: 200000\r\n\r\n")
            .as_bytes(),
    );
    uploading.send(&vec![b'x'; 100_000]);
    rig.upstream.wait_until(|ledger| {
        let has = |path| ledger.iter().any(|seen| seen.path() == path);
        has("/late") && has("/long") && has("/upload")
    });
    clients[1].read_until(|read| read.ends_with(b"long"));

    rig.gate.reload(&closed(&rig.upstream));
    assert_eq!(rig.get("/late").status, 404);
    assert_eq!(rig.get("/page").status, 200);

    late.send([SLOW, b"late"].concat())
        .expect("the feed is open");
    for (feed, ending) in [(late, b"late"), (long, b"long")] {
        feed.send(ending.to_vec()).expect("the feed is open");
    }
    for (client, body) in clients.iter_mut().zip([b"latelate", b"longlong"]) {
        let response = client.response();
        assert_eq!((response.status, &*response.body), (200, &body[..]));
        // The connection stays open, and its next request is judged under the new configuration.
        client.send(&request("GET", "/late", &[], None));
        assert_eq!(client.response().status, 404);
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
    }
    uploading.send(&vec![b'x'; 100_000]);
    assert_eq!(uploading.response().status, 200);
    let uploads = rig.upstream.requests_to("/upload");
    assert_eq!(uploads[0].content().len(), 200_000);
}

/// A thief who opens a token request in report mode, and appends a stolen code to it later, needs its verifier all the same.
#[test]
fn a_token_request_that_was_held_open_is_judged_by_the_rules_that_came_meanwhile() {
    for before in [
        "mode = \"report\"",
        "mode = \"off\"",
        "mode = \"report\"\ncodes = \"upstream\"",
    ] {
        let codes = before.lines().nth(1).unwrap_or_default();
        let lax = Config {
            pkce: before,
            ..Config::default()
        };
        let strict = Config {
            pkce: codes,
            ..Config::default()
        };
        let rig = Rig::with(lax).unguarded();
        let mut thief = rig.connect();
        let padding = "x=".to_owned() + &"x".repeat(1000);
        let begun = format!(
            "POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{padding}\r\n",
            padding.len()
        );
        thief.send(begun.as_bytes());
        rig.gate.reload(&strict.render(&rig.upstream));
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let rest = format!(
            "&{}",
            authorization
                .redemption(&code)
                .without("code_verifier")
                .encoded()
        );
        thief.send(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()).as_bytes());
        let refused = thief.response();
        assert_eq!(refused.status, 400, "{before}: {refused:?}");
        assert_token(&rig.redeem(&authorization, &code));
    }
}

/// The gate does not read a body that is longer than `form_bytes`, so it cannot judge what is appended.
#[test]
fn a_long_token_request_that_is_still_arriving_ends_when_the_configuration_changes() {
    for before in ["mode = \"off\"", "mode = \"report\"\ncodes = \"upstream\""] {
        let lax = Config {
            pkce: before,
            ..Config::default()
        };
        let rig = Rig::with(lax).unguarded();
        let mut thief = rig.connect();
        thief.send(
            format!(
                "POST /token HTTP/1.1\r\nHost: {HOST}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 300000\r\n\r\nx="
            )
            .as_bytes(),
        );
        thief.send(&vec![b'x'; 200_000]);
        rig.upstream
            .wait_until(|ledger| ledger.iter().any(|seen| seen.path() == "/token"));
        rig.gate.reload(&Config::default().render(&rig.upstream));
        let ended = thief.response();
        assert_eq!(ended.status, 503, "{before}: {ended:?}");
        assert!(
            ended.text().contains("temporarily_unavailable"),
            "{ended:?}"
        );
    }
}

#[test]
fn connections_to_an_unchanged_upstream_stay_open() {
    let server = "workers = 1";
    let one = Config {
        server,
        upstream: "idle = \"10m\"",
        ..Config::default()
    };
    let rig = Rig::with(one);
    let mut client = rig.connect();
    let mut get = |rig: &Rig| {
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
        rig.upstream.accepted()
    };
    assert_eq!(get(&rig), 1);
    let strict = Config {
        pkce: "browser_binding = \"hard\"",
        limits: "uri_bytes = \"5000B\"",
        ..one
    };
    for config in [strict, one, strict] {
        rig.gate.reload(&config.render(&rig.upstream));
        assert_eq!(get(&rig), 1);
    }
    // Another timeout needs new connections.
    let other = Config {
        upstream: "idle = \"20m\"",
        ..one
    };
    rig.gate.reload(&other.render(&rig.upstream));
    assert_eq!(get(&rig), 2);
}

#[test]
fn keys_that_need_a_restart_are_listed_and_the_others_apply() {
    let mut rig = Rig::with(Config {
        server: "workers = 1",
        ..Config::default()
    });
    let text = Config {
        server: "workers = 2",
        log: "level = \"debug\"",
        tables: DENY,
        ..Config::default()
    }
    .render(&rig.upstream);
    let text = text
        .replacen("\"127.0.0.1:0\"]", "\"127.0.0.1:1\"]", 1)
        .replacen("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:2\"", 1);
    rig.gate.reload(&text);
    let keys = ["server.listen", "server.workers", "admin.listen"];
    let told = event(&rig.gate, "reloaded", 1);
    assert_eq!(told["needs_restart"], keys.join(", "), "{told}");
    let state = rig.gate.in_force();
    assert_eq!(state["needs_restart"], serde_json::json!(keys), "{state}");
    assert_eq!(state["fixed"]["server.workers"], "1", "{state}");
    assert_eq!(rig.get("/other").status, 404);
    // The log level is applied as well.
    let told = event(&rig.gate, "answered", 1);
    assert_eq!(told["status"], 404, "{told}");
    let same = Config {
        server: "workers = 1",
        ..Config::default()
    };
    rig.gate.reload(&same.render(&rig.upstream));
    assert_eq!(rig.get("/other").status, 200);
    let state = rig.gate.in_force();
    assert_eq!(state["needs_restart"], serde_json::json!([]), "{state}");
}

#[test]
fn after_many_signals_the_last_file_is_in_force() {
    let rig = Rig::new();
    let text = closed(&rig.upstream);
    rig.gate.configure(&text);
    for _ in 0..200 {
        rig.gate.signal("HUP");
    }
    rig.gate.reloaded(&text, 0);
    assert_eq!(rig.get("/other").status, 404);
    assert!(events(&rig.gate, "reload_failed").is_empty());
}

#[test]
fn a_gate_stops_on_sigterm_whatever_happens_to_its_file() {
    for reloads_before in [false, true] {
        let mut rig = Rig::with(Config {
            server: "drain = \"60s\"",
            ..Config::default()
        });
        let feed = rig.upstream.feed("/slow");
        let mut client = rig.connect();
        client.send(&request("GET", "/slow", &[], None));
        rig.upstream
            .wait_until(|ledger| ledger.iter().any(|seen| seen.path() == "/slow"));
        rig.gate.configure(&closed(&rig.upstream));
        if reloads_before {
            rig.gate.signal("HUP");
        }
        rig.gate.signal("TERM");
        rig.gate.log_until(|log| log.contains("\"draining\""));
        rig.gate.signal("HUP");
        sleep(Duration::from_millis(500));
        assert!(rig.gate.has_ended().is_none(), "it waits for the request");
        feed.send([SLOW, b"abcdefgh"].concat())
            .expect("the feed is open");
        assert_eq!(client.response().body, b"abcdefgh");
        drop(feed);
        drop(client);
        assert_eq!(rig.gate.wait_for_end().code(), Some(0));
        assert!(events(&rig.gate, "reload_failed").is_empty());
    }
}

#[test]
fn an_incomplete_answer_is_still_reported_after_a_reload() {
    let rig = Rig::new();
    rig.gate.reload(&closed(&rig.upstream));
    let broken = [SLOW, b"four"].concat();
    rig.upstream.once("/page", Act::Say(broken, Then::Close));
    let mut client = rig.connect();
    client.send(&request("GET", "/page", &[], None));
    assert!(client.try_response().is_err());
    let whole = reply("200 OK", &[], b"whole");
    rig.upstream.once("/page", Act::Say(whole, Then::GoOn));
    assert_eq!(rig.get("/page").body, b"whole");
}
