//! Attacks 110 to 124: answers.
//!
//! With `codes = "handle"`, an answer with the upstream's code has the code replaced, or is not delivered, or is delivered
//! where no sign-in is connected to it, and then the code is worthless.
//!
//! The forms of 110 fail without the parser of forms, 111, 112 and 116 without the beacon, 113 without the search in other
//! fields; 115, and everything that signs in, without `redirect`; 114 if Accept-Encoding asks for more than `identity`; closed
//! routes without `forward::closed`.

use super::{Attacked, both, with};
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, encode};
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, request};
use crate::support::scripted::{Act, Shape, Then, chunked, json, reply};

/// Must never reach a client.
const RAW: &str = "up-never-to-be-seen-by-anybody";

/// A sign-in that has begun, with `codes = "handle"`.
struct Begun {
    rig: Rig,
    authorization: Authorization,
    entry: String,
    handle: String,
}

impl Begun {
    fn new() -> Self {
        Self::with(|authorization| authorization)
    }

    fn with(change: impl Fn(Authorization) -> Authorization) -> Self {
        let rig = Rig::new();
        let authorization = change(rig.authorization());
        let entry = rig.entry(&authorization);
        let query = Params::from_query(entry.split('?').nth(1).unwrap_or_default());
        let handle = query.get("state").expect("a handle").to_owned();
        Self {
            rig,
            authorization,
            entry,
            handle,
        }
    }

    /// The client's answer if the upstream answers in this way; `HANDLE` and `RAW` are placeholders.
    fn answered(&self, answer: Vec<u8>) -> Response {
        self.rig
            .upstream
            .once("/authorize", Act::Say(answer, Then::GoOn));
        self.rig.get(&self.entry)
    }

    fn filled(&self, text: &str) -> String {
        // In this order, because a handle may contain these letters.
        text.replace("RAW", RAW).replace("HANDLE", &self.handle)
    }
}

/// An answer that must not be delivered: 502 without the code, and the sign-in has ended.
#[track_caller]
fn stopped(make: impl Fn(&Begun) -> Vec<u8>) {
    let begun = Begun::new();
    let answer = make(&begun);
    let shown = answer.escape_ascii().to_string();
    let response = begun.answered(answer);
    assert!(!response.to_string().contains(RAW), "{shown}: {response}");
    assert_eq!(response.status, 502, "{shown}: {response}");
}

#[track_caller]
fn stopped_page(kind: &str, page: &str) {
    stopped(|begun| {
        reply(
            "200 OK",
            &[("Content-Type", kind)],
            begun.filled(page).as_bytes(),
        )
    });
}

#[track_caller]
fn stopped_redirect(location: &str) {
    stopped(|begun| reply("302 Found", &[("Location", &begun.filled(location))], b""));
}

/// Attack 110. In redirects and forms the code is replaced; other answers are refused.
#[test]
fn ordinary_carriers() {
    for shape in [
        Shape::Query(302),
        Shape::Query(303),
        Shape::Query(307),
        Shape::Query(301),
        Shape::Fragment(302),
        Shape::QueryAndBody,
        Shape::FormPost,
    ] {
        both(|attacked| {
            attacked.rig.upstream.answer_with(shape);
            let authorization = attacked.rig.authorization();
            let answer = attacked.rig.sign_in(&authorization);
            let form = authorization.redemption(answer.code());
            attacked.refused_form(
                "/token",
                &[],
                &form.clone().without("code_verifier").encoded(),
                &[400],
            );
            assert_token(&attacked.rig.redeem(&authorization, answer.code()));
            attacked.spent.set(true);
        });
    }
    stopped(|begun| {
        let url = begun.filled("0;url=https://client.test/cb?code=RAW&state=HANDLE");
        reply("200 OK", &[("Refresh", &url)], b"")
    });
    for page in [
        "<meta http-equiv=refresh content=\"0;url=https://client.test/cb?code=RAW&amp;state=HANDLE\">",
        "<META HTTP-EQUIV='Refresh' CONTENT='0; URL=https://client.test/cb?state=HANDLE&#38;code=RAW'>",
        "<a href=\"https://client.test/cb?code=RAW&state=HANDLE\">Continue</a>",
        "<form action=https://evil.test/cb><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<form action=https://client.test/cb><input name=code value=RAW><input name=code value=other-code><input name=state value=HANDLE></form>",
        "<template><form action=https://evil.test/cb><input name=code value=RAW><input name=state value=HANDLE></form></template>",
    ] {
        stopped_page("text/html", page);
    }
}

