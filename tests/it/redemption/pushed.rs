//! Pushed authorization requests (RFC 9126). The upstream's `request_uri` works any number of times, for any client.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkce_gate::parts::Purpose;
use serde_json::json;

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, encode, s256, unguessable};
use crate::support::rig::{self, Config, Jar, REDIRECT_URI, Rig, authorization_response};
use crate::support::scripted::{self, Act, Shape, Then};
use crate::support::store::is_handle;

use super::assert_page;

const URN: &str = "urn:ietf:params:oauth:request_uri:";

fn rig(pkce: &str) -> Rig {
    rig_with(pkce, "")
}

fn rig_with(pkce: &str, tables: &str) -> Rig {
    Rig::with(Config {
        pkce,
        tables,
        endpoints: "pushed_authorization_request = [\"/par\"]",
        ..Config::default()
    })
}

fn push(rig: &Rig, params: &Params) -> Response {
    rig.post("/par", &[], &params.encoded())
}

#[track_caller]
fn pushed(rig: &Rig, authorization: &Authorization) -> String {
    let answer = push(rig, &authorization.params);
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.json()["expires_in"], 60);
    let uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    rig.keep_out_of_the_log([uri.clone()]);
    uri
}

fn target(client: &str, uri: &str) -> String {
    format!("/authorize?client_id={client}&request_uri={}", encode(uri))
}

/// From the authorization request with a `request_uri` to the code.
#[track_caller]
fn code(rig: &Rig, authorization: &Authorization, uri: &str) -> String {
    let mut jar = Jar::default();
    let mut response = jar.get(rig, &target("pub", uri));
    if response.status == 303 {
        let entry = response.header("location").expect("a Location").to_owned();
        // A reload of the page continues the same sign-in.
        assert_eq!(jar.get(rig, &entry).status, 302);
        response = jar.get(rig, &entry);
    }
    let found = authorization_response(&response, authorization);
    let found = found.unwrap_or_else(|| panic!("no authorization response: {response}"));
    assert_eq!(found.params.get("state"), authorization.state());
    found.code().to_owned()
}

#[test]
fn a_pushed_request_ends_with_a_code_that_its_verifier_redeems() {
    for pkce in [
        "",
        "entry = \"rewrite\"",
        "to_upstream = \"strip\"",
        "correlation = \"cookie\"",
        "entry = \"rewrite\"\ncorrelation = \"cookie\"",
    ] {
        let rig = rig(pkce);
        let authorization = rig.authorization();
        let uri = pushed(&rig, &authorization);
        let handle = uri.strip_prefix(URN).expect("the form of RFC 9126");
        assert!(is_handle(Purpose::PushedRequest, handle), "{uri}");
        let code = if pkce.contains("rewrite") {
            let response = Jar::default().get(&rig, &target("pub", &uri));
            let found = authorization_response(&response, &authorization);
            found
                .unwrap_or_else(|| panic!("{response}"))
                .code()
                .to_owned()
        } else {
            code(&rig, &authorization, &uri)
        };
        let right = authorization.redemption(&code);
        for wrong in [
            right.clone().without("code_verifier"),
            right.clone().with("code_verifier", &unguessable()),
            right.clone().with("client_id", "other"),
        ] {
            assert_refused(&rig.token(&wrong), "invalid_grant");
        }
        assert_token(&rig.redeem(&authorization, &code));
        assert_refused(&rig.token(&right), "invalid_grant");
        let sent = rig.upstream.requests_to("/authorize");
        assert!(!sent.is_empty(), "{pkce}");
        for request in sent {
            let query = request.query();
            assert!(!query.contains("pkce_gate"), "the gate's own: {query}");
        }
    }
}

