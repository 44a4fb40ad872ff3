//! Client identifiers that some server treats as equal. Only some clients are enforced; an attacker writes the identifier of
//! one of them in a form that the server accepts and the gate does not: databases ignore case, accents and trailing blanks, C
//! ends a string at a NUL, frameworks trim.
//!
//! `names_in_another_spelling`, `names_that_fold_into_others` and `credentials_in_another_spelling` fail without the skeletons
//! of `policy::namesakes`; `answers_to_names_in_another_spelling` without the namesake in `Exchange::rule`;
//! `names_in_basic_in_both_readings` if only the decoded reading counts; `unknown_codes_without_a_client` if a request without
//! a client is judged by the default.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::Attacked;
use super::{around, redirect};
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::rig::{
    Config, REDIRECT_URI, Rig, authorization_response, handle_of, request, target,
};
use crate::support::scripted::{Act, Then};

/// Never issued: the upstream accepts it for no client, and it appears in the ledger only if the gate forwards it.
pub(super) const UNKNOWN: &str = "a-code-that-nobody-has-ever-seen";

/// Spellings of `pub`.
const SPELLINGS: [&str; 22] = [
    "PUB",
    "pUb",
    " pub",
    "pub ",
    "pub\t",
    "pub\u{a0}",
    "\u{3000}pub",
    "pub\r\n",
    "pub\0",
    "pub\0legacy",
    "pub\u{1}",
    "p\u{fc}b",
    "pu\u{301}b",
    "PÜB",
    "ｐｕｂ",
    "ＰＵＢ",
    "ⓟⓤⓑ",
    "𝐩𝐮𝐛",
    "p\u{200b}ub",
    "\u{feff}pub",
    "pu\u{ad}b",
    "pub\u{e0062}",
];

fn enforced(id: &str, codes: &str) -> String {
    format!(
        "[[upstream.client]]\nid = \"{id}\"\nowner = \"a\"\nreason = \"a test\"\nmode = \"enforce\"\ncodes = \"{codes}\"\n"
    )
}

/// Only these clients are enforced, and the others, including `legacy`, are in this mode.
fn all_but(mode: &str, ids: &[&str], attack: impl Fn(&Attacked)) {
    for codes in ["handle", "upstream"] {
        println!("mode = {mode:?}, codes = {codes:?}");
        let tables: Vec<_> = ids.iter().map(|id| enforced(id, codes)).collect();
        let rig = Rig::with(Config {
            pkce: &format!("mode = \"{mode}\"\ncodes = \"{codes}\""),
            tables: &tables.concat(),
            ..Config::default()
        });
        let attacked = Attacked::sign_in(rig, codes == "handle");
        attack(&attacked);
        attacked.check();
    }
}

pub(super) fn only(ids: &[&str], attack: impl Fn(&Attacked)) {
    all_but("report", ids, attack);
}

/// A complete and correct request of this client.
fn authorization(attacked: &Attacked, id: &str) -> Authorization {
    attacked.rig.authorization().with("client_id", id)
}

/// A token request with this code, without a verifier.
pub(super) fn token(id: &str, code: &str) -> Params {
    Params::default()
        .with("grant_type", "authorization_code")
        .with("code", code)
        .with("redirect_uri", REDIRECT_URI)
        .with("client_id", id)
}

/// A code that the upstream issued around the gate for this client.
pub(super) fn issued_around(attacked: &Attacked, id: &str) -> String {
    let fresh = authorization(attacked, id).without_challenge();
    let answer = authorization_response(&around(&attacked.rig, &target(&fresh)), &fresh);
    answer.expect("the upstream gives a code").code().to_owned()
}

/// The answer is a page, or an error for the client, and starts no sign-in.
#[track_caller]
fn begins_nothing(attacked: &Attacked, bytes: &[u8]) {
    let before = attacked.rig.upstream.ledger().len();
    let response = attacked.rig.send(bytes);
    let location = response.header("location").unwrap_or_default();
    let is_told = location.starts_with(REDIRECT_URI) && location.contains("error=");
    assert!(response.status == 400 || is_told, "{response}");
    assert_eq!(attacked.rig.upstream.ledger().len(), before, "{response}");
}

