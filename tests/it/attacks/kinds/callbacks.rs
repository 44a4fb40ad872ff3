//! Clients that live behind the gate: where codes travel as the upstream issued them, the code of such a client comes back to the
//! gate in its authorization response. It passes at its own redirect URI, and nowhere else does any code.
//!
//! Seen to fail: `codes_at_the_redirect_uri_of_another_client` when a path at which one code arrived is open for all codes, and when a
//! code that was sent to one path passes at any; `token_requests_in_cookies` without the names of cookies.

use super::super::Attacked;
use super::answered;
use super::meant::issued_around;
use crate::support::client::{Authorization, assert_token};
use crate::support::rig::{Config, HOST, Rig, request, target};

fn attacked() -> Attacked {
    let config = Config {
        pkce: "codes = \"upstream\"",
        ..Config::default()
    };
    Attacked::sign_in(Rig::with(config), false)
}

/// A sign-in whose answer is sent to a path of the gate's own, and its code.
fn signed_in_to(rig: &Rig, redirect: &str) -> (Authorization, String) {
    let authorization = rig.authorization().with("redirect_uri", redirect);
    let answer = rig.enter(&authorization);
    let location = answer.header("location").expect("a redirect");
    // Whatever the server calls itself, clients know it by the gate's name.
    assert!(
        location.starts_with(&format!("http://{HOST}")),
        "{location}"
    );
    let (_, code) = location.split_once("code=").expect("a code");
    let code = code.split('&').next().unwrap_or_default();
    (authorization, code.to_owned())
}

/// As a client behind the gate is sent its code.
fn responses(path: &str, code: &str) -> Vec<Vec<u8>> {
    let target = |query: &str| format!("{path}?{query}");
    let (basic, cookie) = (
        ("Authorization", "Basic c3RhZ2U6c2VjcmV0"),
        ("Cookie", "session=1; code=x; client_id=pub"),
    );
    let plain = format!("code={code}");
    let whole = format!("code={code}&state=x&iss=http%3A%2F%2Fgate.test&session_state=1");
    vec![
        request("GET", &target(&whole), &[], None),
        request("GET", &target(&whole), &[basic, cookie], None),
        request("GET", &target(&plain), &[], None),
        request("POST", path, &[], Some(&whole)),
        request("POST", path, &[cookie], Some(&plain)),
    ]
}

#[test]
fn codes_at_their_own_redirect_uri() {
    let attacked = attacked();
    // Of the gate as clients know it, of the upstream, with a query; and in another spelling of the same.
    let upstream = attacked.rig.upstream.url();
    for (redirect, path) in [
        (format!("http://{HOST}/app/cb"), "/app/cb"),
        (format!("http://{HOST}/app/cb?route=sso"), "/app/cb"),
        (format!("http://{HOST}:80/"), "/"),
        (format!("{upstream}/admin/cb"), "/admin/cb"),
    ] {
        let (authorization, code) = signed_in_to(&attacked.rig, &redirect);
        for _ in 0..2 {
            for bytes in responses(path, &code) {
                attacked.passed(&bytes);
            }
        }
        // Its client behind the gate redeems it at the token endpoint like any other; reloaded, its page comes again.
        assert_token(&attacked.rig.redeem(&authorization, &code));
        attacked.passed(&responses(path, &code)[0]);
    }
}

