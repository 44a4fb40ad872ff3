//! Request objects: their content may be about any client, whichever client the request names next to it. They are judged by
//! the strictest rule.
//!
//! Fails if `Fresh::read` uses the rule of the named client.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::Attacked;
use crate::support::params::{Params, encode};
use crate::support::rig::{Config, REDIRECT_URI, Rig, request};

/// With a client that is not enforced, and `pub` enforced: by default, and with `lax` as the only exception.
pub(super) fn beside_a_lax_client(attack: impl Fn(&Attacked)) {
    let client = |id: &str, mode: &str, codes: &str| {
        let until = if mode == "enforce" {
            ""
        } else {
            "until = \"2999-12-31\"\n"
        };
        format!(
            "[[upstream.client]]\nid = \"{id}\"\nowner = \"a\"\nreason = \"a test\"\n{until}\
             mode = \"{mode}\"\ncodes = \"{codes}\"\n"
        )
    };
    for codes in ["handle", "upstream"] {
        for (default, exception) in [
            ("report", client("pub", "enforce", codes)),
            ("enforce", client("lax", "report", codes)),
            ("enforce", client("lax", "off", codes)),
        ] {
            println!("mode = {default:?}, codes = {codes:?}, {exception}");
            let rig = Rig::with(Config {
                pkce: &format!("mode = \"{default}\"\ncodes = \"{codes}\""),
                tables: &exception,
                ..Config::default()
            });
            // A client in mode `off` gets the upstream's own codes.
            let attacked = Attacked::sign_in(rig.unguarded(), codes == "handle");
            attack(&attacked);
            attacked.check();
        }
    }
}

/// JWTs about `pub`: without a signature, signed, encrypted, and two malformed ones.
pub(super) fn objects(more: &str) -> [String; 5] {
    let claims = format!(
        "{{\"client_id\":\"pub\",\"response_type\":\"code\",\"redirect_uri\":\"{REDIRECT_URI}\"{more}}}"
    );
    let claims = URL_SAFE_NO_PAD.encode(claims);
    [
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln"),
        format!("eyJhbGciOiJkaXIifQ..{claims}.{claims}.c2ln"),
        claims,
        "x".to_owned(),
    ]
}

const BESIDE: [&str; 3] = [
    "",
    "client_id=lax&",
    "client_id=lax&response_type=code&state=s&redirect_uri=https%3A%2F%2Fclient.test%2Fcb&",
];

/// No sign-in starts, with the object in the query or in a form; an object in both is refused for that reason.
#[track_caller]
pub(super) fn begins_nothing(attacked: &Attacked, query: &str, expected: &[u16]) {
    let get = request("GET", &format!("/authorize?{query}"), &[], None);
    attacked.refused(&get, expected);
    attacked.refused_form("/authorize", &[], query, expected);
}

/// An object in a query and in a form: alone, with the complete request of a lax client, and with half a request.
#[test]
fn objects_beside_a_lax_client() {
    beside_a_lax_client(|attacked| {
        for more in ["", ",\"response_type\":\"token\"", ",\"state\":\"x\""] {
            for object in objects(more) {
                for beside in BESIDE {
                    let query = format!("{beside}request={object}");
                    begins_nothing(attacked, &query, &[302, 303, 400]);
                }
            }
        }
    });
}

/// A pushed request, through the gate or around it: its client is not in the query.
#[test]
fn pushed_requests_beside_a_lax_client() {
    beside_a_lax_client(|attacked| {
        let pushed = attacked.rig.authorization().without_challenge();
        attacked.rig.post("/par", &[], &pushed.params.encoded());
        for uri in [
            "urn:ietf:params:oauth:request_uri:pushed",
            "urn:example:x",
            "https://client.test/object.jwt#1",
            "x",
        ] {
            for beside in BESIDE {
                let query = format!("{beside}request_uri={}", encode(uri));
                begins_nothing(attacked, &query, &[302, 303, 400]);
            }
            let both = format!(
                "client_id=lax&request_uri={}&request={}",
                encode(uri),
                objects("")[0]
            );
            begins_nothing(attacked, &both, &[302, 303, 400]);
        }
    });
}

/// An object in a document with the media type of a form.
#[test]
fn objects_in_documents() {
    beside_a_lax_client(|attacked| {
        let object = &objects("")[0];
        for document in [
            format!("{{\"request\":\"{object}\"}}"),
            format!("{{\"a\":[{{\"request\":\"{object}\"}}],\"client_id\":\"pub\"}}"),
            r#"{"\u0072equest_uri":"urn:x","client_id":"pub"}"#.to_owned(),
        ] {
            attacked.refused_form("/authorize", &[], &document, &[400]);
        }
    });
}

/// An object in a request that cannot be read for another reason: it may still be about `pub`. Objects in two parts of a
/// request are independent. Fails without the question for an object in `Heard::rule`.
#[test]
fn objects_in_requests_that_cannot_be_read() {
    beside_a_lax_client(|attacked| {
        let object = &objects("")[0];
        for name in [
            "request",
            "Request",
            "request[]",
            "re%71uest",
            "request_uri",
        ] {
            for beside in [
                "x=1&x=2",
                "scope=openid&scope=openid",
                "x=%ff",
                "state=s&state=t",
                "client%5Fid=lax",
                "request=e30.e30.",
            ] {
                for query in [
                    format!("client_id=lax&{beside}&{name}={object}"),
                    format!("{name}={object}&{beside}&client_id=lax"),
                    format!("client_id=lax%00&{beside}&{name}={object}"),
                ] {
                    begins_nothing(attacked, &query, &[302, 303, 400]);
                }
            }
        }
        // Half in the query, and half in the form.
        let target = format!("/authorize?client_id=lax&request={object}");
        attacked.refused_form(&target, &[], "client_id=lax", &[302, 303, 400]);
        let form = format!("request={object}");
        attacked.refused_form("/authorize?client_id=lax", &[], &form, &[302, 303, 400]);
    });
}

/// Without an object a client that is not enforced signs in without a challenge, and a consent form has a field named
/// `request`.
#[test]
fn requests_without_an_object_pass() {
    beside_a_lax_client(|attacked| {
        let lax = attacked.rig.authorization().without_challenge();
        let lax = lax.with("client_id", "lax");
        attacked.rig.sign_in(&lax);
        let consent = Params::default()
            .with("csrfmiddlewaretoken", "x")
            .with("request", "e30.e30.")
            .with("action", "grant");
        let before = attacked.rig.upstream.ledger().len();
        attacked.rig.post("/consent", &[], &consent.encoded());
        assert_eq!(attacked.rig.upstream.ledger().len(), before + 1);
    });
}
