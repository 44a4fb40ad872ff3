//! Report mode records what enforcement refuses: the same random sign-ins at two gates, of which one enforces.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client::Authorization;
use crate::support::dice::{Dice, setting};
use crate::support::http::Response;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Jar, Rig, authorization_response};

/// A mistake of a client, or a trick of an attacker, in an authorization request.
const AT_AUTHORIZATION: [fn(Authorization) -> Authorization; 14] = [
    |it| it,
    |it| it,
    |it| it,
    Authorization::without_challenge,
    |it| it.with("code_challenge_method", "plain"),
    |it| it.with("code_challenge_method", "s256"),
    |it| it.without("code_challenge_method"),
    |it| it.without("code_challenge"),
    |it| it.with("code_challenge", "short"),
    |it| it.with("code_challenge", &"0123456789abcdef".repeat(4)),
    |it| it.with("response_type", "token"),
    |it| it.with("response_type", "code id_token"),
    |it| it.with("response_mode", "web_message"),
    |it| it.with("code_challenge", &s256(&unguessable())),
];

/// The same in a token request.
const AT_TOKEN: [fn(Params) -> Params; 10] = [
    |it| it,
    |it| it,
    |it| it,
    |it| it.without("code_verifier"),
    |it| it.with("code_verifier", &unguessable()),
    |it| it.with("code_verifier", "short"),
    |it| it.with("client_id", "other"),
    |it| it.with("redirect_uri", "https://evil.test/cb"),
    |it| it.with("code", "unknown"),
    |it| it.without("code"),
];

/// Written into the query or the form as it is.
const RAW: [&str; 6] = ["", "", "", "&scope=a&scope=b", "&client_id=other", "&%zz"];

/// A response, and the violations that the gate found in the request and in its answer. The line about the response is the last one
/// of a request.
fn told(rig: &Rig, send: impl FnOnce() -> Response) -> (Response, Vec<String>) {
    let ended = |log: &str| log.matches("\"event\":\"answered\"").count();
    let before = rig.gate.log();
    let response = send();
    let log = rig.gate.log_until(|log| ended(log) > ended(&before));
    let lines = log.lines().skip(before.lines().count());
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.filter_map(|line| line["violation"].as_str().map(str::to_owned));
    (response, found.collect())
}

/// The first violation of a sign-in, and the endpoint where it was found. `None`: it ended with a token.
fn outcome(rig: &Rig, sign_in: &SignIn) -> Option<(&'static str, String)> {
    let query = sign_in.authorization.params.encoded() + sign_in.raw_query;
    let mut browser = Jar::default();
    let target = format!("/authorize?{query}");
    let (mut response, mut found) = told(rig, || browser.get(rig, &target));
    if response.status == 303 && found.is_empty() {
        let entry = response.header("location").expect("a Location").to_owned();
        (response, found) = told(rig, || browser.get(rig, &entry));
    }
    if let Some(first) = found.first() {
        return Some(("authorization", first.clone()));
    }
    let answer = authorization_response(&response, &sign_in.authorization);
    let answer = answer.unwrap_or_else(|| panic!("{response}"));
    rig.vouch(&sign_in.authorization);
    let redemption = (sign_in.redemption)(sign_in.authorization.redemption(answer.code()));
    let form = redemption.encoded() + sign_in.raw_form;
    let (token, found) = told(rig, || rig.post("/token", &[], &form));
    let has_token = token.text().contains("access_token");
    assert!(has_token || !found.is_empty(), "{form}: {token}");
    found.first().map(|first| ("token", first.clone()))
}

struct SignIn {
    authorization: Authorization,
    raw_query: &'static str,
    redemption: fn(Params) -> Params,
    raw_form: &'static str,
}

#[test]
fn report_mode_finds_the_first_violation_for_which_enforcement_refuses() {
    let debug = "level = \"debug\"";
    let rig = |pkce| {
        let config = Config {
            pkce,
            log: debug,
            ..Default::default()
        };
        Rig::with(config).unguarded()
    };
    let (enforces, reports) = (rig(""), rig("mode = \"report\""));
    let seed = setting("ONE_JUDGE_SEED", 7);
    let mut dice = Dice::new(seed);
    let mut kinds = BTreeSet::new();
    for round in 0..setting("ONE_JUDGE_ROUNDS", 80) {
        let authorization = dice.pick(&AT_AUTHORIZATION)(enforces.authorization());
        let sign_in = SignIn {
            authorization,
            raw_query: dice.pick(&RAW),
            redemption: dice.pick(&AT_TOKEN),
            raw_form: dice.pick(&RAW),
        };
        let found = [&enforces, &reports].map(|rig| outcome(rig, &sign_in));
        let shown = sign_in.authorization.params.encoded();
        assert_eq!(found[0], found[1], "seed {seed}, round {round}: {shown}");
        kinds.extend(found.into_iter().flatten());
    }
    assert!(kinds.len() > 8, "{kinds:?}");
}
