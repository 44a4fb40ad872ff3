//! The link against real servers, and against scripted ones for what real servers do rarely.

mod failover;
mod replicas;
mod scripted;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::servers::Server;
use super::target::BadUrl;
use super::{Command, Deployment, Failed, Link, Script, Target, Value};
use crate::clock::Clock;
use crate::roots::NoRoots;

const DEADLINE: Duration = Duration::from_millis(250);

/// More than any call takes, on a busy machine.
const GENEROUS: Duration = Duration::from_secs(5);

fn deployment(url: &str) -> Arc<Deployment> {
    deployment_within(url, DEADLINE)
}

fn deployment_within(url: &str, deadline: Duration) -> Arc<Deployment> {
    let target = Target::parse(url).unwrap();
    Arc::new(Deployment::new(&target, None, deadline, &Clock::system()).unwrap())
}

fn link(url: &str) -> Link {
    Link::new(deployment(url))
}

fn to(server: &Server) -> Link {
    link(&format!("redis://{}", server.address()))
}

fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

/// Counts how often it ran for a key, and returns its argument.
fn counting() -> Script {
    Script::new("redis.call('INCR', KEYS[1]) return ARGV[1]")
}

async fn get(link: &Link, key: &str) -> Result<Value, Failed> {
    link.send(&Command::new("GET").key(key.as_bytes())).await
}

async fn set(link: &Link, key: &str) -> Result<Value, Failed> {
    let set = Command::new("SET").key(key.as_bytes()).arg(b"1");
    link.send(&set).await
}

/// Repeats until `Some`; fails after a time that is long enough for a failover on a busy machine.
async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = attempt().await {
            return found;
        }
        sleep(Duration::from_millis(30)).await;
    }
    panic!("not within 30 s: {what}");
}

