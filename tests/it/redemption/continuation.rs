//! Continuations: what a page of the server may send back to the authorization path.

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{REDIRECT_URI, Rig, authorization_response, handle_of};
use crate::support::scripted::{Act, Shape, Then, reply};

/// A sign-in that waits for the user.
struct Waiting {
    rig: Rig,
    authorization: Authorization,
    entry: String,
    handle: String,
}

fn waiting() -> Waiting {
    waiting_for(|authorization| authorization.with("response_mode", "query"))
}

fn waiting_for(change: impl Fn(Authorization) -> Authorization) -> Waiting {
    let rig = Rig::new();
    rig.upstream.answer_with(Shape::Login);
    let authorization = change(rig.authorization());
    let entry = rig.entry(&authorization);
    assert_eq!(rig.get(&entry).status, 200);
    let handle = handle_of(&entry);
    Waiting {
        rig,
        authorization,
        entry,
        handle,
    }
}

impl Waiting {
    fn post(&self, target: &str, form: &str) -> Response {
        self.rig.post(target, &[], form)
    }

    #[track_caller]
    fn continues(&self, target: &str, form: &str) {
        let response = self.post(target, form);
        let answer = authorization_response(&response, &self.authorization);
        let answer = answer.unwrap_or_else(|| panic!("{target} {form}: {response}"));
        assert_eq!(answer.params.get("state"), self.authorization.state());
        assert_token(&self.rig.redeem(&self.authorization, answer.code()));
    }

    #[track_caller]
    fn is_refused(&self, target: &str, form: &str, violation: &str) {
        let before = self.rig.upstream.ledger().len();
        let response = self.post(target, form);
        assert_page(&response, 400, violation);
        assert_eq!(self.rig.upstream.ledger().len(), before, "{target} {form}");
    }

    /// Every parameter of the request as a hidden field, as servers write them.
    fn fields(&self) -> Params {
        let sent = self.authorization.params.clone();
        sent.without("code_challenge")
            .without("code_challenge_method")
            .with("state", &self.handle)
    }
}

#[test]
fn a_login_that_is_posted_to_the_same_url_continues() {
    let waiting = waiting();
    waiting.continues(&waiting.entry, "user=u&password=p%20w");
    let seen = &waiting.rig.upstream.ledger()[1];
    assert_eq!(
        (seen.method(), seen.text().as_str()),
        ("POST", "user=u&password=p%20w")
    );
}

#[test]
fn hidden_fields_that_repeat_the_request_continue_it() {
    let waiting = waiting();
    let fields = waiting.fields();
    waiting.continues("/authorize", &fields.encoded());
    waiting.continues(&waiting.entry, &fields.encoded());
    let challenge = s256(&waiting.authorization.verifier);
    let pkce = fields
        .with("code_challenge", &challenge)
        .with("code_challenge_method", "S256");
    waiting.continues("/authorize", &pkce.encoded());
}

/// Doorkeeper's form contains the default response mode, and oauthlib's the registered redirect URI, even if the client omitted
/// them.
#[test]
fn hidden_fields_with_defaults_that_the_client_omitted_continue_it() {
    let waiting = waiting_for(|authorization| authorization);
    let fields = waiting.fields().with("response_mode", "query");
    waiting.continues("/authorize", &fields.encoded());
    let in_query = format!("{}&response_mode=query", waiting.entry);
    waiting.continues(&in_query, "user=u");
    for mode in ["fragment", "form_post", "query.jwt", "jwt"] {
        let edited = fields.clone().with("response_mode", mode);
        waiting.is_refused("/authorize", &edited.encoded(), "continuation_mismatch");
    }

    let waiting = waiting_for(|authorization| Authorization {
        params: authorization.params.clone().without("redirect_uri"),
        ..authorization
    });
    let fields = waiting.fields().with("redirect_uri", REDIRECT_URI);
    let response = waiting.post("/authorize", &fields.encoded());
    let answer = authorization_response(&response, &waiting.authorization).expect("an answer");
    let redemption = waiting.authorization.redemption(answer.code());
    let redemption = redemption.without("redirect_uri");
    waiting.rig.vouch(&waiting.authorization);
    assert_token(&waiting.rig.token(&redemption));
}

#[test]
fn the_clients_own_state_next_to_the_handle_becomes_the_handle() {
    let waiting = waiting();
    let own = waiting.authorization.state().expect("a state").to_owned();
    waiting.continues(
        &waiting.entry,
        &Params::default().with("state", &own).encoded(),
    );
    let seen = waiting
        .rig
        .upstream
        .requests_to("/authorize")
        .pop()
        .expect("a request");
    assert_eq!(seen.form().get("state"), Some(waiting.handle.as_str()));
}

#[test]
fn the_servers_own_parameters_may_occur_twice() {
    let waiting = waiting();
    let form = format!(
        "state={}&scope=a&scope=b&scope=c&ok=1&ok=1&pw=%e9",
        waiting.handle
    );
    waiting.continues("/authorize", &form);
    let seen = waiting
        .rig
        .upstream
        .requests_to("/authorize")
        .pop()
        .expect("a request");
    assert_eq!(seen.text(), form, "everything else is unchanged");
}