/// Attack 110. The same form in different notations.
#[test]
fn forms() {
    for page in [
        "<form method=post action=\"https://client.test/cb\"><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<FORM ACTION='https://client.test/cb' METHOD=POST><INPUT VALUE='RAW' NAME='code' TYPE=hidden><INPUT NAME=state VALUE=HANDLE></FORM>",
        "<form action=https&#58;//client.test/cb><input value=\"&#x75;&#112;&#45;never-to-be-seen-by-anybody\" name=\"&#99;ode\"><input name=state value=HANDLE></form>",
        "<!-- <form action=x><input name=code value=decoy-decoy> --><form action=https://client.test/cb><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<script>'<form><input name=code value=decoy-decoy>'</script><form action=https://client.test/cb><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<form action=/lang><input name=lang value=de></form><form action=https://client.test/cb><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<form action=https://client.test/cb><form action=https://evil.test><input name=code value=RAW><input name=state value=HANDLE></form>",
        "<form action=https://client.test/cb><input name=code value=RAW value=other><input name=state value=HANDLE>",
    ] {
        let begun = Begun::new();
        let page = begun.filled(page);
        let response = begun.answered(reply(
            "200 OK",
            &[("Content-Type", "text/html")],
            page.as_bytes(),
        ));
        assert_eq!(response.status, 200, "{page}: {response}");
        assert!(!response.to_string().contains(RAW), "{page}: {response}");
        assert!(
            !response.text().contains(&begun.handle),
            "{page}: {response}"
        );
    }
}

/// Attack 111.
#[test]
fn json_documents() {
    for document in [
        r#"{"to":"https://client.test/cb?code=RAW&state=HANDLE"}"#,
        r#"{"redirect_to":"https://client.test/cb?code=RAW\u0026state=HANDLE"}"#,
        r#"{"redirect_browser_to":"https:\/\/client.test\/cb?state=HANDLE\u0026code=RAW"}"#,
        r#"{"redirectUrl":"https%3A%2F%2Fclient.test%2Fcb%3Fcode%3DRAW%26state%3DHANDLE"}"#,
        r#"{"component":"x","attrs":{"code":"RAW","state":"HANDLE"}}"#,
        r#"{"code":"RAW","state":"HANDLE"}"#,
        r#"{ "state" : "HANDLE" , "code" : "RAW" }"#,
        r#"{"a":[{"b":{"code":"RAW"}}],"state":"HANDLE"}"#,
        r#""{\"code\":\"RAW\",\"state\":\"HANDLE\"}""#,
    ] {
        for kind in [
            "application/json",
            "application/json; charset=utf-8",
            "application/problem+json",
            "text/json",
        ] {
            stopped_page(kind, document);
        }
    }
}

/// Attack 112.
#[test]
fn scripts() {
    for page in [
        "<script>location.replace(\"https://client.test/cb?code=RAW&state=HANDLE\")</script>",
        "<script>location='https://client.test/cb?state=HANDLE\\x26code=RAW'</script>",
        "<script>location='https://client.test/cb?state=HANDLE\\u0026code\\u003dRAW'</script>",
        "<script>var data={response:{code:'RAW',state:'HANDLE'}}</script>",
        "<script>var data = { response: { \"code\" : \"RAW\", \"state\" : \"HANDLE\" } }</script>",
        "<script>window.opener.postMessage({type:'authorization_response',response:{code:\"RAW\",state:\"HANDLE\"}},'*')</script>",
        "<body data-response='{\"code\":\"RAW\",\"state\":\"HANDLE\"}'>",
    ] {
        stopped_page("text/html", page);
    }
}

/// Attack 113.
#[test]
fn other_fields() {
    let url = "https://client.test/cb?code=RAW&state=HANDLE";
    for name in [
        "X-Redirect-URI",
        "X-Forward-URL",
        "Link",
        "Content-Location",
        "HX-Redirect",
        "X-Accel-Redirect",
        "Location",
    ] {
        stopped(|begun| reply("200 OK", &[(name, &begun.filled(url))], b""));
        stopped(|begun| {
            let fields = [("Location", begun.filled(url)), (name, begun.filled(url))];
            let fields = fields
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            reply("302 Found", &fields, b"")
        });
    }
    stopped(|begun| {
        let fields = [
            ("Location", begun.filled(url)),
            ("Set-Cookie", begun.filled("code=RAW; path=/")),
        ];
        let fields = fields
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        reply("302 Found", &fields, b"")
    });
    both(|attacked| {
        let received = attacked.passed(&request(
            "GET",
            "/login",
            &[("X-Disable-Redirect", "1")],
            None,
        ));
        assert_eq!(received.header("x-disable-redirect"), None);
    });
}

