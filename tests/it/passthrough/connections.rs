//! Connections to the upstream that fail, are slow or stale, and the limit of requests in flight.

use std::collections::BTreeMap;
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::support::raw::Connection;
use crate::support::rig::{Config, REDIRECT_URI, Rig, handle_of, request};
use crate::support::scripted::{Act, Greeting, Then, chunked, reply, until_close};

#[test]
fn an_upstream_that_is_down_is_reported_in_the_format_of_the_endpoint() {
    let rig = Rig::new();
    let entry = rig.entry(&rig.authorization());
    rig.upstream.refuse();
    for target in ["/page", "/.well-known/openid-configuration", &entry] {
        let response = rig.get(target);
        assert_eq!(response.status, 502, "{response}");
        assert!(
            response
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/plain")),
            "{response}"
        );
        assert!(response.header("retry-after").is_some(), "{response}");
    }
    let response = rig.post("/token", &[], "grant_type=refresh_token");
    assert_eq!(
        (response.status, &response.json()["error"]),
        (502, &"server_error".into()),
        "{response}"
    );
    rig.upstream.accept();
    assert_eq!(
        rig.get("/page").status,
        200,
        "and when it is back all is well"
    );
}

#[test]
fn an_upstream_that_closes_new_connections_gets_each_request_once_at_most() {
    let rig = Rig::new();
    for greeting in [Greeting::Close, Greeting::Reset] {
        rig.upstream.greet(greeting);
        for _ in 0..10 {
            assert_eq!(rig.get("/page").status, 502);
            assert_eq!(rig.post("/token", &[], "grant_type=x").status, 502);
        }
    }
    assert!(rig.upstream.ledger().is_empty());
    rig.upstream.heal();
    assert_eq!(rig.get("/page").status, 200);
}

#[test]
fn an_upstream_that_does_not_answer_times_out() {
    let rig = Rig::with(Config {
        upstream: "response = \"3s\"\nconnect = \"300ms\"",
        ..Config::default()
    });
    rig.upstream.on("*", Act::Say(Vec::new(), Then::Stall));
    assert_eq!(rig.get("/page").status, 504);
    assert_eq!(rig.post("/token", &[], "grant_type=x").status, 504);
    rig.upstream.heal();
    rig.upstream.ignore();
    let response = rig.get("/page");
    assert_eq!(response.status, 504, "{response}");
    rig.upstream.accept();
    assert_eq!(rig.get("/page").status, 200);
}

/// Neither a page that the gate reads nor a stream that it forwards may wait without a limit.
#[test]
fn an_upstream_that_stops_within_a_body_times_out() {
    let rig = Rig::with(Config {
        upstream: "response = \"3s\"",
        ..Config::default()
    });
    let mut waiting = Vec::new();
    for kind in ["text/html", "application/json", "application/octet-stream"] {
        for framing in [
            "Content-Length: 10\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "\r\nhalf",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}");
            let path = format!("/page/{}", waiting.len());
            rig.upstream
                .once(&path, Act::Say(head.into_bytes(), Then::Stall));
            let mut client = rig.connect();
            client.send(&request("GET", &path, &[], None));
            waiting.push((client, format!("{kind} {framing}")));
        }
    }
    for (mut client, what) in waiting {
        assert!(client.try_response().is_err(), "{what}");
    }
}

#[test]
fn a_slow_body_of_the_upstream_within_the_limit_arrives() {
    let rig = Rig::with(Config {
        upstream: "response = \"8s\"",
        ..Config::default()
    });
    let drips = ["text/html", "application/octet-stream"].map(|kind| {
        let path = format!("/{kind}");
        let feed = rig.upstream.feed(&path);
        let mut client = rig.connect();
        client.send(&request("GET", &path, &[], None));
        feed.send(
            // Dropping the feed closes the connection: the next request must not find it in the pool.
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: 18\r\n\r\n")
                .into_bytes(),
        )
        .expect("the feed is open");
        (client, feed)
    });
    for _ in 0..18 {
        sleep(Duration::from_millis(500)); // 9 s in total
        for (_, feed) in &drips {
            feed.send(b"x".to_vec()).expect("the feed is open");
        }
    }
    for (mut client, _feed) in drips {
        assert_eq!(client.response().body, [b'x'; 18]);
    }
}

#[test]
fn requests_above_the_limit_get_503_with_retry_after() {
    let rig = Rig::with(Config {
        limits: "in_flight = 2",
        ..Config::default()
    });
    let (first, second) = (rig.upstream.feed("/slow"), rig.upstream.feed("/slow"));
    let mut waiting = [rig.connect(), rig.connect()];
    for (at, client) in waiting.iter_mut().enumerate() {
        client.send(&request("GET", "/slow", &[], None));
        rig.upstream.wait_until(|ledger| ledger.len() == at + 1);
    }
    assert_full(&rig);

    // A request whose body is still arriving counts as well.
    first
        .send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\nx".to_vec())
        .expect("the feed is open");
    waiting[0].read_until(|came| came.ends_with(b"x"));
    assert_full(&rig);
    first.send(b"y".to_vec()).expect("the feed is open");
    drop(first);
    assert_eq!(waiting[0].response().body, b"xy");
    wait_for_a_place(&rig);

    drop(second);
    let given_up = waiting[1].response();
    assert_eq!(given_up.status, 502, "{given_up}");
    assert_eq!(rig.get("/page").status, 200);
}

