//! The contract of stores, on real servers of their own. Their time stands still, and is moved by the tests.

mod replicas;
mod seats;

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use super::link::servers::Server;
use super::*;
use crate::clock::{Clock, ManualClock, WallClock};
use crate::flow::HandleKey;
use crate::store::calls::Trouble;
use crate::store::contract::{
    self, Answer, Time, bind, claim, code, digest, hold, is_live, named, redeem, request, run,
};
use crate::store::seal::{SealKeys, Sealer};
use crate::store::{SealedStore, Store};

/// A library that replaces the time of day of a server by the number in a file.
const TIME: &str = r#"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *millis(void) {
  static volatile int64_t *shown;
  if (!shown) {
    int file = open(getenv("SHOWN_TIME"), O_RDONLY);
    shown = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    close(file);
  }
  return shown;
}
int gettimeofday(struct timeval *restrict to, void *restrict zone) {
  int64_t now = *millis();
  to->tv_sec = now / 1000;
  to->tv_usec = now % 1000 * 1000;
  return 0;
}
time_t time(time_t *to) {
  time_t now = *millis() / 1000;
  if (to) *to = now;
  return now;
}
"#;

/// The compiled library.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let name = format!("pkce-gate-time-{}", std::process::id());
        let library = std::env::temp_dir().join(name).with_extension("so");
        let source = library.with_extension("c");
        fs::write(&source, TIME).unwrap();
        let compile = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        assert!(compile.is_ok_and(|status| status.success()), "cc");
        library
    });
    &LIBRARY
}

mod sign_ins_in_redis {
    use super::*;

    contract::suite!(make);

    fn make() -> (Store, Time) {
        super::make(SignIns::InRedis)
    }
}

mod sign_ins_in_handles {
    use super::*;

    contract::suite!(make);

    fn make() -> (Store, Time) {
        super::make(SignIns::InHandles)
    }
}

/// A server whose time stands still.
struct Frozen {
    server: Server,
    file: PathBuf,
    /// Milliseconds since 1970.
    now: Mutex<i64>,
}

impl Frozen {
    fn start() -> Self {
        static COUNT: AtomicI64 = AtomicI64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pkce-gate-shown-{}-{count}", std::process::id());
        let (file, now) = (std::env::temp_dir().join(name), 1_700_000_000_000);
        fs::write(&file, i64::to_ne_bytes(now)).unwrap();
        let (preload, shown) = (library().to_str().unwrap(), file.to_str().unwrap());
        let environment = [
            format!("LD_PRELOAD={preload}"),
            format!("SHOWN_TIME={shown}"),
        ];
        Self {
            server: Server::start_under(&environment, &[]),
            file,
            now: Mutex::new(now),
        }
    }

    fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).unwrap();
        // Locked until it is written: of two threads, the slower one would set the time back.
        let mut now = self.now.lock().unwrap();
        *now += millis;
        // In its place: the server has mapped the file.
        let file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(&now.to_ne_bytes(), 0).unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.file);
    }
}

thread_local! {
    /// Starting a server for each store of a test would take too long.
    static SERVER: RefCell<Option<Arc<Frozen>>> = const { RefCell::new(None) };
}

fn make(sign_ins: SignIns) -> (Store, Time) {
    let frozen = SERVER.with_borrow_mut(|server| {
        Arc::clone(server.get_or_insert_with(|| Arc::new(Frozen::start())))
    });
    frozen.server.ask(&["FLUSHALL"]);
    let (clock, manual) = Clock::manual();
    let deployment = deployment(&frozen.server);
    let store = replica(sign_ins, &manual, &clock, deployment);
    let time = Time::moved_by(move |duration| {
        manual.advance(duration);
        frozen.advance(duration);
    });
    (store, time)
}

fn deployment(server: &Server) -> Arc<Deployment> {
    let target = Target::parse(&format!("redis://{}", server.address())).unwrap();
    // Long, because tests run on busy machines.
    let deadline = Duration::from_secs(20);
    Arc::new(Deployment::new(&target, None, deadline, &Clock::system()).unwrap())
}

fn sealer() -> Sealer {
    let keys = SealKeys::of(&[("a", [1; 32])]);
    Sealer::new(keys, "test", "https://login.example")
}

