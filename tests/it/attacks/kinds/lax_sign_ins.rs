//! The sign-in of a client that is not enforced, used as a way around for one that is: it begins without a challenge, and
//! continues under the name of the other client.
//!
//! `continuations_that_name_another_client` fails if a mismatch is judged by the rule of the sign-in's client alone,
//! `answers_to_requests_of_another_client` without `is_of_other_client` in the facts of an answer.

use super::super::multipart;
use super::request_objects::objects;
use super::{answered, redirect};
use crate::support::params::{Params, encode};
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, handle_of, request};

/// `pub` is enforced and `lax` in report mode: because of an exception, or because that is the default.
fn gates() -> [Rig; 2] {
    gates_with("handle")
}

fn gates_with(codes: &str) -> [Rig; 2] {
    let client = |id: &str, mode: &str, until: &str| {
        format!(
            "[[upstream.client]]\nid = \"{id}\"\nowner = \"a\"\nreason = \"a test\"\n{until}mode = \"{mode}\"\ncodes = \"{codes}\"\n"
        )
    };
    let until = "until = \"2999-12-31\"\n";
    [
        ("enforce", client("lax", "report", until)),
        ("report", client("pub", "enforce", "")),
    ]
    .map(|(mode, tables)| {
        let rig = Rig::with(Config {
            pkce: &format!("mode = \"{mode}\"\ncodes = \"{codes}\""),
            tables: &tables,
            ..Config::default()
        });
        rig.unguarded()
    })
}

/// A sign-in of `lax` without a challenge.
fn begun(rig: &Rig) -> (String, String) {
    let lax = rig.authorization().without_challenge();
    let entry = rig.entry(&lax.with("client_id", "lax"));
    let handle = handle_of(&entry);
    (entry, handle)
}

/// Parameters that name `pub`, or may do so.
fn named_otherwise() -> Vec<String> {
    let redirect_uri = encode(REDIRECT_URI);
    let mut named = vec![
        "client_id=pub".to_owned(),
        "client%5Fid=%70ub".to_owned(),
        "Client_Id=pub".to_owned(),
        "client_id[]=pub".to_owned(),
        format!("client_id=pub&response_type=code&redirect_uri={redirect_uri}"),
        format!("client_id=pub&response_type=token&redirect_uri={redirect_uri}"),
        "client_id=lax&client_id=pub".to_owned(),
        "request_uri=urn:ietf:params:oauth:request_uri:x".to_owned(),
        "client_id=lax&request_uri=https://client.test/object".to_owned(),
    ];
    for object in objects("") {
        named.push(format!("request={object}"));
        named.push(format!("client_id=lax&request={object}"));
    }
    named
}

#[test]
fn continuations_that_name_another_client() {
    for rig in gates() {
        for named in named_otherwise() {
            for (query, form) in [
                ("state=HANDLE&NAMED", None),
                ("state=HANDLE", Some("NAMED")),
                ("NAMED", Some("state=HANDLE")),
                ("", Some("state=HANDLE&NAMED")),
            ] {
                let (_, handle) = begun(&rig);
                let fill = |text: &str| text.replace("NAMED", &named).replace("HANDLE", &handle);
                let target = format!("/authorize?{}", fill(query));
                let form = form.map(fill);
                let method = if form.is_some() { "POST" } else { "GET" };
                let before = rig.upstream.ledger().len();
                let response = rig.send(&request(method, &target, &[], form.as_deref()));
                assert_eq!(response.status, 400, "{target} {form:?}: {response}");
                assert_eq!(rig.upstream.ledger().len(), before, "{target} {form:?}");
            }
        }
        // As multipart, after the handle in the query.
        let (_, handle) = begun(&rig);
        let parts = multipart(&Params::default().with("client_id", "pub"), "b");
        let before = rig.upstream.ledger().len();
        let fields = [("Content-Type", "multipart/form-data; boundary=b")];
        let target = format!("/authorize?state={handle}");
        let response = rig.send(&request("POST", &target, &fields, Some(&parts)));
        assert_eq!(response.status, 415, "{response}");
        assert_eq!(rig.upstream.ledger().len(), before);
    }
}