/// The upstream has sent everything and its connection is free again. The rest of the answer is in the gate, and counts.
#[test]
fn an_answer_counts_as_in_flight_until_the_client_has_read_it() {
    const LARGE: usize = 1_000_000; // more than the kernel buffers on both sides, less than the gate reads of a page
    let rig = Rig::with(Config {
        limits: "in_flight = 1\nbody_read = \"1h\"",
        ..Config::default()
    });
    let filler = vec![b'x'; LARGE];
    for kind in ["text/html", "application/json", "image/png"] {
        let fields = [("Content-Type", kind)];
        for answer in [
            reply("200 OK", &fields, &filler),
            reply("404 Not Found", &fields, &filler),
            chunked("200 OK", &fields, &[&filler[..10], &filler[10..]]),
            until_close("200 OK", &fields, &filler),
        ] {
            for method in ["GET", "POST"] {
                for takes_it in [true, false] {
                    rig.upstream
                        .once("/large", Act::Say(answer.clone(), Then::Close));
                    let mut client = rig.connect();
                    let form = (method == "POST").then_some("a=b");
                    client.send(&request(method, "/large", &[], form));
                    client.read_until(|came| !came.is_empty());
                    assert_full(&rig);
                    if takes_it {
                        assert_eq!(client.response().body.len(), LARGE);
                    } else {
                        drop(client);
                    }
                    wait_for_a_place(&rig);
                }
            }
        }
    }
}

/// A page in which a code was replaced has a new body.
#[test]
fn a_rewritten_page_counts_as_in_flight_until_the_client_has_read_it() {
    let rig = Rig::with(Config {
        limits: "in_flight = 1\nbody_read = \"1h\"",
        ..Config::default()
    });
    let entry = rig.entry(&rig.authorization());
    let page = format!(
        "<form method=post action=\"{REDIRECT_URI}\"><input name=code value=up-long-and-unguessable>\
         <input name=state value={}></form>{}",
        handle_of(&entry),
        " ".repeat(1_000_000)
    );
    let answer = reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes());
    rig.upstream
        .once("/authorize", Act::Say(answer, Then::Close));
    let mut client = rig.connect();
    client.send(&request("GET", &entry, &[], None));
    client.read_until(|came| !came.is_empty());
    assert_full(&rig);
    let response = client.response();
    assert_eq!(response.status, 200, "{response}");
    assert!(!response.text().contains("up-long-and-unguessable"));
    wait_for_a_place(&rig);
}

/// A client may send the next request before it has read the answer to the first. The gate does not start it, so that nothing
/// accumulates.
#[test]
fn pipelined_requests_are_in_flight_one_after_the_other() {
    const LARGE: usize = 1_000_000;
    let rig = Rig::with(Config {
        limits: "in_flight = 1\nbody_read = \"1h\"",
        ..Config::default()
    });
    let answer = reply(
        "200 OK",
        &[("Content-Type", "text/html")],
        &vec![b'x'; LARGE],
    );
    rig.upstream.on("/large", Act::Say(answer, Then::GoOn));
    let mut client = rig.connect();
    client.send(&request("GET", "/large", &[], None).repeat(5));
    client.read_until(|came| !came.is_empty());
    assert_full(&rig);
    assert_eq!(rig.upstream.requests_to("/large").len(), 1);
    for _ in 0..5 {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, LARGE));
    }
    wait_for_a_place(&rig);
}

#[test]
fn a_form_that_is_still_arriving_does_not_count_as_in_flight() {
    let rig = Rig::with(Config {
        limits: "in_flight = 1",
        ..Config::default()
    });
    for target in ["/token", "/authorize", "/login"] {
        let mut slow = rig.connect();
        let bytes = request("POST", target, &[], Some("grant_type=x"));
        slow.send(&bytes[..bytes.len() - 3]);
        assert_eq!(rig.get("/page").status, 200, "{target}");
    }
}

#[track_caller]
fn assert_full(rig: &Rig) {
    let response = rig.get("/page");
    assert_eq!(response.status, 503, "{response}");
    assert!(response.header("retry-after").is_some(), "{response}");
    let response = rig.post("/token", &[], "grant_type=x");
    assert_eq!(response.status, 503, "{response}");
    assert_eq!(
        response.json()["error"],
        "temporarily_unavailable",
        "{response}"
    );
    assert!(response.header("retry-after").is_some(), "{response}");
}

