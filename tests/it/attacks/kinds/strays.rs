//! Answers to another origin with a code, a token or a signed response, but without a sign-in: the server has dropped the
//! `state`, or never had one. In any part, under any name, in any form, and by any method and path.
//!
//! Each group fails without the part of `judge::stray` that its comment names, or without the other function that it names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::tokens::TOKEN;
use super::{Begun, answered, redirect};
use crate::support::http::Response;
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, request};
use crate::support::scripted::reply;

const RAW: &str = "up-7f3a.of-nobody_1";

fn page(status: &str, body: &str) -> Vec<u8> {
    reply(status, &[("Content-Type", "text/html")], body.as_bytes())
}

#[track_caller]
fn is_kept(response: &Response, shown: &[u8]) {
    let (text, shown) = (response.to_string(), shown.escape_ascii());
    assert!(!text.contains(RAW), "{shown}: {text}");
    assert!(!text.contains(TOKEN), "{shown}: {text}");
    assert_eq!(response.status, 502, "{shown}: {text}");
}

/// With both kinds of codes, on the authorization path and after a login.
fn all_are_kept(answers: &[Vec<u8>]) {
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("codes = \"{codes}\"")).unguarded();
        for answer in answers {
            for bytes in [
                request("GET", "/authorize", &[], None),
                request("POST", "/login/done", &[], Some("password=x")),
                request("GET", "/login/next", &[], None),
            ] {
                is_kept(&answered(&rig, &bytes, answer.clone()), answer);
            }
        }
    }
}

fn all_pass(answers: &[Vec<u8>]) {
    let rig = Rig::new().unguarded();
    for answer in answers {
        for bytes in [
            request("GET", "/authorize", &[], None),
            request("POST", "/login/done", &[], Some("password=x")),
        ] {
            let response = answered(&rig, &bytes, answer.clone());
            let shown = answer.escape_ascii();
            assert_ne!(response.status, 502, "{shown}: {response}");
        }
    }
}

/// Names that some client reads as `code` (`lookalike`), in parts that some client reads as parameters.
#[test]
fn codes_under_other_names_without_a_state() {
    let mut answers = Vec::new();
    for tail in [
        "?Code=RAW",
        "?CODE=RAW&x=1",
        "?code%5B%5D=RAW",
        "?%20code=RAW",
        "?code[0]=RAW",
        "?code%5Ba%5D=RAW",
        "?%EF%BB%BFcode=RAW",
        ";code=RAW",
        "?x=1;code=RAW",
        "??code=RAW",
        "?x=1?code=RAW",
        "?x=1&amp;code=RAW",
        "#/cb?code=RAW",
        "#x#code=RAW",
        "#Code=RAW",
    ] {
        let location = format!("{REDIRECT_URI}{}", tail.replace("RAW", RAW));
        answers.push(redirect(&location));
    }
    all_are_kept(&answers);
}

/// In a part that the gate cannot read: too many pairs, a BOM, bytes that are not UTF-8, a NUL, invalid escapes, overlong
/// encodings. Fails without `Part::read_loosely`.
#[test]
fn codes_in_parts_that_cannot_be_read_without_a_state() {
    let mut answers = Vec::new();
    for before in [
        "a=b&".repeat(128),
        "%EF%BB%BFx=1&".to_owned(),
        "%zz=1&".to_owned(),
        "%00=1&".to_owned(),
        "%c0%ae=1&".to_owned(),
        "%ff=1&".to_owned(),
    ] {
        for mark in ["?", "#"] {
            for credential in [
                format!("code={RAW}"),
                format!("c%6Fde={RAW}"),
                format!("access_token={TOKEN}"),
                format!("access%5Ftoken={TOKEN}"),
            ] {
                answers.push(redirect(&format!(
                    "{REDIRECT_URI}{mark}{before}{credential}"
                )));
                answers.push(redirect(&format!(
                    "{REDIRECT_URI}{mark}{credential}&{before}"
                )));
            }
        }
    }
    answers.push(redirect(&format!(
        "myapp:/cb?code={RAW}&{}",
        "x&".repeat(200)
    )));
    all_are_kept(&answers);
}

