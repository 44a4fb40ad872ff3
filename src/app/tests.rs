//! Tests that every place that uses the store refuses if the store fails (`store::failing`; the store itself is tested
//! by its contract).
//!
//! Each test first proceeds with a working store, then lets one operation fail, and checks that the place was reached,
//! that the request was refused, and that the sign-in can continue once the store works again.

mod device;
mod stage;

use crate::store::failing::Verb;
use stage::{Message, Stage, parameter};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://client.test/cb";
/// The code that the upstream issues.
const RAW: &str = "the-upstreams-own-code-1";

/// Configurations of how codes travel, in enforce mode.
const HANDLE: &str = "codes = \"handle\"";
const UPSTREAM: &str = "codes = \"upstream\"";
const REWRITE: &str = "codes = \"handle\"\nentry = \"rewrite\"";
/// One client is enforced, all others are in report mode.
const ONE_ENFORCED: &str =
    "mode = \"report\"\ncodes = \"handle\"\n[[upstream.client]]\nid = \"app\"\nmode = \"enforce\"";

/// An upstream that issues codes without a login.
fn server(request: &Message) -> String {
    let answer = |status: &str, fields: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
    };
    let redirect = |to: &str| {
        let state = request.parameter("state").unwrap_or_default();
        let location = format!("Location: {to}?code={RAW}&state={state}\r\n");
        answer("302 Found", &location, "")
    };
    match request.target().split('?').next() {
        Some("/authorize") if request.parameter("scope") == Some("elsewhere") => {
            redirect("https://elsewhere.test/cb")
        }
        Some("/authorize") if request.parameter("scope") == Some("page") => {
            let state = request.parameter("state").unwrap_or_default();
            let page = format!("<script>go('{REDIRECT}?code={RAW}&state={state}')</script>");
            answer("200 OK", "Content-Type: text/html\r\n", &page)
        }
        Some("/authorize") => redirect(REDIRECT),
        Some("/token") if request.body.contains("scope=busy") => {
            answer("503 Service Unavailable", "", "later")
        }
        Some("/token") => {
            let token = "{\"access_token\":\"at\",\"token_type\":\"Bearer\"}";
            answer("200 OK", "Content-Type: application/json\r\n", token)
        }
        _ => answer("200 OK", "Content-Type: text/plain\r\n", "a page"),
    }
}

fn fresh(more: &str) -> String {
    let redirect = REDIRECT.replace(':', "%3A").replace('/', "%2F");
    format!(
        "/authorize?response_type=code&client_id=app&redirect_uri={redirect}&state=its-own\
         &code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
    )
}

fn redemption(code: &str) -> String {
    let redirect = REDIRECT.replace(':', "%3A").replace('/', "%2F");
    format!(
        "grant_type=authorization_code&code={code}&client_id=app&redirect_uri={redirect}&code_verifier={VERIFIER}"
    )
}

/// The redirect target of a new authorization request.
fn entry(stage: &Stage, more: &str) -> String {
    let answer = stage.get(&fresh(more));
    assert_eq!(answer.status(), 303, "{answer:?}");
    answer.field("location").unwrap().to_owned()
}

/// The code that a client receives at the end of a sign-in.
fn code(stage: &Stage, codes: &str) -> String {
    let target = match codes {
        HANDLE => entry(stage, ""),
        _ => fresh(""),
    };
    let answer = stage.get(&target);
    let location = answer.field("location").unwrap_or_default();
    assert!(location.starts_with(REDIRECT), "{answer:?}");
    parameter(location, "code").unwrap().to_owned()
}

/// Checks that the gate refused the request without content of the upstream: the store was asked, the upstream was not.
#[track_caller]
fn assert_refused_before(stage: &Stage, verb: Verb, answer: &Message) {
    assert_ne!(
        stage.outage.failures(verb),
        0,
        "the store was not asked: {answer:?}"
    );
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert!(stage.asked().is_empty(), "the upstream was asked");
}

/// Checks that the gate refused a response that the upstream has sent.
#[track_caller]
fn assert_refused_after(stage: &Stage, verb: Verb, answer: &Message) {
    assert_ne!(
        stage.outage.failures(verb),
        0,
        "the store was not asked: {answer:?}"
    );
    assert!(matches!(answer.status(), 502 | 503), "{answer:?}");
    assert!(!format!("{answer:?}").contains(RAW), "{answer:?}");
    assert_eq!(stage.asked().len(), 1);
}

#[test]
fn a_sign_in_that_cannot_be_held_does_not_begin() {
    for codes in [HANDLE, UPSTREAM, REWRITE] {
        let stage = Stage::set(codes, server);
        stage.outage.begin(Verb::Hold);
        assert_refused_before(&stage, Verb::Hold, &stage.get(&fresh("")));
        stage.outage.end();
        code(&stage, codes);
    }
}

#[test]
fn a_sign_in_that_cannot_be_read_does_not_continue() {
    let stage = Stage::set(HANDLE, server);
    let entry = entry(&stage, "");
    stage.outage.begin(Verb::Pending);
    assert_refused_before(&stage, Verb::Pending, &stage.get(&entry));
    stage.outage.end();
    assert_eq!(stage.get(&entry).status(), 302);
}

#[test]
fn a_code_whose_sign_in_cannot_be_read_is_not_delivered() {
    let stage = Stage::set(HANDLE, server);
    let entry = entry(&stage, "");
    // The request is forwarded, but its response is refused.
    stage.outage.begin_after(Verb::Pending, 1);
    assert_refused_after(&stage, Verb::Pending, &stage.get(&entry));
    let stage = Stage::set(UPSTREAM, server);
    stage.outage.begin(Verb::Pending);
    assert_refused_after(&stage, Verb::Pending, &stage.get(&fresh("")));
}

