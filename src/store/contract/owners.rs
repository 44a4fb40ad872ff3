//! The contract of `owners`.

use super::*;
use crate::flow::Settlement;
use crate::store::Candidate;

pub(in crate::store) fn owners_are_returned_in_the_order_of_the_candidates(make: Make) {
    run(async {
        let (store, clock) = make();
        let [one, other] = [
            hold(&store, &request("one", 1)).await,
            hold(&store, &request("other", 2)).await,
        ];
        let [used, fresh] = [
            bind(&store, &one, "used").await,
            bind(&store, &other, "fresh").await,
        ];
        let claim = claim(&store, &used).await;
        let owner = |client, alive| owner(digest(client), alive);
        let question = [
            Candidate::Code(fresh.clone()),
            Candidate::State(one.clone()),
            Candidate::Code(digest("nobody's").into()),
            Candidate::Code(used),
            Candidate::State(one.clone()),
            Candidate::State(fresh),
            Candidate::Code(other.clone()),
            Candidate::State(digest("nobody's").into()),
            Candidate::State(other),
        ];
        let mut answer = vec![
            owner("other", true),
            owner("one", true),
            None,
            owner("one", false),
            owner("one", true),
            None,
            None,
            None,
            owner("other", true),
        ];
        assert_eq!(store.owners(&question).await, Ok(answer.clone()));
        assert_eq!(store.owners(&[]).await, Ok(Vec::new()));
        // The question has claimed nothing, and the owners of dead records are known as well.
        store.settle(claim, Settlement::Burn).await.unwrap();
        store.discard(&one).await.unwrap();
        for dead in [1, 4] {
            answer[dead] = owner("one", false);
        }
        assert_eq!(store.owners(&question).await, Ok(answer));
        clock.advance(settings().code);
        let late = store.owners(&question[..1]).await.unwrap();
        assert!(late[0].is_none_or(|owner| !owner.alive));
    });
}

pub(in crate::store) fn the_owner_of_a_raw_code_is_known_however_it_is_bound(make: Make) {
    run(async {
        let (store, clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let handle = bind(&store, &pending, "behind a handle").await;
        let (hidden, open) = (code("behind a handle").digest(), code("open").digest());
        let bound = store.bind_to(&pending, Issued::Raw, code("open")).await;
        assert_eq!(bound, Ok(Bound::Raw));
        let keys = [handle, hidden.into(), open.into()];
        let owners = async || {
            let owners = store
                .owners(&keys.clone().map(Candidate::Code))
                .await
                .unwrap();
            owners.into_iter().map(Option::unwrap).collect::<Vec<_>>()
        };
        let alive = async || {
            owners()
                .await
                .iter()
                .map(|owner| owner.alive)
                .collect::<Vec<_>>()
        };
        assert!(
            owners()
                .await
                .iter()
                .all(|owner| owner.client == digest("client"))
        );
        // If a handle replaces the upstream's own code, that code cannot be redeemed, but its owner is known.
        assert_eq!(alive().await, [true, false, true]);
        let redeemed = store.redeem(&hidden.into(), matches).await;
        assert!(
            matches!(redeemed, Ok(Redeemed::Unknown(Some(client))) if client == digest("client"))
        );
        drop(claim(&store, &open.into()).await);
        assert_eq!(alive().await, [true, false, false]);
        // Codes may live longer at the upstream than here.
        clock.advance(settings().code);
        store.sweep();
        let raw = store
            .owners(&keys.clone().map(Candidate::Code)[1..])
            .await
            .unwrap();
        let client = digest("client");
        let dead = owner(client, false);
        assert_eq!(raw, [dead, dead]);
        clock.advance(settings().pending.saturating_sub(millisecond()));
        store.sweep();
        let raw = store
            .owners(&keys.clone().map(Candidate::Code)[1..])
            .await
            .unwrap();
        assert_eq!(raw, [dead, dead]);
        assert_eq!(redeem(&store, &open.into()).await, Answer::Gone);
    });
}

/// Including redeemed and expired codes, and the upstream's own codes behind handles.
pub(in crate::store) fn owners_include_the_targets_of_their_redirect_uris(make: Make) {
    run(async {
        let (store, clock) = make();
        let uris = [
            Some("https://one.example/cb?x=y"),
            Some("https://two.example/cb"),
            None,
        ];
        let mut questions = Vec::new();
        for (number, uri) in uris.into_iter().enumerate() {
            let redirect = uri.map(|uri| RedirectUri::new(uri).digest());
            let name = format!("code {number}");
            let request = request("client", 1);
            let pending = PendingAuthorization {
                application: Application {
                    redirect,
                    ..(*request.application).clone()
                }
                .into(),
                ..request
            };
            let pending = hold(&store, &pending).await;
            let handle = bind(&store, &pending, &name).await;
            let target = redirect.map(|redirect| redirect.target);
            questions.push((Candidate::State(pending), target));
            questions.push((Candidate::Code(handle.clone()), target));
            questions.push((Candidate::Code(code(&name).digest().into()), target));
            if number == 0 {
                let claim = claim(&store, &handle).await;
                store.settle(claim, Settlement::Burn).await.unwrap();
            }
        }
        let (candidates, targets): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        for _ in 0..2 {
            let owners = store.owners(&candidates).await.unwrap();
            let told = owners.iter().zip(&targets);
            for (owner, target) in
                told.filter_map(|(owner, target)| Some((owner.as_ref()?, target)))
            {
                assert_eq!(owner.target, *target);
            }
            // The owners of the raw codes stay known.
            assert!(owners.iter().skip(2).step_by(3).all(Option::is_some));
            clock.advance(settings().code);
        }
    });
}