#[test]
fn hidden_fields_that_were_edited_are_refused() {
    let waiting = waiting();
    let fields = waiting.fields();
    for (name, value) in [
        ("client_id", "other"),
        ("redirect_uri", "https://evil.test/cb"),
        ("redirect_uri", "https://client.test/cb/"),
        ("response_type", "code id_token"),
        ("response_type", "token"),
        ("response_mode", "fragment"),
        ("code_challenge", &s256(&unguessable())),
        ("request", "e30.e30."),
        ("request_uri", "urn:x"),
    ] {
        let edited = fields.clone().with(name, value).encoded();
        waiting.is_refused("/authorize", &edited, "continuation_mismatch");
        let in_query = format!(
            "/authorize?state={}&{}",
            waiting.handle,
            Params::default().with(name, value).encoded()
        );
        waiting.is_refused(&in_query, "user=u", "continuation_mismatch");
    }
    let foreign = Params::default()
        .with("state", "of-somebody-else")
        .encoded();
    waiting.is_refused(&waiting.entry, &foreign, "continuation_mismatch");
    waiting.continues("/authorize", &fields.encoded());
}

#[test]
fn a_protected_name_twice_in_one_part_is_refused() {
    let waiting = waiting();
    let fields = waiting.fields().encoded();
    for again in [
        "client_id=pub".to_owned(),
        "response_type=code".to_owned(),
        format!("state={}", waiting.handle),
    ] {
        waiting.is_refused(
            "/authorize",
            &format!("{fields}&{again}"),
            "continuation_mismatch",
        );
        waiting.is_refused(
            &format!("{}&{again}", waiting.entry),
            "",
            "continuation_mismatch",
        );
    }
}

#[test]
fn names_that_some_server_reads_as_protected_ones_are_refused() {
    let waiting = waiting();
    for name in [
        "Client_Id",
        "redirect.uri",
        "redirect_uri[]",
        "+state",
        "CODE_CHALLENGE",
    ] {
        waiting.is_refused(
            &waiting.entry,
            &format!("user=u&{name}=x"),
            "malformed_request",
        );
    }
}

#[test]
fn two_sign_ins_at_once_are_refused() {
    let waiting = waiting();
    let other = waiting.rig.entry(&waiting.rig.authorization());
    let other = handle_of(&other);
    let both = format!("state={other}");
    waiting.is_refused(&waiting.entry, &both, "malformed_request");
    waiting.is_refused(
        &format!("/authorize?state={}&state={other}", waiting.handle),
        "",
        "malformed_request",
    );
}

#[test]
fn a_dead_handle_ends_on_a_page_with_the_reason() {
    let waiting = waiting();
    // The handle of another gate with an upstream of the same name: well-formed, but unknown here.
    let elsewhere = Rig::new();
    let entry = elsewhere.entry(&elsewhere.authorization());
    let dead = handle_of(&entry);
    waiting.is_refused(&format!("/authorize?state={dead}"), "user=u", "expired");
    waiting.is_refused("/authorize", &format!("user=u&state={dead}"), "expired");
    let request = waiting.authorization.clone().with("state", &dead);
    let response = waiting.rig.enter(&request);
    assert_page(&response, 400, "expired");
    assert!(
        !response.text().contains("code_challenge"),
        "this is for users: {response}"
    );
}

#[test]
fn multipart_is_for_continuations_only() {
    let waiting = waiting();
    let body = "--x\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n--x--\r\n";
    let fields = [("Content-Type", "multipart/form-data; boundary=x")];
    let response = waiting.rig.post(&waiting.entry, &fields, body);
    let answer = authorization_response(&response, &waiting.authorization);
    assert!(answer.is_some(), "{response}");
    let seen = waiting
        .rig
        .upstream
        .requests_to("/authorize")
        .pop()
        .expect("a request");
    assert_eq!(seen.text(), body);
    assert_eq!(waiting.rig.post("/authorize", &fields, body).status, 415);
}

#[test]
fn an_answer_with_the_clients_state_instead_of_a_handle_is_refused() {
    let waiting = waiting();
    let own = waiting.authorization.state().expect("a state").to_owned();
    for target in [
        "/authorize".to_owned(),
        format!("/authorize?state={own}"),
        "/login".to_owned(),
    ] {
        let location = format!("{REDIRECT_URI}?code=aaaaaaaaaaaa&state={own}");
        let answer = reply("302 Found", &[("Location", &location)], b"");
        let path = target.split('?').next().unwrap_or_default();
        let then = Then::GoOn;
        waiting.rig.upstream.once(path, Act::Say(answer, then));
        let response = waiting.post(&target, "user=u&password=p");
        assert_page(&response, 502, "unbound_code_in_response");
        assert!(!response.text().contains("aaaaaaaaaaaa"));
    }
}

#[test]
fn a_code_for_another_redirect_uri_is_not_delivered() {
    for target in [
        "https://evil.test/cb",
        "https://client.test/cb/",
        "https://client.test/other",
        "http://client.test/cb",
    ] {
        let waiting = waiting();
        let location = format!("{target}?code=aaaaaaaaaaaa&state={}", waiting.handle);
        let answer = reply("302 Found", &[("Location", &location)], b"");
        let then = Then::GoOn;
        waiting
            .rig
            .upstream
            .once("/authorize", Act::Say(answer, then));
        let response = waiting.post(&waiting.entry, "user=u");
        assert_page(&response, 502, "unbound_code_in_response");
        // The sign-in has ended, because it cannot be trusted any more.
        waiting.is_refused(&waiting.entry, "user=u", "expired");
    }
}
