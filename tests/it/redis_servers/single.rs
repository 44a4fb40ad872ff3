//! One server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::http::PATIENCE;
use crate::support::redis::contents::Garbage;
use crate::support::redis::resp::{Client, Reply};
use crate::support::redis::{Engine, Options, Redis};

#[track_caller]
fn is_ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Text("OK".to_owned()));
}

/// Keys of every type.
fn populate(redis: &Redis) {
    is_ok(&redis.command(&["SET", "k:string", "one"]));
    for words in [
        &["HSET", "k:hash", "field", "two"][..],
        &["RPUSH", "k:list", "three", "four"],
        &["SADD", "k:set", "five"],
        &["ZADD", "k:zset", "6", "seven"],
        &["XADD", "k:stream", "*", "eight", "nine"],
        &["PEXPIRE", "k:string", "600000"],
        &["PEXPIRE", "k:hash", "600000"],
    ] {
        assert!(
            !matches!(redis.command(words), Reply::Error(_)),
            "{words:?}"
        );
    }
}

#[test]
fn both_engines_run_and_start_empty() {
    for (engine, name) in [(Engine::Redis, "redis"), (Engine::Valkey, "valkey")] {
        let redis = Redis::start(Options::engine(engine));
        assert!(redis.keys().is_empty());
        let version = redis.info("valkey_version");
        assert_eq!(version.is_empty(), name == "redis", "{version}");
    }
}

#[test]
fn a_killed_server_refuses_and_comes_back_empty_on_the_same_port() {
    let redis = Redis::single();
    is_ok(&redis.command(&["SET", "k", "v"]));
    let address = redis.address();
    redis.kill();
    assert!(!redis.is_running());
    assert!(TcpStream::connect(address).is_err());
    redis.restart();
    assert_eq!(redis.address(), address);
    assert!(redis.keys().is_empty());
}

#[test]
fn a_persistent_server_keeps_what_it_acknowledged_when_it_is_killed() {
    let redis = Redis::start(Options::default().persistent());
    is_ok(&redis.command(&["SET", "k", "v"]));
    redis.restart();
    assert_eq!(redis.command(&["GET", "k"]), Reply::Bytes(b"v".to_vec()));
}

#[test]
fn a_stopped_server_accepts_but_does_not_answer_until_it_continues() {
    let redis = Redis::single();
    let mut client = redis.client(Duration::from_millis(300)).expect("it runs");
    redis.stop();
    assert!(client.command(&["PING"]).is_err());
    assert!(TcpStream::connect(redis.address()).is_ok());
    redis.cont();
    assert_eq!(redis.command(&["PING"]), Reply::Text("PONG".to_owned()));
}

#[test]
fn a_stopped_server_can_be_killed() {
    let redis = Redis::single();
    redis.stop();
    redis.kill();
    assert!(TcpStream::connect(redis.address()).is_err());
}

#[test]
fn a_dropped_server_is_gone() {
    let redis = Redis::single();
    let (address, ca) = (redis.address(), redis.ca());
    let directory = ca.parent().expect("a file is in a directory");
    assert!(directory.exists());
    drop(redis);
    assert!(TcpStream::connect(address).is_err());
    assert!(!directory.exists());
}

#[test]
fn a_server_with_a_password_refuses_others() {
    let redis = Redis::start(Options::default().password("sekrit"));
    let mut stranger = Client::connect(redis.address(), PATIENCE).expect("it listens");
    let refused = stranger.command(&["GET", "k"]).expect("it answers");
    assert!(refused.is_error("NOAUTH"), "{refused:?}");
    is_ok(&stranger.command(&["AUTH", "sekrit"]).expect("it answers"));
    is_ok(&redis.command(&["SET", "k", "v"]));
}

#[test]
fn a_user_has_the_given_rights_only() {
    let rights = "~gate:* +set +auth";
    for engine in [Engine::Redis, Engine::Valkey] {
        let redis = Redis::start(Options::engine(engine).user("gate", "sekrit", rights));
        let mut client = Client::connect(redis.address(), PATIENCE).expect("it listens");
        let mut ask = |words: &[&str]| client.command(words).expect("it answers");
        assert!(ask(&["SET", "gate:k", "v"]).is_error("NOAUTH"));
        is_ok(&ask(&["AUTH", "gate", "sekrit"]));
        is_ok(&ask(&["SET", "gate:k", "v"]));
        assert!(ask(&["SET", "other:k", "v"]).is_error("NOPERM"));
        assert!(ask(&["GET", "gate:k"]).is_error("NOPERM"));
        assert_eq!(redis.keys(), [b"gate:k".to_vec()]);
    }
}