/// Requests under this identifier get no token without a verifier, and do not reach the upstream.
#[track_caller]
pub(super) fn protected(attacked: &Attacked, id: &str) {
    println!("{id:?}");
    let fresh = authorization(attacked, id).without_challenge();
    begins_nothing(attacked, &request("GET", &target(&fresh), &[], None));
    let form = fresh.params.encoded();
    begins_nothing(attacked, &request("POST", "/authorize", &[], Some(&form)));
    let around = issued_around(attacked, id);
    for code in [&*attacked.code, &*attacked.raw(), &*around, UNKNOWN] {
        attacked.refused_form("/token", &[], &token(id, code).encoded(), &[400]);
    }
}

/// A client that is not enforced starts without a challenge, and its code is redeemed.
#[track_caller]
fn unprotected(attacked: &Attacked, id: &str) {
    let fresh = authorization(attacked, id).without_challenge();
    let before = attacked.rig.upstream.codes().len();
    attacked.rig.sign_in(&fresh);
    assert_eq!(attacked.rig.upstream.codes().len(), before + 1, "{id}");
    let before = attacked.rig.forwarded();
    attacked.rig.token(&token(id, UNKNOWN));
    assert_eq!(attacked.rig.forwarded(), before + 1, "{id}");
}

/// All clients are enforced, and one has stricter limits: no tokens in the front channel, one response mode.
#[test]
fn names_in_another_spelling_of_a_client_that_may_ask_for_less() {
    let rig = Rig::with(Config {
        pkce: "response_types = [\"code\", \"token\", \"code id_token\"]",
        tables: "[[upstream.client]]\nid = \"pub\"\nresponse_types = [\"code\"]\nresponse_modes = [\"query\"]\n",
        ..Config::default()
    });
    // Other clients may get the upstream's own code beside an id_token.
    let attacked = Attacked::sign_in(rig.unguarded(), true);
    let more = [
        ("response_type", "token"),
        ("response_type", "code id_token"),
        ("response_mode", "fragment"),
    ];
    for (name, value) in more {
        for id in ["pub"].into_iter().chain(SPELLINGS) {
            let fresh = authorization(&attacked, id).with(name, value);
            begins_nothing(&attacked, &request("GET", &target(&fresh), &[], None));
        }
        let other = authorization(&attacked, "another").with(name, value);
        assert!(attacked.rig.get(&target(&other)).status < 400, "{name}");
    }
    attacked.check();
}

/// The later codes may have belonged to another client; the code with which `attacked` began still works.
#[test]
fn names_in_another_spelling() {
    only(&["pub"], |attacked| {
        protected(attacked, "pub");
        for id in SPELLINGS {
            protected(attacked, id);
        }
        for id in ["legacy", "pub2", "p-ub", "pu"] {
            unprotected(attacked, id);
        }
    });
}

/// The same if the others are in mode `off`.
#[test]
fn names_in_another_spelling_where_the_others_are_off() {
    all_but("off", &["pub"], |attacked| {
        for id in SPELLINGS {
            protected(attacked, id);
        }
    });
}

/// Letters that change into other or several letters with their case.
#[test]
fn names_that_fold_into_others() {
    only(&["straße", "kirpi", "ﬁn", "Ωmega"], |attacked| {
        for id in [
            "STRASSE",
            "strasse",
            "Straße\0",
            "STRA\u{1e9e}E",
            "stra\u{1e9e}e ",
            "KIRPI",
            "k\u{131}rpi",
            "K\u{130}RP\u{130}",
            "kIrp\u{131}",
            "fin",
            "FIN",
            "ωmega",
            "ΏMEGA",
            "\u{2126}mega",
        ] {
            protected(attacked, id);
        }
        for id in ["strase", "krpi", "omega"] {
            unprotected(attacked, id);
        }
    });
}