fn replica(
    sign_ins: SignIns,
    wall: &ManualClock,
    clock: &Clock,
    deployment: Arc<Deployment>,
) -> Store {
    let settings = contract::settings();
    let key = HandleKey::for_upstream("test");
    let envelopes = Envelopes::new(key.clone(), sealer(), WallClock::Manual(wall.clone()));
    let memory = Arc::new(MemoryStore::new(&settings, key, clock.clone()));
    let keyspace = Keyspace::new(deployment, "pkce-gate", "test");
    Store::Redis(Box::new(RedisStore::new(
        &settings, envelopes, sign_ins, keyspace, memory,
    )))
}

#[test]
fn another_gate_finishes_a_sign_in_and_no_gate_redeems_it_again() {
    for sign_ins in [SignIns::InRedis, SignIns::InHandles] {
        let server = Server::start(&[]);
        let (clock, wall) = Clock::manual();
        let [one, other] = [(); 2].map(|()| replica(sign_ins, &wall, &clock, deployment(&server)));
        run(async {
            let pending = hold(&one, &request("client", 1)).await;
            assert!(is_live(&other, &pending).await);
            let code = bind(&other, &pending, "code").await;
            let claimed = claim(&one, &code).await;
            assert_eq!(redeem(&other, &code).await, Answer::AlreadyRedeemed);
            one.settle(claimed, Settlement::Release).await.unwrap();
            let claimed = claim(&other, &code).await;
            other.settle(claimed, Settlement::Burn).await.unwrap();
            assert_eq!(redeem(&one, &code).await, Answer::AlreadyRedeemed);
        });
    }
}

#[test]
fn of_two_hundred_redemptions_over_two_gates_exactly_one_wins() {
    for sign_ins in [SignIns::InRedis, SignIns::InHandles] {
        let server = Server::start(&[]);
        let (clock, wall) = Clock::manual();
        let gates = [(); 2].map(|()| replica(sign_ins, &wall, &clock, deployment(&server)));
        let code = run(async {
            let pending = hold(&gates[0], &request("client", 1)).await;
            bind(&gates[0], &pending, "code").await
        });
        let answers =
            contract::concurrently(200, async |time| redeem(&gates[time % 2], &code).await);
        let won = answers
            .iter()
            .filter(|answer| **answer == Answer::Claimed)
            .count();
        let lost = answers
            .iter()
            .filter(|answer| **answer == Answer::AlreadyRedeemed)
            .count();
        assert_eq!((won, lost), (1, 199));
    }
}

#[test]
fn a_code_that_was_bound_before_a_restart_of_the_server_is_dead() {
    for sign_ins in [SignIns::InRedis, SignIns::InHandles] {
        // The data survive the restart, as they do on a replica that takes over.
        let mut server = Server::start(&["--save", "3600 1"]);
        let (clock, wall) = Clock::manual();
        let gate = replica(sign_ins, &wall, &clock, deployment(&server));
        let (pending, code) = run(async {
            let pending = hold(&gate, &request("client", 1)).await;
            let code = bind(&gate, &pending, "code").await;
            (pending, code)
        });
        server.ask(&["SAVE"]);
        // Its claim is lost with the server.
        run(async { drop(claim(&gate, &code).await) });
        server.kill();
        server.restart();
        run(async {
            let _ = gate.pending(&pending).await;
            assert_eq!(redeem(&gate, &code).await, Answer::Gone);
            assert!(is_live(&gate, &pending).await);
            let second = bind(&gate, &pending, "second").await;
            assert_eq!(redeem(&gate, &second).await, Answer::Claimed);
        });
    }
}

