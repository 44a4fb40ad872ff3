//! `to_upstream = "replace"`: the upstream gets a pair of the gate's own, both halves of it or none. The rig checks that the verifier
//! that the upstream gets matches the challenge that it got.

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Jar, Rig, target};
use crate::support::scripted::{Act, Shape, Then, json as json_reply};

const REPLACE: &str = "to_upstream = \"replace\"";

/// The client `old` cannot send PKCE, and has an exception.
const OLD: &str = "[[upstream.client]]\nid = \"old\"\nmode = \"report\"\nuntil = \"2999-01-01\"\n\
                   owner = \"a@example.com\"\nreason = \"r\"\n";

fn config(pkce: &str) -> Config<'_> {
    Config {
        pkce,
        log: "level = \"trace\"",
        tables: OLD,
        ..Config::default()
    }
}

fn rig(pkce: &str) -> Rig {
    Rig::with(config(pkce))
}

/// A request of the client that cannot send PKCE.
fn old(rig: &Rig) -> Authorization {
    rig.authorization()
        .with("client_id", "old")
        .without_challenge()
}

fn old_redemption(authorization: &Authorization, code: &str) -> Params {
    let request = authorization.redemption(code).without("code_verifier");
    request.with("client_id", "old")
}

/// The challenges that the upstream got, in order, and the last verifier.
fn seen(rig: &Rig) -> (Vec<String>, Option<String>) {
    let asked = rig.upstream.requests_to("/authorize");
    let challenges = asked.iter().filter_map(|request| {
        let query = request.query_params();
        assert_ne!(query.get("code_challenge_method"), Some("plain"));
        query.get("code_challenge").map(str::to_owned)
    });
    let token = rig.upstream.requests_to("/token").pop();
    let verifier = token.and_then(|request| request.form().get("code_verifier").map(str::to_owned));
    rig.keep_out_of_the_log(verifier.clone());
    (challenges.collect(), verifier)
}

#[test]
fn the_upstream_gets_another_pair_than_the_client_has() {
    for entry in ["redirect", "rewrite"] {
        let rig = rig(&format!("{REPLACE}\nentry = \"{entry}\""));
        let mut pairs = Vec::new();
        for _ in 0..3 {
            let authorization = rig.authorization();
            let code = rig.code_for(&authorization);
            let right = authorization.redemption(&code);
            for wrong in [
                right.clone().without("code_verifier"),
                right.clone().with("code_verifier", &unguessable()),
            ] {
                assert_refused(&rig.token(&wrong), "invalid_grant");
            }
            assert_eq!(rig.forwarded(), pairs.len());
            assert_token(&rig.redeem(&authorization, &code));
            let (challenges, verifier) = seen(&rig);
            let verifier = verifier.expect("a verifier");
            assert_eq!(verifier.len(), 43);
            assert_ne!(verifier, authorization.verifier);
            assert_eq!(challenges.last(), Some(&s256(&verifier)), "{entry}");
            pairs.push(verifier);
        }
        pairs.dedup();
        assert_eq!(pairs.len(), 3, "each sign-in has its own");
    }
}

