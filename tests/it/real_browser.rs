//! Sign-ins in real Chromium: `tests/browser/scenarios.mjs` acts, and these tests check the results.

use serde_json::Value;

use crate::real_servers::better_auth;
use crate::support::servers::{
    BETTER_AUTH, DJANGO_ALLAUTH, DJANGO_OAUTH_TOOLKIT, DOORKEEPER, OAUTH2_SERVER, OIDC_PROVIDER,
    OIDC_PROVIDER_FORM_POST, OIDC_PROVIDER_FRAGMENT, Target,
};
use crate::support::stage::Stage;
use crate::support::store::sealed;

/// The scenarios that end well at every server, with the number of authorization responses that the client receives in each.
const SCENARIOS: [(&str, usize); 7] = [
    ("normal_login", 1),
    ("double_click_on_consent", 1),
    ("back_and_forward", 1),
    ("reload_of_the_login_page", 1),
    ("two_interleaved_tabs", 2),
    ("wrong_password_first", 1),
    ("second_login_with_a_live_session", 2),
];

#[test]
fn every_login_at_oidc_provider_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&OIDC_PROVIDER);
}

#[test]
fn every_login_at_oidc_provider_by_fragment_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&OIDC_PROVIDER_FRAGMENT);
}

#[test]
fn every_login_at_oidc_provider_by_form_post_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&OIDC_PROVIDER_FORM_POST);
}

#[test]
fn every_login_at_oauth2_server_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&OAUTH2_SERVER);
}

#[test]
fn every_login_at_django_oauth_toolkit_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&DJANGO_OAUTH_TOOLKIT);
}

#[test]
fn every_login_at_django_allauth_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&DJANGO_ALLAUTH);
}

#[test]
fn every_login_at_doorkeeper_ends_with_a_code_that_its_verifier_redeems() {
    every_login_ends_well(&DOORKEEPER);
}

/// Login and consent are an application that gets the code in JSON.
#[test]
fn every_login_at_better_auth_ends_with_a_code_that_its_verifier_redeems() {
    let stage = Stage::configured(&BETTER_AUTH, better_auth::RULES);
    let scenarios = [
        ("normal_login", 1),
        ("reload_of_the_login_page", 1),
        ("two_interleaved_tabs", 2),
    ];
    ends_well(&BETTER_AUTH, &stage, &scenarios, &[]);
}

/// A sealed store gives a state of 2,000 characters to the browser, in a cookie.
#[test]
fn every_login_with_a_long_state_ends_well() {
    for target in [&OIDC_PROVIDER_FORM_POST, &DJANGO_ALLAUTH] {
        let stage = Stage::configured(target, &format!("[store]\n{}", sealed()));
        with_long_states(target, &stage, &SCENARIOS);
    }
}

/// Back at its page of consent, django-allauth ends the same sign-in once more.
#[test]
fn a_user_with_a_long_state_goes_back_and_consents_again() {
    let stage = Stage::configured(&DJANGO_ALLAUTH, &format!("[store]\n{}", sealed()));
    with_long_states(
        &DJANGO_ALLAUTH,
        &stage,
        &[("another_consent_after_back", 2)],
    );
}

fn with_long_states(target: &'static Target, stage: &Stage, scenarios: &[(&str, usize)]) {
    let report = ends_well(target, stage, scenarios, &["--state-bytes", "1500"]);
    for (name, _) in scenarios {
        // Chromium's cookies, with their ends in seconds since 1970.
        let cookies = list(&report[name]["cookies"]).iter();
        let states = cookies.filter(|cookie| {
            cookie["name"]
                .as_str()
                .is_some_and(|name| name.contains("-state-"))
        });
        let states: Vec<_> = states.collect();
        assert!(!states.is_empty(), "{name}");
        for state in states {
            let left = state["left"].as_f64().expect("a lifetime");
            assert!(left <= 60.0, "{name}: {state}");
        }
    }
    for seen in stage.ledger().authorize {
        assert!(seen.query.len() < 2000, "{seen:?}");
    }
}

fn every_login_ends_well(target: &'static Target) {
    ends_well(target, &Stage::new(target), &SCENARIOS, &[]);
}

fn ends_well(
    target: &'static Target,
    stage: &Stage,
    scenarios: &[(&str, usize)],
    more: &[&str],
) -> Value {
    let base = stage.gate_url();
    let (authorize, token) = (target.profile.authorization[0], target.profile.token[0]);
    let mut arguments = vec!["--base", &base, "--authorize", authorize, "--token", token];
    if let Some(mode) = target.response_mode {
        arguments.extend(["--response-mode", mode]);
    }
    arguments.extend(scenarios.iter().flat_map(|(name, _)| ["--only", name]));
    arguments.extend(more);

    let report = stage.run("browser/scenarios.mjs", &arguments);
    let tokens = |scenario: &Value| {
        list(&scenario["redeemed"])
            .iter()
            .filter(|redeemed| redeemed["token"] == true)
            .count()
    };
    stage.granted(
        scenarios
            .iter()
            .map(|(name, _)| tokens(&report[*name]))
            .sum(),
    );

    for &(name, responses) in scenarios {
        let scenario = &report[name];
        assert_eq!(scenario["failure"], Value::Null, "{name}: {scenario:#}");
        let came = list(&scenario["responses"]).len();
        // Of two clicks, the first may be answered before the second: then both codes must work.
        let most = if name == "double_click_on_consent" {
            2
        } else {
            responses
        };
        assert!((responses..=most).contains(&came), "{name}: {scenario:#}");
        assert_eq!(tokens(scenario), came, "{name}: {scenario:#}");
        for response in list(&scenario["responses"]) {
            assert!(
                response["code"]
                    .as_str()
                    .is_some_and(|code| code.starts_with("pgc")),
                "{name}: {response}"
            );
        }
    }
    report
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
