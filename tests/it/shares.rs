//! A network that takes all places that it can get leaves the same number to others: connections, requests in flight, uploads,
//! descriptors. A crowd of users is not treated as an attack.

use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;

use crate::support::client::Authorization;
use crate::support::http::{Request, Response};
use crate::support::params::Params;
use crate::support::raw::Connection;
use crate::support::rig::{
    Config, HOST, REDIRECT_URI, Rig, authorization_response, cookie_of, request, target,
};
use crate::support::scripted::{Act, Then, reply};

const UPLOAD: &str = "Content-Type: image/png\r\nContent-Length: 1000000\r\n\r\na";

/// A loopback address; each number is in another /24.
fn network(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, number, 1).into()
}

fn from(rig: &Rig, number: u8, bytes: &[u8]) -> Connection {
    let mut client = Connection::open_from(network(number), rig.address());
    client.try_send(bytes);
    client
}

fn limited(limits: &str) -> Rig {
    Rig::with(Config {
        limits,
        ..Config::default()
    })
}

fn page() -> Vec<u8> {
    request("GET", "/page", &[], None)
}

fn whole_upload() -> Vec<u8> {
    let head = "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "4\r\nbody\r\n0\r\n\r\n";
    format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{head}{body}").into_bytes()
}

/// A refused client tries again, as `Retry-After` says, while the gate takes back places from others in each round.
#[track_caller]
fn assert_served(rig: &Rig, number: u8, bytes: &[u8]) {
    let is_served = |_| {
        let answer = from(rig, number, bytes).try_response();
        let is_served = answer.is_ok_and(|answer| answer.status == 200);
        if !is_served {
            sleep(Duration::from_millis(50));
        }
        is_served
    };
    assert!((0..400).any(is_served), "network {number} is shut out");
}

#[test]
fn one_network_leaves_a_quarter_of_the_requests_in_flight_to_others() {
    let rig = limited("in_flight = 8");
    rig.upstream.on("/never", Act::Say(Vec::new(), Then::Stall));
    let never = request("GET", "/never", &[], None);
    let held: Vec<_> = (0..6).map(|_| from(&rig, 1, &never)).collect();
    rig.upstream.wait_until(|ledger| ledger.len() == 6);
    assert_eq!(from(&rig, 1, &page()).response().status, 503);
    // Another address of the same network shares the limit.
    let mut neighbour = Connection::open_from(Ipv4Addr::new(127, 0, 1, 77).into(), rig.address());
    neighbour.send(&page());
    assert_eq!(neighbour.response().status, 503);
    for other in 2..9 {
        assert_eq!(from(&rig, other, &page()).response().status, 200);
    }
    drop(held);
}

/// The first network takes most places, the next half of the rest: unless the gate takes places back, five networks would leave
/// none.
#[test]
fn networks_with_endless_uploads_leave_places_for_uploads_and_requests_of_others() {
    let rig = limited("in_flight = 64\nbody_read = \"1h\"");
    let unfinished = format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{UPLOAD}");
    let mut held = Vec::new();
    for number in 1..=10 {
        held.extend((0..32).map(|_| from(&rig, number, unfinished.as_bytes())));
    }
    for other in 100..104 {
        assert_served(&rig, other, &page());
        assert_served(&rig, other, &whole_upload());
    }
    drop(held);
}

#[test]
fn networks_that_do_not_read_answers_leave_a_place_for_others() {
    let rig = limited("in_flight = 16\nbody_read = \"1h\"");
    // Below the length that the gate reads of a page, and more than the kernel buffers on both sides.
    let fields = [("Content-Type", "text/html")];
    let large = reply("200 OK", &fields, &vec![b'x'; 1_000_000]);
    rig.upstream.on("/large", Act::Say(large, Then::GoOn));
    let large = request("GET", "/large", &[], None);
    let mut held = Vec::new();
    for number in 1..=6 {
        for _ in 0..16 {
            let mut client = from(&rig, number, &large);
            client.read_until(|came| came.len() > 15);
            held.push(client);
        }
    }
    for other in 100..104 {
        assert_served(&rig, other, &page());
    }
    drop(held);
}

