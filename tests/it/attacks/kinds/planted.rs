//! Planted codes. An attacker has a victim's code and their own sign-in, and makes the server put both into one answer: with an
//! open redirect, a return page, a header field. A code that came with the request was not issued by the answer, and a code
//! that was ever bound is not bound to another sign-in.
//!
//! Fails if `Sent::may_hold` says no (`codes_in_another_encoding`, `codes_behind_the_part_that_is_read`), and without the
//! digests of bound codes in the store (`codes_that_are_already_bound`).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::Attacked;
use super::{answered, escapes, percent, redirect, references};
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::encode;
use crate::support::rig::{
    Config, REDIRECT_URI, Rig, authorization_response, cookie_of, handle_of, request,
};
use crate::support::scripted::{Shape, reply};

/// A victim's code that was never bound here: it left in a carrier that the gate does not know, or around the gate.
pub(super) const STOLEN: &str = "4/0-stolen_from+somebody=else.x~y";

/// The attacker's own sign-in, up to the login.
pub(super) struct Thief<'a> {
    attacked: &'a Attacked,
    authorization: Authorization,
    /// The `state` of its answer.
    state: String,
    cookie: String,
}

impl<'a> Thief<'a> {
    pub(super) fn begin(attacked: &'a Attacked) -> Self {
        Self::begin_as(attacked, attacked.rig.authorization())
    }

    fn begin_as(attacked: &'a Attacked, authorization: Authorization) -> Self {
        let rig = &attacked.rig;
        rig.upstream.answer_with(Shape::Login);
        let response = rig.enter(&authorization);
        let cookie = cookie_of(&response).unwrap_or_default();
        let state = if attacked.handles {
            let entry = response.header("location").expect("an entry").to_owned();
            rig.get_with(&entry, &[("Cookie", &cookie)]);
            handle_of(&entry)
        } else {
            authorization.state().unwrap_or_default().to_owned()
        };
        rig.upstream.answer_with(Shape::AsAsked);
        Self {
            attacked,
            authorization,
            state,
            cookie,
        }
    }

    /// The server's redirect to the client with this code.
    fn url(&self, code: &str) -> String {
        format!("{REDIRECT_URI}?code={}&state={}", encode(code), self.state)
    }

    /// The server redirects there after this request.
    fn answered(&self, bytes: &[u8], code: &str) -> Response {
        answered(&self.attacked.rig, bytes, redirect(&self.url(code)))
    }

    pub(super) fn get(&self, target: &str, field: (&str, &str)) -> Vec<u8> {
        request("GET", target, &[("Cookie", &self.cookie), field], None)
    }

    pub(super) fn post(&self, kind: &str, body: &str) -> Vec<u8> {
        let fields = [("Cookie", &*self.cookie), ("Content-Type", kind)];
        request("POST", "/go", &fields, Some(body))
    }

    /// The code is not delivered, or the request is refused; and the attacker cannot redeem it.
    #[track_caller]
    pub(super) fn gets_nothing(&self, bytes: &[u8], code: &str) {
        let response = self.answered(bytes, code);
        let shown = bytes.get(..600).unwrap_or(bytes).escape_ascii();
        assert!([400, 502].contains(&response.status), "{shown}: {response}");
        assert!(!response.to_string().contains(code), "{shown}: {response}");
        let form = self.authorization.redemption(code).encoded();
        self.attacked.refused_form("/token", &[], &form, &[400]);
    }

    /// The attacker's own login continues.
    #[track_caller]
    fn signs_in(&self, bytes: &[u8]) {
        let code = format!("up-own-code-{}", self.state);
        let response = self.answered(bytes, &code);
        let answer = authorization_response(&response, &self.authorization);
        let answer = answer.unwrap_or_else(|| panic!("no answer: {response}"));
        assert_eq!(answer.params.get("state"), self.authorization.state());
        let form = self.authorization.redemption(answer.code());
        let before = self.attacked.rig.forwarded();
        self.attacked.rig.token(&form);
        assert_eq!(self.attacked.rig.forwarded(), before + 1, "{response}");
    }
}

/// With both kinds of codes.
pub(super) fn both(attack: impl Fn(&Attacked)) {
    for codes in ["handle", "upstream"] {
        println!("codes = {codes:?}");
        let rig = Rig::with(Config {
            pkce: &format!("codes = \"{codes}\""),
            ..Config::default()
        });
        let attacked = Attacked::sign_in(rig, codes == "handle");
        attack(&attacked);
        attacked.check();
    }
}

/// Each of these contains the code and no handle: a handle next to a code is refused for another reason.
fn encodings(code: &str) -> Vec<String> {
    let url = format!("{REDIRECT_URI}?code={}", encode(code));
    let twice = percent(&percent(code));
    let mut all = vec![
        code.replace('+', "%2B"),
        encode(code),
        encode(&encode(code)),
        percent(code),
        twice.clone(),
        percent(&twice),
        percent(&escapes(code)),
        percent(&references(code)),
        encode(&url),
        encode(&encode(&url)),
    ];
    for before in ["", "x", "xy"] {
        let behind = format!("{before}{url}");
        all.push(URL_SAFE_NO_PAD.encode(&behind));
        all.push(encode(&STANDARD.encode(&behind)));
        all.push(URL_SAFE_NO_PAD.encode(format!("{before}{code}")));
    }
    all
}

