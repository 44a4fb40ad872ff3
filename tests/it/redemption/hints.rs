//! Hints for the developers of clients: in the answers to refused requests, and in the log.

use serde_json::Value;

use super::assert_page;
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{s256, unguessable};
use crate::support::rig::{Config, Rig, target};

const EXAMPLE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const HEX: &str = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3";

/// The hint, violation and endpoint of each decision in the log, once there are as many.
#[track_caller]
fn decisions(rig: &Rig, count: usize) -> Vec<[String; 3]> {
    let log = rig
        .gate
        .log_until(|log| log.matches("\"event\":\"decision\"").count() >= count);
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let decisions = lines.filter(|line| line["event"] == "decision");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let decisions: Vec<_> = decisions
        .map(|line| ["hint", "violation", "endpoint"].map(|name| text(&line, name)))
        .collect();
    assert_eq!(decisions.len(), count, "{log}");
    decisions
}

/// The hints of all decisions.
#[track_caller]
fn hints(rig: &Rig, count: usize) -> Vec<String> {
    let decisions = decisions(rig, count).into_iter();
    decisions.map(|[hint, ..]| hint).collect()
}

/// Requests with a wrong challenge or method, and the code of the hint on each.
fn wrong_requests(rig: &Rig) -> Vec<(Authorization, &'static str)> {
    let right = rig.authorization();
    let challenge = s256(&right.verifier);
    let with = |name, value: &str| right.clone().with(name, value);
    vec![
        (with("code_challenge", HEX), "hex_challenge"),
        (
            with("code_challenge", &format!("{challenge}=")),
            "padded_challenge",
        ),
        (
            with("code_challenge", &format!("+{}", challenge.split_at(1).1)),
            "standard_base64_challenge",
        ),
        (with("code_challenge_method", "sha-256"), "misspelt_method"),
        (
            right.clone().without("code_challenge_method"),
            "missing_method",
        ),
    ]
}

#[test]
fn a_refused_authorization_request_is_explained_by_a_hint_on_the_page_in_json_and_in_the_log() {
    let rig = Rig::new();
    let wrong = wrong_requests(&rig);
    for (request, code) in &wrong {
        let page = rig.enter(request);
        assert_page(&page, 400, &format!("Hint, <code>{code}</code>: "));
        assert_page(&page, 400, &format!("<code>hints.html#{code}</code>"));
        let json = rig
            .get_with(&target(request), &[("Accept", "application/json")])
            .json();
        assert_eq!(json["hint"], *code, "{json}");
        assert_eq!(json["error_description"], sentence(&page), "{json}");
    }
    // Without a hint there is none.
    let page = rig.enter(&rig.authorization().without_challenge());
    assert_page(&page, 400, "missing_challenge");
    assert!(!page.text().contains("int, <code>"), "{page}");
    let json = rig.get_with(
        &target(&rig.authorization().without_challenge()),
        &[("Accept", "application/json")],
    );
    assert!(json.json().get("hint").is_none(), "{json}");

    let expected = wrong.iter().flat_map(|(_, code)| [*code; 2]);
    let expected: Vec<&str> = expected.chain([""; 2]).collect();
    assert_eq!(hints(&rig, expected.len()), expected);
}

/// The sentence of the hint on a page.
fn sentence(page: &Response) -> String {
    let (_, rest) = page.text().split_once("Hint, <code>").expect("a hint");
    let (_, rest) = rest.split_once("</code>: ").expect("a sentence");
    let (sentence, _) = rest.split_once(".</p>").expect("its end");
    sentence.replace("&#x2f;", "/")
}

#[test]
fn an_error_redirect_has_the_hint_as_its_description() {
    let rig = Rig::new();
    // Now the gate knows that the redirect URI is the client's.
    rig.code_for(&rig.authorization());
    for (request, code) in wrong_requests(&rig) {
        let response = rig.sign_in(&request);
        assert_eq!(response.params.get("error"), Some("invalid_request"));
        let json = rig.get_with(
            &target(&request.clone().without("redirect_uri")),
            &[("Accept", "application/json")],
        );
        assert_eq!(json.json()["hint"], code);
        let description = response.params.get("error_description");
        assert_eq!(description, json.json()["error_description"].as_str());
    }
}

