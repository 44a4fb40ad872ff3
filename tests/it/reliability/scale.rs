//! Many flows, honest and hostile, through two gates, while every part fails in turn. `FLOWS` sets their number, and `SCALE_SEED`
//! selects other kinds and faults; each round prints its seed.

use std::time::Duration;

use super::stores::{gates, in_redis, sealed_with_claims, with_key};
use crate::support::dice::{Dice, setting};
use crate::support::fault::{Direction, Fault, FaultProxy};
use crate::support::ledger::harness::Harness;
use crate::support::ledger::{End, Kind, Place, Report};
use crate::support::redis::Redis;
use crate::support::redis::sentinel::{NAME, Sentinel};
use crate::support::rig::Config;

/// Flows of a round, which has gates and a Redis of its own.
const ROUND: usize = 500;
/// Flows that a fault lasts, at least, and flows between two faults.
const DURING: usize = 20;
const BETWEEN: usize = 20;
/// After a flow that failed.
const PAUSE: Duration = Duration::from_millis(300);

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// On the way to Redis, in both directions.
    Store(Fault),
    /// Commands are carried out, but their answers are lost.
    StoreAnswers,
    /// SIGSTOP, and later SIGCONT.
    StoreStops,
    /// SIGKILL, and an empty server later.
    StoreDies,
    /// On the way to the upstream.
    Upstream(Fault),
    GateStops(usize),
    GateDies(usize),
}

const EVENTS: [Event; 14] = [
    Event::Store(Fault::Reset),
    Event::Store(Fault::Refuse),
    Event::Store(Fault::BlackHole),
    Event::Store(Fault::HalfClose),
    Event::Store(Fault::Delay(Duration::from_millis(200))),
    Event::StoreAnswers,
    Event::StoreStops,
    Event::StoreDies,
    Event::Upstream(Fault::Reset),
    Event::Upstream(Fault::Delay(Duration::from_millis(50))),
    Event::GateStops(0),
    Event::GateStops(1),
    Event::GateDies(0),
    Event::GateDies(1),
];

#[test]
fn flows_under_faults_violate_nothing() {
    let (flows, seed) = (setting("FLOWS", 400), setting("SCALE_SEED", 7636));
    let flows = usize::try_from(flows).expect("a usize");
    let mut sums = [0; 4];
    for (round, begin) in (0..flows).step_by(ROUND).enumerate() {
        let seed = seed + u64::try_from(round).expect("a u64");
        let mut dice = Dice::new(seed);
        let mut kinds = Kind::mix(ROUND.min(flows - begin));
        dice.shuffle(&mut kinds);
        let store = [in_redis, sealed_with_claims][round % 2];
        // Every fifth round has a Redis that fails over.
        let report = if round % 5 == 4 {
            with_failovers(store, &kinds)
        } else {
            with_faults(store, &kinds, dice)
        };
        let numbers = summary(&report);
        println!(
            "seed {seed}: {} flows, {} tokens, {} errors, {} connections lost",
            numbers[0], numbers[1], numbers[2], numbers[3]
        );
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number;
        }
        let violations = report.check();
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    }
    let [all, tokens, errors, lost] = sums;
    println!(
        "{all} flows, {tokens} tokens, {errors} errors, {lost} connections lost; no violation"
    );
    assert_eq!(all, flows);
    assert!(errors > flows / 100, "the faults reach flows");
}

fn summary(report: &Report) -> [usize; 4] {
    let count = |is_it: fn(&End) -> bool| {
        let ends = report.flows.iter().map(|flow| &flow.end);
        ends.filter(|end| is_it(end)).count()
    };
    [
        report.flows.len(),
        report.tokens(),
        count(|end| matches!(end, End::Error(_))),
        count(|end| matches!(end, End::Broken | End::Truncated)),
    ]
}

fn with_faults(store: fn(&str) -> String, kinds: &[Kind], mut dice: Dice) -> Report {
    let redis = Redis::single();
    let proxy = FaultProxy::to(redis.address());
    let store = store(&format!("redis://{}", proxy.address()));
    let harness = gates(2, &store).pausing(PAUSE);
    harness.run(kinds, |harness| {
        let mut events = EVENTS;
        let mut happened = vec![];
        while !harness.is_over() {
            dice.shuffle(&mut events);
            for event in events {
                harness.wait_for(BETWEEN);
                if harness.is_over() {
                    break;
                }
                happened.push(event);
                happen(event, harness, &redis, &proxy);
            }
        }
        println!("{happened:?}");
    })
}

