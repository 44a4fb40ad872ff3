//! Clients behind the gate: with `codes = "upstream"`, the code of such a client comes back to the gate in its authorization
//! response. It passes at its own redirect URI; elsewhere no code passes.
//!
//! `codes_at_the_redirect_uri_of_another_client` fails if a path at which one code arrived accepts all codes, or if a code that
//! was sent to one path passes at any; `token_requests_in_cookies` fails without the names of cookies.

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

/// A sign-in whose answer is sent to a path behind the gate, and its code.
fn signed_in_to(rig: &Rig, redirect: &str) -> (Authorization, String) {
    let authorization = rig.authorization().with("redirect_uri", redirect);
    let answer = rig.enter(&authorization);
    let location = answer.header("location").expect("a redirect");
    // Whatever the server's own address, clients use the gate's.
    assert!(
        location.starts_with(&format!("http://{HOST}")),
        "{location}"
    );
    let (_, code) = location.split_once("code=").expect("a code");
    let code = code.split('&').next().unwrap_or_default();
    (authorization, code.to_owned())
}

/// The requests by which a client behind the gate receives its code.
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
    // At the gate's address, at the upstream's, with a query, and in another spelling.
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
        // The client behind the gate redeems its code at the token endpoint like any other. If its page is reloaded, it appears
        // again.
        assert_token(&attacked.rig.redeem(&authorization, &code));
        attacked.passed(&responses(path, &code)[0]);
    }
}

/// The server may write a redirect URI on its own origin without the origin, or with the address that only the gate uses. Fails
/// if only the written form is compared (`belongs::targets`).
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
    // A client that is registered with an alias of the token endpoint, and a client behind the gate whose code was stolen.
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
    // Together with its own code no other code passes, and it is not a token request.
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

/// PHP's `$_REQUEST` and others read cookies as parameters: parameters of a token request in cookies count.
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
    // Cookies of the application.
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
