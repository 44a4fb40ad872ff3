//! What every store has to keep to: one suite, run against each of them.
//!
//! A backend's tests say how to make an empty store with [`settings`] and call [`suite!`]; one that is bounded
//! calls [`bounded_suite!`] as well. A record that is over may be `Expired` or gone (`Unknown`): not every
//! backend keeps it for a while. What it may never be is alive.
//!
//! Stores are used from several threads, each with a runtime of its own, as in production.

mod bind;
mod bounds;
mod hold;
mod model;
mod owners;
mod redeem;
mod settle;
mod shares;

use std::future::Future;
use std::time::Duration;

pub(super) use bind::*;
pub(super) use bounds::*;
pub(super) use hold::*;
pub(super) use model::*;
pub(super) use owners::*;
pub(super) use redeem::*;
pub(super) use settle::*;
pub(super) use shares::*;

use super::{Bound, Claim, Held, Owner, Pending, Place, Redeemed, Settings, Store};
use crate::clock::ManualClock;
use crate::flow::{BoundCode, ClientState, Handle, PendingAuthorization, Presented};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectUri};

/// An empty store with [`settings`], and its time.
pub(super) type Make = fn() -> (Store, ManualClock);

/// Small numbers, and lifetimes that differ.
pub(super) fn settings() -> Settings {
    Settings {
        pending: Duration::from_mins(15),
        code: Duration::from_mins(5),
        capacity: 64,
        per_client: 0.5,
        per_network: 0.25,
        network_rate: 1,
        attempts: 3,
    }
}

/// The tests of this suite for the stores that a function makes.
macro_rules! suite {
    ($make:path) => {
        $crate::store::contract::suite! { $make:
            a_pending_authorization_is_read_back_as_it_was_held_and_stays,
            handles_are_distinct_and_lead_to_their_own_records,
            a_state_handle_is_no_code_and_a_code_handle_is_no_state,
            a_code_is_claimed_with_what_it_was_bound_to,
            a_claimed_code_is_nobody_elses_also_when_its_owner_dies,
            a_redeemed_code_is_named_a_replay_until_it_would_have_expired,
            a_released_code_can_be_redeemed_again,
            the_last_wrong_verifier_burns_the_code,
            attempts_and_releases_are_counted_apart,
            the_eleventh_release_burns_the_code,
            releases_of_what_proves_nothing_are_not_counted,
            what_proves_nothing_redeems_a_code_once,
            what_differs_claims_nothing_and_costs_nothing,
            a_request_is_judged_by_the_code_that_it_names_and_by_none_that_is_dead,
            whoever_hammers_with_what_differs_keeps_nobody_out,
            the_attempts_of_many_at_once_are_all_counted,
            owners_are_told_in_the_order_of_the_question,
            a_raw_code_is_known_by_its_owner_wherever_it_is_bound,
            owners_are_told_with_where_their_redirect_uris_lead,
            a_pending_authorization_expires_at_its_deadline,
            a_code_expires_at_its_own_deadline_and_outlives_its_pending_authorization,
            a_claim_that_is_settled_too_late_changes_nothing,
            five_codes_can_be_bound_and_no_more,
            nothing_can_be_bound_to_what_is_not_there,
            an_equal_request_under_the_same_values_is_the_same_record,
            a_different_request_under_the_same_values_kills_both,
            a_sign_in_that_has_its_code_makes_way_under_its_digest,
            what_has_expired_makes_way_under_its_digest,
            a_code_that_comes_again_is_bound_once,
            a_code_that_comes_again_under_handles_is_counted_each_time,
            a_code_stays_with_its_first_sign_in,
            a_code_is_remembered_for_longer_than_it_lives,
            a_code_that_comes_after_all_that_time_is_the_next_sign_ins,
            the_next_sign_in_under_the_same_values_is_another_one,
            of_two_hundred_sign_ins_with_one_code_exactly_one_gets_it,
            a_discarded_authorization_is_dead_and_its_codes_are_not,
            of_two_hundred_redemptions_exactly_one_wins,
            of_two_hundred_redemptions_with_failures_exactly_one_succeeds,
            of_two_hundred_bindings_exactly_five_succeed,
            of_two_hundred_different_requests_none_survives,
            secrets_are_not_shown,
            any_history_agrees_with_the_model,
            no_interleaving_lets_a_code_through_twice_or_late,
        }
    };
    ($make:path: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::store::contract::$name($make);
            }
        )*
    };
}

