//! Codes and states do not stay in memory longer than they are needed.

use super::*;

/// What is kept of a code: its text, and how many wrong verifiers there were.
fn kept(store: &MemoryStore, key: &Key) -> Option<String> {
    let read = |code: &mut Code| match &code.fate {
        Fate::Bound(bound) => Some(bound.code.expose().to_owned()),
        Fate::Claimed(_) | Fate::Redeemed(_) | Fate::Burnt(_) | Fate::Expired(_) => None,
    };
    store
        .tables
        .codes
        .with(key.handle()?.core(), read)
        .flatten()
}

#[test]
fn a_code_is_wiped_when_it_is_redeemed_or_burnt() {
    let (store, _clock) = store(&roomy());
    let held = hold(&store, "client");
    let claim = |key: &Key| {
        let Redeemed::Claimed(claim) = store.redeem(key, matches) else {
            panic!()
        };
        claim
    };
    let claim = |key: &Key| {
        let claim = claim(key);
        assert_eq!(kept(&store, key), None, "the claim has it");
        claim
    };
    for (code, stays) in [("redeemed", false), ("attacked", false), ("released", true)] {
        let key = bind(&store, held, code);
        assert_eq!(kept(&store, &key).as_deref(), Some(code));
        match code {
            "redeemed" => store.settle(claim(&key), Settlement::Burn),
            "attacked" => {
                for _ in 0..settings().attempts {
                    assert_eq!(kept(&store, &key).as_deref(), Some(code));
                    let redeemed = store.redeem(&key, |_| Presented::WrongVerifier);
                    assert!(matches!(redeemed, Redeemed::Mismatch(_)));
                }
            }
            _ => store.settle(claim(&key), Settlement::Release),
        }
        assert_eq!(kept(&store, &key).is_some(), stays, "{code}");
    }
}

#[test]
fn a_conflict_keeps_no_secret() {
    let (store, _clock) = store(&roomy());
    let key = Digest::of("values", &[]);
    let record = |sign_in: &mut SignIn| sign_in.pending();
    let read = || store.tables.sign_ins.with(key, record);
    let values = Place::Digest(key);
    store.hold(values, &pending("client"), None).unwrap();
    assert_eq!(read(), Some(pending("client")));
    let held = store.hold(values, &pending("other"), None);
    assert_eq!(held, Ok(Held::Conflict));
    let left = read().unwrap();
    assert_eq!((left.state, left.challenge), (ClientState::Absent, None));
}
