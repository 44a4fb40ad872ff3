//! How a gate starts, drains and stops, and that it runs without a reader of its log.

use std::fs::{File, remove_dir_all};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::support::client::assert_token;
use crate::support::fixture::free_port;
use crate::support::gate::{Gate, file, run, scratch};
use crate::support::http::Request;
use crate::support::raw::Connection;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Greeting, Scripted};

const SLOW: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n";

fn draining_for(drain: &str) -> Rig {
    let server = format!("drain = \"{drain}\"");
    Rig::with(Config {
        server: &server,
        ..Config::default()
    })
}

fn readyz(rig: &mut Rig) -> Option<u16> {
    let url = format!("http://{}/readyz", rig.gate.address("admin"));
    Request::get(&url)
        .try_send()
        .map(|response| response.status)
}

/// A request that the upstream has received and not yet answered.
fn in_flight(rig: &Rig) -> (Connection, std::sync::mpsc::Sender<Vec<u8>>) {
    let feed = rig.upstream.feed("/slow");
    let mut client = rig.connect();
    client.send(&request("GET", "/slow", &[], None));
    rig.upstream
        .wait_until(|ledger| ledger.iter().any(|seen| seen.path() == "/slow"));
    (client, feed)
}

#[test]
fn sigterm_lets_requests_in_progress_finish() {
    // A fifth of the drain time is for clients that have not noticed yet.
    let mut rig = draining_for("60s");
    assert_eq!(readyz(&mut rig), Some(200));
    let (mut client, feed) = in_flight(&rig);
    let mut idle = rig.connect();
    idle.send(&request("GET", "/page", &[], None));
    assert_eq!(idle.response().status, 200);

    rig.gate.signal("TERM");
    rig.gate.log_until(|log| log.contains("draining"));
    assert_eq!(
        readyz(&mut rig),
        Some(503),
        "whoever routes to it goes elsewhere"
    );
    assert_eq!(
        rig.get("/page").status,
        200,
        "whoever has not noticed yet is served"
    );
    assert_eq!(
        idle.rest(),
        b"",
        "then connections without a request are closed"
    );
    feed.send([SLOW, b"ab"].concat()).expect("the feed is open");
    feed.send(b"cd".to_vec()).expect("the feed is open");
    let response = client.response();
    assert_eq!(response.body, b"abcd");
    assert_eq!(client.rest(), b"", "and the connection ends with it");
    drop(feed);
    assert_eq!(rig.gate.wait_for_end().code(), Some(0));
    assert!(
        rig.gate.log().contains("\"cut_off\":0"),
        "{}",
        rig.gate.log()
    );
}

