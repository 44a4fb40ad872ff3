//! Bodies of every size and framing are streamed; and answers without a body.

use crate::support::rig::{HOST, Rig, request};
use crate::support::scripted::{Act, Then, chunked, reply, until_close};

const FIVE_MEGABYTES: usize = 5 * 1024 * 1024;
const BINARY: (&str, &str) = ("Content-Type", "application/octet-stream");

/// Content in which a lost, doubled or moved piece is detected.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect()
}

fn chunks(content: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in content.chunks(size) {
        framed.extend(format!("{:x}\r\n", piece.len()).bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

#[test]
fn five_megabytes_are_uploaded_completely() {
    let rig = Rig::new();
    let content = bytes(FIVE_MEGABYTES);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/octet-stream\r\n"
    );
    let length = format!("{head}Content-Length: {FIVE_MEGABYTES}\r\n\r\n");
    let in_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for (at, sent) in [
        [length.as_bytes(), &content].concat(),
        [in_chunks.as_bytes(), &chunks(&content, 10_000)].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(rig.send(&sent).status, 200);
        assert!(
            rig.upstream.ledger()[at].content() == content,
            "all of it, in order"
        );
    }
}

#[test]
fn five_megabytes_are_downloaded_completely_in_every_framing() {
    let rig = Rig::new();
    let content = bytes(FIVE_MEGABYTES);
    let pieces: Vec<_> = content.chunks(10_000).collect();
    for (answer, then) in [
        (reply("200 OK", &[BINARY], &content), Then::GoOn),
        (chunked("200 OK", &[BINARY], &pieces), Then::GoOn),
        (until_close("200 OK", &[BINARY], &content), Then::Close),
    ] {
        rig.upstream.once("/download", Act::Say(answer, then));
        let response = rig.get("/download");
        assert_eq!(response.status, 200);
        assert!(response.body == content, "all of it, in order");
    }
}

/// The gate searches pages for codes, but only up to a limit.
#[test]
fn a_large_page_is_downloaded_completely() {
    let rig = Rig::new();
    for length in [1, 100_000, 1024 * 1024, 1024 * 1024 + 1, FIVE_MEGABYTES] {
        let page = "<p>all work and no play</p>".repeat(length / 27 + 1);
        for answer in [
            reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes()),
            chunked(
                "200 OK",
                &[("Content-Type", "text/html")],
                &[page.as_bytes()],
            ),
        ] {
            rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
            assert!(rig.get("/page").body == page.as_bytes(), "{length}");
        }
    }
}

#[test]
fn uploads_are_streamed() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        BINARY.0, BINARY.1
    );
    client.send(format!("{head}5\r\nfirst\r\n").as_bytes());
    rig.upstream.wait_until(|ledger| {
        ledger
            .first()
            .is_some_and(|seen| seen.content() == b"first" && !seen.complete)
    });
    client.send(b"6\r\nsecond\r\n");
    rig.upstream
        .wait_until(|ledger| ledger[0].content() == b"firstsecond");
    client.send(b"0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert!(rig.upstream.ledger()[0].complete);
}

#[test]
fn downloads_are_streamed() {
    let rig = Rig::new();
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 14\r\n\r\ndata: 1",
        "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\ndata: 1",
    ] {
        let feed = rig.upstream.feed("/stream");
        let mut client = rig.connect();
        client.send(&request("GET", "/stream", &[], None));
        feed.send(head.as_bytes().to_vec())
            .expect("the feed is open");
        let came = client.read_until(|came| came.windows(7).any(|seven| seven == b"data: 1"));
        assert!(
            came.windows(7).any(|seven| seven == b"data: 1"),
            "{}",
            came.escape_ascii()
        );
        let last = if head.contains("chunked") {
            "7\r\ndata: 2\r\n0\r\n\r\n"
        } else {
            "data: 2"
        };
        feed.send(last.as_bytes().to_vec())
            .expect("the feed is open");
        drop(feed);
        assert_eq!(client.response().body, b"data: 1data: 2");
    }
}

#[test]
fn the_answer_to_head_has_a_content_length_and_no_body() {
    let rig = Rig::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n";
    rig.upstream
        .on("/page", Act::Say(answer.to_vec(), Then::GoOn));
    let mut client = rig.connect();
    for _ in 0..3 {
        client.send(&request("HEAD", "/page", &[], None));
        let response = client.response_to_head().expect("an answer");
        assert_eq!(response.header("content-length"), Some("1234"));
        assert_eq!(response.header("etag"), Some("\"x\""));
        assert_eq!(response.body, b"");
    }
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    let rig = Rig::new();
    let mut client = rig.connect();
    for status in ["204 No Content", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n");
        rig.upstream
            .once("/page", Act::Say(answer.into_bytes(), Then::GoOn));
        client.send(&request("GET", "/page", &[], None));
        let response = client.response();
        assert!(
            status.starts_with(&response.status.to_string()),
            "{response}"
        );
        assert_eq!(response.header("etag"), Some("\"x\""));
        assert_eq!(response.header("transfer-encoding"), None, "{response}");
    }
    client.send(&request("GET", "/after", &[], None));
    assert_eq!(client.response().body, b"hello\n");
}

#[test]
fn interim_answers_of_the_upstream_are_not_forwarded() {
    let rig = Rig::new();
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let answer = [interim.as_slice(), &reply("200 OK", &[], b"final")].concat();
    rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
    let response = rig.get("/page");
    assert_eq!((response.status, response.text()), (200, "final"));
}

#[test]
fn a_client_that_waits_for_100_continue_receives_it() {
    let rig = Rig::new();
    let mut client = rig.connect();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    );
    client.send(head.as_bytes());
    assert_eq!(client.response().status, 100);
    client.send(b"body");
    assert_eq!(client.response().status, 200);
    let seen = rig.upstream.ledger().remove(0);
    assert_eq!(
        (seen.text().as_str(), seen.header("expect")),
        ("body", None)
    );
}

#[test]
fn trailers_are_dropped_in_both_directions() {
    let rig = Rig::new();
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\nSet-Cookie: a=b\r\n\r\n";
    rig.upstream
        .once("/page", Act::Say(answer.as_bytes().to_vec(), Then::GoOn));
    let head = format!(
        "PUT /page HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let response = rig.send(
        format!("{head}2\r\nok\r\n0\r\nAuthorization: Basic eDp5\r\nX-Late: 1\r\n\r\n").as_bytes(),
    );
    assert_eq!(response.body, b"ok");
    let came = response.raw.to_ascii_lowercase();
    assert!(
        !came
            .windows(6)
            .any(|six| six == b"x-late" || six == b"set-co"),
        "{response}"
    );
    let seen = rig.upstream.ledger().remove(0);
    let sent = [seen.head.clone(), seen.body.clone()]
        .concat()
        .to_ascii_lowercase();
    assert!(
        !sent
            .windows(6)
            .any(|six| six == b"x-late" || six == b"author" || six == b"traile"),
        "{seen:?}"
    );
}

#[test]
fn upgrades_are_neither_forwarded_nor_granted() {
    let rig = Rig::new();
    let fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ];
    assert_eq!(rig.get_with("/page", &fields).status, 200);
    let seen = rig.upstream.ledger().remove(0);
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{seen:?}");
    }
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw";
    rig.upstream
        .once("/ws", Act::Say(answer.to_vec(), Then::Stall));
    let response = rig.get_with(
        "/ws",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    );
    assert_eq!(response.status, 502, "{response}");
}