/// However the server writes the address of a client on its own origin: without it, or with the one that only the gate knows. Fails
/// where only what is written is compared (`belongs::targets`).
#[test]
fn codes_for_a_redirect_uri_that_is_written_without_its_origin() {
    let attacked = attacked();
    let rig = &attacked.rig;
    let upstream = rig.upstream.url();
    let authority = upstream.strip_prefix("http://").expect("plain HTTP");
    let answer_of = |redirect: &str, to: &str| {
        let authorization = rig.authorization().with("redirect_uri", redirect);
        let code = issued_around(&attacked, "pub");
        let state = authorization.state().unwrap_or_default();
        let to = format!("{to}code={code}&state={state}");
        let bytes = request("GET", &target(&authorization), &[], None);
        let response = answered(rig, &bytes, super::redirect(&to));
        (response, rig.redeem(&authorization, &code), code)
    };
    let public = format!("http://{HOST}/app/cb");
    for (redirect, to) in [
        (&public, "/app/cb?".to_owned()),
        (&public, format!("//{HOST}/app/cb?")),
        (&public, format!("//{authority}/app/cb#")),
        (&public, format!("{upstream}/app/cb?")),
        (&public, "/app/../app/cb?".to_owned()),
        (&format!("{public}?a=b"), "/app/cb?a=b&".to_owned()),
        (&format!("{upstream}/app/cb"), format!("{upstream}/app/cb?")),
    ] {
        let (response, redeemed, code) = answer_of(redirect, &to);
        assert!(response.to_string().contains(&code), "{to}: {response}");
        assert_eq!(redeemed.status, 200, "{to}: {redeemed}");
    }
    for to in [
        "/app/cb2?",
        "/app/cb/?",
        "app/cb?",
        "http://evil.test/app/cb?",
    ] {
        let (_, redeemed, _) = answer_of(&public, to);
        assert_eq!(redeemed.status, 400, "{to}: {redeemed}");
    }
}

#[test]
fn codes_at_the_redirect_uri_of_another_client() {
    let attacked = attacked();
    let victims = attacked.raw();
    let everywhere = |path: &str, code: &str| {
        let mut all = responses(path, code);
        let whole = "grant_type=authorization_code; client_id=pub; redirect_uri=https%3A%2F%2Fclient.test%2Fcb";
        let query = format!("{path}?code={code}&state=x");
        all.push(request("GET", &query, &[("Cookie", whole)], None));
        all.push(request("GET", &format!("{path}/{code}?state=x"), &[], None));
        all
    };
    // A client that is registered with an alias of the token endpoint, and one behind the gate whose code somebody has.
    let alias = "/v2/token";
    let (_, own) = signed_in_to(&attacked.rig, &format!("http://{HOST}{alias}"));
    let (_, neighbours) = signed_in_to(&attacked.rig, &format!("http://{HOST}/app/cb"));
    for bytes in responses(alias, &own) {
        attacked.passed(&bytes);
    }
    for (path, codes) in [
        (alias, [&victims, &neighbours]),
        ("/app/cb", [&victims, &own]),
        ("/v3/token", [&neighbours, &own]),
    ] {
        for code in codes {
            for bytes in everywhere(path, code) {
                attacked.refused(&bytes, &[400]);
            }
        }
    }
    // Beside its own code nobody else's passes either, and it is no token request.
    for query in [
        format!("code={own}&x={victims}"),
        format!("code={victims}&state={own}"),
        format!("code={own}&client_id=pub"),
        format!("code={own}&grant_type=authorization_code"),
    ] {
        attacked.refused(
            &request("GET", &format!("{alias}?{query}"), &[], None),
            &[400],
        );
        attacked.refused_form(alias, &[], &query, &[400]);
    }
    assert_token(&attacked.rig.redeem(&attacked.authorization, &attacked.code));
}

/// PHP's `$_REQUEST` and others read cookies like parameters: what makes any request one for a token makes it one there, too.
#[test]
fn token_requests_in_cookies() {
    let attacked = attacked();
    for cookie in [
        "grant_type=authorization_code; client_id=pub; code=nobodys-code",
        "a=b; Grant-Type=authorization_code",
        "a=b,grant_type=x",
        "%67rant_type=x",
        "grant[type=x",
    ] {
        for target in ["/v2/token", "/v2/token?code=nobodys-code&state=x", "/"] {
            let fields = [("Cookie", cookie)];
            attacked.refused(&request("GET", target, &fields, None), &[400]);
            attacked.refused_form(target, &fields, "a=b", &[400]);
        }
    }
    // Whatever an application calls its own.
    for cookie in [
        "code=x; client_id=y; state=z; redirect_uri=/",
        "grant_type=; grant=1; type=2",
    ] {
        attacked.passed(&request(
            "GET",
            "/confirm?code=nobodys-code",
            &[("Cookie", cookie)],
            None,
        ));
    }
}