/// Under its own name, and with any other parameters, the sign-in of a client in report mode continues.
#[test]
fn continuations_of_a_client_in_report_mode() {
    for rig in gates() {
        for own in [
            "",
            "client_id=lax",
            "client_id=lax&response_mode=fragment",
            "response_type=code+id_token",
            "redirect_uri=https%3A%2F%2Fclient.test%2Fother",
        ] {
            let (_, handle) = begun(&rig);
            let before = rig.upstream.ledger().len();
            rig.post("/authorize", &[], &format!("state={handle}&{own}"));
            assert_eq!(rig.upstream.ledger().len(), before + 1, "{own}");
        }
    }
}

/// At a path that is not listed the gate does not recognise an authorization request. The server's answer does not belong to
/// the sign-in.
#[test]
fn answers_to_requests_of_another_client() {
    for rig in gates() {
        for with in [
            "?code=serial-of-it",
            "#access_token=SplxlOBeZQQYbYS6WxSbIA&token_type=Bearer",
            "#code=serial-of-it&id_token=e30.e30.e30",
        ] {
            for (named, passes) in [
                ("client_id=pub&response_type=token", false),
                ("client_id=pub&response_type=code", false),
                ("Client_Id=pub&responseType=code", false),
                // The server may have a default.
                (
                    "client_id=pub&redirect_uri=https%3A%2F%2Fclient.test%2Fcb",
                    false,
                ),
                (
                    "client_id=lax&request=e30.eyJjbGllbnRfaWQiOiJwdWIifQ.",
                    false,
                ),
                ("client_id=lax&request_uri=urn:x", false),
                // A form of the server.
                ("client_id=42&ok=1", true),
                ("csrf=x&request=SIGNED&action=grant", true),
                ("client_id=lax&response_type=code", true),
                ("", true),
            ] {
                for in_form in [false, true] {
                    let (_, handle) = begun(&rig);
                    let begin = if in_form {
                        let form = format!("{named}&state={handle}");
                        request("POST", "/v2/authorize", &[], Some(&form))
                    } else {
                        let target = format!("/v2/authorize?{named}&state={handle}");
                        request("GET", &target, &[], None)
                    };
                    let with = with.replace("serial", handle.get(8..16).unwrap_or_default());
                    let answer = redirect(&format!("{REDIRECT_URI}{with}&state={handle}"));
                    let response = answered(&rig, &begin, answer);
                    let shown = format!("{named} {with}: {response}");
                    if passes {
                        assert_eq!(response.status, 302, "{shown}");
                    } else {
                        assert_eq!(response.status, 502, "{shown}");
                    }
                }
            }
        }
        // The complete attack, up to the token.
        let lax = rig
            .authorization()
            .without_challenge()
            .with("client_id", "lax");
        let code = rig.sign_in(&lax);
        assert!(authorization_response(&rig.get(&rig.entry(&lax)), &lax).is_some());
        assert!(!code.code().is_empty());
    }
}

/// Whatever the request contains, an answer that leads to another client does not belong to the sign-in; and an unreadable
/// request may name any client. Fails without the arm for `Leads::Away` in `Belongs::rule`, and if `Asked::rule_of` ignores
/// unreadable requests.
#[test]
fn answers_that_may_be_another_clients() {
    for rig in gates() {
        // An answer that leads to another client does not belong to the sign-in.
        for to in [
            "https://other.test/cb?code=serial-of-it",
            "https://client.test/other#access_token=SplxlOBeZQQYbYS6WxSbIA&token_type=Bearer",
        ] {
            let (_, handle) = begun(&rig);
            let begin = request("GET", &format!("/v2/authorize?state={handle}"), &[], None);
            let answer = redirect(&format!("{to}&state={handle}"));
            let response = answered(&rig, &begin, answer);
            assert_eq!(response.status, 502, "{to}: {response}");
        }
        // An unreadable request may name any client.
        for (fields, body) in [
            (
                vec![("Content-Encoding", "gzip")],
                "\u{1f}\u{8b}sealed".to_owned(),
            ),
            (
                vec![(
                    "Content-Type",
                    "application/x-www-form-urlencoded; charset=utf-16",
                )],
                "x=y".to_owned(),
            ),
            (vec![], "x".repeat(100_000)),
        ] {
            let (_, handle) = begun(&rig);
            let begin = request(
                "POST",
                &format!("/v2/authorize?state={handle}"),
                &fields,
                Some(&body),
            );
            let answer = redirect(&format!("{REDIRECT_URI}?code=serial-of-it&state={handle}"));
            let response = answered(&rig, &begin, answer);
            assert_eq!(response.status, 502, "{fields:?}: {response}");
        }
    }
}