/// Attack 114. The gate asks the upstream for an uncompressed, complete answer.
#[test]
fn compressed_answers() {
    let asked = [
        ("Accept-Encoding", "gzip, br, zstd"),
        ("Range", "bytes=0-10"),
        ("If-Range", "x"),
    ];
    let rig = Rig::new();
    let entry = rig.entry(&rig.authorization());
    rig.get_with(&entry, &asked);
    rig.get_with("/login", &asked);
    for received in rig.upstream.ledger() {
        assert_eq!(
            received.header("accept-encoding"),
            Some("identity"),
            "{received:?}"
        );
        assert_eq!(
            (received.header("range"), received.header("if-range")),
            (None, None),
            "{received:?}"
        );
    }
    // In UTF-16 the gate finds no code, so it binds none, and the code is worthless.
    both(|attacked| {
        let page = format!("<a href=\"{REDIRECT_URI}?code={}\">", attacked.raw());
        let wide: Vec<u8> = page.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let answer = chunked(
            "200 OK",
            &[("Content-Type", "text/html; charset=utf-16")],
            &[&wide],
        );
        attacked
            .rig
            .upstream
            .once("/login", Act::Say(answer, Then::GoOn));
        assert_eq!(attacked.rig.get("/login").status, 200);
    });
}

/// Attack 115.
#[test]
fn redirects_that_do_not_fit() {
    for location in [
        "https://evil.test/cb?code=RAW&state=HANDLE",
        "https://client.test/other?code=RAW&state=HANDLE",
        "https://client.test.evil.test/cb?code=RAW&state=HANDLE",
        "https://x@client.test/cb?code=RAW&state=HANDLE",
        "http://client.test/cb?code=RAW&state=HANDLE",
        "//client.test/cb?code=RAW&state=HANDLE",
        "/cb?code=RAW&state=HANDLE",
        "https://client.test/cb?code=RAW&code=second-code&state=HANDLE",
        "https://client.test/cb?code=RAW&state=HANDLE#code=second-code",
        "https://client.test/cb?state=HANDLE&code=second-code#code=RAW",
        "https://client.test/cb?code=RAW",
        "https://client.test/cb#code=RAW",
        "https://client.test/cb?code=RAW&state=unknown",
        "https://evil.test/cb?code=RAW",
        "https://client.test/cb?code=RAW&state=HANDLE#RAW",
    ] {
        stopped_redirect(location);
    }
    // Two sign-ins at the same time.
    stopped(|begun| {
        let second = begun.rig.entry(&begun.rig.authorization());
        let second = second
            .split("state=")
            .nth(1)
            .and_then(|rest| rest.split('&').next())
            .unwrap_or_default()
            .to_owned();
        let location = begun.filled(&format!(
            "https://client.test/cb?code=RAW&state=HANDLE&state={second}"
        ));
        reply("302 Found", &[("Location", &location)], b"")
    });
    // After that the sign-in has ended.
    let begun = Begun::new();
    let location = begun.filled("https://evil.test/cb?code=RAW&state=HANDLE");
    begun.answered(reply("302 Found", &[("Location", &location)], b""));
    let response = begun.rig.get(&begun.entry);
    assert!(
        response.status == 400 && authorization_response(&response, &begun.authorization).is_none(),
        "{response}"
    );
}