#[test]
fn a_sign_in_can_be_finished_while_draining() {
    let rig = draining_for("60s");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    rig.gate.signal("TERM");
    rig.gate.log_until(|log| log.contains("draining"));
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn after_the_drain_time_remaining_requests_are_cut_off() {
    let mut rig = draining_for("1s");
    let (mut client, feed) = in_flight(&rig);
    rig.gate.signal("INT");
    assert_eq!(rig.gate.wait_for_end().code(), Some(0));
    assert!(
        rig.gate.log().contains("\"cut_off\":1"),
        "{}",
        rig.gate.log()
    );
    assert_eq!(client.rest(), b"");
    drop(feed);
}

#[test]
fn without_requests_a_drain_ends_early() {
    let mut rig = draining_for("5s");
    assert_eq!(rig.get("/page").status, 200);
    rig.gate.signal("TERM");
    assert_eq!(rig.gate.wait_for_end().code(), Some(0));
}

#[test]
fn ignored_signals_are_logged_and_do_not_stop_the_gate() {
    for signal in ["USR1", "USR2"] {
        let rig = Rig::new();
        rig.gate.signal(signal);
        let name = format!("\"signal\":\"SIG{signal}\"");
        rig.gate.log_until(|log| log.contains(&name));
        assert_eq!(rig.get("/page").status, 200, "{signal}");
    }
}

#[test]
fn a_second_signal_stops_the_gate_at_once() {
    for signals in [["TERM", "TERM"], ["TERM", "INT"], ["INT", "TERM"]] {
        let mut rig = draining_for("1h");
        let (mut client, feed) = in_flight(&rig);
        rig.gate.signal(signals[0]);
        rig.gate.log_until(|log| log.contains("draining"));
        assert!(rig.gate.has_ended().is_none());
        rig.gate.signal(signals[1]);
        assert_eq!(rig.gate.wait_for_end().code(), Some(0), "{signals:?}");
        assert_eq!(client.rest(), b"");
        drop(feed);
    }
}

/// A gate with fixed addresses and default settings.
fn config(upstream: &Scripted, server: SocketAddr, admin: SocketAddr, workers: usize) -> String {
    Config::default()
        .render(upstream)
        .replacen(
            "127.0.0.1:0\"]",
            &format!("{server}\"]\nworkers = {workers}"),
            1,
        )
        .replacen("127.0.0.1:0", &admin.to_string(), 1)
}

fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

#[track_caller]
fn assert_does_not_start(config: &str, taken: SocketAddr) {
    let mut gate = Gate::launch(config, Stdio::piped(), Stdio::piped());
    assert_eq!(gate.wait_for_end().code(), Some(1));
    let log = gate.stop();
    assert!(
        log.contains(&format!("error: cannot listen on {taken}: ")),
        "{log}"
    );
    let help = "\nhelp: another program listens there, or a gate that was told to stop";
    assert!(log.contains(help), "{log}");
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn an_address_in_use_is_an_error_that_says_so() {
    let upstream = Scripted::start();
    let somebody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = somebody.local_addr().expect("an address");
    for workers in [1, 2] {
        assert_does_not_start(&config(&upstream, taken, free(), workers), taken);
        assert_does_not_start(&config(&upstream, free(), taken, workers), taken);
    }
}

/// Two gates on one address would share its connections, and each would not know the sign-ins of the other.
#[test]
fn the_address_of_another_gate_is_in_use() {
    let upstream = Scripted::start();
    for (running, second) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
        let (server, admin) = (free(), free());
        let mut gate = Gate::start(&config(&upstream, server, admin, running));
        assert_does_not_start(&config(&upstream, server, free(), second), server);
        gate.signal("TERM");
        gate.signal("TERM");
        gate.wait_for_end();
    }
}

#[test]
fn a_restart_gets_its_address_back_at_once() {
    let upstream = Scripted::start();
    let (server, admin) = (free(), free());
    for _ in 0..3 {
        let mut gate = Gate::start(&config(&upstream, server, admin, 2));
        let mut client = Connection::open(server);
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
        gate.stop();
    }
}

#[test]
fn exit_codes_distinguish_a_wrong_command_line_from_a_wrong_configuration() {
    let directory = scratch();
    let good = file(
        &directory,
        "good.toml",
        &Config::default().render(&Scripted::start()),
    );
    let bad = file(
        &directory,
        "bad.toml",
        "[server]\nlisten = [\"nowhere\"]\nlitsen = 1\n",
    );
    let none = directory.join("none.toml");
    let path = |path: &std::path::Path| path.display().to_string();
    let (good, bad, none) = (path(&good), path(&bad), path(&none));
    for (arguments, code, says) in [
        (vec![], 64, "Usage"),
        (vec!["serve"], 64, "serve"),
        (vec!["run", "--confg", &good], 64, "--confg"),
        (vec!["run", &good], 64, "unexpected"),
        (vec!["healthcheck", "--admin", "nowhere"], 64, "nowhere"),
        (vec!["run", "--config", &bad], 65, "bad.toml"),
        (vec!["check", "--config", &bad], 65, "litsen"),
        (vec!["run", "--config", &none], 65, "none.toml"),
        (vec!["check", "--config", &none], 65, "none.toml"),
        (vec!["check", "--config", &good], 0, "ok"),
        (vec!["--help"], 0, "Usage"),
        (vec!["--version"], 0, "pkce-gate"),
    ] {
        let output = run(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("the output is UTF-8");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    remove_dir_all(directory).ok();
}

#[test]
fn healthcheck_says_whether_it_is_ready() {
    let mut rig = draining_for("1h");
    let admin = rig.gate.address("admin").to_string();
    let check = |admin: &str| run(&["healthcheck", "--admin", admin]).status.code();
    assert_eq!(check(&admin), Some(0));
    let client = in_flight(&rig);
    rig.gate.signal("TERM");
    rig.gate.log_until(|log| log.contains("draining"));
    assert_eq!(check(&admin), Some(1), "draining");
    drop(client);
    rig.gate.signal("TERM");
    rig.gate.wait_for_end();
    assert_eq!(check(&admin), Some(1), "gone");
    rig.upstream.greet(Greeting::Close);
    let other = rig.upstream.address().to_string();
    assert_eq!(check(&other), Some(1), "no gate at all");
}

#[test]
fn admin_is_not_served_where_clients_are() {
    let mut rig = Rig::new();
    for path in ["/metrics", "/readyz", "/livez"] {
        assert_eq!(rig.get(path).text(), "hello\n", "{path} is the upstream's");
        let url = format!("http://{}{path}", rig.gate.address("admin"));
        assert_eq!(Request::get(&url).send().status, 200, "{path}");
    }
    let url = format!("http://{}/authorize", rig.gate.address("admin"));
    assert_eq!(Request::get(&url).send().status, 404);
}

/// Serves sign-ins and other requests with these outputs, and stops when asked.
#[track_caller]
fn assert_serves(stdout: Stdio, stderr: Stdio) {
    let upstream = Scripted::start();
    let (server, admin) = (free(), free());
    let config =
        config(&upstream, server, admin, 2).replacen("[log]", "[log]\nlevel = \"trace\"", 1);
    let mut gate = Gate::launch(&config, stdout, stderr);
    gate.wait();
    let mut client = Connection::open(server);
    for _ in 0..1000 {
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
        client.send(&request("GET", "/authorize?client_id=x", &[], None));
        assert_eq!(client.response().status, 400);
    }
    let metrics = Request::get(&format!("http://{admin}/metrics")).send();
    assert!(
        metrics.text().contains("pkce_gate_log_lines_dropped_total"),
        "{metrics}"
    );
    drop(client);
    gate.signal("TERM");
    gate.signal("TERM");
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn requests_succeed_when_the_disk_is_full() {
    let full = || {
        Stdio::from(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("Linux has one"),
        )
    };
    assert_serves(full(), full());
}

#[test]
fn a_log_that_cannot_be_written_is_reported_once_on_standard_error() {
    let upstream = Scripted::start();
    let (server, admin) = (free(), free());
    let config = config(&upstream, server, admin, 2);
    let full = File::options().write(true).open("/dev/full");
    let full = Stdio::from(full.expect("Linux has one"));
    let mut gate = Gate::launch(&config, full, Stdio::piped());
    gate.wait();
    let mut client = Connection::open(server);
    for _ in 0..100 {
        client.send(&request("GET", "/authorize?client_id=x", &[], None));
        assert_eq!(client.response().status, 400);
    }
    drop(client);
    gate.signal("TERM");
    gate.signal("TERM");
    assert_eq!(gate.wait_for_end().code(), Some(0));
    let said = gate.log();
    let times = said.matches("warning: the log cannot be written: ").count();
    assert_eq!(times, 1, "{said}");
}

#[test]
fn requests_succeed_when_the_log_reader_is_gone() {
    let closed = || Stdio::from(std::io::pipe().expect("a pipe").1);
    assert_serves(closed(), closed());
}

#[test]
fn requests_succeed_when_the_log_reader_hangs() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    assert_serves(Stdio::from(writer), Stdio::null());
    drop(reader);
}

/// With 64 descriptors the gate reports an error; with some hundred it warns, and answers every connection that it accepts.
#[test]
fn too_few_descriptors_are_reported_at_the_start() {
    let upstream = Scripted::start();
    let config = Config::default().render(&upstream);
    let directory = scratch();
    let path = file(&directory, "config.toml", &config);
    let limited = |limit: usize, command: &str| {
        let program = env!("CARGO_BIN_EXE_pkce-gate");
        let line = format!(
            "ulimit -n {limit}; exec {program} {command} --config {}",
            path.display()
        );
        let output = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::null())
            .output();
        output.expect("a shell")
    };
    let refused = limited(64, "run");
    let told = String::from_utf8(refused.stderr).expect("messages are UTF-8");
    assert!(!refused.status.success(), "{told}");
    assert!(
        told.contains("error: the limit on open files is 64, but pkce-gate needs at least "),
        "{told}"
    );

    let checked = limited(300, "check");
    let told = String::from_utf8(checked.stderr).expect("messages are UTF-8");
    assert!(checked.status.success(), "{told}");
    assert!(
        told.contains("warning: the limit on open files is 300, but the configuration needs "),
        "{told}"
    );
    remove_dir_all(directory).ok();

    let mut gate = Gate::start_with_descriptors(&config, 300);
    let log = gate.log_until(|log| log.contains("few_descriptors"));
    assert!(log.contains("\"limit\":300"), "{log}");
    // More clients than it accepts: idle connections give way, and no answer is a 502.
    let address = gate.address("server");
    let mut clients = Vec::new();
    for _ in 0..400 {
        let mut client = Connection::open(address);
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
        clients.push(client);
    }
    let health = Request::get(&format!("http://{}/livez", gate.address("admin"))).send();
    assert_eq!(health.status, 200, "{health}");
}