/// A client with an unusual identifier that uses PKCE is served, under exactly that identifier.
#[test]
fn clients_with_strange_names_sign_in_with_pkce() {
    only(&["pub"], |attacked| {
        for id in ["PUB", "püb", "legacy"] {
            let authorization = authorization(attacked, id);
            let code = attacked.rig.code_for(&authorization);
            let form = authorization.redemption(&code).with("client_id", id);
            if id != "legacy" {
                let other = form.clone().with("client_id", "pub");
                attacked.refused_form("/token", &[], &other.encoded(), &[400]);
                let without = form.clone().without("code_verifier");
                attacked.refused_form("/token", &[], &without.encoded(), &[400]);
            }
            attacked.rig.vouch(&authorization);
            assert_token(&attacked.rig.token(&form));
        }
        attacked.spent.set(true);
        assert_token(&attacked.rig.redeem(&attacked.authorization, &attacked.code));
    });
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:secret")))
}

/// A token request with these credentials.
pub(super) fn with_basic(attacked: &Attacked, user: &str, code: &str) -> Vec<u8> {
    let form = attacked.tok().without("client_id").with("code", code);
    let fields = [("Authorization", &*basic(user))];
    request("POST", "/token", &fields, Some(&form.encoded()))
}

/// HTTP Basic with and without form encoding of the identifier, and the subject of an assertion.
#[test]
fn credentials_in_another_spelling() {
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    only(&["pub"], |attacked| {
        let around = issued_around(attacked, "pub");
        for user in [
            "PUB",
            "pub ",
            "+pub",
            "pub%20",
            "p%55b",
            "%70%75%62",
            "p%C3%BCb",
            "ｐｕｂ",
        ] {
            for code in [&*attacked.code, &*around, UNKNOWN] {
                attacked.refused(&with_basic(attacked, user, code), &[400]);
            }
        }
        for subject in ["PUB", " pub", "püb", "pub\\u0000x", "ｐｕｂ"] {
            let claims = format!("{{\"iss\":\"legacy\",\"sub\":\"{subject}\"}}");
            let assertion = format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(claims));
            for code in [&*attacked.code, &*around, UNKNOWN] {
                let form = attacked.tok().without("client_id").with("code", code);
                let form = form
                    .with("client_assertion", &assertion)
                    .with("client_assertion_type", KIND);
                attacked.refused_form("/token", &[], &form.encoded(), &[400]);
            }
        }
        let before = attacked.rig.forwarded();
        attacked.rig.send(&with_basic(attacked, "legacy", UNKNOWN));
        assert_eq!(attacked.rig.forwarded(), before + 1);
    });
}

/// An exception applies if its client encodes its identifier in Basic as RFC 6749 says, and if it does not.
#[test]
fn exceptions_of_clients_whose_names_are_encoded_in_basic() {
    for (id, users) in [
        ("erp@example.com", ["erp%40example.com", "erp@example.com"]),
        ("old erp", ["old+erp", "old%20erp"]),
        ("a+b", ["a%2Bb", "a+b"]),
    ] {
        let exception = format!(
            "[[upstream.client]]\nid = \"{id}\"\nowner = \"a\"\nreason = \"a test\"\nuntil = \"2999-12-31\"\nmode = \"report\"\n"
        );
        let rig = Rig::with(Config {
            tables: &exception,
            ..Config::default()
        });
        let attacked = Attacked::sign_in(rig.unguarded(), true);
        for user in users {
            let before = attacked.rig.forwarded();
            attacked.rig.send(&with_basic(&attacked, user, UNKNOWN));
            assert_eq!(attacked.rig.forwarded(), before + 1, "{user}");
            // The code of another client is judged by the rule of that client.
            attacked.refused(&with_basic(&attacked, user, &attacked.code), &[400]);
        }
        for user in ["erp%2540example.com", "old%2Berp", "a%20b", "pub"] {
            attacked.refused(&with_basic(&attacked, user, UNKNOWN), &[400]);
        }
        attacked.check();
    }
}

/// A code that some server trims or cuts, under the identifier of a client that is not enforced.
#[test]
fn codes_in_another_spelling_under_a_lax_name() {
    only(&["pub"], |attacked| {
        for spelt in ["CODE ", " CODE", "CODE\r\n", "CODE\u{a0}", "CO\u{200b}DE"] {
            for code in [&*attacked.raw(), UNKNOWN] {
                let spelt = spelt
                    .replace("CODE", code)
                    .replace("CO\u{200b}DE", &format!("{code}\u{200b}"));
                let form = token("legacy", &spelt).encoded();
                attacked.refused_form("/token", &[], &form, &[400]);
            }
        }
        unprotected(attacked, "legacy");
    });
}