/// Pages that browsers show: next to an empty `Location`, or next to a status whose `Location` they do not follow. Fails
/// without `is_followed` in `read::location`.
#[test]
fn pages_next_to_a_location_that_browsers_ignore() {
    let form = format!(
        "<form method=post action=\"{REDIRECT_URI}\"><input name=code value=\"{RAW}\"></form>"
    );
    let mut answers = Vec::new();
    for status in ["301 X", "302 Found", "303 X", "307 X", "308 X"] {
        let fields = [("Location", " "), ("Content-Type", "text/html")];
        answers.push(reply(status, &fields, form.as_bytes()));
    }
    for status in ["300 X", "305 X", "306 X", "310 X"] {
        for location in ["", "/login", "https://elsewhere.test/"] {
            let fields = [("Location", location), ("Content-Type", "text/html")];
            answers.push(reply(status, &fields, form.as_bytes()));
        }
        answers.push(page(status, &form));
    }
    all_are_kept(&answers);
    let rig = Rig::new();
    // With a handle it is an ordinary answer, or not an answer.
    let begun = Begun::on(&rig);
    let form = form.replace(
        "</form>",
        &format!("<input name=state value={}></form>", begun.handle),
    );
    let fields = [("Location", "/x"), ("Content-Type", "text/html")];
    let response = begun.answered(reply("300 X", &fields, form.as_bytes()));
    assert!(!response.to_string().contains(RAW), "{response}");
}

/// By each method that reaches the upstream, also at the paths of metadata and of the token endpoint. Fails if these handle
/// answers separately (`metadata::handle`, `token::other_answer`).
#[test]
fn answers_at_every_path_and_by_every_method() {
    let metadata = "/.well-known/openid-configuration";
    let rig = Rig::with(Config {
        endpoints: &format!("metadata = [\"{metadata}\"]"),
        ..Config::default()
    });
    let rig = rig.unguarded();
    for (method, path) in [
        ("GET", metadata),
        ("HEAD", metadata),
        ("POST", metadata),
        ("OPTIONS", metadata),
        ("OPTIONS", "/authorize"),
        ("OPTIONS", "/token"),
        ("OPTIONS", "/login"),
        ("HEAD", "/login"),
        ("PUT", "/login"),
        ("PATCH", "/login"),
        ("DELETE", "/login"),
        ("QUERY", "/login"),
    ] {
        let begun = Begun::on(&rig);
        let of_sign_in = format!("{REDIRECT_URI}?code={RAW}&state={}", begun.handle);
        for answer in [
            redirect(&format!("{REDIRECT_URI}?code={RAW}")),
            redirect(&format!("{REDIRECT_URI}#access_token={TOKEN}&state=x")),
            redirect(&format!(
                "https://evil.test/?code={RAW}&state={}",
                begun.handle
            )),
            reply(
                "200 OK",
                &[("Refresh", &format!("0;url={of_sign_in}"))],
                b"",
            ),
            reply(
                "204 X",
                &[("Link", &format!("<{of_sign_in}>; rel=next"))],
                b"",
            ),
        ] {
            let bytes = request(method, path, &[("Connection", "close")], None);
            let act = crate::support::scripted::Act::Say(
                answer.clone(),
                crate::support::scripted::Then::GoOn,
            );
            rig.upstream.once("*", act);
            let mut connection = rig.connect();
            connection.send(&bytes);
            let received = connection.rest();
            rig.upstream.heal();
            let shown = format!("{method} {path} {}", received.escape_ascii());
            assert!(!shown.contains(RAW) && !shown.contains(TOKEN), "{shown}");
            let status = received.get(9..12).unwrap_or_default();
            assert!([&b"502"[..], b"405", b"400"].contains(&status), "{shown}");
        }
    }
}

