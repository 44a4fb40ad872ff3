//! The contract of every store: one test suite that is run against each of them.
//!
//! The tests of a backend define a function that makes an empty store with [`settings`], and call [`suite!`]; those of
//! a bounded one also call [`bounded_suite!`]. An expired record may be `Expired` or `Unknown`, because not every
//! backend keeps it for a while, but never valid.
//!
//! Stores are used from several threads, each with its own runtime, as in production.

mod bind;
mod bounds;
mod device;
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
pub(super) use device::*;
pub(super) use hold::*;
pub(super) use model::*;
pub(super) use owners::*;
pub(super) use redeem::*;
pub(super) use settle::*;
pub(super) use shares::*;

use super::{Bound, Claim, Held, Issued, Owner, Pending, Place, Redeemed, Settings, Store};
use crate::clock::ManualClock;
use crate::flow::{Application, BoundCode, ClientState, Key, PendingAuthorization, Presented};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectUri};

/// Makes an empty store with [`settings`], and the time that it lives in.
pub(super) type Make = fn() -> (Store, Time);

/// Moves the time of a store.
pub(super) struct Time(Box<dyn Fn(Duration) + Send + Sync>);

impl Time {
    pub(super) fn moved_by(advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Box::new(advance))
    }

    pub(super) fn advance(&self, duration: Duration) {
        (self.0)(duration);
    }
}

impl From<ManualClock> for Time {
    fn from(clock: ManualClock) -> Self {
        Self::moved_by(move |duration| clock.advance(duration))
    }
}

/// Small limits, and different lifetimes.
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