#[test]
fn a_client_without_pkce_gets_the_gates_pair_under_its_exception_only() {
    let rig = rig(REPLACE);
    let authorization = old(&rig);
    let code = rig.code_for(&authorization);
    // The gate's own verifier proves nothing about a client, and no client knows it.
    let wrong = old_redemption(&authorization, &code).with("client_id", "pub");
    assert_refused(&rig.token(&wrong), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
    rig.vouch(&authorization);
    assert_token(&rig.token(&old_redemption(&authorization, &code)));
    let (challenges, verifier) = seen(&rig);
    assert_eq!(challenges, [s256(&verifier.expect("a verifier"))]);
    // Without an exception there is no sign-in.
    let refused = rig.authorization().without_challenge();
    assert_eq!(rig.enter(&refused).status, 400);
}

#[test]
fn several_codes_of_one_sign_in_have_the_same_pair() {
    let rig = rig(REPLACE);
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let mut browser = Jar::default();
    let codes: Vec<String> = (0..3)
        .map(|_| {
            let response = browser.get(&rig, &entry);
            let found = crate::support::rig::authorization_response(&response, &authorization);
            found.expect("an authorization response").code().to_owned()
        })
        .collect();
    for code in codes.iter().rev() {
        assert_token(&rig.redeem(&authorization, code));
    }
    let (challenges, verifier) = seen(&rig);
    let challenge = s256(&verifier.expect("a verifier"));
    assert_eq!(challenges, [challenge.as_str(); 3]);
}

/// A server may write the challenge that it got into its forms.
#[test]
fn a_sign_in_goes_on_with_either_challenge_and_no_other() {
    let rig = rig(REPLACE);
    rig.upstream.answer_with(Shape::Login);
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let mut browser = Jar::default();
    browser.get(&rig, &entry);
    let (challenges, _) = seen(&rig);
    let of_gate = challenges[0].clone();
    let of_client = authorization
        .params
        .get("code_challenge")
        .unwrap()
        .to_owned();
    assert_ne!(of_gate, of_client);
    let post = |challenge: &str| {
        let form = format!("user=a&code_challenge={challenge}&code_challenge_method=S256");
        rig.post(&entry, &[("Cookie", &browser.cookies())], &form)
    };
    assert_eq!(post(&s256("another")).status, 400);
    for challenge in [&of_gate, &of_client] {
        let response = post(challenge);
        let found = crate::support::rig::authorization_response(&response, &authorization);
        let code = found
            .unwrap_or_else(|| panic!("{response}"))
            .code()
            .to_owned();
        let sent = rig.upstream.requests_to("/authorize").pop().unwrap();
        assert_eq!(sent.form().get("code_challenge"), Some(&*of_gate));
        assert_eq!(sent.query_params().get("code_challenge"), Some(&*of_gate));
        assert_token(&rig.redeem(&authorization, &code));
    }
}

/// Both halves go on, or none, whatever is configured in between. The rig checks it.
#[test]
fn a_sign_in_keeps_its_pair_when_the_configuration_changes() {
    for (before, after) in [
        ("replace", "forward"),
        ("replace", "strip"),
        ("forward", "replace"),
    ] {
        for is_old in [false, true] {
            let line = |to: &str| format!("to_upstream = \"{to}\"");
            let first = line(before);
            let rig = rig(&first);
            let reload = |to: &str| {
                let pkce = line(to);
                let config = rig.gate.with_store(&config(&pkce).render(&rig.upstream));
                rig.gate.reload(&config);
            };
            let authorization = if is_old {
                old(&rig)
            } else {
                rig.authorization()
            };
            let redeem = |code: &str| {
                rig.vouch(&authorization);
                rig.token(&if is_old {
                    old_redemption(&authorization, code)
                } else {
                    authorization.redemption(code)
                })
            };
            // Between the code and the token request.
            let code = rig.code_for(&authorization);
            reload(after);
            assert_token(&redeem(&code));
            reload(before);
            // Between the redirect and the login.
            let entry = rig.entry(&authorization);
            reload(after);
            let response = rig.get(&entry);
            let found = crate::support::rig::authorization_response(&response, &authorization);
            let code = found
                .unwrap_or_else(|| panic!("{response}"))
                .code()
                .to_owned();
            assert_token(&redeem(&code));
            let (challenges, verifier) = seen(&rig);
            assert_eq!(
                challenges.last(),
                verifier.as_deref().map(s256).as_ref(),
                "{before} {after}"
            );
            assert_eq!(verifier.is_none(), before == "forward" && is_old);
        }
    }
}

#[test]
fn a_challenge_without_a_method_becomes_one_with_s256() {
    let tables = "[[upstream.client]]\nid = \"pub\"\nassume_method = \"S256\"";
    let rig = Rig::with(Config {
        pkce: REPLACE,
        tables,
        ..Config::default()
    });
    let authorization = rig.authorization().without("code_challenge_method");
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    let asked = rig
        .upstream
        .requests_to("/authorize")
        .remove(0)
        .query_params();
    assert_eq!(asked.get("code_challenge_method"), Some("S256"));
}

/// The client's verifier never reaches the upstream.
#[test]
fn a_verifier_with_another_grant_is_removed() {
    let rig = rig(REPLACE);
    assert_token(&rig.post(
        "/token",
        &[],
        "grant_type=refresh_token&refresh_token=r&code_verifier=v&x=%7e",
    ));
    let sent = rig.upstream.requests_to("/token").remove(0);
    assert_eq!(
        sent.text(),
        "grant_type=refresh_token&refresh_token=r&x=%7e"
    );
}

#[test]
fn a_device_gets_the_gates_pair_too() {
    let rig = Rig::with(Config {
        endpoints: "device_authorization = [\"/device_authorization\"]",
        ..config("to_upstream = \"replace\"\ndevice = \"if_present\"")
    });
    let document = serde_json::json!({ "device_code": "d-own", "expires_in": 600 });
    let path = "/device_authorization";
    rig.upstream
        .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
    let verifier = unguessable();
    let form = format!(
        "client_id=pub&code_challenge={}&code_challenge_method=S256",
        s256(&verifier)
    );
    let response = rig.post(path, &[], &form);
    let code = response.json()["device_code"].as_str().unwrap().to_owned();
    let poll = Params::default()
        .with("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
        .with("device_code", &code)
        .with("client_id", "pub");
    assert_refused(&rig.token(&poll), "invalid_grant");
    assert_token(&rig.token(&poll.with("code_verifier", &verifier)));
    let asked = rig.upstream.requests_to(path).remove(0).form();
    let (_, own) = seen(&rig);
    let own = own.expect("a verifier");
    assert_ne!(own, verifier);
    assert_eq!(asked.get("code_challenge"), Some(&*s256(&own)));
}

/// For the address of a sign-in that was begun without the gate's pair.
#[test]
fn the_requests_of_an_unjudged_client_pass_as_they_are() {
    let tables = "[[upstream.client]]\nid = \"pub\"\nmode = \"off\"\nuntil = \"2999-01-01\"\n\
                  owner = \"o\"\nreason = \"r\"";
    let rig = Rig::with(Config {
        pkce: REPLACE,
        tables,
        ..Config::default()
    })
    .unguarded();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(rig.upstream.ledger()[0].target(), target(&authorization));
    assert_token(&rig.redeem(&authorization, &code));
    let sent = rig.upstream.requests_to("/token").remove(0).form();
    assert_eq!(sent.get("code_verifier"), Some(&*authorization.verifier));
}