pub(super) fn jwt(payload: &str) -> String {
    let [header, payload] =
        [r#"{"alg":"RS256","kid":"1"}"#, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{payload}.c2lnbmF0dXJl")
}

/// Signed and encrypted responses (JARM), with their `state` inside: without a handle, to a client, to an application behind
/// the gate, next to a live or dead handle. Fails without `Carried::signed_credential`.
#[test]
fn signed_responses() {
    let encrypted = format!(
        "{}.a2V5.aXY.dGV4dA.dGFn",
        URL_SAFE_NO_PAD.encode(r#"{"enc":"A128GCM"}"#)
    );
    let rig = Rig::new();
    let dead = Begun::on(&rig);
    let away = format!("https://evil.test/?code={RAW}&state={}", dead.handle);
    assert_eq!(dead.answered(redirect(&away)).status, 502);
    for payload in [
        r#"{"iss":"https://i","aud":"pub","exp":1,"code":"RAW","state":"HANDLE"}"#,
        r#"{"c\u006fde":"RAW"}"#,
        r#"{"access_token":"RAW","token_type":"Bearer"}"#,
        "",
    ] {
        for uri in [
            REDIRECT_URI,
            "/app/cb",
            "http://gate.test/app/cb",
            "myapp:/cb",
        ] {
            for state in ["", "&state=x", "LIVE", "DEAD"] {
                for mark in ["?", "#", "?a=b?", "form"] {
                    let begun = Begun::on(&rig);
                    let response = match payload {
                        "" => encrypted.clone(),
                        payload => {
                            jwt(&payload.replace("RAW", RAW).replace("HANDLE", &begun.handle))
                        }
                    };
                    let state = state
                        .replace("LIVE", &format!("&state={}", begun.handle))
                        .replace("DEAD", &format!("&state={}", dead.handle));
                    let answer = if mark == "form" {
                        let input = state.strip_prefix("&state=").unwrap_or_default();
                        page(
                            "200 OK",
                            &format!(
                                "<form action=\"{uri}\" method=post><input name=response \
                                 value=\"{response}\"><input name=state value=\"{input}\"></form>"
                            ),
                        )
                    } else {
                        redirect(&format!("{uri}{mark}response={response}{state}"))
                    };
                    for bytes in [
                        request("GET", &begun.entry, &[], None),
                        request("POST", "/login/done", &[], Some("a=b")),
                    ] {
                        let received = answered(&rig, &bytes, answer.clone());
                        assert!(!received.to_string().contains(&response), "{received}");
                        assert!(received.status >= 400, "{received}");
                    }
                }
            }
        }
    }
}

/// Under names that some client reads as `response`, in a redirect and in a form. Fails if names are compared exactly
/// (`jarm::is_name`).
#[test]
fn signed_responses_under_other_names() {
    let response = jwt(&format!(r#"{{"code":"{RAW}"}}"#));
    let mut answers = Vec::new();
    for name in [
        "Response",
        "RESPONSE",
        "response[]",
        "response[0]",
        "%52esponse",
        "+response",
    ] {
        for mark in ["?", "#", "#/cb?", "?a=b&"] {
            answers.push(redirect(&format!("{REDIRECT_URI}{mark}{name}={response}")));
        }
    }
    for mark in ["?a=b?", ";", "#/cb/", "#a#"] {
        answers.push(redirect(&format!(
            "{REDIRECT_URI}{mark}Response={response}"
        )));
    }
    for control in [
        "<input name=Response value=JWT>",
        "<input name=response[] value=JWT>",
        "<textarea name=RESPONSE>JWT</textarea>",
        "<button name=Response value=JWT></button>",
    ] {
        let form = format!("<form action={REDIRECT_URI}>{control}</form>");
        answers.push(page("200 OK", &form.replace("JWT", &response)));
    }
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("codes = \"{codes}\"")).unguarded();
        for answer in &answers {
            let received = answered(
                &rig,
                &request("GET", "/authorize", &[], None),
                answer.clone(),
            );
            assert!(!received.to_string().contains(&response), "{received}");
            assert_eq!(
                received.status,
                502,
                "{}: {received}",
                answer.escape_ascii()
            );
        }
    }
}

/// Other parameters named `response`: the answer of a passkey, of a captcha, of a device; and an error in a JWT.
#[test]
fn other_responses_pass() {
    let mut answers = Vec::new();
    for response in [
        "",
        "yes",
        "03AGdBq24PBCbwiDRaS_MJ7Z-x.y",
        "%7B%22id%22%3A%22x%22%2C%22type%22%3A%22public-key%22%7D",
        &jwt(r#"{"iss":"https://i","error":"access_denied","state":"x"}"#),
    ] {
        for uri in [REDIRECT_URI, "/webauthn/finish"] {
            answers.push(redirect(&format!("{uri}?response={response}")));
            answers.push(redirect(&format!("{uri}?a=b?Response={response}")));
            answers.push(page(
                "200 OK",
                &format!(
                    "<form action=\"{uri}\"><input name=response value=\"{response}\"></form>"
                ),
            ));
        }
    }
    all_pass(&answers);
}

/// Forms of other shapes: names that some client reads as `code`, other controls than `<input>`, fields and buttons outside
/// their form, and more forms than any page has. Fails without `form_post::Reader`.
#[test]
fn forms_of_other_shapes() {
    let mut answers = Vec::new();
    for name in ["code", "access_token", "id_token"] {
        let value = if name == "code" { RAW } else { TOKEN };
        let folded = name.to_uppercase().replace('_', "-");
        for form in [
            format!("<form action=URI><input name={folded} value={value}></form>"),
            format!("<form action=URI><input name={name}[] value={value}></form>"),
            format!("<form action=URI><textarea name={name}>\n{value}</textarea></form>"),
            format!("<form action=URI><button name={name} value={value}>Go</button></form>"),
            format!(
                "<form action=URI><select name={name}><option>x<option selected value={value}></select></form>"
            ),
            format!("<form action=URI id=f></form><input form=f name={name} value={value}>"),
            format!("<input form=f name={name} value={value}><form action=URI id=f></form>"),
            format!(
                "<form action=/here><input form=f name={name} value={value}></form><form action=URI id=f></form>"
            ),
            format!(
                "<form action=/here><input name={name} value={value}><button formaction=URI>Go</button></form>"
            ),
            format!(
                "<form action=/here><input type=submit formaction=URI><input name={name} value={value}></form>"
            ),
            format!(
                "<form action='https:&Tab;//client.test/'><input name={name} value={value}></form>"
            ),
            format!(
                "<form action='/&NewLine;/client.test/'><input name={name} value={value}></form>"
            ),
            format!("<form action='/&bsol;client.test/'><input name={name} value={value}></form>"),
            format!(
                "<iframe srcdoc='<form action=URI><input name={name} value={value}></form>'></iframe>"
            ),
            format!(
                "<iframe srcdoc='&lt;form action=URI>&#60;input name={name} value={value}>'></iframe>"
            ),
            format!("<base href=URI><form action=cb><input name={name} value={value}></form>"),
            format!(
                "{}<form action=URI><input name={name} value={value}></form>",
                "<form><input name=error value=x></form>".repeat(200)
            ),
            format!(
                "{}<form action=URI><input name={name} value={value}></form>",
                "<form action=http://gate.test/><input name=iss value=x></form>".repeat(200)
            ),
            format!(
                "<form action=URI>{}<input name={name} value={value}></form>",
                "<input name=iss value=x>".repeat(40)
            ),
        ] {
            answers.push(page("200 OK", &form.replace("URI", REDIRECT_URI)));
        }
    }
    all_are_kept(&answers);
    all_pass(&[
        page(
            "200 OK",
            "<form action=/coupon><select name=code><option value=ABCD1234></select></form>",
        ),
        page(
            "200 OK",
            "<form action=https://partner.test/><textarea name=code></textarea></form>",
        ),
        page(
            "200 OK",
            "<form action=https://partner.test/><button name=code value=EUR>Go</button></form>",
        ),
        page(
            "200 OK",
            &format!(
                "<input form=none name=code value={RAW}><form action=https://partner.test/></form>"
            ),
        ),
        page(
            "200 OK",
            &"<form action=/c><input name=code value=ABCD1234></form>".repeat(300),
        ),
    ]);
}

/// Codes in addresses to which browsers go by themselves. Fails without `unrecognised::redirects`.
#[test]
fn codes_in_refresh_without_a_state() {
    let mut answers = Vec::new();
    for (name, value) in [
        ("Refresh", format!("0;url={REDIRECT_URI}?code={RAW}")),
        ("Refresh", format!("0; URL='{REDIRECT_URI}?x=1&Code={RAW}'")),
        ("Refresh", format!("0;url=//client.test/#code={RAW}")),
        ("Refresh", format!("0,url=app.client:/cb?code={RAW}")),
        ("Refresh", format!("5;url=/\\client.test/cb?code={RAW}")),
    ] {
        for status in ["200 OK", "302 Found", "400 X"] {
            answers.push(reply(status, &[(name, &*value)], b""));
        }
    }
    all_are_kept(&answers);
    all_pass(&[
        reply("200 OK", &[("Refresh", "5")], b""),
        reply(
            "200 OK",
            &[("Refresh", "5;url=https://partner.test/?code=EUR")],
            b"",
        ),
        reply(
            "200 OK",
            &[("Refresh", "0;url=/reset?code=A1B2C3D4E5")],
            b"",
        ),
        page("200 OK", "<a href='https://shop.test/?code=SUMMER2026'>"),
    ]);
}

/// Tokens that leave for another origin without a redirect. Fails without `unrecognised::strays`.
#[test]
fn tokens_that_lead_away() {
    let mut answers = Vec::new();
    for url in [
        "URI#access_token=TOKEN&token_type=Bearer",
        "URI#token_type=Bearer&id_token=TOKEN",
        "URI?access_token=TOKEN&expires_in=60",
        "URI#/cb?access_token=TOKEN&state=x",
        "//client.test/#state=x&access_token=TOKEN",
        "app.client:/cb#access_token=TOKEN&state=x",
    ] {
        let url = url.replace("URI", REDIRECT_URI).replace("TOKEN", TOKEN);
        let escaped = url.replace('&', "&amp;");
        for (name, value) in [
            ("Refresh", format!("0;url={url}")),
            ("Refresh", format!("0; URL='{url}'")),
            ("Link", format!("<{url}>; rel=next")),
            ("Location", url.clone()),
        ] {
            for status in ["200 OK", "201 Created"] {
                answers.push(reply(status, &[(name, &*value)], b""));
            }
        }
        for body in [
            format!("<meta http-equiv=refresh content=\"0;url={escaped}\">"),
            format!("<a href='{escaped}'>Continue</a>"),
            format!(
                "<script>location.replace(\"{}\")</script>",
                url.replace('/', "\\/")
            ),
            format!("<script>location='{}'</script>", url.replace('&', "\\x26")),
        ] {
            answers.push(page("200 OK", &body));
        }
        let document = serde_json::json!({ "redirect": url }).to_string();
        answers.push(reply(
            "200 OK",
            &[("Content-Type", "application/json")],
            document.as_bytes(),
        ));
    }
    answers.push(redirect(&format!(
        "{REDIRECT_URI}#/cb?access_token={TOKEN}"
    )));
    answers.push(redirect(&format!(
        "{REDIRECT_URI};access_token={TOKEN}?x=1"
    )));
    answers.push(redirect(&format!("{REDIRECT_URI}#x#id_token={TOKEN}")));
    all_are_kept(&answers);
    let own = format!("http://{HOST}/files/1?access_token={TOKEN}&expires_in=60");
    all_pass(&[
        reply("201 Created", &[("Location", &own)], b""),
        reply(
            "200 OK",
            &[(
                "Refresh",
                &format!("5;url=/reset?access_token={TOKEN}&state=x"),
            )],
            b"",
        ),
        page(
            "200 OK",
            &format!("<a href='https://cdn.test/x.js?access_token={TOKEN}'>"),
        ),
        page(
            "200 OK",
            "<a href='https://docs.test/#access_token=&token_type=Bearer'>",
        ),
        page(
            "200 OK",
            &format!("<input name=csrf_token value={TOKEN}><p>access_token and expires_in</p>"),
        ),
        redirect(&format!("/#/reset?access_token={TOKEN}")),
        reply(
            "200 OK",
            &[("Content-Type", "application/json")],
            format!("{{\"access_token\":\"{TOKEN}\",\"token_type\":\"Bearer\",\"expires_in\":60}}")
                .as_bytes(),
        ),
    ]);
}

/// Parameters of other servers: nested, short, or on the server's own origin.
#[test]
fn other_parameters_pass() {
    let nested = "https%3A%2F%2Fshop.test%2F%3Fcode%3DSUMMER2026";
    all_pass(&[
        redirect(&format!("https://partner.test/?next={nested}")),
        redirect(&format!(
            "https://partner.test/authorize?response_type=code&client_id=abcdefgh1&redirect_uri={nested}"
        )),
        redirect("https://partner.test/?zipcode=1234567890&coder=a1b2c3d4e5"),
        redirect("/reset?code=A1B2C3D4E5"),
        redirect(&format!("/reset?code=A1B2C3D4E5&{}", "x&".repeat(200))),
        redirect(&format!("https://partner.test/?{}", "x=1&".repeat(200))),
        redirect("https://partner.test/?%zz=1&x=code"),
    ]);
}
