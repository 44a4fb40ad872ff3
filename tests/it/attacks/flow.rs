//! Attacks 77 to 109: attacks on OAuth itself.
//!
//! 77 and 95 to 101 fail without `policy::authorize`; 78 and 87 without the verifier of `policy::redeem`, 84 without its
//! client, 85 without its redirect URI; 79 to 81 without the claim (a `redeem` that leaves the record unchanged); 89 without
//! `browser::check`; 88 without `Submission::continues`. For 86 each upstream has a separate store (`App::bind`), so there is
//! no check to remove.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Attacked, FORM, both, with};
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, encode, s256, unguessable};
use crate::support::raw::Connection;
use crate::support::rig::{
    Config, HOST, REDIRECT_URI, Rig, authorization_response, cookie_of, request, target,
};
use crate::support::scripted::{Act, Scripted, Shape, Then, reply};

/// The client receives an error, and no request reaches the upstream.
#[track_caller]
fn refused_fresh(attacked: &Attacked, authorization: &Authorization, errors: &[&str]) {
    let before = attacked.rig.upstream.ledger().len();
    let response = attacked.rig.get(&target(authorization));
    let location = response.header("location").unwrap_or_default();
    let told = Params::from_query(location.split(['?', '#']).nth(1).unwrap_or_default());
    let error = told.get("error").unwrap_or_default();
    assert!(
        errors.contains(&error),
        "{:?}: {response}",
        authorization.params
    );
    assert!(location.starts_with(REDIRECT_URI), "{response}");
    assert_eq!(told.get("state"), authorization.state(), "{response}");
    assert_eq!(attacked.rig.upstream.ledger().len(), before);
}

/// The gate shows a page, the client receives nothing, and no request reaches the upstream.
#[track_caller]
fn refused_page(attacked: &Attacked, bytes: &[u8]) {
    let before = attacked.rig.upstream.ledger().len();
    let response = attacked.rig.send(bytes);
    assert_eq!(response.status, 400, "{response}");
    assert_eq!(response.header("location"), None, "{response}");
    assert_eq!(attacked.rig.upstream.ledger().len(), before);
}

/// Attack 77.
#[test]
fn challenges() {
    both(|attacked| {
        let fresh = || attacked.rig.authorization();
        let good = s256(&unguessable());
        let short: String = good.chars().skip(1).collect();
        let wrong = [
            fresh().without_challenge(),
            fresh().without("code_challenge"),
            fresh().without("code_challenge_method"),
            fresh().with("code_challenge", ""),
            fresh().with("code_challenge", &short),
            fresh().with("code_challenge", &format!("{good}A")),
            fresh().with("code_challenge", &format!("{good}=")),
            fresh().with("code_challenge", &format!("{short}=")),
            fresh().with("code_challenge", &format!("{short}+")),
            fresh().with("code_challenge", &format!("{short}/")),
            fresh().with("code_challenge", &format!("{short} ")),
            fresh().with("code_challenge", &format!("{short}é")),
            fresh().with("code_challenge", &"a".repeat(64)),
            fresh().with("code_challenge", &"a".repeat(129)),
        ];
        for authorization in wrong {
            refused_fresh(attacked, &authorization, &["invalid_request"]);
        }
        for method in [
            "plain",
            "s256",
            "S256 ",
            " S256",
            "none",
            "S512",
            "S256,plain",
            "",
            "sha256",
        ] {
            let authorization = fresh().with("code_challenge_method", method);
            refused_fresh(attacked, &authorization, &["invalid_request"]);
        }
    });
}

/// Attack 78.
#[test]
fn verifiers() {
    both(|attacked| {
        let whole = attacked.whole();
        let challenge = s256(&attacked.authorization.verifier);
        let wrong = [
            whole.clone().without("code_verifier"),
            whole.clone().with("code_verifier", ""),
            whole.clone().with("code_verifier", &"a".repeat(42)),
            whole.clone().with("code_verifier", &"a".repeat(129)),
            whole
                .clone()
                .with("code_verifier", &format!("{} ", "a".repeat(43))),
            whole
                .clone()
                .with("code_verifier", &format!("{}é", "a".repeat(43))),
            whole.clone().with(
                "code_verifier",
                &format!("{}=", attacked.authorization.verifier),
            ),
            whole.clone().with(
                "code_verifier",
                &format!("{}\n", attacked.authorization.verifier),
            ),
            // These two are well-formed, and count as attempts.
            whole.clone().with("code_verifier", &challenge),
            whole.clone().with("code_verifier", &unguessable()),
        ];
        for form in wrong {
            attacked.refused_form("/token", &[], &form.encoded(), &[400]);
        }
        let renamed = whole
            .encoded()
            .replace("code_verifier=", "code_verifier[]=");
        attacked.refused_form("/token", &[], &renamed, &[400]);
    });
}