#[tokio::test]
async fn a_script_is_loaded_where_it_is_unknown() {
    let server = Server::start(&[]);
    let (link, script) = (to(&server), counting());
    for _ in 0..2 {
        let answer = call(&link, &script, &[b"k"], &[b"token"]).await;
        assert_eq!(answer, Ok(text("token")));
        server.ask(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(get(&link, "k").await, Ok(text("2")));
}

#[tokio::test]
async fn a_call_ends_within_the_deadline_when_the_server_is_stopped() {
    let server = Server::start(&[]);
    let link = to(&server);
    set(&link, "k").await.unwrap();
    server.signal("STOP");
    let start = Instant::now();
    assert_eq!(get(&link, "k").await, Err(Failed::Deadline), "connected");
    assert_eq!(get(&link, "k").await, Err(Failed::Deadline), "connecting");
    assert!(start.elapsed() < GENEROUS, "{:?}", start.elapsed());
    server.signal("CONT");
    let found = until("the server answers", async || get(&link, "k").await.ok()).await;
    assert_eq!(found, text("1"));
}

#[tokio::test]
async fn calls_to_a_dead_server_fail_at_once_until_it_is_back() {
    let mut server = Server::start(&[]);
    let deployment = deployment(&format!("redis://{}", server.address()));
    let (one, other) = (
        Link::new(Arc::clone(&deployment)),
        Link::new(Arc::clone(&deployment)),
    );
    assert!(!deployment.is_reachable(), "not asked yet");
    one.probe().await.unwrap();
    set(&other, "k").await.unwrap();
    assert!(deployment.is_reachable());
    server.signal("STOP");
    for _ in 0..3 {
        assert_eq!(get(&one, "k").await, Err(Failed::Deadline));
    }
    assert!(!deployment.is_reachable());
    let refused = get(&other, "k").await;
    assert_eq!(
        refused,
        Err(Failed::Unreachable),
        "workers share the breaker"
    );
    server.kill();
    server.restart();
    until("a call passes", async || set(&other, "k").await.ok()).await;
    assert!(deployment.is_reachable());
    assert!(set(&one, "k").await.is_ok());
}

#[tokio::test]
async fn a_probe_finds_a_server_that_is_back_without_traffic() {
    let mut server = Server::start(&[]);
    let deployment = deployment(&format!("redis://{}", server.address()));
    let link = Link::new(Arc::clone(&deployment));
    link.probe().await.unwrap();
    server.kill();
    assert_eq!(link.probe().await, Err(Failed::Unreachable));
    assert!(!deployment.is_reachable());
    assert_eq!(link.probe().await, Err(Failed::Unreachable));
    let trouble = deployment.trouble().unwrap();
    assert!(
        trouble.starts_with(&server.address()) && trouble.contains("refused"),
        "{trouble}"
    );
    server.restart();
    link.probe().await.unwrap();
    assert!(deployment.is_reachable() && deployment.trouble().is_none());
}

/// Tasks of any runtime can use a link.
async fn call(
    link: &Link,
    script: &Script,
    keys: &[&[u8]],
    args: &[&[u8]],
) -> Result<Value, Failed> {
    link.send(&Command::script(script, keys, args)).await
}

#[test]
fn calls_can_be_spawned() {
    fn can<T: Send>(_: &T) {}
    let (link, script) = (link("redis://127.0.0.1:1"), counting());
    can(&call(&link, &script, &[], &[]));
    can(&link.send_all(&[]));
    can(&link.probe());
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_disturb_the_others() {
    let server = Server::start(&[]);
    let (link, script) = (to(&server), counting());
    for number in 0..20 {
        let token = format!("t{number}");
        let given_up = call(&link, &script, &[b"k"], &[b"given up"]);
        drop(timeout(Duration::from_micros(50 * number), given_up).await);
        let answer = call(&link, &script, &[b"k"], &[token.as_bytes()]).await;
        assert_eq!(answer, Ok(text(&token)));
    }
}

#[tokio::test]
async fn full_servers_and_refusals_are_told_apart() {
    let server = Server::start(&["--requirepass", "right"]);
    let at = server.address();
    let refusal = async |url: String| match get(&link(&url), "k").await {
        Err(Failed::Refused(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refusal(format!("redis://{at}")).await.starts_with("NOAUTH"));
    let wrong = refusal(format!("redis://:wrong@{at}")).await;
    assert!(
        wrong.starts_with("WRONGPASS") && !wrong.contains("wrong@"),
        "{wrong}"
    );
    let link = link(&format!("redis://:right@{at}/1"));
    set(&link, "k").await.unwrap();
    let shrink = ["CONFIG", "SET", "maxmemory", "1"];
    let shrink = shrink
        .iter()
        .skip(1)
        .fold(Command::new("CONFIG"), |command, word| {
            command.arg(word.as_bytes())
        });
    link.send(&shrink).await.unwrap();
    assert_eq!(set(&link, "k").await, Err(Failed::Full));
    let script = Script::new("return redis.call('SET', KEYS[1], '1')");
    assert_eq!(call(&link, &script, &[b"k"], &[]).await, Err(Failed::Full));
    assert_eq!(get(&link, "k").await, Ok(text("1")), "it still reads");
}

#[tokio::test]
async fn several_commands_are_sent_at_once() {
    let server = Server::start(&[]);
    let (link, script) = (to(&server), counting());
    let commands = [
        Command::new("SET").key(b"a").arg(b"1"),
        Command::script(&script, &[b"a"], &[b"x"]),
        Command::new("GET").key(b"none"),
    ];
    let answers = link.send_all(&commands).await.unwrap();
    assert_eq!(answers, [text("OK"), text("x"), Value::Nil]);
    assert_eq!(link.send_all(&[]).await, Ok(Vec::new()));
}

#[test]
fn mistakes_in_the_url_and_the_ca_file_are_found_before_the_first_call() {
    assert_eq!(Target::parse("127.0.0.1"), Err(BadUrl::Scheme));
    let target = Target::parse("rediss://localhost").unwrap();
    let ca = Some(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let made = Deployment::new(&target, ca.as_deref(), DEADLINE, &Clock::system());
    assert!(
        matches!(made, Err(NoRoots::NoCertificate { .. })),
        "{made:?}"
    );
}

#[tokio::test]
async fn tls_checks_the_roots_and_the_name() {
    let folder = std::env::temp_dir().join(format!("pkce-gate-link-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: String| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = file("certificate.pem", signed.cert.pem());
    let key = file("key.pem", signed.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = file("other.pem", other.cert.pem());

    let port = super::servers::free_port();
    let port_option = port.to_string();
    let _server = Server::start(&[
        "--tls-port",
        &port_option,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let trusting = async |host: &str, ca: &str| {
        let target = Target::parse(&format!("rediss://{host}:{port}")).unwrap();
        let ca = Some(std::path::Path::new(ca));
        let deployment = Deployment::new(&target, ca, GENEROUS, &Clock::system()).unwrap();
        set(&Link::new(Arc::new(deployment)), "k").await
    };
    assert_eq!(trusting("localhost", &certificate).await, Ok(text("OK")));
    let wrong_name = trusting("127.0.0.1", &certificate).await;
    assert_eq!(wrong_name, Err(Failed::Unreachable));
    let wrong_root = trusting("localhost", &other).await;
    assert_eq!(wrong_root, Err(Failed::Unreachable));
    std::fs::remove_dir_all(&folder).unwrap();
}
