use super::*;
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
    let mut all = seats(store).read(seat).await.unwrap();
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
        assert!(read(&store, 1).await.is_empty());
    });
}