/// With `codes = "upstream"`: a stolen code after the attacker's own codes, at the token endpoint and elsewhere. Fails if the
/// first code alone decides which rule applies.
#[test]
fn stolen_codes_after_codes_of_a_client_in_report_mode() {
    for rig in gates_with("upstream") {
        let victim = rig.authorization();
        let stolen = rig.code_for(&victim);
        let lax = rig
            .authorization()
            .without_challenge()
            .with("client_id", "lax");
        let own = [
            rig.code_for(&lax),
            rig.code_for(&lax.clone().with("state", "another")),
        ];
        let forms = [
            format!("a={}&ticket={stolen}", own[0]),
            format!("ticket={stolen}&a={}", own[0]),
            format!("a={}&b={}&ticket={stolen}&c={}", own[0], own[1], own[0]),
        ];
        for form in forms {
            for form in [
                format!("grant_type=authorization_code&client_id=lax&{form}"),
                format!("grant_type=urn:x&client_id=lax&{form}"),
            ] {
                let before = rig.upstream.ledger().len();
                let response = rig.post("/token", &[], &form);
                assert_eq!(response.status, 400, "{form}: {response}");
                assert_eq!(rig.upstream.ledger().len(), before, "{form}");
            }
            for request in [
                request("POST", "/api/ticket", &[], Some(&form)),
                request("GET", &format!("/api/ticket?{form}"), &[], None),
            ] {
                let before = rig.upstream.ledger().len();
                let response = rig.send(&request);
                assert_eq!(response.status, 400, "{form}: {response}");
                assert_eq!(rig.upstream.ledger().len(), before, "{form}");
            }
        }
        // Only its own code: the client is in report mode.
        let before = rig.upstream.ledger().len();
        rig.post("/api/ticket", &[], &format!("a={}&b={}", own[0], own[1]));
        assert_eq!(rig.upstream.ledger().len(), before + 1);
    }
}

/// Two enforced clients, of which one may have tokens: a request that names both gets only what both may have. Fails if the
/// first name counts.
#[test]
fn tokens_for_one_of_two_clients_that_are_named() {
    let rig = Rig::with(Config {
        tables: "[[upstream.client]]\nid = \"web\"\nowner = \"a\"\nreason = \"a test\"\nuntil = \"2999-12-31\"\n\
                 response_types = [\"code\", \"token\"]\n",
        ..Config::default()
    })
    .unguarded();
    for (named, passes) in [
        ("client_id=web&response_type=token", true),
        ("client_id=web&client_id=pub&response_type=token", false),
        ("client_id=pub&client_id=web&response_type=token", false),
        ("client_id=web&Client_Id=pub&response_type=token", false),
    ] {
        let web = rig.authorization().with("client_id", "web");
        let entry = rig.entry(&web.with("response_type", "token"));
        let handle = handle_of(&entry);
        let begin = request(
            "GET",
            &format!("/v2/authorize?{named}&state={handle}"),
            &[],
            None,
        );
        let token = "access_token=SplxlOBeZQQYbYS6WxSbIA&token_type=Bearer";
        let answer = redirect(&format!("{REDIRECT_URI}#{token}&state={handle}"));
        let response = answered(&rig, &begin, answer);
        let expected = if passes { 302 } else { 502 };
        assert_eq!(response.status, expected, "{named}: {response}");
    }
}
