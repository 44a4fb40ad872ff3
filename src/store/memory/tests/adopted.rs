//! Records of another store, whose outcome this one remembers.

use super::*;

/// A code as another store makes it from a sign-in of this client.
fn bound(client: &str, code: &str) -> BoundCode {
    pending(client).bind(AuthorizationCode::new(code).unwrap())
}

#[test]
fn an_adopted_sign_in_is_like_one_that_began_here() {
    let (store, clock) = store(&roomy());
    let key = Digest::of("handle", &[]);
    let adopt = |client: &str| {
        store.adopt_sign_in(key, &pending(client), store.now().after(settings().code))
    };
    adopt("client").unwrap();
    assert_eq!(
        store.pending(key),
        Pending::Live(Box::new(pending("client")))
    );
    let code = bind(&store, key, "code");
    // Adopting it again changes nothing, also when it is discarded or has expired.
    adopt("other").unwrap();
    let owners = store.owners(&[Candidate::State(key.into())]);
    assert!(owners[0].is_some_and(|owner| owner.client == pending("client").application.client));
    store.discard(key);
    adopt("client").unwrap();
    assert_eq!(store.pending(key), Pending::Conflict);
    clock.advance(settings().code);
    adopt("client").unwrap();
    assert_eq!(store.pending(key), Pending::Expired);
    assert!(matches!(store.redeem(&code, matches), Redeemed::Expired(_)));
    clock.advance(settings().pending + settings().code + GRACE);
    store.sweep();
    assert_eq!(entries(&store), [0; 4]);
}

#[test]
fn an_adopted_code_is_redeemed_once() {
    let (store, clock) = store(&roomy());
    let code = bound("client", "code");
    let adopt = || store.adopt_code(&code, store.now().after(settings().code));
    let redeem = || store.redeem_opened(code.clone(), matches);
    adopt().unwrap();
    assert!(store.code_lengths().has(4));
    let Redeemed::Claimed(claim) = redeem() else {
        panic!()
    };
    assert_eq!(claim.bound().code.expose(), "code");
    adopt().unwrap();
    assert!(matches!(redeem(), Redeemed::AlreadyRedeemed(_)));
    store.settle(claim, Settlement::Burn);
    adopt().unwrap();
    assert!(matches!(redeem(), Redeemed::AlreadyRedeemed(_)));
    assert_eq!(store.statistics().tombstones, 1);
    clock.advance(settings().code);
    adopt().unwrap();
    assert!(matches!(redeem(), Redeemed::Expired(_)));
    // No other client gets it, and its owner is known.
    clock.advance(settings().pending.saturating_sub(Duration::from_millis(1)));
    store.sweep();
    let thief = hold(&store, "thief");
    let own = || AuthorizationCode::new("code").unwrap();
    assert_eq!(
        store.bind(thief, Issued::Handle, own()),
        Ok(Bound::Elsewhere)
    );
    let owners = store.owners(&[Candidate::Code(own().digest().into())]);
    assert!(owners[0].is_some_and(|owner| owner.client == code.application.client));
    clock.advance(settings().pending + GRACE);
    store.sweep();
    assert_eq!(entries(&store), [0; 4]);
}

/// A server may issue the same code again much later.
#[test]
fn a_forgotten_code_is_adopted_like_a_new_one() {
    let (store, clock) = store(&roomy());
    let code = bound("client", "code");
    for _ in 0..2 {
        let until = store.now().after(settings().code);
        assert_eq!(store.adopt_code(&code, until), Ok(()));
        let redeemed = store.redeem_opened(code.clone(), matches);
        assert!(matches!(redeemed, Redeemed::Claimed(_)));
        clock.advance(settings().code + settings().pending);
    }
}

#[test]
fn wrong_verifiers_burn_an_adopted_code() {
    let (store, _clock) = store(&roomy());
    let code = bound("client", "code");
    let redeem = |presented| {
        let adopted = store.adopt_code(&code, store.now().after(settings().code));
        adopted.unwrap();
        store.redeem_opened(code.clone(), |_| presented)
    };
    for _ in 0..settings().attempts {
        let redeemed = redeem(Presented::WrongVerifier);
        assert!(matches!(redeemed, Redeemed::Mismatch(_)));
    }
    assert!(matches!(redeem(Presented::Matches), Redeemed::Burnt(_)));
}