fn happen(event: Event, harness: &Harness, redis: &Redis, proxy: &FaultProxy) {
    let store = |set: &dyn Fn(), heal: &dyn Fn()| {
        harness.disturb(Place::Store, || {
            set();
            harness.wait_for(DURING);
            heal();
            harness.wait_for_stores();
        });
    };
    let heal = || {
        proxy.heal();
        proxy.cut();
    };
    match event {
        Event::Store(fault) => store(&|| proxy.set(fault), &heal),
        Event::StoreAnswers => {
            let lose = || proxy.set_on(Direction::ToClient, Fault::BlackHole);
            store(&lose, &heal);
        }
        Event::StoreStops => store(&|| redis.stop(), &|| redis.cont()),
        Event::StoreDies => store(&|| redis.kill(), &|| redis.restart()),
        Event::Upstream(fault) => cut_off(harness, fault),
        Event::GateStops(gate) => harness.disturb(Place::Gate, || {
            harness.stop(gate);
            harness.wait_for(DURING / 2);
            harness.restart(gate);
        }),
        Event::GateDies(gate) => harness.disturb(Place::Gate, || {
            harness.kill(gate);
            harness.wait_for(DURING / 2);
            harness.restart(gate);
        }),
    }
}

fn with_failovers(store: fn(&str) -> String, kinds: &[Kind]) -> Report {
    let sentinel = Sentinel::three();
    let addresses = sentinel.addresses();
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let url = format!("redis+sentinel://{}/{NAME}", addresses.join(","));
    let harness = gates(2, &store(&url)).pausing(PAUSE);
    harness.run(kinds, |harness| {
        while !harness.is_over() {
            harness.wait_for(BETWEEN);
            harness.disturb(Place::Store, || {
                sentinel.failover();
                harness.wait_for(DURING);
                harness.wait_for_stores();
            });
            harness.wait_for(BETWEEN);
            harness.disturb(Place::Store, || {
                let node = sentinel.kill_master();
                harness.wait_for(DURING);
                node.restart();
                sentinel.wait();
                harness.wait_for_stores();
            });
        }
    })
}

#[test]
fn memory_and_descriptors_are_free_after_the_faults_with_the_memory_store() {
    nothing_is_left("kind = \"memory\"", Harness::wait_for_no_records);
}

#[test]
fn memory_and_descriptors_are_free_after_the_faults_with_sealed_handles() {
    let store = with_key("kind = \"sealed\"");
    nothing_is_left(&store, Harness::wait_for_no_records);
}

#[test]
fn memory_and_descriptors_are_free_after_the_faults_with_redis() {
    let redis = Redis::single();
    let store = with_key(&in_redis(&format!("redis://{}", redis.address())));
    nothing_is_left(&store, |_| redis.wait_for_no_keys());
}

/// Faults of everything but the gate, which runs all the time. With `FLOWS`, the test also waits until the last record has
/// expired: records of used codes stay for some minutes, so that a replay is called a replay.
fn nothing_is_left(store: &str, wait_for_no_records: impl Fn(&Harness) + Sync) {
    let flows = setting("FLOWS", 0);
    let store = format!("pending = \"10s\"\ncode = \"10s\"\n{store}");
    let config = Config {
        store: &store,
        ..Config::default()
    };
    let kinds = Kind::mix(usize::try_from(flows.max(200)).expect("a usize"));
    let report = Harness::start(1, config).run(&kinds, |harness| {
        harness.wait_for(40);
        for fault in [Fault::Reset, Fault::Refuse, Fault::HalfClose] {
            cut_off(harness, fault);
            harness.wait_for(BETWEEN);
        }
        harness.wait_for(usize::MAX);
        if flows > 0 {
            wait_for_no_records(harness);
        }
    });
    let violations = report.check();
    assert!(violations.is_empty(), "{violations:#?}");
    let [before, after] = report.gates[0].usage.expect("it ran all the time");
    println!("before the faults {before:?}\nafterwards {after:?}");
}

fn cut_off(harness: &Harness, fault: Fault) {
    harness.disturb(Place::Behind, || {
        harness.network().set(fault);
        harness.wait_for(DURING);
        harness.network().heal();
        harness.network().cut();
    });
}