/// The tests of stores that can be full.
macro_rules! bounded_suite {
    ($make:path) => {
        $crate::store::contract::suite! { $make:
            a_full_store_refuses_what_is_new_and_evicts_nothing,
            one_client_cannot_take_the_whole_store,
            a_login_that_was_let_in_ends_in_a_full_store,
            a_reload_needs_no_room,
            what_has_expired_leaves_room_without_a_sweep,
            tombstones_and_conflicts_take_room_until_they_expire,
            concurrent_requests_never_exceed_the_capacity,
            after_everything_has_expired_nothing_is_left,
            one_network_cannot_take_the_whole_store,
            a_network_begins_so_many_sign_ins_a_second,
            a_sign_in_that_is_not_followed_lives_a_minute,
            what_was_not_followed_makes_room_first_and_nothing_else_does,
            a_network_that_begins_too_many_evicts_none_for_them,
            a_flood_evicts_only_its_own_where_a_share_is_used_up,
            of_many_that_follow_at_once_all_find_it,
            codes_count_by_their_bytes,
            codes_take_nothing_of_a_clients_share,
            one_network_cannot_fill_the_store_with_codes,
            there_is_room_when_it_is_said_and_not_before,
        }
    };
}

pub(super) use {bounded_suite, suite};

/// Runs one future to its end, on this thread.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// Does the same on several threads at once, with a number for each time; returns all results.
fn concurrently<T: Send>(times: usize, work: impl AsyncFn(usize) -> T + Sync) -> Vec<T>
where
{
    const THREADS: usize = 8;
    let start = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    run(async {
                        let mut results = Vec::new();
                        for time in (thread..times).step_by(THREADS) {
                            results.push(work(time).await);
                        }
                        results
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn millisecond() -> Duration {
    Duration::from_millis(1)
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of("test", &[name.as_bytes()])
}

pub(super) fn code(name: &str) -> AuthorizationCode {
    AuthorizationCode::new(name).unwrap()
}

/// A request of that client with that challenge.
pub(super) fn request(client: &str, challenge: u8) -> PendingAuthorization {
    PendingAuthorization {
        challenge: Some(CodeChallenge::S256([challenge; 32])),
        client: digest(client),
        redirect: Some(RedirectUri::new("https://app.example/cb").digest()),
        state: ClientState::Value("its own state".into()),
        response_type: Some("code".into()),
        response_mode: None,
        browser: None,
    }
}

/// What is known of something of that client's, whose request is [`request`].
#[expect(clippy::unnecessary_wraps, reason = "answers are lists of options")]
fn owner(client: Digest, alive: bool) -> Option<Owner> {
    let target = request("", 0).redirect.map(|redirect| redirect.target());
    Some(Owner {
        client,
        alive,
        target,
    })
}

pub(super) async fn hold(store: &Store, pending: &PendingAuthorization) -> Digest {
    match store.hold(Place::Handle, pending, None).await {
        Ok(Held::Handle(handle)) => handle.digest(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn bind(store: &Store, pending: Digest, name: &str) -> Handle {
    match store.bind(pending, Place::Handle, code(name)).await {
        Ok(Bound::Handle(handle)) => handle,
        other => panic!("{other:?}"),
    }
}

/// A code under a handle, of a pending authorization of its own.
async fn bound(store: &Store, name: &str) -> Digest {
    let pending = hold(store, &request("client", 1)).await;
    bind(store, pending, name).await.digest()
}

pub(super) async fn claim(store: &Store, key: Digest) -> Claim {
    match store.redeem(key, matches).await {
        Ok(Redeemed::Claimed(claim)) => claim,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn is_live(store: &Store, key: Digest) -> bool {
    matches!(store.pending(key).await, Ok(Pending::Live(_)))
}

/// A request that may go on.
fn matches(_bound: &BoundCode) -> Presented {
    Presented::Matches
}

/// The answer without the claim, which is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Claimed,
    Mismatch,
    AlreadyRedeemed,
    Burnt,
    /// Expired or unknown.
    Gone,
}

pub(super) async fn redeem(store: &Store, key: Digest) -> Answer {
    present(store, key, Presented::Matches).await
}

async fn present(store: &Store, key: Digest, presented: Presented) -> Answer {
    match store.redeem(key, |_| presented).await.unwrap() {
        Redeemed::Claimed(_) => Answer::Claimed,
        Redeemed::Mismatch(_) => Answer::Mismatch,
        Redeemed::AlreadyRedeemed(_) => Answer::AlreadyRedeemed,
        Redeemed::Burnt(_) => Answer::Burnt,
        Redeemed::Expired(_) | Redeemed::Unknown(_) => Answer::Gone,
    }
}