/// In either order. Each handle is judged by its own record, and one of the handles redeems the code.
#[test]
fn handles_of_one_code_from_two_sign_ins_are_judged_by_themselves_and_redeem_it_once() {
    for own_first in [false, true] {
        let (store, _clock) = store(&roomy());
        let here = hold(&store, "client");
        let own = bind(&store, here, "code");
        let foreign = bound("other", "code");
        let until = store.now().after(settings().code);
        assert_eq!(store.adopt_code(&foreign, until), Ok(()));
        let judge = |of: &BoundCode| {
            let is_foreign = of.application == foreign.application;
            let presented = if is_foreign {
                Presented::Matches
            } else {
                Presented::WrongVerifier
            };
            (is_foreign, presented)
        };
        if own_first {
            assert!(matches!(store.redeem(&own, matches), Redeemed::Claimed(_)));
            let late = store.redeem_opened(foreign.clone(), matches);
            assert!(matches!(late, Redeemed::AlreadyRedeemed(_)));
        } else {
            let redeemed = store.redeem_opened(foreign.clone(), |of| judge(of).1);
            let Redeemed::Claimed(claim) = redeemed else {
                panic!("{redeemed:?}")
            };
            assert_eq!(claim.bound().application, foreign.application);
            assert!(matches!(
                store.redeem(&own, matches),
                Redeemed::AlreadyRedeemed(_)
            ));
        }
        assert_eq!(store.statistics().codes, 1);
    }
}

#[test]
fn adopted_records_count_towards_the_capacity_only_and_expire_in_any_order() {
    let (store, clock) = store(&Settings {
        capacity: 20,
        ..settings()
    });
    // Of one client, whose share is ten. The later ones expire first.
    let adopt = |number: u8| {
        let key = Digest::of("handle", &[&[number]]);
        let lifetime = Duration::from_secs(100 - u64::from(number));
        if number.is_multiple_of(2) {
            store.adopt_sign_in(key, &pending("client"), store.now().after(lifetime))
        } else {
            let code = bound("client", &number.to_string());
            store.adopt_code(&code, store.now().after(lifetime))
        }
    };
    for number in 0..60 {
        assert_eq!(adopt(number), Ok(()), "{number}");
    }
    for number in [60, 61] {
        let refused = adopt(number).unwrap_err();
        assert!(matches!(refused, StoreError::NoRoom(Limit::Capacity, _)));
    }
    assert_eq!(adopt(0), Ok(()), "it is there already");
    let new = store.hold(Place::Handle, &pending("new"), None);
    assert_eq!(limit(&new), Some(Limit::Capacity));
    clock.advance(Duration::from_secs(50));
    let is_live = |number: u8| {
        let key = Digest::of("handle", &[&[number]]);
        matches!(store.pending(key), Pending::Live(_))
    };
    let live = (0..60).step_by(2).filter(|number| is_live(*number));
    assert_eq!(
        live.collect::<Vec<_>>(),
        (0..50).step_by(2).collect::<Vec<_>>()
    );
    clock.advance(settings().pending + Duration::from_secs(100) + GRACE);
    store.sweep();
    assert_eq!(entries(&store), [0; 4]);
}

#[test]
fn adopted_sign_ins_do_not_use_up_the_share_of_their_client() {
    let (store, _clock) = store(&Settings {
        capacity: 20,
        ..settings()
    });
    for number in 0..15u8 {
        let key = Digest::of("handle", &[&[number]]);
        let adopted =
            store.adopt_sign_in(key, &pending("client"), store.now().after(settings().code));
        assert_eq!(adopted, Ok(()));
    }
    for _ in 15..20 {
        hold(&store, "client");
    }
    let more = store.hold(Place::Handle, &pending("client"), None);
    assert_eq!(limit(&more), Some(Limit::Capacity));
}
