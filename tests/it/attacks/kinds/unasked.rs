//! Tokens, codes and signed responses that leave in other ways than in the parameters of a redirect.
//!
//! Each group fails without the check that its comment names.

use super::answered;
use super::strays::jwt;
use super::tokens::{TOKEN, is_kept};
use crate::support::http::Response;
use crate::support::rig::{Config, REDIRECT_URI, Rig, handle_of, request, target};
use crate::support::scripted::reply;

/// Status, media type, body.
fn document(kind: &str, body: &str) -> Vec<u8> {
    let body = body.replace("TOKEN", TOKEN);
    reply("200 OK", &[("Content-Type", kind)], body.as_bytes())
}

/// Documents with a token, and nothing else that identifies a sign-in.
fn documents() -> Vec<Vec<u8>> {
    [
        ("application/json", r#"{"id_token":"TOKEN"}"#),
        (
            "application/json",
            r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":60}"#,
        ),
        ("application/json", r#"{"data":{"accessToken":"TOKEN"}}"#),
        ("application/json", r#"{"ACCESS_TOKEn":"TOKEN"}"#),
        ("application/json", r#"{"access\u005ftoken":"TOKEN"}"#),
        ("application/json", r#"{"access_\u0074oken":"TOKEN"}"#),
        ("text/plain", "access_token=TOKEN"),
        ("text/javascript", "done({id_token: 'TOKEN'})"),
        (
            "application/xml",
            "<r><access_token>TOKEN</access_token></r>",
        ),
        (
            "application/x+json",
            r#"[{"name":"id_token","value":"TOKEN"}]"#,
        ),
    ]
    .map(|(kind, body)| document(kind, body))
    .into()
}

/// A gate with these keys in `[upstream.pkce]`, and the target of an authorization request as it reaches the upstream.
fn first_requests(response_type: &str) -> Vec<(Rig, String)> {
    let types = "response_types = [\"code\", \"token\"]";
    ["", "entry = \"rewrite\"", "codes = \"upstream\""]
        .into_iter()
        .map(|keys| {
            println!("{keys}"); // shown when the test fails
            let pkce = format!("{types}\n{keys}");
            let rig = Rig::with(Config {
                pkce: &pkce,
                ..Config::default()
            });
            let rig = rig.unguarded();
            let authorization = rig.authorization().with("response_type", response_type);
            let first = match keys {
                "" => rig.entry(&authorization),
                _ => target(&authorization),
            };
            (rig, first)
        })
        .collect()
}

/// In answer to the authorization request itself, also after the redirect of its entry. Fails if only `Asked::begun` counts
/// (`Asked::authorization`).
#[test]
fn documents_with_tokens_in_answer_to_an_authorization_request() {
    for answer in documents() {
        for (rig, first) in first_requests("code") {
            let response = answered(&rig, &request("GET", &first, &[], None), answer.clone());
            is_kept(&response, &answer.escape_ascii().to_string());
        }
    }
}

/// Documents that a login page requests pass, with and without the handle; and a client that asked for a token gets it.
#[test]
fn documents_with_tokens_that_pass() {
    for answer in documents() {
        let (rig, first) = first_requests("code").remove(0);
        let state = format!("state={}", handle_of(&first));
        for bytes in [
            request("POST", &first, &[], Some("user=u&password=p")),
            request("POST", "/authorize", &[], Some(&state)),
            request("POST", "/api/login", &[], Some(&state)),
            request("GET", &format!("/login/status?{state}"), &[], None),
            request("GET", "/authorize?poll=1", &[], None),
        ] {
            let response = answered(&rig, &bytes, answer.clone());
            assert_eq!(response.status, 200, "{}", bytes.escape_ascii());
        }
        for (rig, first) in first_requests("token") {
            let response = answered(&rig, &request("GET", &first, &[], None), answer.clone());
            // Exactly that token.
            if answer.escape_ascii().to_string().contains("id_token") {
                is_kept(&response, "another token than the one that was asked for");
            } else {
                assert!(response.to_string().contains(TOKEN), "{response}");
            }
        }
    }
}

/// A page with a `Refresh`, and the header field.
fn refreshes(url: &str) -> [Vec<u8>; 4] {
    let escaped = url.replace('&', "&amp;").replace('"', "&quot;");
    let page = |page: &str| document("text/html", page);
    [
        reply("200 OK", &[("Refresh", &format!("0;url={url}"))], b""),
        reply("302 X", &[("Refresh", &format!("0; URL={url} "))], b""),
        page(&format!(
            "<meta http-equiv=refresh content=\"0;url={escaped}\">"
        )),
        page(&format!(
            "<form><META CONTENT=\"1, {escaped}\" name=x Http-Equiv='REFRESH'><p>Wait</form>"
        )),
    ]
}

/// In answer to the authorization request, and after a login.
fn each_answer(answers: &[Vec<u8>], check: impl Fn(&Response, &str)) {
    for (rig, first) in first_requests("code") {
        for answer in answers {
            for bytes in [
                request("GET", &first, &[], None),
                request("GET", "/authorize", &[], None),
            ] {
                let response = answered(&rig, &bytes, answer.clone());
                check(&response, &answer.escape_ascii().to_string());
            }
        }
    }
}

/// By a `Refresh`, as by a `Location`: a token alone, a token to the server itself in a fragment (which only a client reads), a
/// signed response, and addresses with blanks and quotes. Fails without `unrecognised::redirects`, and each case without its part
/// of it.
#[test]
fn refreshes_to_a_client() {
    let signed = jwt(r#"{"code":"RAW-of-nobody"}"#);
    let mut answers = Vec::new();
    for url in [
        "https://app.test/cb#id_token=TOKEN",
        "https://app.test/cb?access_token=TOKEN",
        "//app.test/cb#access_token=TOKEN",
        "app.test:/cb#Access-Token=TOKEN",
        "https://app.test/#/cb?id_token=TOKEN",
        "/app/cb#access_token=TOKEN",
        "/app/cb#id_token=TOKEN&token_type=Bearer",
        "http://gate.test/#id_token=TOKEN",
        "https://app.test/cb?x=a b&code=TOKEN",
        "https://app.test/cb?x='a&code=TOKEN",
        "https://app.test/cb#x=\"a\" \"b&id_token=TOKEN",
        "https://app.test/cb?x=<a>&Code=TOKEN",
    ] {
        answers.extend(refreshes(&url.replace("TOKEN", TOKEN)));
    }
    each_answer(&answers, |response, shown| is_kept(response, shown));
    let mut answers = Vec::new();
    for url in [
        "https://app.test/cb?response=JWT",
        "https://app.test/#/cb?Response[]=JWT",
        "/app/cb#response=JWT",
        "https://app.test/cb?a=b?response=JWT",
        "https://app.test/cb?x=a b&response=JWT",
    ] {
        answers.extend(refreshes(&url.replace("JWT", &signed)));
    }
    each_answer(&answers, |response, shown| {
        assert_eq!(response.status, 502, "{shown}: {response}");
    });
}

#[test]
fn refreshes_that_pass() {
    let mut answers = Vec::new();
    for url in [
        "",
        "/login",
        "/reset?access_token=TOKEN&state=x",
        "/#/reset?access_token=TOKEN",
        "/reset?code=A1B2C3D4E5",
        "https://partner.test/?code=EUR",
        "https://partner.test/?response=yes&x=a b",
        "https://partner.test/?access_token=&id_token=null",
        "https://partner.test/?csrf_token=TOKEN",
    ] {
        answers.extend(refreshes(&url.replace("TOKEN", TOKEN)));
    }
    answers.push(document(
        "text/html",
        "<meta name=refresh content='0;url=https://app.test/?code=ABCD1234'><meta http-equiv=x-ua content=TOKEN>",
    ));
    each_answer(&answers, |response, shown| {
        assert_ne!(response.status, 502, "{shown}: {response}");
    });
}

/// In the address to which a form posts, whatever its fields contain. Fails without `FormPost::says_in_address`.
#[test]
fn forms_that_post_to_an_address_with_a_code() {
    let signed = jwt(r#"{"code":"RAW-of-nobody"}"#);
    let form = |action: &str| {
        let action = action.replace("TOKEN", TOKEN).replace('&', "&amp;");
        [
            format!("<form method=post action=\"{action}\"></form>"),
            format!("<form method=post action=' {action}'><input name=error value=x></form>"),
            format!("<form action=/here><button formaction=\"{action}\">Go on</button></form>"),
        ]
        .map(|page| document("text/html", &page))
    };
    let mut answers = Vec::new();
    for action in [
        "https://app.test/cb?code=TOKEN",
        "https://app.test/cb?x=1&Code=TOKEN",
        "https://app.test/cb?c%6Fde=TOKEN",
        "//app.test/cb;code=TOKEN",
        "app.test:/cb#code=TOKEN",
        "https://app.test/cb?id_token=TOKEN",
        "https://app.test/cb#access_token=TOKEN",
        "https://app.test/#/cb?access_token=TOKEN&state=x",
        "/app/cb#access_token=TOKEN",
        "/app/cb?id_token=TOKEN&state=x",
    ] {
        answers.extend(form(action));
    }
    each_answer(&answers, |response, shown| is_kept(response, shown));
    for action in ["https://app.test/cb?response=JWT", "/app/cb#Response=JWT"] {
        let answers = form(&action.replace("JWT", &signed));
        each_answer(&answers, |response, shown| {
            assert_eq!(response.status, 502, "{shown}: {response}");
        });
    }
    let mut answers = Vec::new();
    for action in [
        "/coupon?code=ABCD1234",
        "/reset?access_token=TOKEN",
        "https://partner.test/?code=EUR&next=x",
        "https://partner.test/?next=%2Finvite%3Fcode%3DABCD1234",
        "https://partner.test/?zipcode=1234567890&csrf_token=TOKEN",
        "https://partner.test/?response=yes",
    ] {
        answers.extend(form(action));
    }
    each_answer(&answers, |response, shown| {
        assert_ne!(response.status, 502, "{shown}: {response}");
    });
}

/// A sign-in that asked for an `id_token` gets no access token, in any place. Fails if one requested token
/// permits all tokens.
#[test]
fn access_tokens_for_a_sign_in_that_asked_for_another_token() {
    let rig = Rig::with(Config {
        pkce: "response_types = [\"code\", \"id_token\", \"code token\"]",
        ..Config::default()
    });
    for (asked, own, other) in [
        ("id_token", "id_token", "access_token"),
        ("code token", "access_token", "id_token"),
    ] {
        for shape in [
            "<meta http-equiv=refresh content=\"0;url=https://client.test/cb#NAME=TOKEN&token_type=bearer&state=HANDLE\">",
            "<script>location='https://evil.test/#NAME=TOKEN&token_type=bearer&state=HANDLE'</script>",
            "<input name=NAME value=TOKEN><input name=state value=HANDLE>",
            "{\"NAME\":\"TOKEN\",\"state\":\"HANDLE\"}",
        ] {
            for (name, leaves) in [(own, true), (other, false)] {
                let authorization = rig.authorization().with("response_type", asked);
                let entry = rig.entry(&authorization);
                let page = shape
                    .replace("NAME", name)
                    .replace("HANDLE", &handle_of(&entry));
                let kind = if shape.starts_with('{') {
                    "application/json"
                } else {
                    "text/html"
                };
                let begin = request("GET", &entry, &[], None);
                let response = answered(&rig, &begin, document(kind, &page));
                let expected = if leaves { 200 } else { 502 };
                assert_eq!(
                    response.status, expected,
                    "{asked} {name} {shape}: {response}"
                );
            }
        }
        // Next to a successful answer.
        for field in ["X-Next", "Refresh"] {
            let authorization = rig.authorization().with("response_type", asked);
            let entry = rig.entry(&authorization);
            let handle = handle_of(&entry);
            let code = if asked.starts_with("code") {
                format!("&code=serial-{}", handle.get(8..16).unwrap_or_default())
            } else {
                String::new()
            };
            let to = format!("{REDIRECT_URI}#{own}={TOKEN}&state={handle}{code}");
            let beside = format!("0;url={REDIRECT_URI}#{other}={TOKEN}&token_type=bearer");
            let answer = reply("302 Found", &[("Location", &to), (field, &beside)], b"");
            let response = answered(&rig, &request("GET", &entry, &[], None), answer);
            is_kept(&response, field);
        }
    }
}

/// With the upstream's own code there is no handle in the answer. A redirect or a JSON document with an access token is refused
/// nevertheless.
#[test]
fn access_tokens_beside_a_code_that_an_id_token_hashes() {
    let rig = Rig::pkce("response_types = [\"code\", \"code id_token\"]").unguarded();
    for shape in [
        "<meta http-equiv=refresh content=\"0;url=https://client.test/cb#access_token=TOKEN&token_type=bearer&state=STATE\">",
        "<script>location='https://evil.test/#access_token=TOKEN&token_type=bearer&state=STATE'</script>",
        "{\"access_token\":\"TOKEN\",\"state\":\"STATE\"}",
    ] {
        let kind = if shape.starts_with('{') {
            "application/json"
        } else {
            "text/html"
        };
        let authorization = rig.authorization().with("response_type", "code id_token");
        let page = shape.replace("STATE", authorization.state().expect("a state"));
        let begin = request("GET", &target(&authorization), &[], None);
        is_kept(&answered(&rig, &begin, document(kind, &page)), shape);
    }
}
