use super::*;
use crate::store::redis::link::Value;
use crate::store::redis::link::stand_in::{Answer as Answered, Call, StandIn};
use crate::store::redis::seats::{Count, Gate, SEATS, Written};

const ONE: Gate = [1; 16];
const OTHER: Gate = [2; 16];
const HOUR: Duration = Duration::from_hours(1);

/// A store, and its server.
fn store() -> (Store, Arc<Frozen>, Time) {
    let (store, time) = make(SignIns::InRedis);
    let server = SERVER.with_borrow(|server| server.clone().unwrap());
    (store, server, time)
}

fn seats(store: &Store) -> Seats<'_> {
    store.redis().unwrap().seats()
}

fn count(name: &str, text: &str) -> Count {
    (digest(name), text.to_owned())
}

async fn read(store: &Store, seat: u8) -> Vec<String> {
    let mut all = seats(store).read(seat).await.unwrap().texts;
    all.sort();
    all
}

#[test]
fn a_gate_overwrites_the_counts_in_its_seat_and_no_other_gate_does() {
    let (store, _, _) = store();
    let seats = seats(&store);
    run(async {
        assert!(seats.take(0, &ONE).await.unwrap());
        assert!(seats.take(0, &ONE).await.unwrap(), "it has it already");
        assert!(!seats.take(0, &OTHER).await.unwrap());
        assert!(seats.take(1, &OTHER).await.unwrap());
        let written = seats
            .write(0, &ONE, &[count("a", "1"), count("b", "2")])
            .await;
        assert_eq!(written, Ok(Written::Done));
        let again = seats.write(0, &ONE, &[count("a", "3")]).await;
        assert_eq!(again, Ok(Written::Done));
        let foreign = seats.write(0, &OTHER, &[count("a", "9")]).await;
        assert_eq!(foreign, Ok(Written::NotOurs));
        assert_eq!(seats.write(1, &OTHER, &[]).await, Ok(Written::Done));
        assert_eq!(read(&store, 0).await, ["2", "3"]);
        assert!(read(&store, 1).await.is_empty());
        assert_eq!(seats.used().await.unwrap(), [0, 1]);
    });
}

#[test]
fn a_seat_that_was_left_is_taken_with_its_counts() {
    let (store, _, time) = store();
    let seats = seats(&store);
    run(async {
        assert!(seats.take(0, &ONE).await.unwrap());
        seats.write(0, &ONE, &[count("a", "1")]).await.unwrap();
        seats.leave(0, &OTHER).await.unwrap();
        assert!(
            !seats.take(0, &OTHER).await.unwrap(),
            "only its gate leaves it"
        );
        seats.leave(0, &ONE).await.unwrap();
        assert!(seats.take(0, &OTHER).await.unwrap());
        assert_eq!(read(&store, 0).await, ["1"]);
        assert_eq!(
            seats.write(0, &ONE, &[count("a", "7")]).await,
            Ok(Written::NotOurs)
        );
        // A crash: the seat is free after an hour, its counts stay for a month.
        time.advance(HOUR);
        let keyspace = store.redis().unwrap().keyspace();
        assert!(keyspace.is_reachable());
        assert!(seats.take(0, &ONE).await.unwrap());
        assert_eq!(read(&store, 0).await, ["1"]);
        time.advance(HOUR * 24 * 31);
        assert!(read(&store, 0).await.is_empty());
        assert!(seats.used().await.unwrap().is_empty());
    });
}

/// Both believe that they have the seat. What the other one added to the counts would be lost.
#[test]
fn a_gate_that_was_silent_for_too_long_does_not_overwrite_its_successor() {
    let (store, _, time) = store();
    let seats = seats(&store);
    run(async {
        assert!(seats.take(0, &ONE).await.unwrap());
        seats.write(0, &ONE, &[count("a", "1")]).await.unwrap();
        time.advance(HOUR);
        assert!(seats.take(0, &OTHER).await.unwrap());
        seats.write(0, &OTHER, &[count("a", "5")]).await.unwrap();
        assert_eq!(
            seats.write(0, &ONE, &[count("a", "2")]).await,
            Ok(Written::NotOurs)
        );
        // Also if the successor has left by then.
        seats.leave(0, &OTHER).await.unwrap();
        assert_eq!(
            seats.write(0, &ONE, &[count("a", "2")]).await,
            Ok(Written::NotOurs)
        );
        assert_eq!(read(&store, 0).await, ["5"]);
        // Without a successor it goes on.
        assert!(seats.take(0, &ONE).await.unwrap());
        time.advance(HOUR);
        assert_eq!(
            seats.write(0, &ONE, &[count("a", "6")]).await,
            Ok(Written::Done)
        );
        assert_eq!(read(&store, 0).await, ["6"]);
    });
}