/// A form, with a parameter in the URL of the endpoint that chooses a tenant.
#[test]
fn a_form_with_a_request_uri_keeps_the_query_of_the_endpoint() {
    for entry in ["", "entry = \"rewrite\""] {
        let rig = rig(entry);
        let authorization = rig.authorization();
        let uri = pushed(&rig, &authorization);
        let form = format!("client_id=pub&request_uri={}&x=1", encode(&uri));
        let response = rig.post("/authorize?tenant=a", &[], &form);
        let found = authorization_response(&response, &authorization);
        let found = found.unwrap_or_else(|| panic!("{response}"));
        let sent = &rig.upstream.requests_to("/authorize")[0];
        assert_eq!(sent.query(), "tenant=a");
        let body = String::from_utf8(sent.content()).unwrap();
        assert!(
            body.starts_with("client_id=pub&request_uri=urn%3A"),
            "{body}"
        );
        assert!(body.contains("&x=1&state=pgs"), "{body}");
        assert_token(&rig.redeem(&authorization, found.code()));
    }
    let rig = rig("");
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    let form = format!("client_id=pub&request_uri={}", encode(&uri));
    let entered = rig.post("/authorize?ui_locales=en", &[], &form);
    let entry = entered
        .header("location")
        .unwrap_or_else(|| panic!("{entered}"));
    assert!(
        entry.starts_with("/authorize?ui_locales=en&client_id=pub&request_uri="),
        "{entry}"
    );
    let found = authorization_response(&rig.get(entry), &authorization);
    assert_token(&rig.redeem(&authorization, found.expect("a response").code()));
}

/// RFC 9126 section 2.2 leaves the form of a `request_uri` to the server. In a redirect a URL would be refused as foreign.
#[test]
fn a_request_uri_that_is_a_url_is_forwarded_in_place() {
    let rig = rig("");
    let answer = json!({ "request_uri": "https://op.test/request/1", "expires_in": 60 });
    rig.upstream.once(
        "/par",
        Act::Say(scripted::json("201 Created", &answer), Then::GoOn),
    );
    let uri = pushed(&rig, &rig.authorization());
    assert!(uri.starts_with(URN), "{uri}");
    let response = rig.get(&target("pub", &uri));
    assert_ne!(response.status, 303, "{response}");
    let sent = &rig.upstream.requests_to("/authorize")[0];
    let expected = "request_uri=https%3A%2F%2Fop.test%2Frequest%2F1&state=pgs";
    assert!(sent.query().contains(expected), "{}", sent.query());
}

