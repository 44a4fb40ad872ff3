//! Limits of bytes, parameters and connections, and of the time that a client may take.

use std::thread::sleep;
use std::time::Duration;

use crate::support::raw::Connection;
use crate::support::rig::{Config, HOST, Rig, request, target};
use crate::support::scripted::{Act, Then, reply};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn limited(limits: &str) -> Rig {
    Rig::with(Config {
        limits,
        ..Config::default()
    })
}

#[test]
fn a_head_of_too_many_bytes_is_refused() {
    let rig = limited("header_bytes = \"8KiB\"");
    let long = "x".repeat(7_000);
    assert_eq!(rig.get_with("/page", &[("X-Long", &long)]).status, 200);
    let longer = "x".repeat(9_000);
    let mut client = rig.connect();
    client.send(&request("GET", "/page", &[("X-Long", &longer)], None));
    assert_eq!(client.response().status, 431);
    assert_eq!(client.rest(), b"");
    assert_eq!(rig.upstream.ledger().len(), 1);
}

/// hyper's buffer grows in steps, so without a check a head that fits the last step would pass.
#[test]
fn a_head_is_limited_to_the_exact_byte_however_it_is_split() {
    for (limits, most) in [
        ("header_bytes = \"8KiB\"", 8 * 1024),
        ("header_bytes = \"12KiB\"", 12 * 1024),
        ("", 32 * 1024),
        ("header_bytes = \"100KiB\"", 100 * 1024),
    ] {
        let rig = limited(limits);
        let head = |length: usize| {
            let rest = request("GET", "/page", &[("X-Long", "")], None).len();
            request(
                "GET",
                "/page",
                &[("X-Long", &"x".repeat(length - rest))],
                None,
            )
        };
        let first = request("GET", "/page", &[], None);
        for piece in [1000, 8192, usize::MAX] {
            for (length, status) in [(most, 200), (most + 1, 431), (most * 5 / 4, 431)] {
                // The limit does not include the head of an earlier request.
                for before in [&[][..], &first] {
                    let bytes = [before, &head(length)].concat();
                    let mut client = rig.connect();
                    for piece in bytes.chunks(piece) {
                        client.send(piece);
                    }
                    if !before.is_empty() {
                        assert_eq!(client.response().status, 200);
                    }
                    assert_eq!(client.response().status, status, "{length} by {piece}");
                }
            }
        }
    }
}

