//! The device flow (RFC 8628) with `device = "if_present"`: a challenge in a device authorization request binds its device code.
//!
//! The upstream gives a token for every device code that the gate lets through.

mod answers;
mod attacks;

use std::sync::Arc;

use pkce_gate::parts::Purpose;
use serde_json::{Value, json};

use crate::support::client::{assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::{Act, Answerer, Received, Then, json as json_reply, reply};
use crate::support::store::is_handle;

const ENDPOINT: &str = "/device_authorization";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A gate that binds device codes, in front of a server with a device authorization endpoint.
fn rig(pkce: &str) -> Rig {
    rig_with(&format!("device = \"if_present\"\n{pkce}"), "")
}

fn rig_with(pkce: &str, more: &str) -> Rig {
    let rig = Rig::with(Config {
        pkce,
        endpoints: "device_authorization = [\"/device_authorization\"]",
        log: "level = \"trace\"",
        tables: more,
        ..Config::default()
    });
    rig.upstream.on(ENDPOINT, issues(600));
    rig
}

/// An answer with a new device code each time, which is `own-` and the last characters of the client's scope.
fn issues(expires_in: u32) -> Act {
    let answer = move |received: &Received| {
        let scope = received.form().get("scope").unwrap_or("none").to_owned();
        reply(
            "200 OK",
            &[
                ("Content-Type", "application/json;charset=UTF-8"),
                ("X-Own", "kept"),
            ],
            document(&own(&scope), expires_in).as_bytes(),
        )
    };
    Act::Compute(Answerer(Arc::new(answer)))
}

/// The device code that the upstream gives for a request with this scope.
fn own(scope: &str) -> String {
    format!("Own/{scope}+=")
}

/// With white space, escapes and numbers that another writer would change.
fn document(device_code: &str, expires_in: u32) -> String {
    format!(
        "{{ \"user_code\" : \"WDJB-\\u004dJHT\",\n\t\"device_code\":\"{device_code}\" , \"interval\":5.0,\
         \"verification_uri\":\"https:\\/\\/gate.test\\/device\", \"expires_in\": {expires_in}}}\r\n"
    )
}

/// A device authorization request and its verifier.
struct Device {
    request: Params,
    verifier: String,
    scope: String,
}

impl Device {
    fn new(rig: &Rig) -> Self {
        let (verifier, scope) = (unguessable(), unguessable());
        rig.keep_out_of_the_log([verifier.clone(), own(&scope)]);
        let request = Params::default()
            .with("client_id", "pub")
            .with("scope", &scope)
            .with("code_challenge", &s256(&verifier))
            .with("code_challenge_method", "S256");
        Self {
            request,
            verifier,
            scope,
        }
    }

    fn without_challenge(&self) -> Params {
        let request = self.request.clone().without("code_challenge");
        request.without("code_challenge_method")
    }

    /// The upstream's own device code.
    fn own(&self) -> String {
        own(&self.scope)
    }

    /// Sends the request, and returns the device code in the answer.
    #[track_caller]
    fn begin(&self, rig: &Rig) -> String {
        let response = rig.post(ENDPOINT, &[], &self.request.encoded());
        assert_eq!(response.status, 200, "{response}");
        let code = response.json()["device_code"].as_str().map(str::to_owned);
        let code = code.unwrap_or_else(|| panic!("{response}"));
        rig.keep_out_of_the_log([code.clone()]);
        code
    }

    /// The correct poll.
    fn poll(&self, device_code: &str) -> Params {
        poll(device_code).with("code_verifier", &self.verifier)
    }
}

/// A poll without a verifier.
fn poll(device_code: &str) -> Params {
    Params::default()
        .with("grant_type", GRANT)
        .with("device_code", device_code)
        .with("client_id", "pub")
}

/// The answer to the next poll.
fn next(rig: &Rig, status: &str, document: &Value) {
    rig.upstream
        .once("/token", Act::Say(json_reply(status, document), Then::GoOn));
}

fn pending(rig: &Rig) {
    next(
        rig,
        "400 Bad Request",
        &json!({ "error": "authorization_pending" }),
    );
}

/// Waits until the log has this text so many times.
#[track_caller]
fn logged(rig: &Rig, text: &str, times: usize) {
    rig.gate.log_until(|log| log.matches(text).count() >= times);
}

#[track_caller]
fn assert_error(response: &Response, error: &str) {
    assert_eq!(response.json()["error"], error, "{response}");
}

#[test]
fn the_verifier_is_checked_at_every_poll_and_redeems_once() {
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    assert!(is_handle(Purpose::Device, &code), "{code}");
    let asked = rig.upstream.requests_to(ENDPOINT).remove(0).form();
    for (name, value) in device.request.iter() {
        assert_eq!(asked.get(name), Some(value), "{name}");
    }
    // More often than a code may be released.
    for round in 0..14 {
        let error = if round % 5 == 4 {
            "slow_down"
        } else {
            "authorization_pending"
        };
        next(&rig, "400 Bad Request", &json!({ "error": error }));
        assert_error(&rig.token(&device.poll(&code)), error);
    }
    let right = device.poll(&code);
    for wrong in [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("code_verifier", "short"),
        right.clone().with("client_id", "other"),
        right.clone().without("client_id"),
        right.clone().with("device_code", &format!("{code}x")),
        right
            .clone()
            .with("device_code", &Device::new(&rig).begin(&rig)),
    ] {
        assert_refused(&rig.token(&wrong), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 14);
    assert_token(&rig.token(&right));
    let forwarded = rig.upstream.requests_to("/token").remove(14).form();
    assert_eq!(forwarded.get("device_code"), Some(&*device.own()));
    assert_eq!(forwarded.get("code_verifier"), Some(&*device.verifier));
    assert_eq!(forwarded.get("grant_type"), Some(GRANT));
    assert_refused(&rig.token(&right), "invalid_grant");
    assert_eq!(rig.forwarded(), 15);
    for violation in [
        "missing_verifier",
        "verifier_mismatch",
        "malformed_verifier",
        "client_mismatch",
        "unknown_code",
        "replayed_code",
    ] {
        logged(&rig, &format!("\"violation\":\"{violation}\""), 1);
    }
    logged(&rig, "\"endpoint\":\"device_authorization\"", 1);
}

#[test]
fn everything_in_the_answer_but_the_device_code_is_unchanged() {
    let rig = rig("");
    let device = Device::new(&rig);
    let response = rig.post(ENDPOINT, &[], &device.request.encoded());
    let code = response.json()["device_code"].as_str().unwrap().to_owned();
    assert_eq!(response.text(), document(&code, 600));
    assert_eq!(response.header("x-own"), Some("kept"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/json;charset=UTF-8"));
}

#[test]
fn wrong_verifiers_burn_the_device_code_and_other_refusals_do_not() {
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    for _ in 0..5 {
        assert_refused(&rig.token(&poll(&code)), "invalid_grant");
    }
    pending(&rig);
    assert_error(&rig.token(&device.poll(&code)), "authorization_pending");
    let wrong = poll(&code).with("code_verifier", &unguessable());
    for _ in 0..3 {
        assert_refused(&rig.token(&wrong), "invalid_grant");
    }
    assert_refused(&rig.token(&device.poll(&code)), "invalid_grant");
    assert_eq!(rig.forwarded(), 1);
    logged(&rig, "burnt_code", 1);
}

#[test]
fn without_a_challenge_everything_passes_unchanged() {
    for (device_key, codes) in [
        ("if_present", "handle"),
        ("if_present", "upstream"),
        ("off", "handle"),
    ] {
        let rig = rig_with(
            &format!("device = \"{device_key}\"\ncodes = \"{codes}\""),
            "",
        );
        let device = Device::new(&rig);
        // As a client writes it that knows several encodings.
        let body = device.without_challenge().encoded() + "&x=%7e&y=%C3%a9+z";
        let response = rig.post(ENDPOINT, &[("DPoP", "proof")], &body);
        assert_eq!(response.text(), document(&device.own(), 600));
        let asked = rig.upstream.requests_to(ENDPOINT).remove(0);
        assert_eq!(asked.text(), body);
        assert_eq!(asked.header("dpop"), Some("proof"));

        let body = poll(&device.own()).encoded() + "&x=%7e";
        for round in 0..2 {
            pending(&rig);
            assert_error(&rig.post("/token", &[], &body), "authorization_pending");
            let seen = rig.upstream.requests_to("/token").remove(round);
            assert_eq!(seen.text(), body);
        }
        let with_verifier = device.poll(&device.own());
        if device_key == "if_present" {
            // The challenge may have been removed (RFC 9700 section 2.1.1).
            assert_refused(&rig.token(&with_verifier), "invalid_grant");
            assert_eq!(rig.forwarded(), 2);
        }
        assert_token(&rig.post("/token", &[], &body));
    }
}

#[test]
fn a_challenge_passes_unseen_where_device_is_off() {
    let rig = rig_with("device = \"off\"", "");
    let device = Device::new(&rig);
    let response = rig.post(ENDPOINT, &[], &device.request.encoded());
    assert_eq!(response.text(), document(&device.own(), 600));
    let asked = rig.upstream.requests_to(ENDPOINT).remove(0);
    assert_eq!(asked.text(), device.request.encoded());
    assert_token(&rig.token(&poll(&device.own())));
}

#[test]
fn the_server_gets_no_pkce_under_strip() {
    let rig = rig("to_upstream = \"strip\"");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    assert_token(&rig.token(&device.poll(&code)));
    let [asked, polled] =
        [ENDPOINT, "/token"].map(|path| rig.upstream.requests_to(path).remove(0).form());
    assert_eq!(asked.get("scope"), Some(&*device.scope));
    assert_eq!(polled.get("device_code"), Some(&*device.own()));
    for name in ["code_challenge", "code_challenge_method", "code_verifier"] {
        assert_eq!((asked.get(name), polled.get(name)), (None, None), "{name}");
    }
}

#[test]
fn a_request_with_a_bad_challenge_is_refused_as_at_the_authorization_endpoint() {
    let rig = rig("");
    let device = Device::new(&rig);
    let right = &device.request;
    let mut seen = std::collections::BTreeMap::new();
    for (wrong, violation) in [
        (right.clone().without("code_challenge"), "missing_challenge"),
        (
            right.clone().without("code_challenge_method"),
            "method_not_allowed",
        ),
        (
            right.clone().with("code_challenge_method", "plain"),
            "method_not_allowed",
        ),
        (
            right.clone().with("code_challenge_method", "s256"),
            "method_not_allowed",
        ),
        (
            right.clone().with("code_challenge", "short"),
            "malformed_challenge",
        ),
        (right.clone().without("client_id"), "missing_client"),
        (right.clone().with("client_id", "pub "), "malformed_request"),
        (
            right.clone().with("code_challenge[]", "x"),
            "malformed_request",
        ),
        (
            right.clone().with("Code_Challenge", "x"),
            "malformed_request",
        ),
    ] {
        let response = rig.post(ENDPOINT, &[], &wrong.encoded());
        assert_refused(&response, "invalid_request");
        let times = seen.entry(violation).or_insert(0);
        *times += 1;
        logged(&rig, violation, *times);
    }
}

#[test]
fn a_device_authorization_request_is_parsed_as_strictly_as_a_token_request() {
    let rig = rig("");
    let form = Device::new(&rig).request.encoded();
    for (target, fields, body, status) in [
        (ENDPOINT, &[][..], format!("{form}&client_id=pub"), 400),
        (ENDPOINT, &[], format!("{form}&code_challenge=x"), 400),
        (ENDPOINT, &[], format!("{form}&x=a;b=c"), 400),
        (ENDPOINT, &[], format!("{form}&x=%"), 400),
        (
            ENDPOINT,
            &[("Authorization", "Basic b3RoZXI6cw==")],
            form.clone(),
            400,
        ),
        ("/device_authorization?client_id=x", &[], form.clone(), 400),
        (
            ENDPOINT,
            &[("Content-Type", "application/json")],
            "{\"client_id\":\"pub\"}".to_owned(),
            415,
        ),
        (
            ENDPOINT,
            &[],
            "{\"client_id\":\"pub\",\"code_challenge\":\"x\"}".to_owned(),
            400,
        ),
        (ENDPOINT, &[("Content-Encoding", "gzip")], form.clone(), 415),
        ("/DEVICE_AUTHORIZATION", &[], form.clone(), 400),
        ("/device_authorization/", &[], form.clone(), 400),
    ] {
        let response = rig.post(target, fields, &body);
        assert_eq!(
            response.status, status,
            "{target} {fields:?} {body}: {response}"
        );
        assert_error(&response, "invalid_request");
    }
    let get = rig.get(&format!("{ENDPOINT}?{form}"));
    assert_eq!(
        (get.status, get.header("allow")),
        (405, Some("POST")),
        "{get}"
    );
    assert!(rig.upstream.ledger().is_empty());
    // A preflight passes.
    let preflight =
        crate::support::rig::request("OPTIONS", ENDPOINT, &[("Origin", "https://a.test")], None);
    assert_eq!(rig.send(&preflight).status, 200);
}

#[test]
fn exceptions_and_grants_apply_to_the_device_flow() {
    let tables = "[[upstream.client]]\nid = \"tv\"\nmethods = [\"S256\", \"plain\"]\nuntil = \"2999-01-01\"\n\
                  owner = \"a@example.com\"\nreason = \"r\"";
    let pkce = "device = \"if_present\"\ngrants = [\"authorization_code\"]";
    let rig = rig_with("device = \"if_present\"", tables);
    let device = Device::new(&rig);
    let request = device.request.clone().with("client_id", "tv");
    let plain = request
        .with("code_challenge_method", "plain")
        .with("code_challenge", &device.verifier);
    let response = rig.post(ENDPOINT, &[], &plain.encoded());
    let code = response.json()["device_code"].as_str().unwrap().to_owned();
    let poll = device.poll(&code).with("client_id", "tv");
    assert_token(&rig.token(&poll));

    let rig = rig_with(pkce, "");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    for code in [&code, &device.own()] {
        assert_refused(&rig.token(&device.poll(code)), "unsupported_grant_type");
    }
    assert_eq!(rig.forwarded(), 0);
}

/// The gate forwards what it cannot judge, and does not change a byte.
#[test]
fn report_mode_refuses_and_changes_nothing() {
    let rig = rig("mode = \"report\"").unguarded();
    let device = Device::new(&rig);
    let bad = device
        .request
        .clone()
        .with("code_challenge_method", "plain");
    for request in [&device.request, &bad] {
        let response = rig.post(ENDPOINT, &[], &request.encoded());
        assert_eq!(response.text(), document(&device.own(), 600));
        assert_eq!(
            rig.upstream.requests_to(ENDPOINT).pop().unwrap().text(),
            request.encoded()
        );
        if request.get("code_challenge_method") == Some("S256") {
            pending(&rig);
            let wrong = poll(&device.own()).with("code_verifier", &unguessable());
            for (at, form) in [wrong, poll(&device.own()), device.poll(&device.own())]
                .into_iter()
                .enumerate()
            {
                rig.token(&form);
                assert_eq!(
                    rig.upstream.requests_to("/token")[at].text(),
                    form.encoded()
                );
            }
        }
    }
    for violation in [
        "verifier_mismatch",
        "missing_verifier",
        "method_not_allowed",
    ] {
        let reported = format!("\"decision\":\"reported\",\"violation\":\"{violation}\"");
        logged(&rig, &reported, 1);
    }
    let get = rig.get(ENDPOINT);
    assert_eq!(get.status, 200, "{get}");
}

/// The handles of an earlier configuration stay what they are.
#[test]
fn a_bound_device_code_is_judged_after_the_endpoint_was_removed() {
    let mut rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    let off = Config {
        endpoints: "device_authorization = [\"/device_authorization\"]",
        log: "level = \"trace\"",
        ..Config::default()
    };
    let off = rig.gate.with_store(&off.render(&rig.upstream));
    rig.gate.reload(&off);
    assert_refused(&rig.token(&poll(&code)), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.token(&device.poll(&code)));
    let forwarded = rig.upstream.requests_to("/token").remove(0).form();
    assert_eq!(forwarded.get("device_code"), Some(&*device.own()));
    let _ = rig.gate.in_force();
}