#[test]
fn requests_of_every_endpoint_with_a_challenge_get_hints() {
    let rig = Rig::with(Config {
        endpoints: "pushed_authorization_request = [\"/par\"]\n\
                    device_authorization = [\"/device\"]\nauthorization_challenge = [\"/direct\"]",
        pkce: "device = \"if_present\"",
        ..Config::default()
    });
    for (request, _) in wrong_requests(&rig) {
        let page = rig.enter(&request);
        for path in ["/par", "/device", "/direct"] {
            let refused = rig.post(path, &[], &request.params.encoded());
            assert_refused(&refused, "invalid_request");
            let description = &refused.json()["error_description"];
            assert_eq!(*description, sentence(&page), "{path}");
        }
    }
    let codes = wrong_requests(&rig);
    let expected: Vec<&str> = codes.iter().flat_map(|(_, code)| [*code; 4]).collect();
    assert_eq!(hints(&rig, expected.len()), expected);
}

#[test]
fn report_mode_logs_the_hints_that_enforce_mode_tells() {
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("mode = \"report\"\ncodes = \"{codes}\"")).unguarded();
        let wrong = wrong_requests(&rig);
        for (request, _) in &wrong {
            // With codes = "upstream" a request with the same state would be the same sign-in.
            rig.enter(&request.clone().with("state", &unguessable()));
        }
        rig.enter(&rig.authorization().without_challenge());
        let expected = wrong.iter().map(|(_, code)| *code).chain([""]);
        let expected: Vec<&str> = expected.collect();
        assert_eq!(hints(&rig, expected.len()), expected, "{codes}");
    }
}

#[test]
fn no_hint_is_looked_for_in_requests_of_a_client_with_mode_off() {
    let exception = "mode = \"off\"\nuntil = \"9999-12-31\"\nowner = \"o\"\nreason = \"r\"";
    let rig = Rig::tables(&format!("[[upstream.client]]\nid = \"pub\"\n{exception}\n"));
    let rig = rig.unguarded();
    let right = rig.authorization();
    let again = right.clone().with("state", &unguessable());
    let mut requests: Vec<_> = wrong_requests(&rig);
    requests.extend([(right.clone(), ""), (again, "")]);
    for (request, _) in &requests {
        rig.enter(&request.clone().with("state", &unguessable()));
    }
    let wrong = right.redemption("unknown");
    rig.token(&wrong.with("code_verifier", EXAMPLE_VERIFIER));
    let none = vec![""; requests.len() + 1];
    assert_eq!(hints(&rig, none.len()), none);
}

#[test]
fn a_right_flow_has_no_hint() {
    for pkce in ["", "codes = \"upstream\""] {
        let rig = Rig::pkce(pkce).unguarded();
        for _ in 0..2 {
            let authorization = rig.authorization();
            let code = rig.code_for(&authorization);
            assert_token(&rig.redeem(&authorization, &code));
        }
        let log = rig
            .gate
            .log_until(|log| log.matches("\"decision\":\"allowed\"").count() >= 4);
        assert!(!log.contains("\"hint\""), "{log}");
    }
}

#[test]
fn a_challenge_that_was_sent_before_is_noticed_unless_the_same_request_came_again() {
    for pkce in ["", "codes = \"upstream\"", "mode = \"report\""] {
        let rig = Rig::pkce(pkce).unguarded();
        let first = rig.authorization();
        rig.enter(&first);
        let again = first.clone().with("state", &unguessable());
        rig.enter(&again);
        rig.enter(&again.clone().with("client_id", "other"));
        rig.enter(&rig.authorization());
        let expected = ["", "constant_challenge", "shared_challenge", ""];
        assert_eq!(hints(&rig, 4), expected, "{pkce}");
    }
    // A page that is loaded again.
    let rig = Rig::new();
    let request = rig.authorization();
    for request in [&request, &request] {
        rig.enter(request);
    }
    let without = rig.authorization().without("state");
    for request in [&without, &without] {
        rig.enter(request);
    }
    assert_eq!(hints(&rig, 4), [""; 4]);
}

/// Otherwise an attacker could ask whether a challenge was sent before.
#[test]
fn a_refused_request_is_not_told_that_its_challenge_was_sent_before() {
    let rig = Rig::new();
    let first = rig.authorization();
    rig.enter(&first);
    let texts: Vec<String> = [s256(&first.verifier), s256(&unguessable())]
        .into_iter()
        .map(|challenge| {
            let request = first.clone().with("code_challenge", &challenge);
            let request = request.with("response_type", "token");
            let page = rig.enter(&request.with("state", "s"));
            assert_page(&page, 400, "response_type_not_allowed");
            let (text, _) = page.text().split_once("<footer>").expect("a footer");
            text.to_owned()
        })
        .collect();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(hints(&rig, 3), [""; 3]);
}