/// One reading of Basic names an enforced client, and the other one a client that is not enforced.
#[test]
fn names_in_basic_in_both_readings() {
    only(&["pub", "my+app", "my%2Fapp"], |attacked| {
        for user in ["my+app", "My+App", "my%2bapp", "my%2Fapp", "my%252fapp"] {
            attacked.refused(&with_basic(attacked, user, UNKNOWN), &[400]);
        }
        for user in ["my app", "my-app"] {
            let before = attacked.rig.forwarded();
            attacked.rig.send(&with_basic(attacked, user, UNKNOWN));
            assert_eq!(attacked.rig.forwarded(), before + 1, "{user}");
        }
    });
}

/// Escapes in Basic that a strict decoder refuses, and a lenient one decodes in part. Fails if such credentials only have their
/// literal reading.
#[test]
fn names_in_basic_with_invalid_escapes() {
    only(&["pub"], |attacked| {
        let around = issued_around(attacked, "pub");
        for user in [
            "pub%00%zz",
            "+p%55b%20%00%",
            "p%75b%00legacy%0",
            // Bytes that are not UTF-8: a server may drop them, or read them as Latin-1.
            "p%75b%00%ff",
            "p%75b%ff",
            "p%fcb",
            "%C3p%75b%zz",
        ] {
            for code in [&*attacked.code, &*around, UNKNOWN] {
                attacked.refused(&with_basic(attacked, user, code), &[400]);
            }
        }
        for user in ["le%67acy%zz", "p%75b%"] {
            let before = attacked.rig.forwarded();
            attacked.rig.send(&with_basic(attacked, user, UNKNOWN));
            assert_eq!(attacked.rig.forwarded(), before + 1, "{user}");
        }
    });
}

/// A code of unknown origin, in a request that names no client.
#[test]
fn unknown_codes_without_a_client() {
    only(&["pub"], |attacked| {
        let around = issued_around(attacked, "pub");
        for code in [&*around, UNKNOWN] {
            let form = attacked.tok().without("client_id").with("code", code);
            attacked.refused_form("/token", &[], &form.encoded(), &[400]);
            let with_verifier = form.with("code_verifier", &attacked.authorization.verifier);
            attacked.refused_form("/token", &[], &with_verifier.encoded(), &[400]);
            let empty = attacked.tok().with("client_id", "").with("code", code);
            attacked.refused_form("/token", &[], &empty.encoded(), &[400]);
        }
        unprotected(attacked, "legacy");
    });
}

/// The client's answer if its sign-in is answered with these parameters.
fn answer_to(attacked: &Attacked, authorization: &Authorization, with: &str) -> Response {
    let (begin, state) = if attacked.handles {
        let entry = attacked.rig.entry(authorization);
        let handle = handle_of(&entry);
        (entry, handle)
    } else {
        let state = authorization.state().unwrap_or_default();
        (target(authorization), state.to_owned())
    };
    let answer = redirect(&format!("{REDIRECT_URI}{with}&state={state}"));
    let act = Act::Say(answer, Then::GoOn);
    attacked.rig.upstream.once("/authorize", act);
    attacked.rig.get(&begin)
}

/// A sign-in under such an identifier is judged by the stricter rule up to its end: a token in place of the code, two codes.
#[test]
fn answers_to_names_in_another_spelling() {
    only(&["pub"], |attacked| {
        for with in [
            "#access_token=at-of-somebody&token_type=Bearer",
            "#code=one-of-two-codes&id_token=x.y.z",
            "?code=one-of-two-codes&code=two-of-two-codes",
            "?code=one-of-two-codes&error=access_denied",
        ] {
            for id in ["pub", "PUB", "püb", "ｐｕｂ"] {
                let authorization = authorization(attacked, id);
                let response = answer_to(attacked, &authorization, with);
                assert_eq!(response.status, 502, "{id} {with}: {response}");
            }
            let authorization = authorization(attacked, "legacy");
            let response = answer_to(attacked, &authorization, with);
            assert_eq!(response.status, 302, "{with}: {response}");
        }
    });
}