/// The server would check the client in the object, or not: then the record would be of another client than its code.
#[test]
fn a_pushed_object_of_another_client_than_the_one_that_authenticates_is_refused() {
    let rig = rig("codes = \"upstream\"\nrequest_objects = \"read\"").unguarded();
    let object = |client: &str| {
        let claims = json!({
            "client_id": client,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "code_challenge": s256(&unguessable()),
            "code_challenge_method": "S256",
        });
        format!(
            "request=eyJhbGciOiJSUzI1NiJ9.{}.c2ln",
            URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    };
    let basic = format!("Basic {}", STANDARD.encode("conf:secret"));
    let authenticated = [("Authorization", &*basic)];
    for other in ["pub", "conf2", "conf "] {
        let refused = rig.post("/par", &authenticated, &object(other));
        assert_eq!(refused.status, 400, "{other}: {refused}");
        assert!(refused.text().contains("client"), "{refused}");
    }
    assert!(rig.upstream.requests_to("/par").is_empty());
    let pushed = rig.post("/par", &authenticated, &object("conf"));
    assert_eq!(pushed.status, 201, "{pushed}");
}

#[test]
fn a_push_without_a_good_challenge_is_refused_in_json() {
    let rig = rig("");
    let good = rig.authorization().params;
    for (params, text) in [
        (
            good.clone()
                .without("code_challenge")
                .without("code_challenge_method"),
            "code challenge required",
        ),
        (good.clone().without("code_challenge_method"), "means plain"),
        (
            good.clone().with("code_challenge_method", "plain"),
            "send S256",
        ),
        (good.clone().with("response_type", "token"), "response_type"),
        (
            good.clone().with("request_uri", "urn:x"),
            "must not contain request_uri",
        ),
        (good.clone().with("request", "e30.e30."), "request objects"),
        (good.clone().without("client_id"), "client_id is missing"),
        (good.clone().with("client_id", "pub "), "client_id"),
    ] {
        let refused = push(&rig, &params);
        assert_eq!(refused.status, 400, "{refused}");
        let description = refused.json()["error_description"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(description.contains(text), "{text}: {description}");
        assert_eq!(refused.header("cache-control"), Some("no-store"));
    }
    let twice = format!("{}&code_challenge=x", good.encoded());
    assert_eq!(rig.post("/par", &[], &twice).status, 400);
    let query = rig.post("/par?state=x", &[], &good.encoded());
    assert_eq!(query.status, 400, "{query}");
    assert_eq!(rig.get("/par").status, 405);
    assert!(rig.upstream.requests_to("/par").is_empty());
}

#[test]
fn a_request_uri_works_once_and_for_its_client() {
    let rig = rig("");
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    let text = "does not lead to a pushed authorization request";
    assert_page(&rig.get(&target("other", &uri)), 400, text);
    let code = code(&rig, &authorization, &uri);
    assert_page(&rig.get(&target("pub", &uri)), 400, text);
    assert_token(&rig.redeem(&authorization, &code));
}

/// What a thief could bring in place of it.
#[test]
fn only_a_pushed_request_uri_is_accepted() {
    let rig = rig("");
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    let other = rig.authorization();
    let code_of_other = rig.code_for(&other);
    let own = rig.upstream.ledger();
    let upstream_uri = own.iter().find(|request| request.path() == "/par");
    assert!(upstream_uri.is_some());
    for stolen in [
        "https://evil.test/request",
        "urn:ietf:params:oauth:request_uri:unknown",
        &format!("{URN}{code_of_other}"),
        &code_of_other,
        uri.strip_prefix(URN).unwrap(),
        &uri.replacen(URN, "urn:other:", 1),
        &format!("{uri}x"),
    ] {
        let refused = rig.get(&target("pub", stolen));
        assert_eq!(refused.status, 400, "{stolen}: {refused}");
    }
    // A request_uri is no code.
    let handle = uri.strip_prefix(URN).unwrap();
    for code in [handle, &uri] {
        let stolen = authorization.redemption(code);
        assert_refused(&rig.token(&stolen), "invalid_grant");
    }
    assert!(
        rig.upstream
            .requests_to("/authorize")
            .iter()
            .all(|request| !request.query().contains("request_uri"))
    );
    let code = code(&rig, &authorization, &uri);
    assert_token(&rig.redeem(&authorization, &code));
    assert_token(&rig.redeem(&other, &code_of_other));
}

/// RFC 9126 section 4: what was pushed counts.
#[test]
fn parameters_beside_the_request_uri_change_nothing() {
    let rig = rig("");
    let authorization = rig.authorization();
    let thief = unguessable();
    let uri = pushed(&rig, &authorization);
    let target = format!(
        "{}&code_challenge={}&code_challenge_method=S256&redirect_uri=https%3A%2F%2Fevil.test%2Fcb&state=x&response_type=code",
        target("pub", &uri),
        s256(&thief),
    );
    let entered = rig.get(&target);
    let entry = entered
        .header("location")
        .unwrap_or_else(|| panic!("{entered}"));
    for gone in ["evil", "code_challenge", "response_type"] {
        assert!(!entry.contains(gone), "{entry}");
    }
    let response = rig.get(entry);
    let found =
        authorization_response(&response, &authorization).expect("at the pushed redirect URI");
    assert_eq!(found.params.get("state"), authorization.state());
    let stolen = authorization
        .redemption(found.code())
        .with("code_verifier", &thief);
    assert_refused(&rig.token(&stolen), "invalid_grant");
    assert_token(&rig.redeem(&authorization, found.code()));
}

#[test]
fn without_the_endpoint_every_request_uri_is_refused() {
    let rig = Rig::new();
    let refused = rig.get(&target("pub", "urn:ietf:params:oauth:request_uri:x"));
    assert_page(&refused, 400, "request_uri is not accepted here");
}

#[test]
fn errors_go_to_a_known_redirect_uri_only_if_the_request_names_it() {
    let tables = format!("[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"{REDIRECT_URI}\"]");
    let rig = rig_with("", &tables);
    let refused = rig.get(&target("pub", &format!("{URN}unknown")));
    assert_page(&refused, 400, "does not lead to");
}

/// With the upstream's own codes nothing is changed. The `request_uri` is known by its digest.
#[test]
fn a_pushed_request_is_bound_without_handles() {
    let rig = rig("codes = \"upstream\"").unguarded();
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    assert!(uri.contains(":up-"), "{uri}");
    let refused = rig.get(&target("other", &uri));
    assert_eq!(refused.status, 400, "{refused}");
    for _ in 0..2 {
        // Also after a reload.
        let code = code(&rig, &authorization, &uri);
        let right = authorization.redemption(&code);
        assert_refused(
            &rig.token(&right.clone().without("code_verifier")),
            "invalid_grant",
        );
        assert_token(&rig.redeem(&authorization, &code));
    }
    let unknown = rig.get(&target("pub", &format!("{URN}up-unknown")));
    assert_eq!(unknown.status, 400, "{unknown}");
}

#[test]
fn report_mode_records_what_enforce_would_refuse_and_nothing_else() {
    let rig = rig("mode = \"report\"").unguarded();
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    let code_of_it = code(&rig, &authorization, &uri);
    assert_token(&rig.redeem(&authorization, &code_of_it));
    let log = rig.gate.log();
    assert!(!log.contains("\"decision\":\"reported\""), "{log}");
    let bare = rig.authorization().without_challenge();
    pushed(&rig, &bare);
    let unknown = rig.get(&target("pub", &format!("{URN}up-unknown")));
    assert_eq!(unknown.status, 302, "{unknown}");
    let violations = ["missing_challenge", "unknown_request_uri"];
    rig.gate
        .log_until(|log| violations.iter().all(|it| log.contains(it)));
}

/// The browser of a pushed request is known when it brings the `request_uri`. From then on a request with equal values, in another
/// window of a thief who has a challenge of their own, makes both unusable, as without a push.
#[test]
fn another_window_cannot_take_the_code_of_a_pushed_request() {
    for (binding, has_state, is_earlier) in [
        ("soft", true, false),
        ("soft", true, true),
        ("soft", false, false),
        ("hard", true, false),
        ("hard", false, true),
    ] {
        let rig = rig(&format!(
            "codes = \"upstream\"\nbrowser_binding = \"{binding}\""
        ));
        let rig = rig.unguarded();
        rig.upstream.answer_with(Shape::Login);
        let mut victim = rig.authorization();
        if !has_state {
            victim = victim.without("state");
        }
        let mut thief = rig.authorization();
        thief = match victim.state() {
            Some(state) => thief.with("state", state),
            None => thief.without("state"),
        };
        let uri = pushed(&rig, &victim);
        let mut jar = Jar::default();
        let mut steps = [target("pub", &uri), rig::target(&thief)];
        if is_earlier {
            steps.reverse();
        }
        for step in &steps {
            let page = jar.get(&rig, step);
            assert_eq!(page.status, 200, "{page}");
        }
        let cookies = [("Cookie", &*jar.cookies())];
        let ended = rig.post(&target("pub", &uri), &cookies, "user=u");
        assert_eq!(
            ended.status, 502,
            "{binding} {has_state} {is_earlier}: {ended}"
        );
        for code in rig.upstream.codes() {
            for owner in [&victim, &thief] {
                assert_refused(&rig.token(&owner.redemption(&code)), "invalid_grant");
            }
        }
        assert_eq!(rig.forwarded(), 0);
    }
}

/// An attacker's own code at the redirect URI of a pushed request without a state. No browser has brought its `request_uri`.
#[test]
fn a_push_alone_makes_no_answer_its_own() {
    let rig = rig("codes = \"upstream\"").unguarded();
    let victim = rig.authorization().without("state");
    pushed(&rig, &victim);
    let location = format!("{REDIRECT_URI}?code=attackers-own-code");
    let answer = scripted::reply("302 Found", &[("Location", &location)], b"");
    rig.upstream.once("/login", Act::Say(answer, Then::GoOn));
    let refused = rig.post("/login", &[], "user=attacker");
    assert_eq!(refused.status, 502, "{refused}");
    assert_refused(
        &rig.token(&victim.redemption("attackers-own-code")),
        "invalid_grant",
    );
}

/// Also at a server that prefers the parameters beside a `request_uri`.
#[test]
fn parameters_beside_the_request_uri_are_not_forwarded_with_the_upstreams_codes() {
    let rig = rig("codes = \"upstream\"").unguarded();
    let authorization = rig.authorization();
    let uri = pushed(&rig, &authorization);
    let beside = "&ui_locales=en&state=x&redirect_uri=https%3A%2F%2Fevil.test&response_type=token&code_challenge=x&response_mode=query.jwt";
    for _ in 0..2 {
        let response = rig.get(&(target("pub", &uri) + beside));
        assert!(authorization_response(&response, &authorization).is_some());
        let sent = rig.upstream.requests_to("/authorize").pop().unwrap();
        let expected = target("pub", &uri) + "&ui_locales=en";
        assert_eq!(sent.target(), expected);
    }
}

/// The `request_uri` of the upstream is in the address bar, once the gate has redirected.
#[test]
fn a_sign_in_goes_on_with_the_request_uri_that_it_began_with_and_no_other() {
    for correlation in ["state", "cookie"] {
        let rig = rig(&format!("correlation = \"{correlation}\"")).unguarded();
        let [victim, thief] = [(); 2].map(|()| rig.authorization());
        let mut jars = [(); 2].map(|()| Jar::default());
        let mut entry = |jar: usize, authorization| {
            let uri = pushed(&rig, authorization);
            let entered = jars[jar].get(&rig, &target("pub", &uri));
            entered.header("location").expect("a Location").to_owned()
        };
        let (of_victim, of_thief) = (entry(0, &victim), entry(1, &thief));
        let uri_of = |entry: &str| {
            let (_, query) = entry.split_once('?').unwrap();
            Params::from_query(query)
                .get("request_uri")
                .unwrap()
                .to_owned()
        };
        let mixed = of_thief.replace(&encode(&uri_of(&of_thief)), &encode(&uri_of(&of_victim)));
        assert_ne!(mixed, of_thief);
        let refused = jars[1].get(&rig, &mixed);
        assert_page(&refused, 400, "request_uri differs");
        let plain = jars[1].get(&rig, &rig::target(&rig.authorization()));
        let plain = plain.header("location").expect("a Location").to_owned();
        let refused = jars[1].get(
            &rig,
            &format!("{plain}&request_uri={}", encode(&uri_of(&of_victim))),
        );
        assert_page(&refused, 400, "request_uri differs");
        for (jar, entry, authorization) in [(0, &of_victim, &victim), (1, &of_thief, &thief)] {
            let response = jars[jar].get(&rig, entry);
            let found = authorization_response(&response, authorization);
            let found = found.unwrap_or_else(|| panic!("{response}"));
            assert_token(&rig.redeem(authorization, found.code()));
        }
    }
}

/// Whatever the client sends.
#[test]
fn a_pushed_request_has_the_pair_of_the_gate_where_that_is_configured() {
    let tables = "[[upstream.client]]\nid = \"pub\"\ntype = \"confidential\"";
    let rig = rig_with("to_upstream = \"replace\"\nrequire = \"public\"", tables);
    for authorization in [rig.authorization(), rig.authorization().without_challenge()] {
        let uri = pushed(&rig, &authorization);
        let sent = rig.upstream.requests_to("/par").pop().unwrap().form();
        let challenge = sent.get("code_challenge").expect("a challenge").to_owned();
        assert_ne!(
            Some(&*challenge),
            authorization.params.get("code_challenge")
        );
        let code = code(&rig, &authorization, &uri);
        rig.vouch(&authorization);
        let mut redemption = authorization.redemption(&code);
        if authorization.params.get("code_challenge").is_none() {
            redemption = redemption.without("code_verifier");
        }
        assert_token(&rig.token(&redemption));
        let redeemed = rig.upstream.requests_to("/token").pop().unwrap().form();
        let verifier = redeemed.get("code_verifier").expect("a verifier");
        assert_eq!(s256(verifier), challenge);
    }
}

/// What an ID token hashes is not replaced, also if it was pushed.
#[test]
fn a_pushed_hybrid_request_keeps_the_upstreams_values() {
    let rig = rig("response_types = [\"code\", \"code id_token\"]").unguarded();
    let authorization = rig.authorization().with("response_type", "code id_token");
    let uri = pushed(&rig, &authorization);
    assert!(uri.contains(":up-"), "{uri}");
    let response = rig.get(&target("pub", &uri));
    let found = authorization_response(&response, &authorization);
    let found = found.unwrap_or_else(|| panic!("{response}"));
    assert!(rig.upstream.codes().contains(&found.code().to_owned()));
    let right = authorization.redemption(found.code());
    let wrong = right.clone().with("code_verifier", &unguessable());
    assert_refused(&rig.token(&wrong), "invalid_grant");
    assert_token(&rig.redeem(&authorization, found.code()));
}