#[test]
fn the_example_of_the_rfc_is_noticed_at_both_endpoints_and_told_to_who_sends_it() {
    let rig = Rig::new();
    let mut authorization = rig
        .authorization()
        .with("code_challenge", &s256(EXAMPLE_VERIFIER));
    authorization.verifier = EXAMPLE_VERIFIER.to_owned();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(hints(&rig, 2), ["rfc_test_vector"; 2]);
    // Now the code is dead.
    let refused = rig.token(&authorization.redemption(&code));
    assert_refused(&refused, "invalid_grant");
    let description = refused.json()["error_description"].to_string();
    assert!(description.contains("RFC 7636 appendix B"), "{description}");
}

#[test]
fn the_log_names_what_was_sent_instead_of_the_verifier() {
    let rig = Rig::new();
    let (authorization, other) = (rig.authorization(), rig.authorization());
    let code = rig.code_for(&authorization);
    rig.code_for(&other);
    let right = authorization.redemption(&code);
    for wrong in [
        s256(&authorization.verifier),
        authorization.state().expect("a state").to_owned(),
        other.verifier.clone(),
        unguessable(),
    ] {
        assert_refused(
            &rig.token(&right.clone().with("code_verifier", &wrong)),
            "invalid_grant",
        );
    }
    let expected = [
        "",
        "",
        "verifier_is_challenge",
        "verifier_is_state",
        "verifier_of_other_sign_in",
        "",
    ];
    assert_eq!(hints(&rig, 6), expected);
    // The verifier of another client's sign-in is none of this one's.
    let foreign = rig.authorization().with("client_id", "other");
    rig.code_for(&foreign);
    let code = rig.code_for(&authorization.clone().with("state", &unguessable()));
    let wrong = authorization.redemption(&code);
    rig.token(&wrong.with("code_verifier", &foreign.verifier));
    assert_eq!(hints(&rig, 9)[8], "");
}

#[test]
fn a_verifier_that_is_the_state_is_noticed_although_it_is_right() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let authorization = authorization.clone().with("state", &authorization.verifier);
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(hints(&rig, 2), ["", "verifier_is_state"]);
}

/// What an attacker sends as the verifier of the first sign-in.
type Guess = fn(&Authorization, &Authorization) -> String;

/// An attacker has a code and everything that the browser saw, and tries what developers do wrong.
#[test]
fn the_holder_of_a_stolen_code_learns_nothing_from_hints() {
    let rig = Rig::new();
    let other = rig.authorization();
    rig.code_for(&other);
    let sign_in = || {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        (authorization, code)
    };
    let guesses: [Guess; 5] = [
        |stolen, _| s256(&stolen.verifier),
        |stolen, _| stolen.state().expect("a state").to_owned(),
        |_, other| other.verifier.clone(),
        |_, _| EXAMPLE_VERIFIER.to_owned(),
        |_, _| unguessable(),
    ];
    for (at, guess) in guesses.into_iter().enumerate() {
        let (live, live_code) = sign_in();
        let (redeemed, redeemed_code) = sign_in();
        assert_token(&rig.redeem(&redeemed, &redeemed_code));
        let (burnt, burnt_code) = sign_in();
        for _ in 0..20 {
            let wrong = burnt.redemption(&burnt_code);
            rig.token(&wrong.with("code_verifier", &unguessable()));
        }
        let unknown = unguessable();
        let answers: Vec<Vec<u8>> = [
            (&live, &live_code),
            (&redeemed, &redeemed_code),
            (&burnt, &burnt_code),
            (&live, &unknown),
        ]
        .map(|(stolen, code)| {
            let form = stolen.redemption(code);
            let answer = rig.token(&form.with("code_verifier", &guess(stolen, &other)));
            assert_refused(&answer, "invalid_grant");
            answer.body
        })
        .into();
        for answer in &answers {
            assert_eq!(answer, &answers[0], "guess {at}");
        }
        let text = str::from_utf8(&answers[0]).expect("JSON");
        assert!(!text.contains("the state") && !text.contains("another recent"));
        // The rightful client can still redeem the code.
        assert_token(&rig.redeem(&live, &live_code));
    }
}
