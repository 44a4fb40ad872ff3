//! The key of two gates is replaced as `docs/src/stores.md` says, under load; and one that is removed too early.

use std::thread::sleep;
use std::time::Duration;

use super::stores::{
    assert_nothing_is_violated, balanced, in_redis, sealed_with_claims, url, with_key,
};
use crate::support::client::assert_refused;
use crate::support::ledger::Kind;
use crate::support::ledger::harness::Harness;
use crate::support::redis::Redis;
use crate::support::rig::{Config, Rig};
use crate::support::store::seal_key;

/// The shortest that the configuration allows.
const LIFETIMES: &str = "pending = \"10s\"\ncode = \"10s\"";
const LIFETIME: Duration = Duration::from_secs(10);

/// The line of the configuration with these keys, of which `test` is the first one.
fn keys(ids: &[&str]) -> String {
    let new = seal_key().with_file_name("next");
    let text = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n";
    std::fs::write(&new, text).expect("the key is written");
    let key = |id: &&str| {
        let file = if *id == "test" {
            seal_key()
        } else {
            new.clone()
        };
        format!("{{ id = \"{id}\", file = \"{}\" }}", file.display())
    };
    let keys: Vec<_> = ids.iter().map(key).collect();
    format!("keys = [{}]", keys.join(", "))
}

fn rotate(harness: &Harness) {
    let replace = |ids: &[&str]| {
        for gate in [0, 1] {
            harness.reconfigure(gate, |config| config.replace(&keys(&["test"]), &keys(ids)));
            harness.wait_for(10); // the other gate does not have it yet
        }
    };
    harness.wait_for(20);
    replace(&["test", "next"]);
    replace(&["next", "test"]);
    // The user may take as long as one lifetime to sign in, and the client as long as the other to redeem the code.
    sleep(2 * LIFETIME);
    replace(&["next"]);
    harness.wait_for(20);
}

fn rotates(store: &str) {
    let store = format!("{LIFETIMES}\n{store}");
    let report = balanced(&store).run_during(&[Kind::Honest, Kind::WrongVerifier], rotate);
    println!("a new key: {} flows", report.flows.len());
    assert_nothing_is_violated(&report);
}

#[test]
fn a_key_is_replaced_under_load_without_a_failed_flow_with_sealed_handles() {
    rotates("kind = \"sealed\"");
}

#[test]
fn a_key_is_replaced_under_load_without_a_failed_flow_with_redis() {
    let redis = Redis::single();
    rotates(&in_redis(&url(&redis)));
}

/// Handles that a removed key has encrypted.
fn removed(store: &str) {
    let store = with_key(store);
    let rig = Rig::with(Config {
        store: &store,
        ..Config::default()
    });
    let (bound, begun) = (rig.authorization(), rig.authorization());
    let code = rig.code_for(&bound);
    let entry = rig.entry(&begun);
    let config = std::fs::read_to_string(rig.gate.config_file()).expect("the configuration");
    rig.gate
        .reload(&config.replace(&keys(&["test"]), &keys(&["next"])));

    let answer = rig.get(&entry);
    assert_eq!(answer.status, 400, "{answer}");
    let answer = rig.token(&bound.redemption(&code));
    assert_refused(&answer, "invalid_grant");
    let violations = ["expired_sign_in", "expired_code"];
    rig.gate
        .log_until(|log| violations.iter().all(|it| log.contains(it)));
}

#[test]
fn a_handle_under_a_removed_key_is_expired_with_sealed_handles() {
    removed("kind = \"sealed\"");
}

#[test]
fn a_handle_under_a_removed_key_is_expired_with_redis() {
    let redis = Redis::single();
    removed(&in_redis(&url(&redis)));
    removed(&sealed_with_claims(&url(&redis)));
}
