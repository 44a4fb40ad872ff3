//! Gates that are restarted, one at a time, behind `HAProxy` and under load; and gates that are killed in the middle of a sign-in.
//! `RESTARTS` sets the number of restarts.

use std::net::SocketAddr;

use super::stores::{
    assert_nothing_is_violated, balanced, in_redis, sealed_with_claims, url, with_key,
};
use crate::support::client::{Authorization, assert_token};
use crate::support::dice::setting;
use crate::support::gate::Gate;
use crate::support::http::Response;
use crate::support::ledger::Kind;
use crate::support::raw::Connection;
use crate::support::redis::Redis;
use crate::support::rig::{
    Config, REDIRECT_URI, authorization_response, cookie_of, request, target,
};
use crate::support::scripted::Scripted;

/// Flows in which nobody redeems a code twice: with local claims that is left to the upstream.
const ONCE: [Kind; 8] = [
    Kind::Honest,
    Kind::WrongVerifier,
    Kind::Honest,
    Kind::NoVerifier,
    Kind::OtherClient,
    Kind::Honest,
    Kind::OtherRedirectUri,
    Kind::NoChallenge,
];

#[test]
fn rolling_restarts_fail_no_flow_with_sealed_handles() {
    roll("kind = \"sealed\"", &ONCE);
}

#[test]
fn rolling_restarts_fail_no_flow_with_sealed_handles_and_claims_in_redis() {
    let redis = Redis::single();
    roll(&sealed_with_claims(&url(&redis)), &Kind::mix(20));
}

#[test]
fn rolling_restarts_fail_no_flow_with_redis() {
    let redis = Redis::single();
    roll(&in_redis(&url(&redis)), &Kind::mix(20));
}

/// No disturbance is declared, so every flow has to end in a token.
fn roll(store: &str, kinds: &[Kind]) {
    let restarts = usize::try_from(setting("RESTARTS", 4)).expect("a usize");
    let report = balanced(store).run_during(kinds, |harness| {
        harness.wait_for(20);
        for restart in 0..restarts {
            let gate = restart % 2;
            harness.stop(gate);
            harness.wait_for(5);
            harness.restart(gate);
            harness.wait_for(5);
        }
        let requests = [0, 1].map(|gate| harness.balancer().requests(gate));
        assert!(requests.iter().all(|it| *it > 20), "{requests:?}");
    });
    println!(
        "{restarts} restarts: {} flows, {} tokens, {} requests",
        report.flows.len(),
        report.tokens(),
        report.sends.len()
    );
    assert_eq!(report.gates.len(), restarts + 2);
    assert_nothing_is_violated(&report);
}

/// A gate in front of an upstream that outlives it.
struct Site {
    upstream: Scripted,
    config: String,
}

impl Site {
    fn new(store: &str) -> Self {
        let upstream = Scripted::start();
        let store = with_key(store);
        let config = Config {
            store: &store,
            ..Config::default()
        };
        let config = config.render(&upstream);
        Self { upstream, config }
    }

    fn gate(&self) -> (Gate, SocketAddr) {
        let mut gate = Gate::start(&self.config);
        let address = gate.address("server");
        (gate, address)
    }
}

fn ask(gate: SocketAddr, bytes: &[u8]) -> Response {
    let mut connection = Connection::open(gate);
    connection.send(bytes);
    connection.response()
}

/// A sign-in whose redirect was not followed yet: the redirect's target, and the cookie.
fn begin(gate: SocketAddr, authorization: &Authorization) -> (String, String) {
    let response = ask(gate, &request("GET", &target(authorization), &[], None));
    assert_eq!(response.status, 303, "{response}");
    let entry = response.header("location").expect("a 303 has a Location");
    let cookie = cookie_of(&response).unwrap_or_default();
    (entry.to_owned(), cookie)
}

fn go_on(gate: SocketAddr, authorization: &Authorization, begun: &(String, String)) -> String {
    let (entry, cookie) = begun;
    let response = ask(gate, &request("GET", entry, &[("Cookie", cookie)], None));
    let found = authorization_response(&response, authorization);
    let found = found.unwrap_or_else(|| panic!("no authorization response: {response}"));
    found.code().to_owned()
}

fn redeem(gate: SocketAddr, authorization: &Authorization, code: &str) -> Response {
    let form = authorization.redemption(code).encoded();
    ask(gate, &request("POST", "/token", &[], Some(&form)))
}

fn authorization() -> Authorization {
    Authorization::new(REDIRECT_URI, None)
}

/// The gate that began a sign-in is killed, and the one that bound its code.
fn another_gate_finishes(store: &str) {
    let site = Site::new(store);
    let ((mut one, first), (mut two, second)) = (site.gate(), site.gate());
    let authorization = authorization();
    let begun = begin(first, &authorization);
    one.stop(); // SIGKILL
    let code = go_on(second, &authorization, &begun);
    let (_one, third) = site.gate();
    two.stop();
    assert_token(&redeem(third, &authorization, &code));
    assert_eq!(site.upstream.redemptions().len(), 1);
}

#[test]
fn another_gate_finishes_the_sign_ins_of_a_killed_one_with_sealed_handles() {
    another_gate_finishes("kind = \"sealed\"");
}

#[test]
fn another_gate_finishes_the_sign_ins_of_a_killed_one_with_redis() {
    let redis = Redis::single();
    another_gate_finishes(&in_redis(&url(&redis)));
    another_gate_finishes(&sealed_with_claims(&url(&redis)));
}

#[test]
fn a_single_gate_with_sealed_handles_goes_on_after_a_restart() {
    let site = Site::new("kind = \"sealed\"");
    let (mut gate, address) = site.gate();
    let (signing_in, signed_in) = (authorization(), authorization());
    let begun = begin(address, &signing_in);
    let bound = go_on(address, &signed_in, &begin(address, &signed_in));
    gate.signal("TERM");
    gate.wait_for_end();

    let (_gate, address) = site.gate();
    assert_token(&redeem(address, &signed_in, &bound));
    let code = go_on(address, &signing_in, &begun);
    assert_token(&redeem(address, &signing_in, &code));
    let again = redeem(address, &signing_in, &code);
    assert_eq!(again.json()["error"], "invalid_grant", "{again}");
    assert_eq!(site.upstream.redemptions().len(), 2);
}
