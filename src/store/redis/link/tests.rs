//! The link against real servers, and against scripted ones for what real servers do rarely.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::servers::{Nodes, Server, Watched};
use super::target::BadUrl;
use super::{Command, Deployment, Failed, Link, Script, Target, Value};
use crate::clock::Clock;
use crate::roots::NoRoots;

const DEADLINE: Duration = Duration::from_millis(250);

/// More than any call takes, on a busy machine.
const GENEROUS: Duration = Duration::from_secs(5);

fn deployment(url: &str) -> Arc<Deployment> {
    let target = Target::parse(url).unwrap();
    Arc::new(Deployment::new(&target, None, DEADLINE, &Clock::system()).unwrap())
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

/// A server that answers each command by what `answer` returns for its number. `None`: it closes the connection.
struct Scripted {
    address: String,
    commands: Arc<AtomicUsize>,
}

impl Scripted {
    fn start(answer: impl Fn(usize) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let commands = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&commands), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
                thread::spawn(move || serve(socket.unwrap(), &count, &*answer));
            }
        });
        Self { address, commands }
    }

    fn link(&self) -> Link {
        link(&format!("redis://{}", self.address))
    }

    fn commands(&self) -> usize {
        self.commands.load(Ordering::SeqCst)
    }
}

fn serve(
    mut socket: TcpStream,
    commands: &AtomicUsize,
    answer: &dyn Fn(usize) -> Option<&'static str>,
) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = socket.read(&mut bytes) {
        // Each command is an array; the tests send no `*` in it.
        for _ in bytes[..length].iter().filter(|byte| **byte == b'*') {
            let Some(answer) = answer(commands.fetch_add(1, Ordering::SeqCst)) else {
                return;
            };
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
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
async fn a_call_that_may_have_been_carried_out_is_not_repeated() {
    let closes = Scripted::start(|_| None);
    assert_eq!(set(&closes.link(), "k").await, Err(Failed::Unreachable));
    let silent = Scripted::start(|_| Some(""));
    assert_eq!(set(&silent.link(), "k").await, Err(Failed::Deadline));
    let garbage = Scripted::start(|_| Some("?\r\n"));
    assert_eq!(set(&garbage.link(), "k").await, Err(Failed::Garbage));
    sleep(2 * DEADLINE).await;
    for server in [closes, silent, garbage] {
        assert_eq!(server.commands(), 1);
    }
}

#[tokio::test]
async fn several_commands_that_may_have_been_carried_out_are_not_repeated() {
    let commands = [Command::new("GET").key(b"a"), Command::new("GET").key(b"b")];
    let closes = Scripted::start(|number| (number == 0).then_some("+OK\r\n"));
    let sent = closes.link().send_all(&commands).await;
    assert_eq!(sent, Err(Failed::Unreachable));
    let silent = Scripted::start(|_| Some(""));
    assert_eq!(
        silent.link().send_all(&commands).await,
        Err(Failed::Deadline)
    );
    sleep(2 * DEADLINE).await;
    assert_eq!((closes.commands(), silent.commands()), (2, 2));
}

#[tokio::test]
async fn a_call_that_was_certainly_not_carried_out_is_sent_again() {
    for refusal in [
        "-READONLY You can't write against a read only replica.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-BUSY Redis is busy running a script.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
    ] {
        let server =
            Scripted::start(move |number| Some(if number < 2 { refusal } else { "+OK\r\n" }));
        assert_eq!(set(&server.link(), "k").await, Ok(text("OK")), "{refusal}");
        assert_eq!(server.commands(), 3, "{refusal}");
    }
    let never = Scripted::start(|_| Some("-LOADING Redis is loading the dataset in memory\r\n"));
    let failed = set(&never.link(), "k").await.unwrap_err();
    assert!(failed.is_outage(), "{failed}");
    assert!(never.commands() > 1);
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

fn port(answer: &Value) -> Option<u16> {
    answer.list().get(1)?.text()?.parse().ok()
}

/// The port of the server that answers.
async fn where_is(link: &Link) -> Option<u16> {
    let question = Command::new("CONFIG").arg(b"GET").arg(b"port");
    port(&link.send(&question).await.ok()?)
}

#[tokio::test]
async fn a_call_follows_a_sentinel_failover() {
    let mut watched = Watched::start();
    let (link, script) = (link(&watched.url()), counting());
    let first = where_is(&link).await.unwrap();
    assert_eq!(first, watched.servers[0].port);

    watched.sentinels[0].ask(&["SENTINEL", "FAILOVER", "main"]);
    let second = until(
        "the link leaves the old master, which accepts writes",
        async || {
            drop(link.probe().await);
            where_is(&link).await.filter(|port| *port != first)
        },
    )
    .await;
    call(&link, &script, &[b"k"], &[b"t"]).await.unwrap();

    until("the old master follows the new one", async || {
        let role = watched.servers[0].ask(&["ROLE"]);
        (role.contains("slave") && role.contains("connected")).then_some(())
    })
    .await;
    let master = watched
        .servers
        .iter_mut()
        .find(|server| server.port == second);
    master.unwrap().kill();
    let third = until("the link finds the next master", async || {
        call(&link, &script, &[b"k"], &[b"t"]).await.ok()?;
        where_is(&link).await
    })
    .await;
    assert_ne!(third, second);
}

#[tokio::test]
async fn a_master_is_reachable_when_the_sentinels_are_not() {
    let watched = Watched::start();
    let deployment = deployment(&watched.url());
    let link = Link::new(Arc::clone(&deployment));
    set(&link, "k").await.unwrap();
    for sentinel in &watched.sentinels {
        sentinel.signal("STOP");
    }
    link.probe().await.unwrap();
    assert!(deployment.is_reachable());
    set(&link, "k").await.unwrap();
}

#[tokio::test]
async fn a_replica_is_not_reachable_as_a_single_server() {
    let master = Server::start(&[]);
    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&["--replicaof", &of]);
    let link = to(&replica);
    assert_eq!(link.probe().await, Err(Failed::Unreachable));
    assert!(set(&link, "k").await.is_err());
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    until("a write passes", async || set(&link, "k").await.ok()).await;
}

#[tokio::test]
async fn sentinels_may_require_the_password_as_well() {
    let watched = Watched::start();
    for server in watched.servers.iter().chain(&watched.sentinels[..2]) {
        server.protect("right");
    }
    let url = watched.url();
    let at = |user: &str| url.replace("://", &format!("://{user}@"));
    set(&link(&at(":right")), "k").await.unwrap();
    let wrong = set(&link(&at(":wrong")), "k").await;
    assert!(matches!(wrong, Err(Failed::Refused(_))), "{wrong:?}");
}

#[tokio::test]
async fn a_call_follows_a_failover_from_a_master_that_is_stopped() {
    let watched = Watched::start();
    let link = link(&watched.url());
    set(&link, "k").await.unwrap();
    watched.servers[0].signal("STOP");
    until("a write passes", async || set(&link, "k").await.ok()).await;
    let now = where_is(&link).await;
    assert_ne!(now, Some(watched.servers[0].port));
    watched.servers[0].signal("CONT");
    for _ in 0..20 {
        assert!(set(&link, "k").await.is_ok());
        assert!(link.probe().await.is_ok());
        assert_eq!(
            where_is(&link).await,
            now,
            "the old master is not followed again"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn no_replica_is_taken_for_the_master() {
    let mut watched = Watched::start();
    let link = link(&watched.url());
    set(&link, "k").await.unwrap();
    // The sentinels forget the others, so that no failover takes place, and name a replica.
    let replica = watched.servers[1].port.to_string();
    for sentinel in &watched.sentinels {
        sentinel.ask(&["SENTINEL", "REMOVE", "main"]);
        sentinel.ask(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &replica, "9"]);
    }
    watched.servers[0].kill();
    for _ in 0..10 {
        assert!(set(&link, "k").await.is_err());
    }
    assert!(get(&link, "k").await.is_err());
}

#[tokio::test]
async fn a_cluster_is_followed_through_a_failover() {
    let mut nodes = Nodes::start();
    let (link, script) = (link(&nodes.url()), counting());
    let keys: Vec<_> = (0..50).map(|number| format!("k{number}")).collect();
    let everywhere = async || {
        for key in &keys {
            call(&link, &script, &[key.as_bytes()], &[b"t"])
                .await
                .ok()?;
        }
        Some(())
    };
    assert_eq!(everywhere().await, Some(()));
    let gets: Vec<_> = keys
        .iter()
        .map(|key| Command::new("GET").key(key.as_bytes()))
        .collect();
    assert_eq!(link.send_all(&gets).await, Ok(vec![text("1"); keys.len()]));
    link.probe().await.unwrap();

    nodes.0[0].kill();
    until("every key can be written", everywhere).await;
    assert!(link.send_all(&gets).await.is_ok());
    until("all masters answer", async || link.probe().await.ok()).await;
}

#[tokio::test]
async fn a_cluster_is_followed_when_a_master_is_stopped() {
    let nodes = Nodes::start();
    let deployment = deployment(&nodes.url());
    let link = Link::new(Arc::clone(&deployment));
    link.probe().await.unwrap();
    assert!(deployment.is_reachable());
    nodes.0[1].signal("STOP");
    until("all masters answer", async || {
        drop(set(&link, "any").await);
        link.probe().await.ok()
    })
    .await;
    for number in 0..50 {
        set(&link, &format!("k{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let nodes = Nodes::start();
    let (link, script) = (link(&nodes.url()), counting());
    let slot = "12182"; // of the key `foo`
    let id = |node: &Server| {
        node.ask(&["CLUSTER", "MYID"])
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    call(&link, &script, &[b"foo"], &[b"t"]).await.unwrap();
    let from = nodes
        .0
        .iter()
        .find(|node| node.ask(&["GET", "foo"]).starts_with("$1"))
        .unwrap();
    let mut others = nodes
        .0
        .iter()
        .filter(|node| node.ask(&["ROLE"]).contains("master"));
    let to = others.find(|node| node.port != from.port).unwrap();
    to.ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &id(from)]);
    from.ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &id(to)]);
    let bar = b"{foo}bar";
    call(&link, &script, &[bar], &[b"t"]).await.unwrap();
    assert_eq!(
        link.send(&Command::new("GET").key(bar)).await,
        Ok(text("1")),
        "ASK"
    );

    let (port, own) = (to.port.to_string(), id(to));
    let moved = from.ask(&["MIGRATE", "127.0.0.1", &port, "foo", "0", "5000"]);
    assert!(moved.contains("OK"), "{moved}");
    for node in [to, from] {
        node.ask(&["CLUSTER", "SETSLOT", slot, "NODE", &own]);
    }
    assert_eq!(get(&link, "foo").await, Ok(text("1")), "MOVED");
    call(&link, &script, &[b"foo", bar], &[b"t"]).await.unwrap();
    assert_eq!(get(&link, "foo").await, Ok(text("2")));
}

#[tokio::test]
async fn a_node_of_a_cluster_is_not_a_single_server() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    let to_node = Scripted::start(|_| Some("-MOVED 12182 127.0.0.1:1\r\n"));
    let refused = get(&to_node.link(), "foo").await;
    assert!(matches!(&refused, Err(Failed::Refused(text)) if text.contains("redis+cluster")));
    let down = get(&to(&server), "foo").await;
    assert!(down.is_err_and(|failed| failed.is_outage()), "CLUSTERDOWN");
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