/// The upstream has answered, but its connection stays in use until the body is complete.
#[test]
fn an_upload_that_was_answered_before_its_end_keeps_its_place() {
    let mut rig = limited("in_flight = 2");
    let early = reply("200 OK", &[("Content-Type", "image/png")], b"early");
    rig.upstream
        .on("/early", Act::Interrupt(early, Then::Stall));
    let unfinished = format!("POST /early HTTP/1.1\r\nHost: {HOST}\r\n{UPLOAD}");
    let mut client = from(&rig, 1, unfinished.as_bytes());
    assert_eq!(client.response().body, b"early");
    let in_flight = "pkce_gate_in_flight{upstream=\"scripted\"}";
    assert_eq!(rig.gate.metric(in_flight), 1);
    drop(client);
    assert!((0..400).any(|_| {
        sleep(Duration::from_millis(20));
        rig.gate.metric(in_flight) == 0
    }));
}

/// Every limited resource is counted: connections with their heads and bodies, requests with their answers, records.
#[test]
fn connections_requests_and_records_are_counted_until_they_end() {
    let mut rig = Rig::with(Config {
        limits: "body_read = \"1h\"",
        store: "kind = \"memory\"",
        ..Config::default()
    });
    let large = reply(
        "200 OK",
        &[("Content-Type", "text/html")],
        &vec![b'x'; 1_000_000],
    );
    rig.upstream.on("/large", Act::Say(large, Then::GoOn));
    for _ in 0..3 {
        rig.entry(&rig.authorization());
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\na";
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{rest}");
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(from(&rig, 1, b""));
        held.push(from(&rig, 1, b"GET /page HTTP/1.1\r\n"));
        held.push(from(&rig, 1, post("/token", form).as_bytes()));
        held.push(from(&rig, 1, post("/upload", UPLOAD).as_bytes()));
        held.push(from(&rig, 1, &request("GET", "/large", &[], None)));
    }
    let mut becomes = |connections, in_flight| {
        let is_so = |_| {
            sleep(Duration::from_millis(20));
            rig.gate.metric("pkce_gate_connections") == connections
                && rig
                    .gate
                    .metric("pkce_gate_in_flight{upstream=\"scripted\"}")
                    == in_flight
        };
        assert!((0..1500).any(is_so), "{connections}, {in_flight}");
    };
    becomes(10, 4);
    drop(held);
    becomes(0, 0);
    let pending = "pkce_gate_store_records{upstream=\"scripted\",kind=\"unfollowed\"}";
    assert_eq!(rig.gate.metric(pending), 3);
}

/// Whatever these connections wait for: a first byte, a head, a body.
#[test]
fn networks_that_hold_connections_leave_as_many_for_others() {
    let body = format!(
        "POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 1000\r\n\r\na"
    );
    for begun in ["", "GET /page HTTP/1.1\r\n", &body] {
        let limits =
            "connections = 128\nfirst_byte = \"1h\"\nheader_read = \"1h\"\nbody_read = \"1h\"";
        let rig = limited(limits);
        let mut held = Vec::new();
        for number in 1..=10 {
            held.extend((0..64).map(|_| from(&rig, number, begun.as_bytes())));
        }
        for other in 100..104 {
            assert_served(&rig, other, &page());
        }
        drop(held);
    }
}

/// All users perform each step at the same time, which is more than one minute of real traffic.
fn crowd(server: &str, users: usize, fields_of: impl Fn(usize) -> String) {
    let rig = Rig::with(Config {
        server,
        ..Config::default()
    })
    // The test checks every answer itself.
    .unguarded();
    let ask = |user: usize, target: &str, cookie: &str, form: Option<&str>| -> Response {
        let forwarded = fields_of(user);
        let fields = [("X-Forwarded-For", forwarded.as_str()), ("Cookie", cookie)];
        let method = form.map_or("GET", |_| "POST");
        let mut client = rig.connect();
        client.send(&request(method, target, &fields, form));
        client.response()
    };
    let begun: Vec<_> = (0..users)
        .map(|user| {
            let authorization = Authorization::new(REDIRECT_URI, None);
            let entry = ask(user, &target(&authorization), "a=b", None);
            assert_eq!(entry.status, 303, "user {user}: {entry}");
            (authorization, entry)
        })
        .collect();
    let signed_in: Vec<(Authorization, Params)> = begun
        .into_iter()
        .enumerate()
        .map(|(user, (authorization, entry))| {
            let location = entry.header("location").expect("a 303 has a Location");
            let answer = ask(user, location, &cookie_of(&entry).unwrap_or_default(), None);
            let answer = authorization_response(&answer, &authorization)
                .unwrap_or_else(|| panic!("user {user}: {answer}"));
            let redemption = authorization.redemption(answer.code());
            (authorization, redemption)
        })
        .collect();
    for (user, (_, redemption)) in signed_in.iter().enumerate() {
        let answer = ask(user, "/token", "a=b", Some(&redemption.encoded()));
        assert_eq!(answer.status, 200, "user {user}: {answer}");
    }
    assert_eq!(rig.upstream.tokens().len(), users);
}

