//! Whether a connection to the upstream is used again after its answer was read or not.

use std::sync::mpsc::Sender;
use std::thread::sleep;
use std::time::Duration;

use crate::support::agent::Carrier;
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, cookie_of, handle_of, request};
use crate::support::scripted::{Act, Shape, Then, chunked, reply};

use super::bodies::bytes;

/// More than the socket buffers between upstream and client.
const FIVE_MEGABYTES: usize = 5 * 1024 * 1024;
const BINARY: (&str, &str) = ("Content-Type", "application/octet-stream");

/// With one worker, a free connection is always used again.
fn rig() -> Rig {
    Rig::with(Config {
        server: "workers = 1",
        ..Config::default()
    })
}

/// Whether the gate closes this connection soon. The upstream notices when it sends, so the test sends a few single bytes.
fn is_closed(feed: &Sender<Vec<u8>>) -> bool {
    (0..3000).any(|_| {
        sleep(Duration::from_millis(10));
        feed.send(Vec::from(*b"x")).is_err()
    })
}

/// The page with such a redirect may also contain the code, so the gate neither forwards nor reads it.
#[test]
fn a_connection_is_reused_after_a_redirect_with_a_code_and_a_page() {
    let rig = rig();
    rig.upstream.answer_with(Shape::QueryAndBody);
    for _ in 0..3 {
        assert_eq!(rig.sign_in(&rig.authorization()).carrier, Carrier::Query);
        assert_eq!(rig.get("/page").text(), "hello\n");
    }
    assert_eq!(rig.upstream.accepted(), 1);
}

/// The gate does not wait for the rest of such a page.
#[test]
fn a_connection_is_closed_after_a_redirect_with_a_code_and_half_a_page() {
    let rig = Rig::with(Config {
        server: "workers = 1",
        upstream: "response = \"3s\"",
        ..Config::default()
    });
    let begun = rig.enter(&rig.authorization());
    let entry = begun.header("location").expect("a redirect").to_owned();
    let cookie = cookie_of(&begun).expect("a cookie");
    let feed = rig.upstream.feed("/authorize");
    let mut client = rig.connect();
    client.send(&request("GET", &entry, &[("Cookie", &cookie)], None));
    let location = format!("{REDIRECT_URI}?code=up-secret&state={}", handle_of(&entry));
    let page = reply("302 Found", &[("Location", &location)], &[b'x'; 10_000]);
    feed.send(page[..page.len() / 2].to_vec())
        .expect("the feed is open");
    let response = client.response();
    assert_eq!((response.status, response.text()), (302, ""), "{response}");
    assert!(is_closed(&feed), "the upstream is still listened to");
    assert_eq!(rig.get("/page").text(), "hello\n");
}

#[test]
fn a_connection_is_reused_after_a_large_download_to_a_slow_reader() {
    let rig = rig();
    let content = bytes(FIVE_MEGABYTES);
    let pieces: Vec<_> = content.chunks(1000).collect();
    for answer in [
        reply("200 OK", &[BINARY], &content),
        chunked("200 OK", &[BINARY], &pieces),
    ] {
        rig.upstream.once("/download", Act::Say(answer, Then::GoOn));
        let mut client = rig.connect();
        client.send(&request("GET", "/download", &[], None));
        for part in 1..10 {
            sleep(Duration::from_millis(20));
            client.read_until(|came| came.len() >= part * FIVE_MEGABYTES / 10);
        }
        assert!(client.response().body == content, "all of it, in order");
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().text(), "hello\n");
    }
    assert_eq!(rig.upstream.accepted(), 1);
}

#[test]
fn a_download_whose_client_disconnects_closes_only_its_connection() {
    let rig = rig();
    let piece = bytes(1000);
    let head = format!(
        "HTTP/1.1 200 OK\r\n{}: {}\r\nContent-Length: {FIVE_MEGABYTES}\r\n\r\n",
        BINARY.0, BINARY.1
    );
    let feed = rig.upstream.feed("/download");
    let mut client = rig.connect();
    client.send(&request("GET", "/download", &[], None));
    feed.send([head.as_bytes(), &piece].concat())
        .expect("the feed is open");
    client.read_until(|came| came.ends_with(&piece));
    drop(client);
    assert!(is_closed(&feed), "the upstream is still listened to");
    for _ in 0..2 {
        assert_eq!(rig.get("/page").text(), "hello\n");
    }
    assert_eq!(rig.upstream.accepted(), 2);
}

#[test]
fn an_answer_before_the_end_of_a_large_upload_reaches_the_client() {
    let rig = rig();
    let early = reply("413 Content Too Large", &[], b"too much");
    for then in [Then::GoOn, Then::Stall] {
        rig.upstream
            .once("/upload", Act::Interrupt(early.clone(), then));
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{}: {}\r\nContent-Length: {FIVE_MEGABYTES}\r\n\r\n",
            BINARY.0, BINARY.1
        );
        let mut client = rig.connect();
        client.send(&[head.as_bytes(), &bytes(FIVE_MEGABYTES / 100)].concat());
        let response = client.response();
        assert_eq!(
            (response.status, response.text()),
            (413, "too much"),
            "{then:?}"
        );
        assert_eq!(rig.get("/page").text(), "hello\n", "{then:?}");
    }
}

/// The upstream may need the rest of a request that it has already answered. Here it reads it as another request.
#[test]
fn an_upload_continues_after_its_answer() {
    let rig = rig();
    let early = reply("200 OK", &[], b"enough");
    rig.upstream
        .once("/upload", Act::Interrupt(early, Then::GoOn));
    let body = request("GET", "/rest", &[], None);
    let (first, rest) = body.split_at(10);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{}: {}\r\nContent-Length: {}\r\n\r\n",
        BINARY.0,
        BINARY.1,
        // The gate reads a short body before it forwards it.
        body.len() + 100_000
    );
    let mut client = rig.connect();
    client.send(&[head.as_bytes(), first].concat());
    assert_eq!(client.response().text(), "enough");
    sleep(Duration::from_millis(50));
    client.send(rest);
    rig.upstream
        .wait_until(|ledger| ledger.iter().any(|seen| seen.path() == "/rest"));
}