/// The client receives the last byte a moment before the place is free.
#[track_caller]
fn wait_for_a_place(rig: &Rig) {
    for _ in 0..3000 {
        if rig.get("/page").status == 200 {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("no place got free");
}

#[test]
fn a_client_that_disconnects_frees_its_place() {
    let rig = Rig::with(Config {
        limits: "in_flight = 1",
        ..Config::default()
    });
    for _ in 0..3 {
        let feed = rig.upstream.feed("/slow");
        let before = rig.upstream.ledger().len();
        let mut client = rig.connect();
        client.send(&request("GET", "/slow", &[], None));
        rig.upstream.wait_until(|ledger| ledger.len() == before + 1);
        drop(client);
        wait_for_a_place(&rig);
        drop(feed);
    }
}

/// Some servers answer HEAD with a body, which they write after the head.
#[test]
fn an_unexpected_body_reaches_no_other_client() {
    let rig = Rig::with(Config {
        server: "workers = 1",
        ..Config::default()
    });
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n",
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
    ] {
        let feed = rig.upstream.feed("/odd");
        let mut client = rig.connect();
        client.send(&request(method, "/odd", &[], None));
        feed.send(head.as_bytes().to_vec())
            .expect("the feed is open");
        client.read_until(|came| came.ends_with(b"\r\n\r\n"));
        let before = rig.upstream.accepted();
        assert_eq!(rig.get("/page").status, 200, "{method} {head}");
        feed.send(b"stray!".to_vec()).ok(); // the gate has closed the connection
        assert_eq!(rig.upstream.accepted(), before + 1, "{method} {head}");
    }
}

#[test]
fn connections_to_the_upstream_are_reused() {
    let rig = Rig::with(Config {
        server: "workers = 1",
        ..Config::default()
    });
    let mut client = rig.connect();
    for _ in 0..50 {
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
        client.send(&request("POST", "/token", &[], Some("grant_type=x")));
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(rig.upstream.accepted(), 1);
}

/// Each has a number in the ledger.
const POSTS: usize = 300;
const CLIENTS: usize = 10;

/// The answers to `POSTS` numbered requests, and how often each number reached the upstream.
fn post_many(
    rig: &Rig,
    pause: impl Fn(usize) -> Duration + Send + Clone + 'static,
) -> (Vec<u16>, Vec<usize>) {
    let address = rig.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let pause = pause.clone();
            spawn(move || {
                let numbers = (client..POSTS).step_by(CLIENTS);
                let post = |number: usize| {
                    sleep(pause(number));
                    let mut connection = Connection::open(address);
                    let form = format!("grant_type=refresh_token&refresh_token=number-{number}");
                    connection.send(&request("POST", "/token", &[], Some(&form)));
                    connection.response().status
                };
                numbers.map(post).collect::<Vec<_>>()
            })
        })
        .collect();
    let statuses = clients
        .into_iter()
        .flat_map(|client| client.join().expect("answers"))
        .collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for received in rig.upstream.ledger() {
        *seen.entry(received.text()).or_default() += 1;
    }
    (statuses, seen.into_values().collect())
}

/// As with Node.js, which closes idle connections after five seconds, and a gate that closes them long before: even on a busy
/// machine the gate notices in time.
#[test]
fn no_request_fails_if_the_upstream_closes_idle_connections_later_than_the_gate() {
    let rig = Rig::with(Config {
        upstream: "idle = \"100ms\"",
        ..Config::default()
    });
    rig.upstream.idle(Duration::from_secs(5));
    let (statuses, seen) = post_many(&rig, |number| {
        // Each client's numbers are ten apart: each reaches the upstream's limit twice.
        Duration::from_millis(match number / CLIENTS {
            10 => 4990,
            20 => 5010,
            other => [0, 90, 110, 300][other % 4],
        })
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        POSTS
    );
    assert_eq!(seen, vec![1; POSTS], "each arrived once");
    assert!(
        rig.upstream.accepted() > CLIENTS,
        "connections were closed in between"
    );
}

/// If the upstream closes connections at once and without notice, a request can fail; but none is sent twice, and one that was
/// not sent is repeated.
#[test]
fn an_upstream_that_closes_connections_at_once_gets_each_request_once_at_most() {
    let rig = Rig::new();
    rig.upstream.on(
        "/token",
        Act::Say(
            reply("200 OK", &[("Content-Type", "application/json")], b"{}"),
            Then::Close,
        ),
    );
    let (statuses, seen) = post_many(&rig, |number| Duration::from_millis(number as u64 % 7));
    assert!(
        statuses.iter().all(|status| [200, 502].contains(status)),
        "{statuses:?}"
    );
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    let answered = statuses.iter().filter(|status| **status == 200).count();
    assert!(
        answered <= seen.len(),
        "{answered} answers, {} requests",
        seen.len()
    );
    // The pool does not keep closed connections: each failed request removes one.
    let is_answered = |_| rig.post("/token", &[], "grant_type=x").status == 200;
    assert!((0..=CLIENTS).any(is_answered));
}