/// Attack 79.
#[test]
fn replay() {
    both(|attacked| {
        let bytes = request("POST", "/token", &[], Some(&attacked.whole().encoded()));
        attacked.redeemed_by(&bytes);
        for form in attacked.all() {
            attacked.refused_form("/token", &[], &form, &[400]);
        }
        attacked.refused(&bytes, &[400]);
    });
}

/// Attack 80.
#[test]
fn simultaneous_redemptions() {
    for count in [2, 30] {
        both(|attacked| {
            let bytes = request("POST", "/token", &[], Some(&attacked.whole().encoded()));
            attacked.rig.vouch(&attacked.authorization);
            attacked.spent.set(true);
            let address = attacked.rig.address();
            let one = || {
                let mut connection = Connection::open(address);
                connection.send(&bytes);
                connection.response().status
            };
            let statuses: Vec<u16> = thread::scope(|scope| {
                let all: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
                all.into_iter()
                    .map(|one| one.join().expect("no panic"))
                    .collect()
            });
            assert_eq!(
                statuses.iter().filter(|status| **status == 200).count(),
                1,
                "{statuses:?}"
            );
            assert_eq!(attacked.rig.forwarded(), 1);
        });
    }
}

/// Attack 81.
#[test]
fn retry_after_a_broken_redemption() {
    both(|attacked| {
        let broken = Act::Say(Vec::new(), Then::Close);
        attacked.rig.upstream.once("/token", broken);
        attacked.rig.vouch(&attacked.authorization);
        attacked.spent.set(true);
        let bytes = request("POST", "/token", &[], Some(&attacked.whole().encoded()));
        assert_eq!(attacked.attempt(&bytes), 502);
        attacked.refused(&bytes, &[400]);
        assert_eq!(attacked.rig.forwarded(), 1);
    });
}

/// Attack 82. A code that was obtained around the gate: of a sign-in that the gate does not know, and of one that it knows.
#[test]
fn codes_from_around_the_gate() {
    both(|attacked| {
        for begun in [false, true] {
            let authorization = attacked.rig.authorization();
            if begun {
                attacked.rig.enter(&authorization);
            }
            let mut connection = Connection::open(attacked.rig.upstream.address());
            connection.send(&request("GET", &target(&authorization), &[], None));
            let answer = authorization_response(&connection.response(), &authorization);
            let answer = answer.expect("the upstream issues a code");
            let form = authorization.redemption(answer.code());
            for form in [
                form.clone().without("code_verifier"),
                form.clone().with("code_verifier", &"a".repeat(43)),
                form,
            ] {
                attacked.refused_form("/token", &[], &form.encoded(), &[400]);
            }
        }
        if attacked.handles {
            for form in attacked.unverified() {
                attacked.refused_form("/token", &[], &form, &[400]);
            }
        }
    });
}