/// hyper answers these itself: no request reaches the gate's service.
#[test]
fn a_malformed_head_is_counted_and_logged_without_its_content() {
    let mut rig = limited("header_bytes = \"8KiB\"");
    let too_large = format!(
        "GET /hidden-word HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let none = [
        ("GET /?client=\"hidden-word\" HTTP/1.1\r\n\r\n", 400),
        ("GET /hidden-word HTTP/3.0\r\n\r\n", 400),
        ("GET /hidden-word{}\x7f HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: hidden-word\0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: hidden-word\r\n\r\n", 400),
        ("\x16\x03\x01hidden-word", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nhidden-word", 0),
        (&too_large, 431),
    ];
    for (bytes, status) in none {
        let mut client = rig.connect();
        client.send(bytes.as_bytes());
        client.finish_sending();
        let answer = client.try_response().map_or(0, |response| response.status);
        assert_eq!(answer, status, "{}", bytes.escape_debug());
        // The incident is counted when the connection has ended.
        client.rest();
    }
    // A client that disconnects in the middle of a head is not an incident.
    let mut client = rig.connect();
    client.send(b"GET /page HTT");
    client.finish_sending();
    client.rest();
    let log = rig.gate.log_until(|log| log.contains("malformed_head"));
    assert!(!log.contains("hidden-word"), "{log}");
    assert_eq!(rig.get("/page").status, 200);
    let counted = "pkce_gate_incidents_total{kind=\"malformed_head\"}";
    // The client may see the end of the connection before it is counted.
    for _ in 0..500 {
        if rig.gate.metric(counted) >= none.len() {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    assert_eq!(rig.gate.metric(counted), none.len());
}

/// The formula in the manual ("Sizing") holds for these limits, and its result for the defaults is correct.
#[test]
fn the_process_stays_within_the_memory_that_the_manual_states() {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    const PLACES: usize = 40;
    let bound = |connections: usize, in_flight: usize| {
        16 * MIB
            + connections * (20 * KIB + 2 * 32 * KIB + 2 * 64 * KIB)
            + in_flight * (MIB + 512 * KIB)
    };
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/operations.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let tenths = bound(4096, 512).div_ceil(100_000_000);
    let most = format!("{}.{} GB", tenths / 10, tenths % 10);
    assert!(page.contains(&format!("| together | | {most} |")), "{most}");
    // In total: with the store, and with the kernel's buffers of clients that do not read.
    let all = bound(4096, 512) + 920_000_000 + 4096 * 256 * KIB;
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/systemd/pkce-gate.service"
    );
    let unit = std::fs::read_to_string(unit).expect("the unit is there");
    assert!(all < 4096 * MIB && unit.contains("MemoryMax=4G\n"), "{all}");

    // From several networks, because one network gets fewer places.
    let rig = Rig::with(Config {
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        limits: &format!(
            "in_flight = {PLACES}\nconnections = 320\nbody_read = \"1h\"\nheader_read = \"1h\""
        ),
        ..Config::default()
    });
    let head = format!(
        "X-Long: {}\r\n{FORM}Content-Length: 65000\r\n",
        "x".repeat(31 * KIB)
    );
    let mut clients = Vec::new();
    for _ in 0..150 {
        let mut client = rig.connect();
        client.send(format!("POST /login HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\n").as_bytes());
        client.send("a=b&".repeat(16_000).as_bytes());
        clients.push(client);
    }
    // Below the length that the gate reads of a page, and more than the kernel buffers on both sides.
    let page = reply(
        "200 OK",
        &[("Content-Type", "text/html")],
        &vec![b'x'; 1_000_000],
    );
    rig.upstream.on("/large", Act::Say(page, Then::GoOn));
    let mut answered = 0;
    for _ in 0..3 * PLACES {
        let mut client = rig.connect();
        client.send(&request("GET", "/large", &[], None));
        let came = client.read_until(|came| came.len() > 15);
        if came.starts_with(b"HTTP/1.1 200 ") {
            answered += 1;
        } else {
            assert!(
                came.starts_with(b"HTTP/1.1 503 "),
                "{}",
                came.escape_ascii()
            );
        }
        clients.push(client);
    }
    assert_eq!(answered, PLACES, "unread answers keep their places");
    let (took, most) = (rig.gate.most_memory(), bound(320, PLACES));
    println!("{took} bytes of at most {most}");
    assert!(took < most, "{took} bytes of at most {most}");
}

#[test]
fn a_head_of_too_many_fields_is_refused() {
    for (limits, most) in [("headers = 8", 8), ("", 64), ("headers = 200", 200)] {
        let rig = limited(limits);
        let fields = vec![("X-Field", "1"); most];
        // `Host` counts as well.
        assert_eq!(rig.get_with("/page", &fields[1..]).status, 200, "{most}");
        assert_eq!(rig.get_with("/page", &fields).status, 431, "{most}");
        assert_eq!(rig.upstream.ledger().len(), 1);
    }
}

#[test]
fn a_target_that_is_too_long_is_refused() {
    let rig = limited("uri_bytes = \"1KiB\"");
    let just = format!("/{}", "x".repeat(1023));
    assert_eq!(rig.get(&just).status, 200);
    assert_eq!(rig.get(&format!("{just}x")).status, 414);
    assert_eq!(rig.get(&format!("/x?{just}")).status, 414);
    let entry = rig.enter(&rig.authorization().with("claims", &"x".repeat(1024)));
    assert_eq!(entry.status, 414);
    assert_eq!(rig.upstream.ledger().len(), 1);
}

#[test]
fn a_form_of_too_many_bytes_is_refused_where_the_gate_reads_it() {
    let rig = limited("form_bytes = \"1KiB\"");
    let just = format!("grant_type=x&x={}", "y".repeat(1024 - 15));
    assert_eq!(rig.post("/token", &[], &just).status, 200);
    let longer = format!("{just}y");
    for path in ["/token", "/authorize"] {
        assert_eq!(rig.post(path, &[], &longer).status, 413, "{path}");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n"
        );
        let body = format!("{:x}\r\n{longer}\r\n0\r\n\r\n", longer.len());
        assert_eq!(
            rig.send(format!("{head}{body}").as_bytes()).status,
            413,
            "{path}"
        );
        // If the declared length is too large, the gate does not wait for the body.
        let mut client = rig.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{FORM}Content-Length: 1000000\r\n\r\n{longer}").as_bytes());
        assert_eq!(client.response().status, 413, "{path}");
    }
    assert_eq!(rig.upstream.ledger().len(), 1);
    assert_eq!(rig.post("/elsewhere", &[], &longer).status, 200);
    assert_eq!(rig.upstream.ledger()[1].text(), longer);
}

#[test]
fn too_many_parameters_are_refused() {
    let rig = limited("form_pairs = 8");
    let pairs = |count: usize| {
        (1..=count)
            .map(|at| format!("p{at}=x"))
            .collect::<Vec<_>>()
            .join("&")
    };
    assert_eq!(rig.post("/token", &[], &pairs(8)).status, 200);
    assert_eq!(rig.post("/token", &[], &pairs(9)).status, 400);
    let authorization = rig.authorization();
    let seven = target(&authorization.clone().without("nonce"));
    assert_eq!(rig.get(&format!("{seven}&nonce=1")).status, 303);
    assert_eq!(rig.get(&format!("{seven}&{}", pairs(2))).status, 400);
    assert_eq!(rig.upstream.ledger().len(), 1);
}

/// A connection whose request the upstream does not answer.
fn unanswered(rig: &Rig) -> Connection {
    let before = rig.upstream.requests_to("/never").len();
    let mut client = rig.connect();
    client.send(&request("GET", "/never", &[], None));
    while rig.upstream.requests_to("/never").len() == before {
        sleep(Duration::from_millis(5));
    }
    client
}

fn with_connections(limits: &str, workers: usize) -> Rig {
    let rig = Rig::with(Config {
        server: &format!("workers = {workers}"),
        limits,
        ..Config::default()
    });
    rig.upstream.on("/never", Act::Say(Vec::new(), Then::Stall));
    rig
}

#[test]
fn connections_above_the_limit_wait_while_all_others_are_busy() {
    for workers in [1, 2] {
        let rig = with_connections("connections = 2", workers);
        let mut held: Vec<_> = (0..2).map(|_| unanswered(&rig)).collect();
        let mut third = rig.connect();
        third.send(&request("GET", "/third", &[], None));
        sleep(Duration::from_millis(300));
        assert!(rig.upstream.requests_to("/third").is_empty(), "it waits");
        held.pop();
        assert_eq!(
            third.response().status,
            200,
            "it is served when another one closes"
        );
    }
}

#[test]
fn idle_and_silent_connections_give_way_to_new_ones() {
    for workers in [1, 2] {
        let rig = with_connections("connections = 3", workers);
        let answered = unanswered(&rig);
        let mut idle = rig.connect();
        idle.send(&request("GET", "/page", &[], None));
        assert_eq!(idle.response().status, 200);
        let mut silent = rig.connect();
        for _ in 0..9 {
            let mut next = rig.connect();
            next.send(&request("GET", "/page", &[], None));
            assert_eq!(next.response().status, 200);
        }
        assert_eq!((idle.rest(), silent.rest()), (Vec::new(), Vec::new()));
        drop(answered);
    }
}

#[test]
fn a_peer_that_has_its_share_of_connections_gets_no_more() {
    let rig = with_connections("connections = 9\nconnections_per_peer = 2", 1);
    let held = [unanswered(&rig), unanswered(&rig)];
    let mut third = rig.connect();
    third.try_send(&request("GET", "/third", &[], None));
    assert_eq!(third.rest(), b"");
    assert!(rig.upstream.requests_to("/third").is_empty());
    drop(held);
}

/// A connection gets a free place even if the kernel gives it to another listener.
#[test]
fn a_free_place_is_free_for_every_connection() {
    let rig = Rig::with(Config {
        server: "workers = 2",
        limits: "connections = 1",
        ..Config::default()
    });
    for _ in 0..30 {
        assert_eq!(rig.get("/page").status, 200);
    }
}

/// The gate closes the connection without an answer, or after an answer with `Connection: close`.
#[track_caller]
fn assert_closed(rig: &Rig, mut client: Connection) {
    let rest = client.rest();
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", rest.escape_ascii());
    // A client that is too slow on a busy machine tries again.
    let is_served = |_| {
        let mut other = rig.connect();
        other.try_send(&request("GET", "/page", &[], None))
            && other
                .try_response()
                .is_ok_and(|answer| answer.status == 200)
    };
    assert!((0..100).any(is_served), "others are served");
    let incidents = |log: &str| log.contains("connection_timed_out");
    rig.gate.log_until(incidents);
}

fn timed(limits: &str) -> Rig {
    Rig::with(Config {
        limits,
        log: "level = \"debug\"",
        ..Config::default()
    })
}

#[test]
fn a_silent_connection_is_closed() {
    let rig = timed("first_byte = \"300ms\"");
    assert_closed(&rig, rig.connect());
}

#[test]
fn an_unfinished_head_times_out() {
    let rig = timed("header_read = \"300ms\"");
    let mut client = rig.connect();
    client.send(b"GET /page HTTP/1.1\r\nHost: ga");
    assert_closed(&rig, client);
}

#[test]
fn a_head_that_arrives_slowly_times_out() {
    let rig = timed("header_read = \"300ms\"");
    let mut client = rig.connect();
    client.send(b"GET /page HTTP/1.1\r\n");
    for at in 0..200 {
        if !client.try_send(format!("X-{at}: 1\r\n").as_bytes()) {
            return assert_closed(&rig, client);
        }
        sleep(Duration::from_millis(50));
    }
    panic!("ten seconds for a head");
}

#[test]
fn a_body_that_stops_times_out() {
    let rig = timed("body_read = \"300ms\"");
    for path in ["/token", "/authorize", "/elsewhere"] {
        for framing in [
            "Content-Length: 100\r\n\r\ngrant_type=x",
            "Transfer-Encoding: chunked\r\n\r\n5\r\ngrant",
        ] {
            let mut client = rig.connect();
            client.send(
                format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{FORM}{framing}").as_bytes(),
            );
            assert_closed(&rig, client);
        }
    }
    assert!(
        rig.upstream
            .ledger()
            .iter()
            .all(|seen| seen.path() == "/page" || !seen.complete)
    );
}

#[test]
fn a_slow_body_within_its_time_limit_arrives() {
    // The head comes in one piece, so that only the body is subject to a time limit.
    let rig = timed("body_read = \"1m\"\nheader_read = \"300ms\"\nidle = \"300ms\"");
    let mut client = rig.connect();
    client.send(
        format!("POST /token HTTP/1.1\r\nHost: {HOST}\r\n{FORM}Content-Length: 12\r\n\r\n")
            .as_bytes(),
    );
    for byte in b"grant_type=x" {
        sleep(Duration::from_millis(100)); // 1.2 s in total
        client.send(&[*byte]);
    }
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_client_that_does_not_read_times_out() {
    const HUGE: usize = 64 * 1024 * 1024; // more than all buffers on the way
    let rig = timed("body_read = \"500ms\"");
    let body = vec![b'x'; HUGE];
    let answer = reply(
        "200 OK",
        &[("Content-Type", "application/octet-stream")],
        &body,
    );
    rig.upstream.once("/huge", Act::Say(answer, Then::GoOn));
    let mut client = rig.connect();
    client.send(&request("GET", "/huge", &[], None));
    rig.gate
        .log_until(|log| log.contains("connection_timed_out"));
    let came = client.rest();
    assert!(came.starts_with(b"HTTP/1.1 200 "), "it began");
    assert!(came.len() < HUGE, "and was cut off");
    assert_eq!(rig.get("/page").status, 200);
}

/// Fails with automatically sized send buffers: the kernel then frees space only after seconds.
#[test]
fn a_client_that_reads_slowly_gets_everything() {
    const LARGE: usize = 4 * 1024 * 1024;
    let rig = timed("body_read = \"10s\"");
    let fields = [("Content-Type", "application/octet-stream")];
    let answer = reply("200 OK", &fields, &vec![b'x'; LARGE]);
    rig.upstream.once("/large", Act::Say(answer, Then::GoOn));
    let mut client = rig.connect();
    client.send(&request("GET", "/large", &[], None));
    let mut came = 0;
    while came < LARGE {
        sleep(Duration::from_millis(100));
        let now = client.read_until(|buffered| buffered.len() > came).len();
        assert!(now > came, "cut off after {came}");
        came = now;
    }
    assert_eq!(client.response().body.len(), LARGE);
}

#[test]
fn an_idle_connection_is_closed() {
    let rig = timed("idle = \"400ms\"");
    let mut client = rig.connect();
    client.send(&request("GET", "/page", &[], None));
    assert_eq!(client.response().status, 200);
    assert_closed(&rig, client);
}

#[test]
fn waiting_for_the_upstream_does_not_count_against_the_client() {
    // `first_byte` ends with the head, which comes in one piece.
    let rig = timed("header_read = \"300ms\"\nbody_read = \"300ms\"\nidle = \"300ms\"");
    let feed = rig.upstream.feed("/slow");
    let mut client = rig.connect();
    client.send(&request("GET", "/slow", &[], None));
    sleep(Duration::from_secs(1));
    feed.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\nab".to_vec(),
    )
    .expect("the feed is open");
    sleep(Duration::from_secs(1));
    feed.send(b"cd".to_vec()).expect("the feed is open");
    assert_eq!(client.response().body, b"abcd");
}