#[test]
fn two_thousand_users_behind_a_proxy_sign_in() {
    let address = |user: usize| format!("198.51.{}.{}", user / 250, user % 250);
    crowd("trusted_proxies = [\"127.0.0.1/32\"]", 2000, address);
}

#[test]
fn two_hundred_users_behind_one_address_sign_in() {
    crowd("", 200, |_| "198.51.100.1".to_owned());
}

/// Browsers keep six connections each, and use all of them.
#[test]
fn browsers_behind_one_address_keep_their_connections() {
    let rig = Rig::new();
    let mut browsers: Vec<_> = (0..60 * 6).map(|_| rig.connect()).collect();
    for _ in 0..2 {
        for browser in &mut browsers {
            browser.send(&page());
        }
        for browser in &mut browsers {
            assert_eq!(browser.response().status, 200);
        }
    }
}

/// The gate reserves descriptors for the upstream, health and metrics.
#[test]
fn held_connections_leave_descriptors_for_the_upstream_and_the_admin_listener() {
    let mut rig = Rig::with_descriptors(Config::default(), 400);
    let mut held = Vec::new();
    let unfinished = format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{UPLOAD}");
    for number in 1..=8 {
        held.extend((0..100).map(|_| from(&rig, number, b"GET /page HTTP/1.1\r\n")));
        held.extend((0..100).map(|_| from(&rig, number, unfinished.as_bytes())));
    }
    for other in 100..104 {
        assert_served(&rig, other, &page());
    }
    let admin = rig.gate.address("admin");
    for path in ["livez", "readyz", "metrics"] {
        let answer = Request::get(&format!("http://{admin}/{path}")).send();
        assert_eq!(answer.status, 200, "{answer}");
    }
    let failed = "pkce_gate_upstream_errors_total{upstream=\"scripted\",fault=\"descriptors\"}";
    assert_eq!(rig.gate.metric(failed), 0);
    drop(held);
}

#[test]
fn running_out_of_descriptors_is_reported_as_such() {
    let mut rig = Rig::new();
    let mut client = rig.connect();
    client.send(&request("GET", "/page", &[], None));
    assert_eq!(client.response().status, 200);
    rig.upstream.refuse();
    rig.upstream.accept();
    // No more descriptors than are open now.
    rig.gate.limit_descriptors(8);
    client.send(&request("GET", "/page", &[], None));
    let answer = client.response();
    assert_eq!(answer.status, 502, "{answer}");
    let log = rig.gate.log_until(|log| log.contains("upstream_failed"));
    let line = log.lines().find(|line| line.contains("upstream_failed"));
    let line = line.unwrap_or_default();
    assert!(line.contains("\"fault\":\"descriptors\""), "{line}");
    assert!(line.contains("out of descriptors"), "{line}");
    rig.gate.limit_descriptors(1000);
    let failed = "pkce_gate_upstream_errors_total{upstream=\"scripted\",fault=\"descriptors\"}";
    assert_eq!(rig.gate.metric(failed), 1);
    client.send(&request("GET", "/page", &[], None));
    assert_eq!(client.response().status, 200, "the gate continues to serve");
}

/// The gate reads the rest of a refused request so that its client sees the answer; meanwhile the connection must not block
/// another.
#[test]
fn connections_that_were_refused_give_way_like_others() {
    let mut rig = limited("connections = 64\nconnections_per_peer = 8");
    let spared = "pkce_gate_incidents_total{kind=\"connection_spared\"}";
    let mut held = Vec::new();
    let is_spared = |_| {
        held.push(from(&rig, 1, b"X\r\n\r\n"));
        held.last_mut().expect("one").try_response().ok();
        rig.gate.metric(spared) > 0
    };
    assert!((0..400).any(is_spared), "they keep their places");
    assert_served(&rig, 2, &page());
}
