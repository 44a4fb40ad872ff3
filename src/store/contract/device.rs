//! What device codes need: a lifetime of their own, releases that are not counted, and that no code of one kind is one of another.

use super::*;
use crate::flow::{Candidate, HandleKey, Purpose, RELEASES_PER_CODE, Settlement};
use crate::oauth::CodeKind;

fn device_code(name: &str) -> AuthorizationCode {
    AuthorizationCode::of(CodeKind::Device, name).unwrap()
}

/// Binds a code with this lifetime to a new sign-in. Returns its key.
async fn bound_within(
    store: &Store,
    issued: Issued,
    code: AuthorizationCode,
    lifetime: Duration,
) -> Key {
    let request = request("client", 1);
    let pending = hold(store, &request).await;
    let raw = code.digest();
    let bound = store
        .bind_within(&pending, &request, issued, code, Some(lifetime))
        .await;
    match bound {
        Ok(Bound::Handle(handle)) => handle.into(),
        Ok(Bound::Raw) => raw.into(),
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) fn a_code_may_have_a_lifetime_of_its_own(make: Make) {
    let day = Duration::from_hours(24);
    for lifetime in [
        second(),
        settings().code + second(),
        settings().pending,
        day,
    ] {
        run(async {
            let (store, clock) = make();
            clock.advance(second());
            let one = bound_within(&store, Issued::Handle, device_code("1"), lifetime).await;
            let other = bound_within(&store, Issued::Raw, device_code("2"), lifetime).await;
            clock.advance(lifetime.saturating_sub(millisecond()));
            store.sweep();
            for key in [&one, &other] {
                let claim = claim(&store, key).await;
                store.settle(claim, Settlement::Wait).await.unwrap();
            }
            clock.advance(millisecond());
            store.sweep();
            for key in [&one, &other] {
                assert_eq!(redeem(&store, key).await, Answer::Gone, "{lifetime:?}");
            }
        });
    }
}

/// It may be valid at the upstream for longer than here.
pub(in crate::store) fn a_code_with_its_own_lifetime_is_remembered_for_longer(make: Make) {
    run(async {
        let (store, clock) = make();
        let lifetime = settings().code * 4;
        let key = bound_within(&store, Issued::Handle, device_code("1"), lifetime).await;
        clock.advance(lifetime + settings().pending.saturating_sub(second()));
        store.sweep();
        let again = hold(&store, &request("other", 2)).await;
        let bound = store
            .bind_to(&again, Issued::Handle, device_code("1"))
            .await;
        assert_eq!(bound, Ok(Bound::Elsewhere));
        assert_eq!(redeem(&store, &key).await, Answer::Gone);
    });
}

/// A device code that is unknown passes without a verifier, so one that travels is known until no server accepts it any more,
/// redeemed or not.
pub(in crate::store) fn a_code_that_travels_is_known_for_its_whole_lifetime(make: Make) {
    for is_redeemed in [false, true] {
        run(async {
            let (store, clock) = make();
            let lifetime = Duration::from_hours(24);
            let key = bound_within(&store, Issued::Raw, device_code("1"), lifetime).await;
            if is_redeemed {
                let claim = claim(&store, &key).await;
                store.settle(claim, Settlement::Burn).await.unwrap();
            }
            let after = if is_redeemed {
                Answer::AlreadyRedeemed
            } else {
                Answer::Claimed
            };
            clock.advance(lifetime.saturating_sub(millisecond()));
            store.sweep();
            assert_eq!(redeem(&store, &key).await, after);
            clock.advance(settings().pending);
            store.sweep();
            let candidate = [Candidate::Code(key.clone())];
            let owners = store.owners(&candidate).await.unwrap();
            assert!(owners.iter().all(Option::is_some), "{is_redeemed}");
        });
    }
}

pub(in crate::store) fn releases_of_a_waiting_code_are_not_counted(make: Make) {
    run(async {
        let (store, _clock) = make();
        let lifetime = settings().code;
        let key = bound_within(&store, Issued::Handle, device_code("1"), lifetime).await;
        for _ in 0..3 * RELEASES_PER_CODE {
            let claim = claim(&store, &key).await;
            // Meanwhile it is claimed, like any code.
            assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
            store.settle(claim, Settlement::Wait).await.unwrap();
        }
        // The others are counted as before.
        for _ in 0..RELEASES_PER_CODE {
            let released = claim(&store, &key).await;
            store.settle(released, Settlement::Release).await.unwrap();
            let waiting = claim(&store, &key).await;
            store.settle(waiting, Settlement::Wait).await.unwrap();
        }
        let last = claim(&store, &key).await;
        store.settle(last, Settlement::Release).await.unwrap();
        assert_eq!(redeem(&store, &key).await, Answer::Burnt);
    });
}

pub(in crate::store) fn codes_of_different_kinds_with_one_text_are_different_codes(make: Make) {
    for issued in [Issued::Handle, Issued::Raw] {
        run(async {
            let (store, _clock) = make();
            let lifetime = settings().code;
            let device = bound_within(&store, issued, device_code("same"), lifetime).await;
            let other = bound_within(&store, issued, code("same"), lifetime).await;
            assert_ne!(device, other);
            for (key, kind) in [
                (&device, CodeKind::Device),
                (&other, CodeKind::Authorization),
            ] {
                let claim = claim(&store, key).await;
                assert_eq!(claim.bound().code.kind(), kind);
                assert_eq!(claim.bound().code.expose(), "same");
                store.settle(claim, Settlement::Burn).await.unwrap();
                assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
            }
        });
    }
}

/// The checksum of a handle is no secret, so anyone who knows a handle can write it with the prefix of another purpose.
pub(in crate::store) fn a_handle_for_one_kind_of_code_redeems_no_other(make: Make) {
    let prefixed = |key: &Key, purpose: Purpose| {
        let text = key.handle().unwrap().expose();
        let own = HandleKey::for_upstream("test");
        let place = |character: u8| match character {
            b'0'..=b'9' => character - b'0',
            b'A'..=b'Z' => character - b'A' + 10,
            _ => character - b'a' + 36,
        };
        match key.handle().unwrap().sealed() {
            Some(sealed) => own.wrap(purpose, &sealed).unwrap(),
            None => own.mint(purpose, text.bytes().skip(3).take(24).map(place)),
        }
    };
    run(async {
        let (store, _clock) = make();
        let lifetime = settings().code;
        for (code, purpose) in [
            (device_code("device"), Purpose::Code),
            (code("code"), Purpose::Device),
        ] {
            let own = Purpose::from(code.kind());
            let key = bound_within(&store, Issued::Handle, code, lifetime).await;
            assert_eq!(Key::from(prefixed(&key, own)), key);
            for other in [purpose, Purpose::State] {
                let forged = Key::from(prefixed(&key, other));
                assert_eq!(redeem(&store, &forged).await, Answer::Gone, "{other:?}");
            }
            assert_eq!(redeem(&store, &key).await, Answer::Claimed);
        }
    });
}
