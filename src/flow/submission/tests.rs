use super::*;
use crate::flow::Application;
use crate::oauth::{ClientId, CodeChallengeMethod, RedirectUri};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn key() -> HandleKey {
    HandleKey::for_upstream("test")
}

fn handle() -> Handle {
    key().mint(Purpose::State, 0..200)
}

fn record() -> PendingAuthorization {
    PendingAuthorization {
        own: None,
        application: Application {
            client: ClientId::new("app").digest(),
            redirect: Some(RedirectUri::new("https://c/cb").digest()),
            response_type: Some("code".into()),
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(challenge()),
        state: ClientState::value("client-state"),
        browser: None,
    }
}

fn challenge() -> CodeChallenge {
    CodeChallenge::parse(CodeChallengeMethod::S256, CHALLENGE).unwrap()
}

fn read<'a>(query: &'a str, form: Option<&'a str>) -> Submission<'a> {
    Submission::read(query.as_bytes(), form.map(str::as_bytes), 64).unwrap()
}

#[test]
fn a_continuation_may_repeat_its_record_only() {
    let state = format!("state={}", handle().expose());
    for (query, form, ok) in [
        ("username=alice&scopes=a&scopes=b", None, true),
        (
            "client_id=app&redirect_uri=https://c/cb&response_type=code",
            None,
            true,
        ),
        (
            "client_id=app",
            Some("client_id=app&state=client-state&code_challenge=&allow=1"),
            true,
        ),
        (&*format!("code_challenge={CHALLENGE}"), None, true),
        ("client_id=other", None, false),
        ("redirect_uri=https://c/cb2", None, false),
        ("response_type=token", None, false),
        ("response_mode=query", None, true),
        (
            "",
            Some("response_mode=query&redirect_uri=https://c/cb"),
            true,
        ),
        ("response_mode=fragment", None, false),
        ("response_mode=form_post", None, false),
        ("response_mode=query.jwt", None, false),
        ("response_type=code+code", None, false),
        ("state=someone-else", None, false),
        (
            "code_challenge=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            None,
            false,
        ),
        ("request=x", None, false),
        ("client_id=app&client_id=app", None, false),
        ("", Some("redirect_uri=https://evil/"), false),
    ] {
        let form_with_state = form.map_or_else(|| state.clone(), |form| format!("{form}&x=1"));
        let query = if form.is_some() {
            format!("{query}&{state}")
        } else {
            query.to_owned()
        };
        let submission = read(&query, Some(&form_with_state));
        assert_eq!(
            submission.handle(&key()).unwrap(),
            Some(handle()),
            "{query}"
        );
        assert_eq!(
            submission.continues(&handle(), &record(), None).is_ok(),
            ok,
            "{query} {form:?}"
        );
    }
}

#[test]
fn a_continuation_may_repeat_the_pushed_request_that_it_began_with() {
    let state = format!("state={}", handle().expose());
    let urn = "urn:ietf:params:oauth:request_uri:a";
    for (uri, is_urn) in [
        (urn, true),
        ("URN:x:y", true),
        ("https://evil.test/object", false),
        ("https:evil.test", false),
        ("//evil.test/object", false),
        ("data:,x", false),
        (" urn:x", false),
        ("", false),
        ("urn", false),
    ] {
        let query = format!("client_id=app&request_uri={uri}&{state}");
        let submission = read(&query, None);
        assert_eq!(submission.request_uri(), is_urn.then_some(uri), "{uri}");
        let continues = |pushed| submission.continues(&handle(), &record(), pushed).is_ok();
        assert_eq!(continues(Some(urn)), uri == urn || uri.is_empty(), "{uri}");
        assert_eq!(continues(None), uri.is_empty(), "{uri}");
    }
}

#[test]
fn a_continuation_may_fill_in_default_values() {
    let continues = |record: &PendingAuthorization, form: &str| {
        read("", Some(form))
            .continues(&handle(), record, None)
            .is_ok()
    };
    let hybrid = PendingAuthorization {
        application: Application {
            response_type: Some("code id_token".into()),
            redirect: None,
            ..(*record().application).clone()
        }
        .into(),
        ..record()
    };
    for form in [
        "response_mode=fragment",
        "response_type=id_token+code&response_mode=fragment",
        "redirect_uri=https://c/registered",
    ] {
        assert!(continues(&hybrid, form), "{form}");
    }
    for form in [
        "response_mode=query",
        "response_type=id_token",
        "response_type=code+id_token+token",
    ] {
        assert!(!continues(&hybrid, form), "{form}");
    }
    let explicit = PendingAuthorization {
        application: Application {
            response_mode: Some("form_post".into()),
            ..(*record().application).clone()
        }
        .into(),
        ..record()
    };
    assert!(continues(&explicit, "response_mode=form_post"));
    assert!(!continues(&explicit, "response_mode=query"), "its own mode");
    let without_type = PendingAuthorization {
        application: Application {
            response_type: None,
            ..(*record().application).clone()
        }
        .into(),
        ..record()
    };
    assert!(!continues(&without_type, "response_mode=query"));
    assert!(!continues(&without_type, "response_type=code"));
}

#[test]
fn a_request_that_belongs_to_two_sign_ins_is_refused() {
    let other = key().mint(Purpose::State, 9..220);
    let (a, b) = (
        format!("state={}", handle().expose()),
        format!("state={}", other.expose()),
    );
    assert_eq!(
        read(&a, Some(&b)).handle(&key()),
        Err(Doubt::SeveralHandles)
    );
    assert_eq!(read(&a, Some(&a)).handle(&key()), Ok(Some(handle())));
    assert_eq!(read("state=mine", None).handle(&key()), Ok(None));
}

#[test]
fn fresh_requests_are_told_from_forms_of_the_server() {
    for (is_get, query, form, expected) in [
        (
            true,
            "response_type=code&client_id=a",
            None,
            Ok(Some(Part::Query)),
        ),
        (true, "client_id=a", None, Ok(Some(Part::Query))),
        (true, "request_uri=urn:x", None, Ok(Some(Part::Query))),
        (true, "error=x", None, Ok(None)),
        (
            false,
            "",
            Some("response_type=code&client_id=a"),
            Ok(Some(Part::Form)),
        ),
        (false, "", Some("username=a&password=b"), Ok(None)),
        (
            false,
            "client_id=a",
            Some("username=a&password=b"),
            Ok(None),
        ),
        (
            false,
            "response_type=code&client_id=a",
            Some("username=a"),
            Ok(Some(Part::Query)),
        ),
        (
            false,
            "response_type=code&client_id=a",
            Some("client_id=a&ok=1"),
            Ok(Some(Part::Query)),
        ),
        (
            false,
            "response_type=code&client_id=a",
            Some("client_id=b"),
            Err(Ambiguous::Split),
        ),
        (
            false,
            "client_id=a",
            Some("response_type=code"),
            Err(Ambiguous::Split),
        ),
        // A form field of the server's own, and authorization requests with only a request object.
        (false, "", Some("csrf=x&request=SIGNED"), Ok(None)),
        (false, "next=1", Some("request_uri=%2Fback&ok=1"), Ok(None)),
        (false, "", Some("request=e30.e30."), Ok(Some(Part::Form))),
        (
            false,
            "",
            Some("request_uri=x&scope=a"),
            Ok(Some(Part::Form)),
        ),
        (
            false,
            "",
            Some("csrf=x&client_id=&request=x"),
            Ok(Some(Part::Form)),
        ),
        (false, "request=x", Some("csrf=x"), Ok(Some(Part::Query))),
        (
            false,
            "client_id=a",
            Some("csrf=x&request=x"),
            Err(Ambiguous::Split),
        ),
        (true, "csrf=x&request=x", None, Ok(Some(Part::Query))),
    ] {
        assert_eq!(
            read(query, form).fresh(is_get),
            expected,
            "{query} {form:?}"
        );
    }
}

#[test]
fn only_a_pure_request_may_become_a_redirect() {
    assert!(read("response_type=code&scope=a&nonce=n", None).is_pure_request(&[]));
    assert!(!read("", Some("response_type=code&username=alice")).is_pure_request(&[]));
    // Parameters of the endpoint's URL are allowed, and kept.
    let own = ["p".to_owned()];
    assert!(read("response_type=code&p=1", None).is_pure_request(&own));
    assert!(!read("response_type=code&P=1", None).is_pure_request(&own));
    assert!(!read("", Some("response_type=code&p=1")).is_pure_request(&own));
    let posted = read("p=1", Some("response_type=code&code_challenge=x"));
    assert!(posted.is_pure_request(&own));
    let entry = String::from_utf8(posted.entry_query(Part::Form, Sign::State(&handle()))).unwrap();
    let state = handle().expose().to_owned();
    assert_eq!(entry, format!("p=1&response_type=code&state={state}"));
}

#[test]
fn the_redirect_has_no_pkce_and_the_handle_as_state() {
    let query = format!(
        "response_type=code&state=a%26b&code_challenge={CHALLENGE}&code_challenge_method=S256&scope=a+b"
    );
    let entry =
        String::from_utf8(read(&query, None).entry_query(Part::Query, Sign::State(&handle())))
            .unwrap();
    assert_eq!(
        entry,
        format!("response_type=code&state={}&scope=a+b", handle().expose())
    );
    let without = String::from_utf8(
        read("client_id=a", None).entry_query(Part::Query, Sign::State(&handle())),
    )
    .unwrap();
    assert_eq!(without, format!("client_id=a&state={}", handle().expose()));
}

#[test]
fn the_upstream_sees_the_handle_and_pkce_as_configured() {
    let (handle, challenge) = (handle(), challenge());
    let submission = read(
        "client_id=app&state=x&scope=a+b",
        Some("ok=1&state=x&code_challenge=&password=%E9"),
    );
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let forward =
        submission.towards_upstream(Sign::State(&handle), None, Towards::Forward(&challenge));
    let state = handle.expose();
    assert_eq!(
        text(forward.query),
        format!(
            "client_id=app&state={state}&scope=a+b&code_challenge={CHALLENGE}&code_challenge_method=S256"
        )
    );
    assert_eq!(
        text(forward.form.unwrap()),
        format!("ok=1&state={state}&code_challenge={CHALLENGE}&password=%E9")
    );
    let strip = submission.towards_upstream(Sign::State(&handle), None, Towards::Strip);
    assert_eq!(
        text(strip.query),
        format!("client_id=app&state={state}&scope=a+b")
    );
    assert_eq!(
        text(strip.form.unwrap()),
        format!("ok=1&state={state}&password=%E9")
    );
    let fresh = read("response_type=code", None).towards_upstream(
        Sign::State(&handle),
        Some(Part::Query),
        Towards::Strip,
    );
    assert_eq!(
        text(fresh.query),
        format!("response_type=code&state={state}")
    );
}

#[test]
fn the_clients_state_is_kept_in_all_its_forms() {
    for (query, expected) in [
        ("a=1", ClientState::Absent),
        ("state", ClientState::Bare),
        ("state=", ClientState::value("")),
        ("state=%26+%3D%C3%A9%22", ClientState::value("& =é\"")),
    ] {
        assert_eq!(
            read(query, None).client_state(Part::Query),
            expected,
            "{query}"
        );
    }
}

#[test]
fn lookalike_names_and_undecodable_protected_values_are_refused() {
    for query in [
        "STATE=x",
        "client-id=x",
        "code.challenge=x",
        "state=%ff",
        "x=1&%ff=2",
        "code[challenge=x",
        "scope=a;state=x",
        "state=\u{e4}",
        "client_id=a%20",
    ] {
        assert!(
            Submission::read(query.as_bytes(), None, 64).is_err(),
            "{query}"
        );
    }
    assert!(Submission::read(b"", Some(b"password=%E9"), 64).is_ok());
    assert!(Submission::read("x=\u{e4}&state=a;b".as_bytes(), None, 64).is_ok());
}

#[test]
fn only_prompt_none_alone_is_silent() {
    for (query, form, expected) in [
        ("prompt=none", None, true),
        ("prompt=none", Some("prompt=none"), true),
        ("prompt=none", Some("prompt=login"), false),
        ("prompt=none+login", None, false),
        ("prompt=None", None, false),
        ("prompt=", None, false),
        ("", None, false),
    ] {
        assert_eq!(read(query, form).is_silent(), expected, "{query} {form:?}");
    }
}