/// Attack 115 if the request has no redirect URI to compare with: then an answer must lead to another origin. Fails without
/// that check, for forms without the check of their action.
#[test]
fn redirects_without_a_redirect_uri() {
    let nameless = || Begun::with(|authorization| authorization.without("redirect_uri"));
    let redirect = |location: &str| reply("302 Found", &[("Location", location)], b"");
    let page = |action: &str, begun: &Begun| {
        let form = "<form method=post action=\"ACTION\"><input name=code value=RAW><input name=state value=HANDLE></form>";
        let page = begun.filled(&form.replace("ACTION", action));
        reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
    };
    for own in [
        "/cb",
        "cb",
        "",
        "http://gate.test/cb",
        "//gate.test/cb",
        "/\\gate.test/cb",
        "UPSTREAM/cb",
    ] {
        for shape in ["?", "#", "form"] {
            let begun = nameless();
            let own = own.replace("UPSTREAM", &begun.rig.upstream.url());
            let answer = match shape {
                "form" => page(&own, &begun),
                mark => redirect(&begun.filled(&format!("{own}{mark}code=RAW&state=HANDLE"))),
            };
            let response = begun.answered(answer);
            assert!(!response.to_string().contains(RAW), "{own}: {response}");
            assert_eq!(response.status, 502, "{own}: {response}");
            let over = begun.rig.get(&begun.entry);
            assert_eq!(over.status, 400, "the sign-in is over: {over}");
        }
    }
    // Pages of the server, and requests to another server, keep the handle: they do not answer the sign-in.
    for location in [
        "/consent?state=HANDLE",
        "/consent?error=retry&state=HANDLE",
        "https://idp.test/login?state=HANDLE",
    ] {
        let begun = nameless();
        let location = begun.filled(location);
        let response = begun.answered(redirect(&location));
        assert_eq!(response.header("location"), Some(location.as_str()));
    }
    // Only an answer that leads to another origin answers the sign-in.
    let begun = nameless();
    let location = begun.filled(&format!("{REDIRECT_URI}?code=RAW&state=HANDLE"));
    let response = begun.answered(redirect(&location));
    let answer = authorization_response(&response, &begun.authorization).expect("an answer");
    assert_eq!(answer.params.get("state"), begun.authorization.state());
    assert!(!response.to_string().contains(RAW), "{response}");
}

/// Attacks 96 and 115 with tokens in place of codes: without a sign-in that asked for them they are not delivered, whatever
/// other clients may have.
#[test]
fn tokens_without_a_sign_in() {
    const TOKEN: &str = "at-of-somebody";
    let form = |fields: &str| {
        let page = format!("<form method=post action=\"{REDIRECT_URI}\">{fields}</form>");
        reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
    };
    let input = |name: &str, value: &str| format!("<input name={name} value={value}>");
    let client = "[[upstream.client]]\nid = \"spa\"\nuntil = \"2999-12-31\"\nowner = \"a@b.test\"\nreason = \"a test\"\n";
    let lists = "response_types = [\"code\", \"token\", \"id_token\", \"code token\"]";
    for rig in [
        Rig::new(),
        Rig::pkce("response_types = [\"code token\"]"),
        Rig::pkce(lists),
        Rig::tables(&format!("{client}{lists}")),
    ] {
        for kind in ["access_token", "id_token"] {
            let token = format!("{kind}={TOKEN}&state=x");
            let alone = [
                reply(
                    "302 Found",
                    &[("Location", &format!("{REDIRECT_URI}#{token}"))],
                    b"",
                ),
                reply(
                    "302 Found",
                    &[("Location", &format!("{REDIRECT_URI}?{token}"))],
                    b"",
                ),
                form(&(input(kind, TOKEN) + &input("state", "x"))),
            ];
            let beside = [
                reply(
                    "302 Found",
                    &[("Location", &format!("{REDIRECT_URI}#{token}&code={RAW}"))],
                    b"",
                ),
                reply(
                    "302 Found",
                    &[("Location", &format!("{REDIRECT_URI}?code={RAW}#{token}"))],
                    b"",
                ),
                form(&(input(kind, TOKEN) + &input("code", RAW))),
            ];
            for answer in alone.iter().chain(&beside) {
                for path in ["/authorize", "/callback"] {
                    let act = Act::Say(answer.clone(), Then::GoOn);
                    rig.upstream.once(path, act);
                    let response = rig.get(path);
                    let shown = answer.escape_ascii();
                    assert_eq!(response.status, 502, "{shown}: {response}");
                    assert!(!response.to_string().contains(TOKEN), "{response}");
                    assert!(!response.to_string().contains(RAW), "{response}");
                }
            }
        }
    }
    // A request for a token needs no challenge, and so gets no code, even if the server sends one.
    let rig = Rig::pkce(lists);
    let implicit = rig.authorization().with("response_type", "token");
    let response = rig.get(&rig.entry(&implicit.without_challenge()));
    assert_eq!(response.status, 502, "{response}");
    assert_eq!(rig.upstream.codes().len(), 1);
}

/// Attack 115. In another case no client reads it as a code, and it is not a code that the gate knows.
#[test]
fn codes_under_another_name() {
    for name in ["CODE", "Code", "code%5B%5D", "%20code"] {
        let begun = Begun::new();
        let location = begun.filled(&format!("https://client.test/cb?{name}=RAW&state=HANDLE"));
        begun.answered(reply("302 Found", &[("Location", &location)], b""));
        let form = begun.authorization.redemption(RAW);
        let response = begun.rig.token(&form);
        assert_eq!(
            (response.status, begun.rig.forwarded()),
            (400, 0),
            "{response}"
        );
    }
}