#[test]
fn a_server_with_tls_has_a_certificate_of_its_ca() {
    let redis = Redis::start(Options::default().tls());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(redis.ca()).expect("a certificate");
    roots.add(ca).expect("a CA");
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    for name in ["localhost", "127.0.0.1"] {
        let name = ServerName::try_from(name).expect("a name");
        let session = ClientConnection::new(Arc::clone(&config), name).expect("a session");
        let tcp = TcpStream::connect(redis.tls_address()).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE))
            .expect("a timeout is set");
        let mut stream = StreamOwned::new(session, tcp);
        stream
            .write_all(b"PING\r\n")
            .expect("the handshake succeeds");
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"+PONG\r\n");
    }
}

#[test]
fn a_dump_has_every_key_with_its_values() {
    let redis = Redis::single();
    populate(&redis);
    let dump = redis.dump();
    let value = |key: &str| {
        let strings = dump[key.as_bytes()].iter();
        let strings = strings.map(|bytes| String::from_utf8(bytes.clone()).expect("text"));
        strings.collect::<Vec<_>>()
    };
    assert_eq!(dump.len(), 6);
    assert_eq!(value("k:string"), ["one"]);
    assert_eq!(value("k:hash"), ["field", "two"]);
    assert_eq!(value("k:list"), ["three", "four"]);
    assert_eq!(value("k:set"), ["five"]);
    assert_eq!(value("k:zset"), ["seven", "6"]);
    assert_eq!(value("k:stream")[1..], ["eight", "nine"]);
}

#[test]
fn garbage_replaces_values_and_keeps_types_and_expiry() {
    let redis = Redis::single();
    populate(&redis);
    is_ok(&redis.command(&["SET", "other", "one"]));
    let before = redis.dump();
    assert_eq!(redis.garbage("k:*", Garbage::SameType), 6);
    let after = redis.dump();
    assert_eq!(after.len(), before.len());
    for (key, value) in &after {
        assert_eq!(value == &before[key], key == b"other", "{key:?}");
    }
    for kind in ["string", "hash", "list", "set", "zset", "stream"] {
        let is = redis.command(&["TYPE", &format!("k:{kind}")]);
        assert_eq!(is, Reply::Text(kind.to_owned()));
    }
    for key in ["k:string", "k:hash"] {
        let milliseconds: i64 = redis
            .command(&["PTTL", key])
            .text()
            .parse()
            .expect("a number");
        assert!((1..=600_000).contains(&milliseconds), "{milliseconds}");
    }
    assert_eq!(redis.command(&["PTTL", "k:list"]), Reply::Integer(-1));
}

#[test]
fn garbage_can_be_of_another_type() {
    let redis = Redis::single();
    populate(&redis);
    assert_eq!(redis.garbage("*", Garbage::OtherType), 6);
    for key in redis.keys() {
        let is = redis.command(&[b"TYPE", key.as_slice()]).text();
        assert_eq!(is, if key == b"k:string" { "list" } else { "string" });
    }
}

#[test]
fn a_full_server_refuses_writes_and_still_reads() {
    for engine in [Engine::Redis, Engine::Valkey] {
        let options = Options::engine(engine).maxmemory(4_000_000, "noeviction");
        let redis = Redis::start(options);
        is_ok(&redis.command(&["SET", "k", "v"]));
        assert!(redis.fill(), "{engine:?}");
        for _ in 0..5 {
            assert!(redis.command(&["SET", "k2", "v"]).is_error("OOM"));
        }
        assert_eq!(redis.command(&["GET", "k"]), Reply::Bytes(b"v".to_vec()));
    }
}

#[test]
fn a_server_that_evicts_is_never_full() {
    let redis = Redis::start(Options::default().maxmemory(4_000_000, "allkeys-lru"));
    let keys: Vec<String> = (0..20).map(|number| format!("k:{number}")).collect();
    for key in &keys {
        is_ok(&redis.command(&["SET", key, "v"]));
    }
    assert!(!redis.fill());
    let is_left = |key: &&String| redis.command(&["GET", key]) != Reply::Nil;
    assert!(keys.iter().filter(is_left).count() < 10);
}