/// A server that was replaced goes on for a while, and may become the master again: what it claimed meanwhile is lost.
#[test]
fn a_code_that_was_claimed_on_a_replaced_server_is_dead_when_that_server_returns() {
    let [one, other] = [Server::start(&[]), Server::start(&[])];
    let follow = |server: &Server, of: &Server| {
        let address = of.address();
        let (host, port) = address.split_once(':').unwrap();
        server.ask(&["REPLICAOF", host, port]);
        let is_up = || {
            let info = server.ask(&["INFO", "replication"]);
            info.contains("master_link_status:up").then_some(())
        };
        until(is_up);
    };
    follow(&other, &one);
    let (clock, wall) = Clock::manual();
    let gate = replica(SignIns::InRedis, &wall, &clock, deployment(&one));
    let (pending, code) = run(async {
        let pending = hold(&gate, &request("client", 1)).await;
        let code = bind(&gate, &pending, "code").await;
        (pending, code)
    });
    until(|| other.ask(&["KEYS", "*:c:*"]).contains(":c:").then_some(()));
    other.ask(&["REPLICAOF", "NO", "ONE"]);
    run(async {
        let claimed = claim(&gate, &code).await;
        one.ask(&["CONFIG", "SET", "repl-diskless-load", "swapdb"]);
        follow(&one, &other);
        one.ask(&["REPLICAOF", "NO", "ONE"]);
        drop(claimed);
    });
    run(async {
        // The claim is lost, and the code is there.
        assert!(is_live(&gate, &pending).await);
        assert!(one.ask(&["KEYS", "*:c:*"]).contains(":c:"));
        assert_eq!(redeem(&gate, &code).await, Answer::Gone);
        let again = gate.bind_to(&pending, Issued::Handle, contract::code("code"));
        assert_eq!(again.await, Ok(Bound::Elsewhere));
    });
}