/// The same with upstream codes: an answer without a sign-in is not delivered.
#[test]
fn answers_without_a_sign_in() {
    let config = Config::default();
    with(config, |attacked: &Attacked| {
        for location in [
            format!("{REDIRECT_URI}?code={RAW}"),
            format!("{REDIRECT_URI}?code={RAW}&state=unknown"),
            format!(
                "https://evil.test/cb?code={RAW}&state={}",
                encode(attacked.authorization.state().unwrap_or_default())
            ),
            format!("{REDIRECT_URI}?code={RAW}&code=second-code&state=x"),
            format!("{REDIRECT_URI}#code={RAW}"),
        ] {
            for path in ["/authorize", "/callback", "/static/x"] {
                let answer = reply("302 Found", &[("Location", &location)], b"");
                attacked
                    .rig
                    .upstream
                    .once(path, Act::Say(answer, Then::GoOn));
                let response = attacked.rig.get(path);
                assert_eq!(response.status, 502, "{location}: {response}");
                assert!(!response.to_string().contains(RAW), "{response}");
            }
        }
        attacked.refused_form(
            "/token",
            &[],
            &attacked.whole().with("code", RAW).encoded(),
            &[400],
        );
    });
}

/// Attack 116. A code that the user copies is delivered if no sign-in is connected to it, and is worthless.
#[test]
fn codes_to_be_copied() {
    both(|attacked| {
        let page = format!("<p>Your code: <b>{RAW}</b></p><input readonly value=\"{RAW}\">");
        let answer = reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes());
        attacked
            .rig
            .upstream
            .once("/oauth/oob", Act::Say(answer, Then::GoOn));
        attacked.rig.get("/oauth/oob");
        for form in [attacked.tok(), attacked.whole()] {
            attacked.refused_form("/token", &[], &form.with("code", RAW).encoded(), &[400]);
        }
    });
    stopped_page(
        "text/html",
        "<title>Success code=RAW&state=HANDLE</title><input name=code value=RAW><p>HANDLE",
    );
}

/// Attack 117.
#[test]
fn signed_responses() {
    for location in [
        "https://client.test/cb?response=e30.e30.RAW&state=HANDLE",
        "https://client.test/cb#response=a.b.c.d.RAW&state=HANDLE",
    ] {
        stopped_redirect(location);
    }
}

type Make<'a> = &'a dyn Fn(&Begun) -> Vec<u8>;

/// Attack 116: a victim's code becomes part of the attacker's sign-in if the server repeats it next to the handle of that
/// sign-in. Fails without `Sent::holds`.
#[test]
fn codes_that_came_with_the_request() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let location = "https://client.test/cb?code=RAW&state=HANDLE";
    let known = "https://client.test/cb?code=RAW";
    let to = |begun: &Begun| encode(&begun.filled(known));
    let requests: [Make<'_>; 6] = [
        &|begun| request("GET", &format!("/logout?to={}", to(begun)), &[], None),
        &|begun| {
            request(
                "GET",
                &format!("/logout?to={}", encode(&to(begun))),
                &[],
                None,
            )
        },
        &|begun| {
            request(
                "GET",
                &format!("/logout/{}", begun.filled("RAW")),
                &[],
                None,
            )
        },
        &|begun| {
            let form = format!("to={}", to(begun));
            request("POST", "/logout", &[("Content-Type", FORM)], Some(&form))
        },
        &|begun| {
            request(
                "GET",
                "/logout",
                &[("Referer", &begun.filled(location))],
                None,
            )
        },
        &|begun| {
            request(
                "GET",
                "/logout",
                &[("Cookie", &format!("to={}", to(begun)))],
                None,
            )
        },
    ];
    for make in requests {
        let begun = Begun::new();
        let location = begun.filled(location);
        let answer = reply("302 Found", &[("Location", &location)], b"");
        begun.rig.upstream.once("*", Act::Say(answer, Then::GoOn));
        let bytes = make(&begun);
        let response = begun.rig.send(&bytes);
        assert_eq!(response.status, 502, "{}: {response}", bytes.escape_ascii());
    }
    stopped_redirect("https://client.test/cb?error=login_required&code=RAW&state=HANDLE");
}

