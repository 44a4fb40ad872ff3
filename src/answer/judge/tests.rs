use super::*;
use crate::answer::carrier::location::Location;
use crate::answer::carrier::{Carrier, Ours};
use crate::flow::{Application, ClientState, HandleKey};
use crate::oauth::{CodeChallenge, Digest};

fn carried(response: &str) -> Carried {
    let key = HandleKey::for_upstream("t");
    let location = format!("https://c/cb?{response}");
    Location::new(location.as_bytes()).read(Ours::from(&key))
}

fn record(response_type: &str) -> PendingAuthorization {
    PendingAuthorization {
        own: None,
        application: Application {
            client: Digest::of("client", &[]),
            redirect: None,
            response_type: Some(response_type.into()),
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(CodeChallenge::S256([1; 32])),
        state: ClientState::Absent,
        browser: None,
    }
}

fn rule(response_types: &[&str]) -> Rule {
    Rule {
        response_types: response_types
            .iter()
            .map(|response_type| ResponseType::parse(response_type))
            .collect(),
        ..Rule::default()
    }
}

/// An answer to the client of a live sign-in.
fn answered(asked: &str, allowed: &[&str], response: &str) -> Result<Plan, Unsafe> {
    let (record, rule, carried) = (record(asked), rule(allowed), carried(response));
    judge(&Facts {
        stays: false,
        carried: &carried,
        sign_in: &SignIn::Live(Box::new(record.clone())),
        leads: Leads::ToClient,
        came_along: false,
        is_other_browser: false,
        is_of_other_client: false,
        rule: &rule,
    })
}

fn without_sign_in(response: &str, leads: Leads, sign_in: &SignIn) -> Result<Plan, Unsafe> {
    judge(&Facts {
        stays: false,
        carried: &carried(response),
        sign_in,
        leads,
        came_along: false,
        is_other_browser: false,
        is_of_other_client: false,
        rule: &Rule::default(),
    })
}

#[test]
fn one_code_that_was_asked_for_is_bound() {
    for response in [
        "code=a",
        "code=a&code=a",
        "code=a&iss=x",
        "error=x",
        "state=x",
        "code=a#session_state=y",
        "code=a&response=x",
        "code=a&Response=1.2",
    ] {
        assert_eq!(
            answered("code", &["code"], response),
            Ok(Plan::Bind),
            "{response}"
        );
    }
    for response in [
        "code=a&code=b",
        "code=a#code=b",
        "code=a&error=x",
        "Code=a",
        "code=a&code[]=b",
        "response=e30.e30.c2ln",
        "code=a&response=e30.e30.c2ln",
        "code=a&Response[]=e30.e30.c2ln",
        "code=a&response=e30.a.b.c.d",
    ] {
        assert!(answered("code", &["code"], response).is_err(), "{response}");
    }
    assert!(answered("token", &["token"], "code=a").is_err());
    assert!(answered("id_token", &["id_token"], "id_token=x&code=a").is_err());
}

#[test]
fn a_token_is_delivered_only_if_it_was_asked_for_and_allowed() {
    for (asked, allowed, response, leaves) in [
        ("token", &["token"][..], "#access_token=x", true),
        (
            "id_token token",
            &["token id_token"],
            "#access_token=x&id_token=y",
            true,
        ),
        (
            "code id_token",
            &["code id_token"],
            "#code=a&id_token=y",
            true,
        ),
        ("code", &["code", "token"], "#access_token=x", false),
        ("code", &["code", "token"], "#code=a&access_token=x", false),
        ("id_token", &["id_token", "token"], "#access_token=x", false),
        ("none", &["none", "token"], "#access_token=x", false),
        ("token", &["code"], "#access_token=x", false),
        ("token", &["token"], "#id_token=x", false),
        ("code", &["code"], "#Access-Token=x", false),
    ] {
        let judged = answered(asked, allowed, response);
        assert_eq!(judged.is_ok(), leaves, "{asked} {allowed:?} {response}");
    }
}

#[test]
fn an_answer_without_a_sign_in_takes_no_credential_to_a_client() {
    use Leads::{Away, Home, ToClient};
    for (response, leads, passes) in [
        ("code=a", Away, false),
        ("code=a", Home, true),
        ("#access_token=x", Away, false),
        ("#access_token=x", Home, false),
        ("access_token=x&token_type=Bearer", Home, false),
        ("id_token=x&state=y", Home, false),
        ("access_token=x", Home, true),
        ("error=x", Away, true),
        ("x=y", Away, true),
    ] {
        let judged = without_sign_in(response, leads, &SignIn::None);
        assert_eq!(judged.is_ok(), passes, "{response} {leads:?}");
    }
    for leads in [Away, ToClient] {
        assert!(without_sign_in("code=a", leads, &SignIn::Dead).is_err());
        assert!(without_sign_in("access_token=a", leads, &SignIn::Dead).is_err());
        assert_eq!(
            without_sign_in("error=a", leads, &SignIn::Dead),
            Ok(Plan::Pass)
        );
    }
    for leads in [Away, Home, ToClient] {
        assert!(without_sign_in("error=a", leads, &SignIn::Several).is_err());
        assert_eq!(
            without_sign_in("code=a", leads, &SignIn::Uncertain),
            Ok(Plan::Note)
        );
    }
    assert_eq!(
        without_sign_in("error=a", Away, &SignIn::Uncertain),
        Ok(Plan::Pass)
    );
}

#[test]
fn an_answer_to_another_clients_request_has_only_an_error() {
    let (record, rule) = (record("code token"), rule(&["code token"]));
    let with = |response: &str, is_of_other_client| {
        judge(&Facts {
            stays: false,
            carried: &carried(response),
            sign_in: &SignIn::Live(Box::new(record.clone())),
            leads: Leads::ToClient,
            came_along: false,
            is_other_browser: false,
            is_of_other_client,
            rule: &rule,
        })
    };
    for response in [
        "code=a",
        "access_token=a",
        "code=a&access_token=b",
        "response=e30.e30.c2ln",
    ] {
        assert!(with(response, true).is_err(), "{response}");
    }
    assert_eq!(with("code=a", false), Ok(Plan::Bind));
    assert_eq!(with("error=access_denied", true), Ok(Plan::Bind));
}

#[test]
fn a_code_goes_to_its_client_and_browser_and_not_if_it_came_with_the_request() {
    let (record, rule) = (record("code"), Rule::default());
    let with = |response: &str, leads, came_along, is_other_browser| {
        judge(&Facts {
            stays: false,
            carried: &carried(response),
            sign_in: &SignIn::Live(Box::new(record.clone())),
            leads,
            came_along,
            is_other_browser,
            is_of_other_client: false,
            rule: &rule,
        })
    };
    assert!(with("code=a", Leads::Away, false, false).is_err());
    assert!(with("Code=a", Leads::Away, false, false).is_err());
    assert!(with("response=e30.e30.c2ln", Leads::Away, false, false).is_err());
    // The server's own page may have a `code`, but not a token.
    assert_eq!(
        with("code=123456", Leads::Home, false, false),
        Ok(Plan::Pass)
    );
    assert!(with("#access_token=x", Leads::Home, false, false).is_err());
    for leads in [Leads::Away, Leads::Home] {
        assert_eq!(with("x=y", leads, false, false), Ok(Plan::Pass));
    }
    assert!(with("code=a", Leads::ToClient, true, false).is_err());
    assert!(with("code=a", Leads::ToClient, false, true).is_err());
    // An error contains no credential.
    assert_eq!(with("error=a", Leads::ToClient, true, true), Ok(Plan::Bind));
}
