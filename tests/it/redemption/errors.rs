//! Where errors go: to the client if its redirect URI is known to be safe, otherwise to a page of the gate; and which answers
//! are not delivered.

use serde_json::json;

use super::assert_page;
use crate::support::agent::Carrier;
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, handle_of, target};
use crate::support::scripted::{Act, Shape, Then, json as json_reply, reply};

const ISSUER: &str = "https://issuer.test";
const METADATA: &str = "/.well-known/openid-configuration";

fn with_redirect_uri() -> Rig {
    Rig::tables(&format!(
        "[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"{REDIRECT_URI}\", \"app.test:/cb\", \"https://client.test/q?a=b\"]"
    ))
}

/// Metadata with an issuer, and with the statement whether responses contain it.
fn announce(rig: &Rig, in_responses: bool) {
    let document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{}/authorize", rig.upstream.url()),
        "token_endpoint": format!("{}/token", rig.upstream.url()),
        "authorization_response_iss_parameter_supported": in_responses,
    });
    rig.upstream.on(
        METADATA,
        Act::Say(json_reply("200 OK", &document), Then::GoOn),
    );
    assert_eq!(rig.get(METADATA).status, 200);
}

#[test]
fn errors_go_to_a_configured_redirect_uri_in_the_requested_mode() {
    let rig = with_redirect_uri();
    for (mode, carrier) in [
        (None, Carrier::Query),
        (Some("query"), Carrier::Query),
        (Some("fragment"), Carrier::Fragment),
        (Some("form_post"), Carrier::FormPost),
    ] {
        for uri in [REDIRECT_URI, "app.test:/cb", "https://client.test/q?a=b"] {
            let request = rig
                .authorization()
                .without_challenge()
                .with("redirect_uri", uri)
                .with("state", "s&t=\"<é");
            let request = match mode {
                Some(mode) => request.with("response_mode", mode),
                None => request,
            };
            let response = rig.enter(&request);
            let answer = authorization_response(&response, &request);
            let answer = answer.unwrap_or_else(|| panic!("{mode:?} {uri}: {response}"));
            assert_eq!(answer.carrier, carrier);
            assert_eq!(answer.params.get("error"), Some("invalid_request"));
            assert_eq!(answer.params.get("state"), request.state());
            assert!(
                answer
                    .params
                    .get("error_description")
                    .is_some_and(|text| text.contains("code_challenge"))
            );
            assert_eq!(answer.params.get("iss"), None);
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn a_state_that_was_not_sent_is_not_returned() {
    let rig = with_redirect_uri();
    let response = rig.enter(&rig.authorization().without_challenge().without("state"));
    let answer = authorization_response(&response, &rig.authorization()).expect("an answer");
    assert_eq!(answer.params.get("state"), None);
}

#[test]
fn errors_do_not_go_to_any_other_redirect_uri() {
    let rig = with_redirect_uri();
    let bad = rig.authorization().without_challenge();
    for uri in [
        "https://evil.test/cb",
        "https://client.test/cb/",
        "https://client.test/cb?x=y",
        "https://client.test/CB",
        "https://client.test/cb#x",
        "//client.test/cb",
        "javascript:alert(1)",
        "",
    ] {
        let response = rig.enter(&bad.clone().with("redirect_uri", uri));
        assert_page(&response, 400, "missing_challenge");
    }
    assert_page(
        &rig.enter(&bad.clone().without("redirect_uri")),
        400,
        "missing_challenge",
    );
    // This one belongs to another client.
    assert_page(
        &rig.enter(&bad.clone().with("client_id", "other")),
        400,
        "missing_challenge",
    );
    // An ambiguous request does not name a client with certainty.
    let twice = format!("{}&client_id=pub", target(&bad));
    assert_page(&rig.get(&twice), 400, "duplicate_parameter");
}

/// RFC 8252 section 7.3: the operating system assigns the port.
#[test]
fn at_a_loopback_address_only_the_port_may_differ() {
    let configured = Rig::tables(
        "[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"http://127.0.0.1/callback\", \"http://[::1]:1234/a\"]",
    );
    let learned = Rig::new();
    for uri in ["http://127.0.0.1:4000/callback", "http://[::1]:4000/a"] {
        learned.code_for(&learned.authorization().with("redirect_uri", uri));
    }
    for rig in [configured, learned] {
        let bad = rig.authorization().without_challenge();
        for uri in [
            "http://127.0.0.1:51004/callback",
            "http://127.0.0.1/callback",
            "http://[::1]:51004/a",
            "http://[::1]/a",
        ] {
            let bad = bad.clone().with("redirect_uri", uri);
            let response = rig.enter(&bad);
            let answer = authorization_response(&response, &bad);
            let answer = answer.unwrap_or_else(|| panic!("{uri}: {response}"));
            assert_eq!(answer.params.get("error"), Some("invalid_request"));
        }
        for uri in [
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1:51004/callback/",
            "http://127.0.0.1:51004/callback?x=y",
            "https://127.0.0.1:51004/callback",
            "http://127.0.0.2:51004/callback",
            "http://127.0.0.1:80@evil.test/callback",
            "http://127.0.0.1.evil.test:51004/callback",
            "http://localhost:51004/callback",
            "http://localhost.evil.test:51004/callback",
            "http://[::1]:51004/callback",
        ] {
            let response = rig.enter(&bad.clone().with("redirect_uri", uri));
            assert_page(&response, 400, "missing_challenge");
        }
        // This one belongs to another client.
        let other = bad.with("redirect_uri", "http://127.0.0.1:1/callback");
        let other = rig.enter(&other.with("client_id", "other"));
        assert_page(&other, 400, "missing_challenge");
    }
}

/// For a code, however, another port is another redirect URI.
#[test]
fn a_code_goes_to_the_port_that_asked_for_it() {
    let rig = Rig::new();
    let authorization = rig
        .authorization()
        .with("redirect_uri", "http://127.0.0.1:4000/cb");
    let code = rig.code_for(&authorization);
    let elsewhere = authorization
        .redemption(&code)
        .with("redirect_uri", "http://127.0.0.1:4001/cb");
    assert_refused(&rig.token(&elsewhere), "invalid_grant");
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn a_redirect_uri_to_which_the_upstream_sent_a_code_is_known_from_then_on() {
    let rig = Rig::new();
    let bad = rig.authorization().without_challenge();
    assert_page(&rig.enter(&bad), 400, "missing_challenge");
    rig.code_for(&rig.authorization());

    let answer = authorization_response(&rig.enter(&bad), &bad).expect("an answer");
    assert_eq!(answer.params.get("error"), Some("invalid_request"));
    assert_page(
        &rig.enter(&bad.clone().with("client_id", "other")),
        400,
        "missing_challenge",
    );
    let other = bad.with("redirect_uri", "https://client.test/other");
    assert_page(&rig.enter(&other), 400, "missing_challenge");
}

#[test]
fn errors_have_the_issuer_if_the_servers_metadata_says_so() {
    for (in_responses, iss) in [(true, Some(ISSUER)), (false, None)] {
        let rig = with_redirect_uri();
        announce(&rig, in_responses);
        let response = rig.enter(&rig.authorization().without_challenge());
        let answer = authorization_response(&response, &rig.authorization()).expect("an answer");
        assert_eq!(answer.params.get("iss"), iss);
    }
}

#[test]
fn errors_have_the_issuer_after_the_upstream_has_sent_it() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let state = handle_of(&entry);
    let location =
        format!("{REDIRECT_URI}?code=aaaaaaaaaa&state={state}&iss=https%3A%2F%2Fissuer.test");
    rig.upstream.once(
        "/authorize",
        Act::Say(
            reply("302 Found", &[("Location", &location)], b""),
            Then::GoOn,
        ),
    );
    let answer = authorization_response(&rig.get(&entry), &authorization).expect("an answer");
    assert_eq!(answer.params.get("iss"), Some(ISSUER));

    let bad = rig.authorization().without_challenge();
    let answer = authorization_response(&rig.enter(&bad), &bad).expect("an answer");
    assert_eq!(answer.params.get("iss"), Some(ISSUER));
}

#[test]
fn errors_of_the_upstream_reach_the_client_with_its_own_state() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let state = handle_of(&entry);
    let location = format!("{REDIRECT_URI}?error=access_denied&error_description=no&state={state}");
    rig.upstream.once(
        "/authorize",
        Act::Say(
            reply("302 Found", &[("Location", &location)], b"<a>x</a>"),
            Then::GoOn,
        ),
    );
    let response = rig.get(&entry);
    let answer = authorization_response(&response, &authorization).expect("an answer");
    assert_eq!(answer.params.get("error"), Some("access_denied"));
    assert_eq!(answer.params.get("state"), authorization.state());
}

#[test]
fn a_hybrid_response_needs_a_listed_response_type() {
    let hybrid = "response_types = [\"code\", \"code id_token\"]";
    let rig = Rig::pkce(hybrid).unguarded();
    for mode in [None, Some("form_post")] {
        let authorization = rig.authorization().with("response_type", "code id_token");
        let authorization = match mode {
            Some(mode) => authorization.with("response_mode", mode),
            None => authorization,
        };
        let answer = rig.sign_in(&authorization);
        assert_eq!(
            answer.carrier,
            if mode.is_some() {
                Carrier::FormPost
            } else {
                Carrier::Fragment
            }
        );
        assert_eq!(answer.params.get("id_token"), Some("e30.e30.sig"));
        assert_eq!(answer.params.get("state"), authorization.state());
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
    let without = rig
        .authorization()
        .with("response_type", "code id_token")
        .without_challenge();
    assert_page_or_error(&rig, &without);
    let other = rig.authorization().with("response_type", "code token");
    assert_page_or_error(&rig, &other);

    let plain = Rig::new();
    let refused = plain.authorization().with("response_type", "code id_token");
    assert_page(&plain.enter(&refused), 400, "response_type_not_allowed");
}

/// The request is refused on a page, or with an error response if the redirect URI is known.
#[track_caller]
fn assert_page_or_error(rig: &Rig, request: &Authorization) {
    let before = rig.upstream.ledger().len();
    let response = rig.enter(request);
    let told = authorization_response(&response, request)
        .is_some_and(|answer| answer.params.get("error").is_some());
    assert!(response.status == 400 || told, "{response}");
    assert_eq!(rig.upstream.ledger().len(), before);
}

#[test]
fn tokens_that_were_not_requested_are_not_delivered() {
    for (pkce, kind, extra) in [
        ("", "code", "access_token=at-unwanted"),
        ("", "code", "id_token=e30.e30.unwanted"),
        (
            "response_types = [\"code id_token\"]",
            "code id_token",
            "access_token=at-unwanted",
        ),
        (
            "response_types = [\"code token\"]",
            "code token",
            "id_token=e30.e30.unwanted",
        ),
    ] {
        let rig = Rig::pkce(pkce);
        let authorization = rig.authorization().with("response_type", kind);
        let (entry, state) = if kind == "code id_token" {
            let state = authorization.state().expect("a state");
            (target(&authorization), state.to_owned())
        } else {
            let entry = rig.entry(&authorization);
            let state = handle_of(&entry);
            (entry, state)
        };
        let location = format!("{REDIRECT_URI}#code=aaaaaaaaaa&state={state}&{extra}");
        rig.upstream.once(
            "/authorize",
            Act::Say(
                reply("302 Found", &[("Location", &location)], b""),
                Then::GoOn,
            ),
        );
        let response = rig.get(&entry);
        assert_page(&response, 502, "unbound_code_in_response");
        assert!(!response.text().contains("unwanted"), "{kind} {extra}");
    }
}

#[test]
fn a_rewritten_redirect_has_no_body() {
    let rig = Rig::new();
    rig.upstream.answer_with(Shape::QueryAndBody);
    let authorization = rig.authorization();
    let response = rig.get(&rig.entry(&authorization));
    assert_eq!(response.status, 302, "{response}");
    assert_eq!(response.body, b"");
    assert_eq!(response.header("content-type"), None);
    assert_eq!(response.header("content-length"), Some("0"));
}

#[test]
fn a_code_in_another_header_field_is_not_delivered() {
    for name in [
        "Content-Location",
        "Link",
        "Refresh",
        "X-Redirect",
        "Set-Cookie",
    ] {
        let rig = Rig::new();
        let authorization = rig.authorization();
        let entry = rig.entry(&authorization);
        let state = handle_of(&entry);
        let location = format!("{REDIRECT_URI}?code=aaaaaaaaaa&state={state}");
        let fields = [("Location", location.as_str()), (name, "x=aaaaaaaaaa")];
        rig.upstream.once(
            "/authorize",
            Act::Say(reply("302 Found", &fields, b""), Then::GoOn),
        );
        let response = rig.get(&entry);
        assert_page(&response, 502, "unbound_code_in_response");
    }
}

#[test]
fn refusals_are_json_or_a_page_depending_on_accept() {
    let rig = Rig::with(Config::default());
    let target = target(&rig.authorization().without_challenge());
    let response = rig.get_with(&target, &[("Accept", "application/json")]);
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["error"], "invalid_request", "{response}");
    assert_eq!(
        response.json()["violation"],
        "missing_challenge",
        "{response}"
    );
    assert_page(
        &rig.get_with(&target, &[("Accept", "text/html,application/json;q=0.9")]),
        400,
        "missing_challenge",
    );
}