/// Attack 83. Every invalid code gets the same answer.
#[test]
fn forged_codes() {
    both(|attacked| {
        let code = &attacked.code;
        let flipped = |at: usize| -> String {
            let flip = |c: char| if c == 'A' { 'B' } else { 'A' };
            code.chars()
                .enumerate()
                .map(|(i, c)| if i == at { flip(c) } else { c })
                .collect()
        };
        let mut forged: Vec<String> = (0..code.len()).map(flipped).collect();
        let shorter: String = code.chars().take(code.len() - 1).collect();
        forged.extend([
            shorter,
            format!("{code}A"),
            format!("{code}="),
            format!(" {code}"),
            code.to_uppercase(),
            code.chars().rev().collect(),
        ]);
        let mut answers = std::collections::BTreeSet::new();
        for code in forged.iter().filter(|forged| *forged != code) {
            let form = attacked.whole().with("code", code).encoded();
            let response = attacked.rig.post("/token", &[], &form);
            assert_refused(&response, "invalid_grant");
            answers.insert(response.text().to_owned());
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        let large = attacked
            .whole()
            .with("code", &"a".repeat(1_000_000))
            .encoded();
        attacked.refused_form("/token", &[], &large, &[0, 413]);
        assert_eq!(attacked.rig.forwarded(), 0);
    });
}

/// Attacks 83 and 107. The handle of another gate, or of this gate before a restart, is unknown.
#[test]
fn codes_of_another_gate() {
    both(|attacked| {
        let other = Rig::new();
        let authorization = other.authorization();
        let code = other.code_for(&authorization);
        let form = authorization.redemption(&code).encoded();
        attacked.refused_form("/token", &[], &form, &[400]);
    });
}

/// Attack 84.
#[test]
fn codes_of_another_client() {
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    both(|attacked| {
        let whole = attacked.whole();
        let nobody = whole.clone().without("client_id");
        let basic = format!("Basic {}", STANDARD.encode("other:secret"));
        let assertion = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(r#"{"sub":"other"}"#));
        for name in ["other", "PUB", "pub ", "pub%00", ""] {
            let form = whole.clone().with("client_id", name).encoded();
            attacked.refused_form("/token", &[], &form, &[400]);
        }
        attacked.refused_form("/token", &[], &nobody.encoded(), &[400]);
        attacked.refused_form(
            "/token",
            &[("Authorization", &basic)],
            &nobody.encoded(),
            &[400],
        );
        attacked.refused_form(
            "/token",
            &[("Authorization", &basic)],
            &whole.encoded(),
            &[400],
        );
        attacked.refused_form(
            "/token",
            &[("Authorization", "Bearer x")],
            &nobody.encoded(),
            &[400],
        );
        let asserted = nobody
            .with("client_assertion", &assertion)
            .with("client_assertion_type", KIND);
        attacked.refused_form("/token", &[], &asserted.encoded(), &[400]);
    });
}

/// Attack 84. Fails if a dead code is judged by the rule of the client in the request: the upstream's own code is still valid.
#[test]
fn dead_codes_under_the_name_of_a_lax_client() {
    let lax = "[[upstream.client]]\nid = \"lax\"\nowner = \"a\"\nuntil = \"2999-12-31\"\nreason = \"a test\"\nmode = \"report\"";
    let config = Config {
        tables: lax,
        ..Config::default()
    };
    with(config, |attacked| {
        let lax = attacked.tok().with("client_id", "lax");
        attacked.refused_form("/token", &[], &lax.encoded(), &[400]);
        let verifier = attacked.rig.authorization().verifier;
        let wrong = attacked.whole().with("code_verifier", &verifier).encoded();
        for _ in 0..3 {
            attacked.refused_form("/token", &[], &wrong, &[400]);
        }
        attacked.refused_form("/token", &[], &lax.encoded(), &[400]);
        attacked.spent.set(true);
    });
}

/// Attacks 30 to 49 and 77 if only some clients are enforced: an unreadable request may be about one of them. Fails if the
/// upstream's default rule is applied.
#[test]
fn unreadable_requests_about_an_enforced_client() {
    let enforced =
        "[[upstream.client]]\nid = \"pub\"\nowner = \"a\"\nreason = \"a test\"\nmode = \"enforce\"";
    let config = Config {
        pkce: "mode = \"report\"",
        tables: enforced,
        ..Config::default()
    };
    with(config, |attacked| {
        let fresh = attacked.rig.authorization().without_challenge();
        let bytes = request("GET", &format!("{}&x=1&x=2", target(&fresh)), &[], None);
        attacked.refused(&bytes, &[400]);
        let form = attacked.tok().with("code", &attacked.raw()).encoded();
        for doubt in ["&client_id=pub", "&x=1&x=2", "&CODE=1"] {
            attacked.refused_form("/token", &[], &format!("{form}{doubt}"), &[400]);
        }
        for target in ["/token/", "/token?x"] {
            attacked.refused_form(target, &[], &form, &[400]);
        }
        let json = [("Content-Type", "application/json")];
        attacked.refused_form("/token", &json, &super::json(&attacked.tok()), &[415]);
        attacked.refused(
            &request("GET", &format!("/token?{form}"), &[], None),
            &[405],
        );
        // Other clients are not affected.
        let form = "grant_type=x&client_id=legacy&x=1&x=2";
        assert_eq!(attacked.rig.post("/token", &[], form).status, 200);
        let begin = "/authorize?response_type=code&client_id=legacy&x=1&x=2";
        let page = Act::Say(reply("200 OK", &[], b"hello"), Then::GoOn);
        attacked.rig.upstream.once("/authorize", page);
        assert_eq!(attacked.rig.get(begin).status, 200);
    });
}

/// Attack 85.
#[test]
fn codes_for_another_redirect_uri() {
    both(|attacked| {
        for uri in [
            "https://evil.test/cb",
            "https://client.test/cb/",
            "https://client.test/CB",
            "https://CLIENT.test/cb",
            "https://client.test:443/cb",
            "https://client.test/%63b",
            "https://client.test/./cb",
            "https://client.test%2Fcb",
            "https://client.test/cb?",
            "https://client.test/cb#",
            "http://client.test/cb",
            "",
        ] {
            let form = attacked.whole().with("redirect_uri", uri).encoded();
            attacked.refused_form("/token", &[], &form, &[400]);
        }
        let form = attacked.whole().without("redirect_uri").encoded();
        attacked.refused_form("/token", &[], &form, &[400]);
    });
}

/// Attack 86.
#[test]
fn codes_of_another_upstream() {
    let two = Scripted::start();
    let tables = format!(
        "[[upstream]]\nname = \"two\"\nurl = \"{}\"\nhosts = [\"two.test\"]\npublic_url = \"http://two.test\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\", \"/two/token\"]\n",
        two.url()
    );
    let config = Config {
        upstream: "hosts = [\"gate.test\"]",
        tables: &tables,
        ..Config::default()
    };
    with(config, |attacked| {
        for form in attacked.all() {
            for path in ["/token", "/two/token"] {
                let bytes = request("POST", path, &[], Some(&form));
                let text = String::from_utf8(bytes)
                    .expect("ASCII")
                    .replace(HOST, "two.test");
                attacked.refused(text.as_bytes(), &[400]);
            }
            attacked.refused_form("http://two.test/token", &[], &form, &[421]);
        }
        assert!(two.ledger().is_empty(), "{:?}", two.ledger());
    });
}

/// Attack 87 with handles. (With upstream codes: `redemption::upstream_codes::two_challenges_with_one_state_invalidate_both`.)
#[test]
fn one_state_and_two_challenges() {
    let rig = Rig::new();
    let mine = rig.authorization();
    let state = mine.state().expect("a state").to_owned();
    let theirs = rig.authorization().with("state", &state);
    let (first, second) = (rig.entry(&mine), rig.entry(&theirs));
    let code_of = |entry: &str| {
        let answer = authorization_response(&rig.get(entry), &mine).expect("an answer");
        assert_eq!(answer.params.get("state"), Some(state.as_str()));
        answer.code().to_owned()
    };
    let (their_code, my_code) = (code_of(&second), code_of(&first));
    for (form, verifier) in [
        (mine.redemption(&my_code), &theirs.verifier),
        (theirs.redemption(&their_code), &mine.verifier),
    ] {
        assert_refused(
            &rig.token(&form.with("code_verifier", verifier)),
            "invalid_grant",
        );
    }
    assert_token(&rig.redeem(&mine, &my_code));
    assert_token(&rig.redeem(&theirs, &their_code));
}

/// Attack 86 with upstream codes: the attacker knows a victim's state, and the victim's request has no redirect URI. The answer
/// to the victim's own request belongs to the victim; for later answers the gate cannot decide. Fails if the first of the two
/// matching sign-ins is used.
#[test]
fn one_state_with_and_without_a_redirect_uri() {
    let rig = Rig::pkce("codes = \"upstream\"\nbrowser_binding = \"off\"").unguarded();
    let victim = rig.authorization();
    let state = victim.state().expect("a state").to_owned();
    let attacker = rig.authorization().with("state", &state);
    assert_eq!(rig.enter(&attacker).status, 302);
    let location = format!(
        "{REDIRECT_URI}?code=victims-own-code&state={}",
        encode(&state)
    );
    let answer = reply("302 Found", &[("Location", &location)], b"");
    rig.upstream
        .once("/authorize", Act::Say(answer, Then::GoOn));
    assert_eq!(rig.enter(&victim.without("redirect_uri")).status, 302);
    let theirs = attacker.redemption("victims-own-code");
    assert_refused(&rig.token(&theirs), "invalid_grant");
    let later = location.replace("own-code", "second-code");
    let answer = reply("302 Found", &[("Location", &later)], b"");
    rig.upstream.once("/login", Act::Say(answer, Then::GoOn));
    // The first sign-in has its code, and the second was never answered.
    let response = rig.post("/login", &[], "user=a");
    assert!(
        response.status == 502 || !response.to_string().contains("second-code"),
        "{response}"
    );
    let theirs = attacker.redemption("victims-second-code");
    assert_refused(&rig.token(&theirs), "invalid_grant");
}

/// Attack 95: a code in a redirect URI would be bound to the challenge of the attacker's request.
#[test]
fn codes_in_redirect_uris() {
    both(|attacked| {
        for uri in ["?code=x", "?a=b&CODE=x", "?%63ode=x", "#code=x"] {
            let uri = format!("{REDIRECT_URI}{uri}");
            let authorization = attacked.rig.authorization().with("redirect_uri", &uri);
            refused_page(
                attacked,
                &request("GET", &target(&authorization), &[], None),
            );
        }
    });
}

fn handle_in(entry: &str) -> String {
    let query = entry.split('?').nth(1).unwrap_or_default();
    let handle = Params::from_query(query).get("state").map(str::to_owned);
    handle.expect("an entry has a handle")
}

/// Attack 88. Another sign-in's handle as `state` of a new request.
#[test]
fn handles_as_states() {
    let rig = Rig::new();
    let victim = rig.authorization();
    let entry = rig.entry(&victim);
    let handle = handle_in(&entry);
    let before = rig.upstream.ledger().len();
    for attack in [
        rig.authorization().with("state", &handle),
        rig.authorization()
            .with("state", &handle)
            .with("redirect_uri", "https://evil.test/cb"),
        rig.authorization()
            .with("state", &handle)
            .with("client_id", "evil"),
    ] {
        let response = rig.get(&target(&attack));
        assert_eq!(response.status, 400, "{response}");
    }
    assert_eq!(rig.upstream.ledger().len(), before);
    // The victim's record is unchanged.
    let answer = authorization_response(&rig.get(&entry), &victim).expect("an answer");
    assert_eq!(answer.params.get("state"), victim.state());
    assert_token(&rig.redeem(&victim, answer.code()));
    // The handle of a code does not identify a sign-in: as `state` it is an ordinary value.
    let odd = rig.authorization().with("state", answer.code());
    assert_eq!(rig.sign_in(&odd).params.get("state"), Some(answer.code()));
}

/// Attack 89.
#[test]
fn sign_ins_in_another_browser() {
    let rig = Rig::pkce("browser_binding = \"hard\"");
    rig.upstream.answer_with(Shape::Login);
    let authorization = rig.authorization();
    let begun = rig.enter(&authorization);
    let (entry, cookie) = (
        begun.header("location").expect("a 303"),
        cookie_of(&begun).expect("a cookie"),
    );
    let other = cookie_of(&rig.enter(&rig.authorization())).expect("a cookie");
    let before = rig.upstream.codes().len();
    for fields in [
        vec![],
        vec![("Cookie", other.as_str())],
        vec![("Cookie", "pkce-gate=")],
    ] {
        assert_eq!(rig.get_with(entry, &fields).status, 400);
        assert_eq!(rig.post(entry, &fields, "user=u").status, 400);
    }
    assert_eq!(rig.upstream.codes().len(), before);
    let response = rig.post(entry, &[("Cookie", &cookie)], "user=u");
    let answer = authorization_response(&response, &authorization).expect("an answer");
    assert_token(&rig.redeem(&authorization, answer.code()));
}

/// Attack 91. The server's own forms pass.
#[test]
fn forms_with_the_servers_own_state() {
    both(|attacked| {
        let body = "client_id=pub&state=TGvNgC%2bx_dF%3d&scope=a&scope=b&user+code=%e4";
        let passed = request("POST", "/authorize", &[], Some(body));
        let before = attacked.rig.upstream.ledger().len();
        attacked.rig.upstream.once(
            "/authorize",
            Act::Say(reply("200 OK", &[], b"ok"), Then::GoOn),
        );
        assert_eq!(attacked.attempt(&passed), 200);
        let received = attacked.rig.upstream.ledger().remove(before);
        assert_eq!(received.content(), body.as_bytes());
    });
}

/// Attack 92.
#[test]
fn the_same_sign_in_again_and_again() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    for _ in 0..3 {
        let response = rig.get(&entry);
        let location = response.header("location").expect("a redirect");
        assert_eq!(location.matches("state=").count(), 1, "{location}");
        let answer = authorization_response(&response, &authorization).expect("an answer");
        assert_eq!(answer.params.get("state"), authorization.state());
    }
}

/// Attack 94.
#[test]
fn awkward_states() {
    let long = "s".repeat(4096);
    let states = [
        "a&b=c",
        "a+b c",
        "100%",
        "%41",
        "%0d%0aSet-Cookie: x=y",
        "\r\nSet-Cookie: x=y",
        "\"><script>alert(1)</script>",
        "'--!>&amp;&#34;",
        "é€😀",
        "#?/",
        "\\\\",
        "state=1&code=2",
        " ",
        &long,
    ];
    both(|attacked| {
        let rig = &attacked.rig;
        for shape in [Shape::Query(302), Shape::Fragment(302), Shape::FormPost] {
            rig.upstream.answer_with(shape);
            for state in states {
                if !attacked.handles && shape == Shape::FormPost && state.contains(['"', '&']) {
                    continue; // that page is the upstream's, which does not escape
                }
                // With upstream codes, one state for two challenges invalidates both.
                let state = &format!("{state}{shape:?}");
                let authorization = rig.authorization().with("state", state);
                let answer = rig.sign_in(&authorization);
                assert_eq!(
                    answer.params.get("state"),
                    Some(state.as_str()),
                    "{shape:?}"
                );
                if attacked.handles {
                    let seen = rig.upstream.ledger().pop().expect("a request");
                    assert_ne!(seen.query_params().get("state"), Some(state.as_str()));
                }
            }
        }
    });
}

/// Attack 95.
#[test]
fn response_types() {
    both(|attacked| {
        for kind in [
            "token",
            "id_token",
            "code token",
            "token code",
            "code id_token",
            "CODE",
            "none",
            "code_credentials",
            "code,token",
            "code code",
        ] {
            let authorization = attacked.rig.authorization().with("response_type", kind);
            refused_fresh(
                attacked,
                &authorization,
                &["unsupported_response_type", "invalid_request"],
            );
        }
        let authorization = attacked.rig.authorization().without("response_type");
        refused_fresh(
            attacked,
            &authorization,
            &["unsupported_response_type", "invalid_request"],
        );
        let twice = format!(
            "{}&response_type=code",
            target(&attacked.rig.authorization())
        );
        refused_page(attacked, &request("GET", &twice, &[], None));
    });
}

/// Attack 97.
#[test]
fn response_modes() {
    both(|attacked| {
        for mode in [
            "web_message",
            "jwt",
            "query.jwt",
            "fragment.jwt",
            "form_post.jwt",
            "Query",
            "okta_post_message",
            "x",
        ] {
            let authorization = attacked.rig.authorization().with("response_mode", mode);
            let bytes = request("GET", &target(&authorization), &[], None);
            refused_page(attacked, &bytes);
        }
        let twice = format!(
            "{}&response_mode=query&response_mode=query",
            target(&attacked.rig.authorization())
        );
        refused_page(attacked, &request("GET", &twice, &[], None));
    });
}

/// Attack 98.
#[test]
fn request_objects() {
    both(|attacked| {
        let inside = URL_SAFE_NO_PAD.encode(format!(
            r#"{{"client_id":"pub","response_type":"code","code_challenge":"{}"}}"#,
            "a".repeat(43)
        ));
        for object in [
            format!("eyJhbGciOiJub25lIn0.{inside}."),
            format!("eyJhbGciOiJSUzI1NiJ9.{inside}.sig"),
            "a.b.c.d.e".to_owned(),
            "x".to_owned(),
        ] {
            for authorization in [
                attacked.rig.authorization(),
                attacked.rig.authorization().without_challenge(),
            ] {
                let authorization = authorization.with("request", &object);
                refused_fresh(attacked, &authorization, &["request_not_supported"]);
            }
            let alone = format!("/authorize?client_id=pub&request={object}");
            refused_page(attacked, &request("GET", &alone, &[], None));
            refused_page(
                attacked,
                &request(
                    "POST",
                    "/authorize",
                    &[],
                    Some(&format!("request={object}")),
                ),
            );
        }
    });
}

/// Attack 99.
#[test]
fn request_uris() {
    both(|attacked| {
        for uri in [
            "https://attacker.test/x",
            "urn:ietf:params:oauth:request_uri:x",
            "urn:x",
            "data:,x",
        ] {
            for authorization in [
                attacked.rig.authorization(),
                attacked.rig.authorization().without_challenge(),
            ] {
                let authorization = authorization.with("request_uri", uri);
                refused_fresh(attacked, &authorization, &["request_uri_not_supported"]);
            }
            let alone = format!("/authorize?client_id=pub&request_uri={uri}");
            refused_page(attacked, &request("GET", &alone, &[], None));
            refused_page(
                attacked,
                &request(
                    "POST",
                    "/authorize",
                    &[],
                    Some(&format!("request_uri={uri}")),
                ),
            );
        }
    });
}

/// Attack 100.
#[test]
fn posted_authorization_requests() {
    both(|attacked| {
        let fresh = attacked.rig.authorization();
        let (all, plain) = (
            fresh.params.encoded(),
            fresh.clone().without_challenge().params.encoded(),
        );
        let before = attacked.rig.upstream.ledger().len();
        let posted = |target: &str, body: &str| attacked.rig.post(target, &[], body);
        let challenge = format!(
            "code_challenge={}&code_challenge_method=S256",
            s256(&unguessable())
        );
        for (query, body) in [
            (plain.as_str(), challenge.as_str()),
            (&challenge, &plain),
            (&plain, &all),
            ("client_id=pub", &all),
            ("redirect_uri=https%3A%2F%2Fevil.test", &all),
            ("response_type=token", &all),
            (&all, &challenge),
            (&plain, "x=y"),
        ] {
            let response = posted(&format!("/authorize?{query}"), body);
            let location = response.header("location").unwrap_or_default();
            assert!(
                response.status == 400 || location.contains("error=invalid_request"),
                "{query} + {body}: {response}"
            );
        }
        let response = posted("/authorize", &plain);
        let location = response.header("location").unwrap_or_default();
        assert!(location.contains("error=invalid_request"), "{response}");
        let json = [("Content-Type", "application/json")];
        let response = attacked
            .rig
            .post("/authorize", &json, &super::json(&fresh.params));
        assert_eq!(response.status, 415, "{response}");
        assert_eq!(attacked.rig.upstream.ledger().len(), before);
    });
}

/// Attack 101. Errors go only to a redirect URI that is known to be the client's.
#[test]
fn malicious_redirect_uris() {
    both(|attacked| {
        for uri in [
            "javascript:alert(1)",
            "//evil.test/cb",
            "https://client.test@evil.test/cb",
            "https://client.test/cb#x",
            "https:\\\\evil.test",
            "/cb",
            "",
            "https://client.test/cb/../x",
            "https://client.test/cb?x",
            "data:text/html,x",
            "https://client.test/cb\r\nSet-Cookie: x",
            "https://CLIENT.test/cb",
        ] {
            let authorization = attacked
                .rig
                .authorization()
                .without_challenge()
                .with("redirect_uri", uri);
            refused_page(
                attacked,
                &request("GET", &target(&authorization), &[], None),
            );
        }
        let twice = format!(
            "{}&redirect_uri=https%3A%2F%2Fevil.test",
            target(&attacked.rig.authorization())
        );
        refused_page(attacked, &request("GET", &twice, &[], None));
    });
}

/// Attack 104: a foreign `iss` in the gate's own errors would make a client trust another server. The gate learns the issuer
/// only from an answer with a code, and not if it came with the request. Fails if `bind` learns before it has a code, and
/// without `Sent::holds` there.
#[test]
fn issuers_without_a_code() {
    const EVIL: &str = "https://evil.test";
    let rig = Rig::new();
    rig.code_for(&rig.authorization()); // from now on errors go to the client
    let named = || {
        let bad = rig.authorization().without_challenge();
        let answer = authorization_response(&rig.enter(&bad), &bad).expect("an error");
        assert_eq!(answer.params.get("error"), Some("invalid_request"));
        answer.params.get("iss").map(str::to_owned)
    };
    let answered = |authorization: &Authorization, to: &str, params: &str, iss: &str| {
        let entry = rig.entry(authorization);
        let location = format!(
            "{to}?{}&state={}&iss={}",
            params.replace("CODE", &unguessable()),
            handle_in(&entry),
            encode(iss)
        );
        let answer = reply("302 Found", &[("Location", &location)], b"");
        rig.upstream
            .once("/authorize", Act::Say(answer, Then::GoOn));
        rig.get(&entry)
    };
    let plain = rig.authorization();
    let asked = |name: &str| plain.clone().with(name, EVIL);
    for (authorization, to, params, status) in [
        (plain.clone(), REDIRECT_URI, "error=access_denied", 302),
        (plain.clone(), REDIRECT_URI, "x=y", 302),
        (plain.clone(), REDIRECT_URI, "error=x&code=CODE", 502),
        (plain.clone(), REDIRECT_URI, "access_token=unasked", 502),
        (plain.clone(), REDIRECT_URI, "response=e30.e30.c2ln", 502),
        (plain.clone(), REDIRECT_URI, "response=of-its-own", 302),
        (plain.clone(), "https://evil.test/cb", "code=CODE", 502),
        (plain.clone(), "/login", "x=y", 302),
        (asked("login_hint"), REDIRECT_URI, "code=CODE", 302),
        (asked("audience"), REDIRECT_URI, "code=CODE", 302),
    ] {
        let response = answered(&authorization, to, params, EVIL);
        assert_eq!(response.status, status, "{to} {params}: {response}");
        assert_eq!(named(), None, "{to} {params}");
    }
    let known = "https://issuer.test";
    answered(&plain, REDIRECT_URI, "code=CODE", known);
    assert_eq!(named().as_deref(), Some(known));
}

/// Attacks 101 and 105: the number of learned redirect URIs is limited for each client, independently of others. Fails without
/// `MAX_LEARNED` in `site/state.rs`.
#[test]
fn unlimited_redirect_uris_of_one_client() {
    let rig = Rig::pkce("entry = \"rewrite\"");
    let request = |client: &str, number: usize| {
        rig.authorization().with("client_id", client).with(
            "redirect_uri",
            &format!("https://{client}.test/cb/{number}"),
        )
    };
    let is_known = |client: &str, number: usize| {
        let bad = request(client, number).without_challenge();
        let response = rig.enter(&bad);
        authorization_response(&response, &bad).is_some()
    };
    rig.code_for(&request("honest", 0));
    for number in 0..40 {
        rig.code_for(&request("greedy", number));
    }
    for number in 0..40 {
        assert_eq!(is_known("greedy", number), number < 16, "{number}");
    }
    assert!(is_known("honest", 0));
    assert!(!is_known("honest", 1));
    rig.code_for(&request("honest", 1));
    assert!(is_known("honest", 1));
}

/// The same for an unlimited number of clients, if anyone may register. Fails without `MAX_CLIENTS` in `site/state.rs`.
#[test]
fn unlimited_clients() {
    const CLIENTS: usize = 10_000;
    let server = Echo::start();
    let rig = Rig::with(Config {
        server: "workers = 1",
        // From many networks.
        store: "network_rate = 1000000",
        upstream: &format!("url = \"http://{}\"", server.0),
        pkce: "entry = \"rewrite\"\nbrowser_binding = \"off\"",
        ..Config::default()
    });
    let mut connection = rig.connect();
    let mut ask = |authorizations: &[Authorization]| {
        let bytes = |authorization| request("GET", &target(authorization), &[], None);
        connection.send(&authorizations.iter().flat_map(bytes).collect::<Vec<_>>());
        let all = authorizations.iter();
        all.map(|authorization| authorization_response(&connection.response(), authorization))
            .collect::<Vec<_>>()
    };
    let plain = rig.authorization();
    let client = |number: usize| plain.clone().with("client_id", &format!("client-{number}"));
    for number in (0..CLIENTS + 10).step_by(10) {
        let ten: Vec<_> = (number..number + 10).map(client).collect();
        assert!(ask(&ten).iter().all(Option::is_some), "a sign-in each");
    }
    let other = plain.clone().with("redirect_uri", "https://other.test/cb");
    let other = other.with("client_id", "client-0");
    assert!(
        ask(std::slice::from_ref(&other))
            .iter()
            .all(Option::is_some)
    );
    let bad = |authorization: Authorization| authorization.without_challenge();
    for (authorization, is_known) in [
        (client(0), true),
        (other, true),
        (client(CLIENTS - 1), true),
        (client(CLIENTS), false),
        (client(CLIENTS + 9), false),
    ] {
        let shown = authorization.params.encoded();
        let told = ask(&[bad(authorization)]).remove(0);
        assert_eq!(told.is_some(), is_known, "{shown}");
    }
}

/// A server without a record: every request gets a code and its state.
struct Echo(std::net::SocketAddr);

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || Self::serve(&stream));
            }
        });
        Self(address)
    }

    fn serve(mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(line)) = lines.next() {
            let Some(query) = line.strip_prefix("GET /authorize?") else {
                continue;
            };
            let asked = Params::from_query(query.split(' ').next().unwrap_or_default());
            let (to, state) = (asked.get("redirect_uri"), asked.get("state"));
            let (to, state) = (to.unwrap_or_default(), state.unwrap_or_default());
            let location = format!("{to}?code={}&state={state}", unguessable());
            let answer = reply("302 Found", &[("Location", &location)], b"");
            let head_is_read = lines.by_ref().flatten().any(|line| line.is_empty());
            if !head_is_read || stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// Attack 103. Some servers drop the state in errors.
#[test]
fn errors_without_a_state() {
    both(|attacked| {
        let rig = &attacked.rig;
        let location = format!("{REDIRECT_URI}?error=access_denied");
        rig.upstream.on(
            "/authorize",
            Act::Say(
                reply("302 Found", &[("Location", &location)], b""),
                Then::GoOn,
            ),
        );
        let response = rig.enter(&rig.authorization());
        let response = match response.header("location") {
            Some(entry) if entry.starts_with('/') => rig.get(entry),
            _ => response,
        };
        assert_eq!(
            response.header("location"),
            Some(location.as_str()),
            "{response}"
        );
    });
}

/// Attack 106. Any number of tabs, and one cookie.
#[test]
fn a_hundred_tabs() {
    let rig = Rig::pkce("browser_binding = \"hard\"");
    let first = rig.enter(&rig.authorization());
    let cookie = cookie_of(&first).expect("a cookie");
    let fields = [("Cookie", cookie.as_str())];
    let tabs: Vec<_> = (0..100)
        .map(|_| {
            let authorization = rig.authorization();
            let response: Response = rig.get_with(&target(&authorization), &fields);
            assert!(
                cookie_of(&response).is_none_or(|again| again == cookie),
                "{response}"
            );
            let entry = response.header("location").expect("a 303").to_owned();
            (authorization, entry)
        })
        .collect();
    for (authorization, entry) in tabs.iter().rev() {
        let answer = authorization_response(&rig.get_with(entry, &fields), authorization);
        let answer = answer.expect("an answer");
        assert_eq!(answer.params.get("state"), authorization.state());
        assert_token(&rig.redeem(authorization, answer.code()));
    }
}

/// Attack 108. The fields and the status of an answer do not reveal what is wrong with a code.
#[test]
fn unknown_expired_burnt_and_wrong_codes_get_the_same_answer() {
    let short = Config {
        store: "code = \"10s\"",
        ..Config::default()
    };
    with(short, |attacked| {
        let rig = &attacked.rig;
        let wrong = |authorization: &Authorization, code: &str| {
            let other = unguessable();
            let form = authorization.redemption(code).with("code_verifier", &other);
            let response = rig.token(&form);
            let fields = response.headers.iter().filter(|(name, _)| name != "date");
            let fields: Vec<_> = fields.cloned().collect();
            (response.status, fields, response.body)
        };
        let elsewhere = Rig::new();
        let unknown = elsewhere.code_for(&elsewhere.authorization());
        let expired = (&attacked.authorization, &attacked.code);
        sleep(Duration::from_millis(10_100));
        let (live, doomed) = (rig.authorization(), rig.authorization());
        let (live_code, doomed_code) = (rig.code_for(&live), rig.code_for(&doomed));
        let burning: Vec<_> = (0..3).map(|_| wrong(&doomed, &doomed_code)).collect();
        let answers = [
            wrong(&live, &live_code),
            wrong(&doomed, &doomed_code),
            wrong(expired.0, expired.1),
            wrong(&live, &unknown),
            wrong(&live, "no handle at all"),
        ];
        for answer in answers.iter().chain(&burning) {
            assert_eq!(answer, &answers[0]);
        }
        attacked.spent.set(true);
    });
}

#[test]
fn answers_have_one_shape() {
    both(|attacked| {
        let whole = attacked.whole();
        let shapes: std::collections::BTreeSet<_> = [
            whole.clone().with("code", "unknown"),
            whole.clone().with("code_verifier", &unguessable()),
            whole.clone().without("code_verifier"),
            whole.clone().with("redirect_uri", "https://evil.test"),
            whole.clone().with("client_id", "other"),
        ]
        .iter()
        .map(|form| {
            let response = attacked
                .rig
                .post("/token", &[("Content-Type", FORM)], &form.encoded());
            assert_refused(&response, "invalid_grant");
            let names: Vec<_> = response
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
            let members: Vec<_> = response
                .json()
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect();
            assert!(
                !response.text().contains(&attacked.authorization.verifier)
                    && !response.text().contains(&attacked.code)
            );
            (names, members)
        })
        .collect();
        assert_eq!(shapes.len(), 1, "{shapes:?}");
    });
}