#[test]
fn a_code_that_cannot_be_bound_is_not_delivered() {
    let stage = Stage::set(HANDLE, server);
    let entry = entry(&stage, "");
    stage.outage.begin(Verb::Bind);
    assert_refused_after(&stage, Verb::Bind, &stage.get(&entry));
    stage.outage.end();
    assert_eq!(stage.get(&entry).status(), 302, "the sign-in can continue");
    let stage = Stage::set(UPSTREAM, server);
    stage.outage.begin(Verb::Bind);
    assert_refused_after(&stage, Verb::Bind, &stage.get(&fresh("")));
}

#[test]
fn a_response_is_refused_even_if_its_sign_in_cannot_be_discarded() {
    let stage = Stage::set(HANDLE, server);
    let entry = entry(&stage, "&scope=elsewhere");
    stage.outage.begin(Verb::Discard);
    for _ in 0..2 {
        assert_refused_after(&stage, Verb::Discard, &stage.get(&entry));
    }
}

#[test]
fn a_code_that_cannot_be_claimed_is_not_redeemed() {
    for codes in [HANDLE, UPSTREAM] {
        let stage = Stage::set(codes, server);
        let code = code(&stage, codes);
        stage.asked();
        stage.outage.begin(Verb::Redeem);
        let answer = stage.post("/token", &redemption(&code));
        assert!(
            answer.body.contains("temporarily_unavailable"),
            "{answer:?}"
        );
        assert_refused_before(&stage, Verb::Redeem, &answer);
        stage.outage.end();
        let answer = stage.post("/token", &redemption(&code));
        assert!(answer.body.contains("access_token"), "{answer:?}");
    }
}

/// With `codes = "upstream"`, any parameter of a token request may contain a code.
#[test]
fn a_token_request_is_refused_if_the_owners_of_its_words_are_unknown() {
    let stage = Stage::set(UPSTREAM, server);
    let code = code(&stage, UPSTREAM);
    stage.asked();
    stage.outage.begin(Verb::Owners);
    for form in [
        redemption(&code),
        format!("grant_type=anything&ticket={code}&client_id=app"),
    ] {
        let answer = stage.post("/token", &form);
        assert_refused_before(&stage, Verb::Owners, &answer);
    }
}

/// A claim that cannot be settled lasts as long as the code.
#[test]
fn a_code_whose_claim_cannot_be_settled_is_not_redeemed_again() {
    for codes in [HANDLE, UPSTREAM] {
        for (more, first) in [("", 200), ("&scope=busy", 503)] {
            let stage = Stage::set(codes, server);
            let code = code(&stage, codes);
            stage.asked();
            stage.outage.begin(Verb::Settle);
            let form = format!("{}{more}", redemption(&code));
            assert_eq!(stage.post("/token", &form).status(), first);
            assert_eq!(stage.outage.failures(Verb::Settle), 1);
            stage.outage.end();
            let again = stage.post("/token", &redemption(&code));
            assert!(again.body.contains("invalid_grant"), "{again:?}");
            assert_eq!(stage.asked().len(), 1);
        }
    }
}

#[test]
fn a_page_with_a_code_and_a_handle_of_unknown_owner_is_refused() {
    let stage = Stage::set(HANDLE, server);
    let entry = entry(&stage, "&scope=page");
    stage.outage.begin(Verb::Owners);
    assert_refused_after(&stage, Verb::Owners, &stage.get(&entry));
}

#[test]
fn a_code_at_another_route_is_refused_if_its_owner_is_unknown() {
    let stage = Stage::set(UPSTREAM, server);
    let code = code(&stage, UPSTREAM);
    stage.asked();
    stage.outage.begin(Verb::Owners);
    let answer = stage.post("/oauth/exchange", &format!("ticket={code}"));
    assert_ne!(stage.outage.failures(Verb::Owners), 0);
    assert!(matches!(answer.status(), 400 | 503), "{answer:?}");
    assert!(stage.asked().is_empty());
}

#[test]
fn an_ambiguous_request_is_judged_by_the_strictest_rule_if_the_store_fails() {
    let lax = "[[upstream.client]]\nid = \"lax\"";
    let stage = Stage::set(&format!("{ONE_ENFORCED}\n{lax}"), server);
    let code = code(&stage, HANDLE);
    stage.asked();
    stage.outage.begin(Verb::Owners);
    // Two grant types make the request ambiguous; the code is that of the enforced client.
    let form = redemption(&code).replace("client_id=app", "client_id=lax&grant_type=x");
    let answer = stage.post("/token", &form);
    assert_ne!(stage.outage.failures(Verb::Owners), 0);
    assert!(matches!(answer.status(), 400 | 503), "{answer:?}");
    assert!(stage.asked().is_empty());
}

#[test]
fn a_code_beside_a_handle_of_unknown_owner_is_not_forwarded() {
    let stage = Stage::set(HANDLE, server);
    let handle = parameter(&entry(&stage, ""), "state").unwrap().to_owned();
    stage.outage.begin(Verb::Owners);
    let planted = format!("/login?next=%2Fx%3Fcode%3Dstolen%26state%3D{handle}");
    let answer = stage.get(&planted);
    assert_ne!(stage.outage.failures(Verb::Owners), 0);
    assert!(matches!(answer.status(), 400 | 503), "{answer:?}");
    assert!(stage.asked().is_empty());
}