/// Generates the tests of this suite for the stores that `$make` makes.
macro_rules! suite {
    ($make:path) => {
        $crate::store::contract::suite! { $make:
            a_pending_authorization_can_be_read_back_repeatedly,
            each_handle_refers_to_its_own_record,
            handles_of_states_and_codes_are_not_interchangeable,
            a_code_is_claimed_with_what_it_was_bound_to,
            a_code_stays_claimed_even_if_its_claim_is_dropped,
            redeeming_a_redeemed_code_is_reported_as_a_replay_until_it_expires,
            a_released_code_can_be_redeemed_again,
            the_last_wrong_verifier_burns_the_code,
            attempts_and_releases_are_counted_separately,
            the_eleventh_release_burns_the_code,
            releases_of_redemptions_without_proof_are_not_counted,
            a_redemption_without_proof_redeems_a_code_once,
            a_mismatching_request_neither_claims_nor_counts,
            a_request_is_judged_by_the_code_that_it_names_and_never_claims_a_dead_one,
            mismatching_requests_do_not_block_the_rightful_client,
            concurrent_attempts_are_all_counted,
            owners_are_returned_in_the_order_of_the_candidates,
            the_owner_of_a_raw_code_is_known_however_it_is_bound,
            owners_include_the_targets_of_their_redirect_uris,
            a_pending_authorization_expires_at_its_deadline,
            a_code_expires_at_its_own_deadline_and_outlives_its_pending_authorization,
            settling_an_expired_claim_changes_nothing,
            five_codes_can_be_bound_and_no_more,
            nothing_can_be_bound_to_an_unknown_authorization,
            an_equal_request_with_the_same_values_is_the_same_record,
            different_requests_with_the_same_values_invalidate_both,
            a_sign_in_with_a_code_is_replaced_by_the_next_one_with_its_values,
            an_expired_record_is_replaced_under_its_digest,
            a_repeated_code_is_bound_once,
            however_many_handles_a_code_has_it_is_redeemed_once,
            handles_of_one_code_share_its_attempts,
            a_code_is_issued_in_one_form,
            an_expired_code_is_not_bound_again,
            a_code_stays_with_its_first_sign_in,
            a_code_is_remembered_for_longer_than_it_lives,
            a_forgotten_code_can_be_bound_to_the_next_sign_in,
            a_later_sign_in_with_the_same_values_is_distinct,
            of_two_hundred_sign_ins_with_one_code_exactly_one_gets_it,
            a_discarded_authorization_is_invalid_but_its_codes_are_not,
            of_two_hundred_redemptions_exactly_one_wins,
            of_two_hundred_redemptions_with_failures_exactly_one_succeeds,
            of_two_hundred_bindings_exactly_five_succeed,
            of_two_hundred_conflicting_requests_none_survives,
            a_code_may_have_a_lifetime_of_its_own,
            a_code_with_its_own_lifetime_is_remembered_for_longer,
            a_code_that_travels_is_known_for_its_whole_lifetime,
            releases_of_a_waiting_code_are_not_counted,
            codes_of_different_kinds_with_one_text_are_different_codes,
            a_handle_for_one_kind_of_code_redeems_no_other,
            debug_of_a_store_shows_no_secrets,
            any_history_agrees_with_the_model,
            no_interleaving_redeems_a_code_twice_or_late,
            the_sign_ins_of_a_network_are_limited_per_second,
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

/// Generates the tests for stores with limits.
macro_rules! bounded_suite {
    ($make:path) => {
        $crate::store::contract::suite! { $make:
            a_full_store_refuses_new_requests_and_evicts_nothing,
            one_client_cannot_take_the_whole_store,
            an_admitted_login_completes_in_a_full_store,
            a_reload_needs_no_room,
            expired_records_make_room_without_a_sweep,
            tombstones_and_conflicts_take_room_until_they_expire,
            concurrent_requests_never_exceed_the_capacity,
            a_store_is_empty_after_everything_has_expired,
            one_network_cannot_take_the_whole_store,
            an_unfollowed_sign_in_lives_a_minute,
            only_unfollowed_sign_ins_are_evicted,
            a_network_above_its_rate_evicts_nothing,
            evicted_sign_ins_count_towards_the_rate_of_their_network,
            a_flood_that_uses_up_a_share_evicts_only_its_own_sign_ins,
            concurrent_requests_that_follow_a_redirect_all_find_the_sign_in,
            long_codes_count_as_several_records,
            codes_do_not_count_towards_a_clients_share,
            one_network_cannot_fill_the_store_with_codes,
            room_becomes_free_exactly_at_the_announced_time,
        }
    };
}

pub(super) use {bounded_suite, suite};

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// Runs `work` on several threads at once, with numbers from 0 to `times`. Returns all results.
pub(super) fn concurrently<T: Send>(times: usize, work: impl AsyncFn(usize) -> T + Sync) -> Vec<T>
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

/// A key that is not a handle.
pub(super) fn named(name: &str) -> Key {
    digest(name).into()
}

pub(super) fn code(name: &str) -> AuthorizationCode {
    AuthorizationCode::new(name).unwrap()
}

/// The key of a code that the client gets unchanged.
pub(super) fn raw(name: &str) -> Key {
    code(name).digest().into()
}

/// A request of this client with this challenge.
pub(super) fn request(client: &str, challenge: u8) -> PendingAuthorization {
    PendingAuthorization {
        own: None,
        application: Application {
            client: digest(client),
            redirect: Some(RedirectUri::new("https://app.example/cb").digest()),
            response_type: Some("code".into()),
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(CodeChallenge::S256([challenge; 32])),
        state: ClientState::value("its own state"),
        browser: None,
    }
}

/// The owner of a record made from a [`request`] of this client.
#[expect(clippy::unnecessary_wraps, reason = "answers are lists of options")]
fn owner(client: Digest, alive: bool) -> Option<Owner> {
    let target = request("", 0)
        .application
        .redirect
        .map(|redirect| redirect.target);
    Some(Owner {
        client,
        alive,
        target,
    })
}

pub(super) async fn hold(store: &Store, pending: &PendingAuthorization) -> Key {
    match store.hold(Place::Handle, pending, None).await {
        Ok(Held::Handle(handle)) => handle.into(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn bind(store: &Store, pending: &Key, name: &str) -> Key {
    match store.bind_to(pending, Issued::Handle, code(name)).await {
        Ok(Bound::Handle(handle)) => handle.into(),
        other => panic!("{other:?}"),
    }
}

/// The key of a code bound under a handle to a new pending authorization.
async fn bound(store: &Store, name: &str) -> Key {
    let pending = hold(store, &request("client", 1)).await;
    bind(store, &pending, name).await
}

pub(super) async fn claim(store: &Store, key: &Key) -> Claim {
    match store.redeem(key, matches).await {
        Ok(Redeemed::Claimed(claim)) => claim,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn is_live(store: &Store, key: &Key) -> bool {
    matches!(store.pending(key).await, Ok(Pending::Live(_)))
}

/// Judges every request as matching.
fn matches(_bound: &BoundCode) -> Presented {
    Presented::Matches
}

/// The answer to a redemption, without the claim, which is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Claimed,
    Mismatch,
    AlreadyRedeemed,
    Burnt,
    /// Expired or unknown.
    Gone,
}

pub(super) async fn redeem(store: &Store, key: &Key) -> Answer {
    present(store, key, Presented::Matches).await
}

async fn present(store: &Store, key: &Key, presented: Presented) -> Answer {
    let redeemed = store.redeem(key, |_| presented).await;
    match redeemed.unwrap_or_else(|error| panic!("{error}: {store:?}")) {
        Redeemed::Claimed(_) => Answer::Claimed,
        Redeemed::Mismatch(_) => Answer::Mismatch,
        Redeemed::AlreadyRedeemed(_) => Answer::AlreadyRedeemed,
        Redeemed::Burnt(_) => Answer::Burnt,
        Redeemed::Expired(_) | Redeemed::Unknown(_) => Answer::Gone,
    }
}