/// The same in two steps: a request with a text that the server repeats later is refused. Fails without `concern::is_planted`.
#[test]
fn codes_that_are_planted_for_later() {
    let nested = |begun: &Begun| encode(&begun.filled("/account?code=RAW&state=HANDLE"));
    let requests: [Make<'_>; 4] = [
        &|begun| {
            request(
                "GET",
                &begun.filled("/account?code=RAW&state=HANDLE"),
                &[],
                None,
            )
        },
        &|begun| request("GET", &format!("/login?next={}", nested(begun)), &[], None),
        &|begun| {
            request(
                "GET",
                &format!("/login?next={}", encode(&nested(begun))),
                &[],
                None,
            )
        },
        &|begun| {
            request(
                "POST",
                "/login",
                &[],
                Some(&format!("next={}", nested(begun))),
            )
        },
    ];
    for make in requests {
        let begun = Begun::new();
        let before = begun.rig.upstream.ledger().len();
        let response = begun.rig.send(&make(&begun));
        assert_eq!(response.status, 400, "{response}");
        assert_eq!(begun.rig.upstream.ledger().len(), before);
    }
    // A one-time password passes, and so does a recovery code next to a hidden handle.
    let begun = Begun::new();
    for form in [
        "code=12345678&state=HANDLE",
        "code=a1b2c-d3e4f&state=HANDLE",
    ] {
        let form = begun.filled(form);
        let response = begun.rig.post("/mfa", &[], &form);
        assert_eq!(response.status, 200, "{response}");
    }
}

/// Attack 110 in an unknown form: a handle, with parameters that cannot be read.
#[test]
fn locations_that_cannot_be_read() {
    for tail in ["&%zz=1", "&%00=1", &"&a=b".repeat(200)] {
        stopped_redirect(&format!(
            "https://client.test/cb?code=RAW&state=HANDLE{tail}"
        ));
    }
    let form = |name: &str, value: &str| {
        format!(
            "<form method=post action=\"{REDIRECT_URI}\"><input name=state value=HANDLE>\
             <input name={name} value={value}></form>"
        )
    };
    let two = [form("error", "login_required"), form("code", "RAW")].concat();
    stopped_page("text/html", &two);
}

/// Attack 118. The upstream is a client of other servers, too.
#[test]
fn callbacks_of_other_servers() {
    let config = Config {
        endpoints: "[upstream.routes]\nforeign_callbacks = [\"/saml/acs\"]",
        ..Config::default()
    };
    with(config, |attacked| {
        let target = "/broker/google/endpoint?code=4%2f0AY0e-g7&state=S&scope=a+b";
        let received = attacked.passed(&request("GET", target, &[], None));
        assert_eq!(received.target(), target);
        let target = "/saml/acs?code=4%2f0AY0e-g7&state=S&client_id=x";
        assert_eq!(
            attacked.passed(&request("GET", target, &[], None)).target(),
            target
        );
    });
}

/// Attack 119. An event stream passes; a code in it is worthless.
#[test]
fn event_streams() {
    both(|attacked| {
        let event = format!("data: {{\"code\":\"{RAW}\"}}\n\n");
        let answer = chunked(
            "200 OK",
            &[("Content-Type", "text/event-stream")],
            &[event.as_bytes()],
        );
        attacked
            .rig
            .upstream
            .once("/events", Act::Say(answer, Then::GoOn));
        assert_eq!(attacked.rig.get("/events").status, 200);
        attacked.refused_form(
            "/token",
            &[],
            &attacked.whole().with("code", RAW).encoded(),
            &[400],
        );
    });
}

/// Attack 122.
#[test]
fn routes_that_are_closed() {
    let config = Config {
        endpoints: "[upstream.routes]\ndefault = \"deny\"\nallow = [\"/login\", \"/assets/**\"]",
        ..Config::default()
    };
    with(config, |attacked| {
        for path in [
            "/admin",
            "/actuator",
            "/actuator/env",
            "/server-status",
            "/metrics",
            "/login/x",
            "/assetsx",
            "/LOGIN",
            "/login;x",
        ] {
            attacked.refused(&request("GET", path, &[], None), &[404]);
            attacked.refused(&request("POST", path, &[], Some("a=b")), &[404]);
        }
        for path in ["/login", "/assets/x/y.css"] {
            attacked.passed(&request("GET", path, &[], None));
        }
    });
    let document = serde_json::json!({ "a": 1 });
    let rig = Rig::new();
    rig.upstream
        .once("/x", Act::Say(json("200 OK", &document), Then::GoOn));
    assert_eq!(rig.get("/x").json(), document);
}