fn until(mut is_so: impl FnMut() -> Option<()>) {
    for _ in 0..1500 {
        if is_so().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 30 s");
}

/// The handle's own time is longer than the record's, because the clocks of gates differ.
#[test]
fn a_handle_of_a_forgotten_sign_in_redeems_nothing_of_the_next_one() {
    run(async {
        let (store, time) = make(SignIns::InRedis);
        let first = hold(&store, &request("client", 1)).await;
        let old = bind(&store, &first, "code").await;
        time.advance(contract::settings().pending + contract::settings().code);
        let next = hold(&store, &request("client", 2)).await;
        let new = bind(&store, &next, "code").await;
        assert_eq!(redeem(&store, &old).await, Answer::Gone);
        assert_eq!(redeem(&store, &new).await, Answer::Claimed);
    });
}

#[test]
fn a_code_that_the_memory_knows_is_not_bound_in_redis() {
    let server = Server::start(&[]);
    let (clock, wall) = Clock::manual();
    let store = replica(SignIns::InRedis, &wall, &clock, deployment(&server));
    let memory = Arc::clone(store.memory().unwrap());
    run(async {
        let held = memory.hold(Place::Handle, &request("client", 1), None);
        let Ok(Held::Handle(victim)) = held else {
            panic!("{held:?}")
        };
        let bound = memory.bind(victim.digest(), Issued::Handle, code("code"));
        assert!(matches!(bound, Ok(Bound::Handle(_))));
        let thief = hold(&store, &request("client", 2)).await;
        for issued in [Issued::Handle, Issued::Raw] {
            let stolen = store.bind_to(&thief, issued, code("code")).await;
            assert_eq!(stolen, Ok(Bound::Elsewhere));
        }
    });
}

#[test]
fn a_code_is_not_bound_to_a_sign_in_that_was_replaced_since_it_was_read() {
    run(async {
        let (store, _time) = make(SignIns::InRedis);
        let place = Place::Digest(digest("values"));
        let key = named("values");
        let first = PendingAuthorization {
            browser: Some(digest("browser")),
            ..request("client", 1)
        };
        assert_eq!(store.hold(place, &first, None).await, Ok(Held::New));
        let bound = store.bind(&key, &first, Issued::Raw, code("1")).await;
        assert_eq!(bound, Ok(Bound::Raw));
        // The browser signs in again with the same values, after the first sign-in has its code.
        let second = PendingAuthorization {
            browser: Some(digest("browser")),
            ..request("client", 2)
        };
        assert_eq!(store.hold(place, &second, None).await, Ok(Held::New));
        let late = store.bind(&key, &first, Issued::Raw, code("2")).await;
        assert_eq!(
            late,
            Ok(Bound::Unknown),
            "the first one's challenge is not the second one's"
        );
        let bound = store.bind(&key, &second, Issued::Raw, code("2")).await;
        assert_eq!(bound, Ok(Bound::Raw));
    });
}

#[test]
fn a_dump_of_redis_has_no_secret() {
    for sign_ins in [SignIns::InRedis, SignIns::InHandles] {
        let server = Server::start(&[]);
        let (clock, wall) = Clock::manual();
        let gate = replica(sign_ins, &wall, &clock, deployment(&server));
        let (pending, code) = run(async {
            let pending = hold(&gate, &request("client", 1)).await;
            let values = Place::Digest(digest("values"));
            gate.hold(values, &request("client", 1), None)
                .await
                .unwrap();
            let code = bind(&gate, &pending, "the upstream's code").await;
            let bound = gate
                .bind_to(
                    &named("values"),
                    Issued::Raw,
                    contract::code("another code"),
                )
                .await;
            assert_eq!(bound, Ok(Bound::Raw));
            (pending, code)
        });
        let keys = server.ask(&["KEYS", "*"]);
        let mut dump = keys.clone();
        for key in keys.split("\r\n").filter(|key| key.contains(':')) {
            dump += &server.ask(&["HGETALL", key]);
        }
        assert!(dump.contains("instance"), "{dump}");
        let handles = [&pending, &code].map(|key| key.handle().unwrap().expose());
        for secret in [
            "the upstream's code",
            "another code",
            "its own state",
            handles[0],
            handles[1],
        ] {
            assert!(!dump.contains(secret), "{secret}");
        }
    }
}

#[test]
fn a_record_that_was_moved_or_replaced_is_refused() {
    let server = Server::start(&[]);
    let (clock, wall) = Clock::manual();
    let gate = replica(SignIns::InRedis, &wall, &clock, deployment(&server));
    run(async {
        let [one, other] = [
            hold(&gate, &request("client", 1)).await,
            hold(&gate, &request("client", 2)).await,
        ];
        let keys = server.ask(&["KEYS", "*:s:*"]);
        let keys: Vec<&str> = keys
            .split("\r\n")
            .filter(|key| key.contains(":s:"))
            .collect();
        server.ask(&["RENAME", keys[0], keys[1]]);
        let read = [gate.pending(&one).await, gate.pending(&other).await];
        assert!(
            read.contains(&Ok(Pending::Unknown)) && read.contains(&Err(StoreError::Unreachable)),
            "{read:?}"
        );
        server.ask(&["HSET", keys[1], "record", "garbage"]);
        assert!(!is_live(&gate, &one).await && !is_live(&gate, &other).await);
        server.ask(&["SET", keys[1], "a string"]);
        assert!(!is_live(&gate, &one).await && !is_live(&gate, &other).await);
        let Store::Redis(redis) = &gate else { panic!() };
        assert_eq!(
            redis
                .keyspace()
                .calls()
                .number(Verb::Pending, Some(Trouble::Garbage)),
            2
        );
        assert_eq!(
            redis
                .keyspace()
                .calls()
                .number(Verb::Pending, Some(Trouble::Refused)),
            1
        );
    });
}

/// The records of a memory store are in the same memory, so they stay valid as well.
#[test]
fn handles_of_a_sealed_store_stay_valid_when_it_is_replaced() {
    let server = Server::start(&[]);
    let (clock, wall) = Clock::manual();
    let (key, time) = (HandleKey::for_upstream("test"), WallClock::Manual(wall));
    let settings = contract::settings();
    let memory = Arc::new(MemoryStore::new(&settings, key.clone(), clock));
    let before = SealedStore::new(
        &settings,
        sealer(),
        key.clone(),
        time.clone(),
        Arc::clone(&memory),
    );
    let before = Store::Sealed(before);
    run(async {
        let pending = hold(&before, &request("client", 1)).await;
        let [one, other] = [
            bind(&before, &pending, "one").await,
            bind(&before, &pending, "other").await,
        ];
        drop(claim(&before, &one).await);
        let envelopes = Envelopes::new(key, sealer(), time);
        let after = RedisStore::new(
            &settings,
            envelopes,
            SignIns::InRedis,
            Keyspace::new(deployment(&server), "pkce-gate", "test"),
            memory,
        );
        let after = Store::Redis(Box::new(after));
        assert_eq!(redeem(&after, &one).await, Answer::AlreadyRedeemed);
        assert_eq!(redeem(&after, &other).await, Answer::Claimed);
        assert_eq!(redeem(&after, &other).await, Answer::AlreadyRedeemed);
        assert!(is_live(&after, &pending).await);
        let third = bind(&after, &pending, "third").await;
        assert_eq!(redeem(&after, &third).await, Answer::Claimed);
    });
}