/// A complete URL that was escaped and then encoded in base64. The code itself needs no escapes.
#[test]
fn codes_in_escaped_urls_in_base64() {
    const PLAIN: &str = "stolen-from_somebody.else~0123456789";
    both(|attacked| {
        for before in ["", "x", "xy"] {
            let url = encode(&format!("{before}{REDIRECT_URI}?code={PLAIN}&x=y"));
            for encoded in [URL_SAFE_NO_PAD.encode(&url), STANDARD.encode(encode(&url))] {
                let thief = Thief::begin(attacked);
                let to = encode(&encoded);
                let bytes = thief.get(&format!("/go?to={to}"), ("X-Nothing", ""));
                thief.gets_nothing(&bytes, PLAIN);
                let thief = Thief::begin(attacked);
                let bytes = thief.post("application/json", &format!("{{\"to\":\"{encoded}\"}}"));
                thief.gets_nothing(&bytes, PLAIN);
            }
        }
    });
}

/// A request with the code in some place.
type Place<'a> = &'a dyn Fn(&Thief<'_>) -> Vec<u8>;

/// In a query, a path, a cookie, `Referer`, vendors' fields, credentials.
#[test]
fn codes_in_another_encoding() {
    both(|attacked| {
        for text in encodings(STOLEN) {
            let places: [Place<'_>; 8] = [
                &|thief| thief.get(&format!("/go?to={text}"), ("X-Nothing", "")),
                &|thief| thief.get(&format!("/go?a=b;to={text}#"), ("X-Nothing", "")),
                &|thief| thief.get(&format!("/go/{text}/on"), ("X-Nothing", "")),
                &|thief| thief.get("/go", ("Cookie", &format!("to=\"{text}\""))),
                &|thief| thief.get("/go", ("Referer", &format!("https://x.test/?{text}"))),
                &|thief| thief.get("/go", ("X-Return-To", &text)),
                &|thief| thief.get("/go", ("If-None-Match", &format!("\"{text}\""))),
                &|thief| thief.get("/go", ("Authorization", &format!("Bearer {text}"))),
            ];
            for place in places {
                let thief = Thief::begin(attacked);
                let bytes = place(&thief);
                thief.gets_nothing(&bytes, STOLEN);
            }
        }
        let thief = Thief::begin(attacked);
        let bytes = thief.get("/go?to=%2Faccount", ("Referer", "https://x.test/"));
        thief.signs_in(&bytes);
    });
}

/// In a body of any media type.
#[test]
fn codes_in_bodies() {
    both(|attacked| {
        let code = STOLEN;
        let url = format!("{REDIRECT_URI}?code={}", encode(code));
        let encoded = URL_SAFE_NO_PAD.encode(&url);
        let part = |head: &str, body: &str| {
            format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n--b--\r\n")
        };
        let mut bodies = vec![
            (
                "application/json",
                format!("{{\"a\":[{{\"to\":\"{code}\"}}]}}"),
            ),
            (
                "application/json",
                format!("{{\"to\":\"{}\"}}", escapes(&url)),
            ),
            (
                "application/json",
                format!("[[\"{}\"]]", url.replace('/', "\\/")),
            ),
            ("application/json", format!("{{\"to\":\"{encoded}\"}}")),
            (
                "application/json",
                format!("{{\"body\":\"{{\\\"to\\\":\\\"{code}\\\"}}\"}}"),
            ),
            ("application/vnd.api+json", format!("\"{}\"", escapes(code))),
            ("multipart/form-data; boundary=b", part("name=to", &url)),
            ("multipart/form-data; boundary=b", part("name=to", &encoded)),
            (
                "multipart/form-data; boundary=b",
                part(&format!("name=f; filename=\"{}\"", percent(code)), "x"),
            ),
            ("text/plain", url.clone()),
            ("text/plain; charset=iso-8859-1", format!("to: {code}\n")),
            ("text/xml", format!("<a to='{}'/>", references(&url))),
            ("application/octet-stream", code.to_owned()),
            ("image/svg+xml", format!("<a href='{url}'/>")),
            ("", code.to_owned()),
        ];
        for text in encodings(code) {
            bodies.push(("application/x-www-form-urlencoded", format!("to={text}")));
        }
        for (kind, body) in &bodies {
            let thief = Thief::begin(attacked);
            let bytes = thief.post(kind, body);
            thief.gets_nothing(&bytes, code);
        }
        for (kind, body) in [
            ("application/json", "{\"user\":\"u\",\"password\":\"p\"}"),
            ("application/x-www-form-urlencoded", "user=u&password=p"),
            ("text/plain", "u"),
        ] {
            let thief = Thief::begin(attacked);
            let bytes = thief.post(kind, body);
            thief.signs_in(&bytes);
        }
    });
}

/// In bodies that servers decode first: compressed, in UTF-16, in encoded parts, or in base64 with escapes inside.
#[test]
fn codes_in_bodies_that_servers_decode() {
    both(|attacked| {
        let url = format!("{REDIRECT_URI}?code={}", encode(STOLEN));
        let wide: String = format!("{{\"to\":\"{url}\"}}")
            .chars()
            .flat_map(|c| [c, '\0'])
            .collect();
        let part = |coding: &str, body: &str| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=to\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{body}\r\n--b--\r\n"
            )
        };
        let quoted = percent(&url).replace('%', "=");
        let lines = STANDARD.encode(&url);
        let (first, second) = lines.split_at(20);
        let nested = STANDARD.encode(format!("{{\"to\":\"{}\"}}", url.replace('/', "\\/")));
        for (kind, coding, body) in [
            (
                "application/json",
                "gzip",
                "not what it looks like".to_owned(),
            ),
            ("application/json", "br", "nor this".to_owned()),
            ("application/json", "", wide.clone()),
            ("application/json; charset=utf-16le", "", wide),
            ("text/plain; charset=ibm037", "", "other letters".to_owned()),
            (
                "multipart/form-data; boundary=b",
                "",
                part("quoted-printable", &quoted),
            ),
            (
                "multipart/form-data; boundary=b",
                "",
                part("BASE64", &format!("{first}\r\n{second}")),
            ),
            ("application/json", "", format!("{{\"to\":\"{nested}\"}}")),
            ("text/plain", "", STANDARD.encode(percent(&percent(&url)))),
        ] {
            let thief = Thief::begin(attacked);
            let mut fields = vec![("Cookie", &*thief.cookie), ("Content-Type", kind)];
            if !coding.is_empty() {
                fields.push(("Content-Encoding", coding));
            }
            let bytes = request("POST", "/go", &fields, Some(&body));
            thief.gets_nothing(&bytes, STOLEN);
        }
        for (kind, body) in [
            ("multipart/form-data; boundary=b", part("8bit", "x")),
            ("text/plain; charset=iso-8859-15", "x".to_owned()),
        ] {
            let thief = Thief::begin(attacked);
            thief.signs_in(&thief.post(kind, &body));
        }
    });
}