#[test]
fn a_gate_learns_that_redis_has_lost_its_counts() {
    let (store, server, _) = store();
    let seats = seats(&store);
    run(async {
        assert!(seats.take(0, &ONE).await.unwrap());
        seats.write(0, &ONE, &[count("a", "1")]).await.unwrap();
        server.server.ask(&["FLUSHALL"]);
        assert_eq!(
            seats.write(0, &ONE, &[count("b", "2")]).await,
            Ok(Written::Alone)
        );
        assert_eq!(
            seats.write(0, &ONE, &[count("a", "1")]).await,
            Ok(Written::Done)
        );
        assert_eq!(read(&store, 0).await, ["1", "2"]);
    });
}

#[test]
fn many_counts_are_written_and_read_in_parts() {
    let (store, _, _) = store();
    let seats = seats(&store);
    let all: Vec<Count> = (0..1_000)
        .map(|number| count(&format!("c{number}"), &format!("{number:04}")))
        .collect();
    run(async {
        let last = SEATS - 1;
        assert!(seats.take(last, &ONE).await.unwrap());
        assert_eq!(seats.write(last, &ONE, &all).await, Ok(Written::Done));
        let read = read(&store, last).await;
        assert_eq!(read.len(), 1_000);
        assert_eq!((read[0].as_str(), read[999].as_str()), ("0000", "0999"));
        assert_eq!(seats.used().await.unwrap(), [last]);
    });
}

#[test]
fn what_all_gates_have_in_common_adds_up() {
    let (store, _, _) = store();
    let seats = seats(&store);
    run(async {
        assert!(seats.shared().await.unwrap().is_empty());
        seats.share(&[]).await.unwrap();
        seats.share(&[count("a", "1")]).await.unwrap();
        seats
            .share(&[count("b", "2"), count("a", "1")])
            .await
            .unwrap();
        let mut all = seats.shared().await.unwrap();
        all.sort();
        assert_eq!(all, ["1", "2"]);
    });
}

/// An attacker who writes to Redis cannot invent counts, nor move them to another seat or client.
#[test]
fn counts_are_sealed_for_their_place() {
    let (store, server, _) = store();
    let seats = seats(&store);
    run(async {
        for (seat, gate) in [(0, &ONE), (1, &OTHER)] {
            assert!(seats.take(seat, gate).await.unwrap());
            seats
                .write(seat, gate, &[count("a", "visible")])
                .await
                .unwrap();
        }
        let dump = server.server.ask(&["HVALS", "{pkce-gate:test}:counts:0"]);
        assert!(!dump.contains("visible"), "{dump}");
        let copy = "local all = redis.call('HGETALL', '{pkce-gate:test}:counts:0')
            redis.call('DEL', '{pkce-gate:test}:counts:1')
            for i = 1, #all, 2 do redis.call('HSET', '{pkce-gate:test}:counts:1', all[i], all[i + 1]) end";
        server.server.ask(&["EVAL", copy, "0"]);
        assert_eq!(read(&store, 0).await, ["visible"]);
        let moved = seats.read(1).await.unwrap();
        assert_eq!((moved.texts.len(), moved.unreadable), (0, 1));
    });
}

/// A server whose scan finds the same field so many times before it ends.
struct Repeating {
    times: AtomicI64,
    value: Vec<u8>,
}

impl StandIn for Repeating {
    fn answer(&self, _: Call) -> Answered {
        let is_last = self.times.fetch_sub(1, Ordering::Relaxed) <= 1;
        let cursor: &[u8] = if is_last { b"0" } else { b"7" };
        let pair = [digest("a").as_bytes().to_vec(), self.value.clone()];
        let scanned = Value::List(vec![
            Value::Bytes(cursor.to_vec()),
            Value::List(pair.map(Value::Bytes).to_vec()),
        ]);
        Box::pin(std::future::ready(Ok(scanned)))
    }
}

/// Redis may answer a field twice while the hash grows; an attacker in its place answers for ever.
#[test]
fn a_field_that_is_scanned_twice_counts_once_and_an_endless_scan_ends() {
    let label = [b"counts ".as_slice(), &[0], digest("a").as_bytes()].concat();
    let value = sealer().seal_text(&label, "1").unwrap();
    for (times, read) in [(1, Some(1)), (3, Some(1)), (i64::MAX, None)] {
        let (clock, wall) = Clock::manual();
        let server = Repeating {
            times: AtomicI64::new(times),
            value: value.clone(),
        };
        let deployment = Arc::new(Deployment::simulated(Arc::new(server), &clock));
        let store = replica(SignIns::InRedis, &wall, &clock, deployment);
        let found = run(async { seats(&store).read(0).await });
        assert_eq!(found.ok().map(|found| found.texts.len()), read, "{times}");
    }
}
