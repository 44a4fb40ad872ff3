//! Real clients sign in at a real server, through two gates behind `HAProxy`, which sends each request to the next gate. `FLOWS`
//! sets the number of sign-ins of each client with each store.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::stores::{balanced, in_redis, sealed_with_claims, url, with_key};
use crate::support::dice::{Dice, setting};
use crate::support::http::Request;
use crate::support::ledger::Kind;
use crate::support::redis::Redis;
use crate::support::servers::OIDC_PROVIDER_AT_SCALE;
use crate::support::stage::Stage;

const OPENID_CLIENT: &str = "clients/openid-client.mjs";
const OIDC_CLIENT_TS: &str = "clients/oidc-client-ts.mjs";
const SEALED: &str = "kind = \"sealed\"";

#[test]
fn openid_client_signs_in_across_two_gates_with_sealed_handles() {
    sign_in(OPENID_CLIENT, SEALED);
}

#[test]
fn openid_client_signs_in_across_two_gates_with_sealed_handles_and_claims_in_redis() {
    let redis = Redis::single();
    sign_in(OPENID_CLIENT, &sealed_with_claims(&url(&redis)));
}

#[test]
fn openid_client_signs_in_across_two_gates_with_redis() {
    let redis = Redis::single();
    sign_in(OPENID_CLIENT, &in_redis(&url(&redis)));
}

#[test]
fn oidc_client_ts_in_a_browser_signs_in_across_two_gates_with_sealed_handles() {
    sign_in(OIDC_CLIENT_TS, SEALED);
}

#[test]
fn oidc_client_ts_in_a_browser_signs_in_across_two_gates_with_claims_in_redis() {
    let redis = Redis::single();
    sign_in(OIDC_CLIENT_TS, &sealed_with_claims(&url(&redis)));
}

#[test]
fn oidc_client_ts_in_a_browser_signs_in_across_two_gates_with_redis() {
    let redis = Redis::single();
    sign_in(OIDC_CLIENT_TS, &in_redis(&url(&redis)));
}

fn sign_in(client: &str, store: &str) {
    let few = if client == OIDC_CLIENT_TS { 3 } else { 10 };
    let users = usize::try_from(setting("FLOWS", few)).expect("a usize");
    let stage = Stage::balanced(&OIDC_PROVIDER_AT_SCALE, &with_key(store));
    // By chance, one in eight runs of three users has no token from the other gate.
    for run in 1..=10 {
        let outcome = among_others(&stage, client, users);
        let codes = outcome["codes"].as_array().map_or(0, Vec::len);
        stage.granted(codes);
        assert_eq!(outcome["ok"], true, "{outcome}");
        assert_eq!(codes, users, "{outcome}");

        let crossed = crossed(&stage.logs(), run * users);
        let requests = [0, 1].map(|gate| stage.balancer().requests(gate));
        println!(
            "{client}: {codes} sign-ins, {crossed} with a token from the other gate; requests {requests:?}"
        );
        let [one, other] = requests;
        assert!(one.abs_diff(other) <= 1, "by turns: {requests:?}");
        if crossed > 0 {
            assert_eq!(stage.ledger().answers(), vec![200; run * users]);
            return;
        }
    }
    panic!("no sign-in used both gates");
}

/// Runs the client while other users send requests.
fn among_others(stage: &Stage, client: &str, users: usize) -> Value {
    let (issuer, times) = (stage.gate_url(), users.to_string());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| browse(&issuer, &is_over));
        let run = || stage.run(client, &["--issuer", &issuer, "--times", &times]);
        let outcome = catch_unwind(AssertUnwindSafe(run));
        is_over.store(true, Ordering::SeqCst);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Other users' requests. Without them, the number of a client's requests between two steps would decide that both reach the same
/// gate, every time.
fn browse(issuer: &str, is_over: &AtomicBool) {
    let mut dice = Dice::new(1);
    let url = format!("{issuer}{}", OIDC_PROVIDER_AT_SCALE.profile.metadata);
    while !is_over.load(Ordering::SeqCst) {
        assert_eq!(Request::get(&url).send().status, 200);
        let pause = u64::try_from(dice.below(60)).expect("a u64");
        thread::sleep(Duration::from_millis(pause));
    }
}

/// How many sign-ins began at one gate and got their token from the other. They ran one after the other, so the n-th decision
/// about each endpoint belongs to the n-th sign-in.
fn crossed(logs: &[String], users: usize) -> usize {
    let mut decisions = [vec![], vec![]];
    for (gate, log) in logs.iter().enumerate() {
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for line in lines.filter(|line| line["decision"] == "allowed") {
            let at = line["timestamp"].as_str().unwrap_or_default().to_owned();
            match line["endpoint"].as_str() {
                Some("authorization") => decisions[0].push((at, gate)),
                Some("token") => decisions[1].push((at, gate)),
                _ => {}
            }
        }
    }
    for list in &mut decisions {
        list.sort();
        assert_eq!(list.len(), users, "one decision for each sign-in");
    }
    let [began, ended] = decisions;
    let pairs = began.iter().zip(&ended);
    pairs.filter(|((_, one), (_, other))| one != other).count()
}

/// 200 redemptions of a code at once, over both gates.
#[track_caller]
fn race(store: &str) -> (usize, usize) {
    let report = balanced(store).run(&[Kind::Race(200)], |_| {});
    let violations = report.check();
    let only_single_use = violations.iter().all(|it| it.invariant == "I2");
    assert!(only_single_use, "{violations:#?}");
    let won = report.redeemed.len();
    assert_eq!(report.tokens(), 1, "the client has a token");
    println!("200 redemptions at once: {won} won");
    (won, violations.len())
}

#[test]
fn one_of_200_redemptions_over_both_gates_wins_with_redis() {
    let redis = Redis::single();
    assert_eq!(race(&in_redis(&url(&redis))), (1, 0));
}

#[test]
fn one_of_200_redemptions_over_both_gates_wins_with_claims_in_redis() {
    let redis = Redis::single();
    assert_eq!(race(&sealed_with_claims(&url(&redis))), (1, 0));
}

/// Each process remembers its own claims only, so the second redemption is left to the server's own single use. The upstream here
/// has none.
#[test]
fn one_of_200_redemptions_wins_at_each_gate_with_local_claims() {
    let (won, violations) = race(SEALED);
    assert!((1..=2).contains(&won), "{won}");
    assert_eq!(violations, won - 1);
}