/// The unread part of a body may contain any code: if the gate does not wait for its end, and if it is an image.
#[test]
fn codes_behind_the_part_that_is_read() {
    both(|attacked| {
        let filler = "x".repeat(100 * 1024);
        for kind in [
            "application/x-www-form-urlencoded",
            "text/plain",
            "image/png",
            "",
        ] {
            let thief = Thief::begin(attacked);
            let body = format!("a={filler}&to={}", encode(STOLEN));
            let bytes = thief.post(kind, &body);
            thief.gets_nothing(&bytes, STOLEN);
        }
        // A chunked body does not declare its length.
        let thief = Thief::begin(attacked);
        let fields = [
            ("Cookie", &*thief.cookie),
            ("Content-Type", "image/png"),
            ("Transfer-Encoding", "chunked"),
        ];
        let body = format!("{filler}{STOLEN}");
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let bytes = [request("POST", "/go", &fields, None), chunk.into_bytes()].concat();
        thief.gets_nothing(&bytes, STOLEN);
    });
}

/// A victim's code that was bound, in every carrier, for the same client and for another one, before and after it is redeemed.
/// The victim's sign-in stays valid.
#[test]
fn codes_that_are_already_bound() {
    both(|attacked| {
        let (raw, rig) = (attacked.raw(), &attacked.rig);
        let plant = |authorization: Authorization, shape: &str| {
            let thief = Thief::begin_as(attacked, authorization);
            let url = thief.url(&raw);
            let answer = match shape {
                "query" => redirect(&url),
                "fragment" => redirect(&url.replace('?', "#")),
                "twice" => redirect(&format!("{url}&code={raw}")),
                _ => {
                    let page = format!(
                        "<form method=post action=\"{REDIRECT_URI}\"><input name=code value={raw}>\
                         <input name=state value={}></form>",
                        thief.state
                    );
                    reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
                }
            };
            let bytes = thief.get("/done", ("X-Nothing", ""));
            let response = answered(rig, &bytes, answer);
            assert_eq!(response.status, 502, "{shape}: {response}");
            assert!(!response.to_string().contains(&raw), "{response}");
            for code in [&raw, &attacked.code] {
                let form = thief.authorization.redemption(code);
                let form = form.with(
                    "client_id",
                    thief.authorization.params.get("client_id").unwrap_or("pub"),
                );
                attacked.refused_form("/token", &[], &form.encoded(), &[400]);
            }
        };
        let all = || {
            for shape in ["query", "fragment", "twice", "form_post"] {
                plant(rig.authorization(), shape);
                plant(rig.authorization().with("client_id", "other"), shape);
            }
        };
        // Two wrong verifiers do not burn the code; none of these requests counts as one.
        plant(rig.authorization(), "query");
        assert_token(&rig.redeem(&attacked.authorization, &attacked.code));
        attacked.spent.set(true);
        all();
    });
}
