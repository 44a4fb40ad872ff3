//! The maximally permissive OAuth server.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{Received, json as json_reply, reply};
use crate::support::params::{Params, s256, unguessable};

/// The form of an authorization response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As `response_mode` and `response_type` say: a 302 with a query or a fragment, or a form_post page.
    #[default]
    AsAsked,
    /// A redirect with this status, and the parameters in the query.
    Query(u16),
    /// The same with the parameters in the fragment.
    Fragment(u16),
    /// A redirect that repeats the link in an HTML body, as many frameworks do.
    QueryAndBody,
    /// A form that posts itself.
    FormPost,
    /// `{"redirect_to": "…?code=…"}`
    Json,
    /// `{"code": "…", "state": "…"}`
    JsonCode,
    /// A page with a link.
    Link,
    /// `<meta http-equiv=refresh>`
    MetaRefresh,
    /// `location.replace("…")`
    Script,
    /// A `Refresh` field.
    Refresh,
    /// A login page that posts to its own URL; any POST gets a code.
    Login,
    /// In a JWT, in the parameter `response` (JARM). Its signature is none.
    Signed,
    /// A page that is an application. It posts JSON to `/app/flow` ([`Server::app`]).
    App,
}

/// A request that contained a code.
#[derive(Clone, Debug)]
pub(crate) struct Redemption {
    pub(crate) code: String,
    /// The `nonce` of the authorization request that the code was issued for.
    pub(crate) nonce: Option<String>,
    /// The challenge that the upstream received with that request.
    pub(crate) challenge: Option<String>,
    pub(crate) plain: bool,
    pub(crate) request: Received,
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) shape: Shape,
    pub(super) next_codes: VecDeque<String>,
    issued: Vec<Issued>,
    /// The parameters that came with each `state`: the requests of later pages may contain the state only.
    sign_ins: BTreeMap<String, Params>,
    /// Pushed authorization requests, by their `request_uri`.
    pushed: BTreeMap<String, Params>,
    pub(super) tokens: Vec<String>,
    pub(super) redemptions: Vec<Redemption>,
    pub(super) vouched: Vec<String>,
}

#[derive(Clone)]
struct Issued {
    code: String,
    nonce: Option<String>,
    challenge: Option<String>,
    plain: bool,
}

impl Server {
    pub(super) fn answer(&mut self, received: &Received) -> Vec<u8> {
        let path = text(&decoded(received.path().as_bytes())).to_ascii_lowercase();
        if self.note(received) {
            self.token()
        } else if path.starts_with("/app/flow") {
            self.app(received)
        } else if path == "/par" {
            self.push(received)
        } else if path.contains("authorize") {
            self.authorize(received)
        } else if path.contains("token") {
            match all_params(received).get("code") {
                Some(_) => json_reply("400 Bad Request", &json!({ "error": "invalid_grant" })),
                None => self.token(),
            }
        } else {
            reply("200 OK", &[("Content-Type", "text/plain")], b"hello\n")
        }
    }

    pub(super) fn codes(&self) -> Vec<String> {
        self.issued
            .iter()
            .map(|issued| issued.code.clone())
            .collect()
    }

    /// Records the request if it is a redemption: if it contains a code, as it is or decoded once or twice.
    pub(super) fn note(&mut self, received: &Received) -> bool {
        if self.issued.is_empty() {
            return false;
        }
        let raw = [received.head.as_slice(), &received.content()].concat();
        let once = decoded(&raw);
        let forms = [latin1(&decoded(&once)), latin1(&once), latin1(&raw)];
        let is_there = |issued: &&Issued| {
            let code = latin1(issued.code.as_bytes());
            forms.iter().any(|form| form.contains(&code))
        };
        let found: Vec<_> = self.issued.iter().filter(is_there).cloned().collect();
        let redemptions = found.iter().map(|issued| Redemption {
            code: issued.code.clone(),
            nonce: issued.nonce.clone(),
            challenge: issued.challenge.clone(),
            plain: issued.plain,
            request: received.clone(),
        });
        self.redemptions.extend(redemptions);
        !found.is_empty()
    }

    pub(super) fn unverified(&self) -> Vec<Redemption> {
        let mut vouched = self.vouched.clone();
        let mut unverified = self.redemptions.clone();
        unverified.retain(|redemption| {
            let vouched_for = redemption
                .nonce
                .as_ref()
                .and_then(|nonce| vouched.iter().position(|known| known == nonce));
            let Some(index) = vouched_for else {
                return true;
            };
            vouched.swap_remove(index);
            // A gate that strips PKCE forwards neither; one that forwards PKCE forwards both.
            let params = all_params(&redemption.request);
            let transform = |verifier: &str| {
                if redemption.plain {
                    verifier.to_owned()
                } else {
                    s256(verifier)
                }
            };
            let verifier = params.get("code_verifier").map(transform);
            match (&redemption.challenge, verifier) {
                (Some(challenge), Some(verifier)) => *challenge != verifier,
                (Some(_), None) | (None, Some(_)) => true,
                (None, None) => false,
            }
        });
        unverified
    }

    fn token(&mut self) -> Vec<u8> {
        let token = format!("at-{}", unguessable());
        self.tokens.push(token.clone());
        let document = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
        let body = document.to_string();
        let fields = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
        ];
        reply("200 OK", &fields, body.as_bytes())
    }

    fn authorize(&mut self, received: &Received) -> Vec<u8> {
        let mut params = all_params(received);
        if let Some(pushed) = params.get("request_uri") {
            // It works any number of times, for any client.
            params = self.pushed.get(pushed).cloned().unwrap_or(params);
        }
        if let Some(state) = params.get("state").map(str::to_owned) {
            let begun = self.sign_ins.entry(state).or_insert_with(|| params.clone());
            for (name, value) in begun.iter() {
                if params.get(name).is_none() {
                    params = params.with(name, value);
                }
            }
        }
        if self.shape == Shape::Login && received.method() == "GET" {
            let page = "<!doctype html><form method=post action=\"\">\
                        <input name=user><input name=password type=password><button>Sign in</button></form>";
            return html(page);
        }
        if self.shape == Shape::App {
            return html("<!doctype html><script src=/app.js></script>");
        }
        let code = self.issue(&params);
        self.response(&params, &code)
    }

    /// RFC 9126 section 2.2.
    fn push(&mut self, received: &Received) -> Vec<u8> {
        let uri = format!("urn:ietf:params:oauth:request_uri:up-{}", unguessable());
        self.pushed.insert(uri.clone(), all_params(received));
        json_reply(
            "201 Created",
            &json!({ "request_uri": uri, "expires_in": 60 }),
        )
    }

    /// Steps of an application's login, each a JSON object with the `nonce` of the authorization request that the user sees. With
    /// a `password` the answer has a code in `result`; with `url` it has the URL of the authorization response there.
    fn app(&mut self, received: &Received) -> Vec<u8> {
        let step: Value = serde_json::from_slice(&received.content()).unwrap_or_default();
        if step.get("password").is_none() {
            return json_reply("200 OK", &json!({ "type": "form", "errors": null }));
        }
        let is_this = |params: &&Params| params.get("nonce") == step["nonce"].as_str();
        let params = self.sign_ins.values().find(is_this).cloned();
        let params = params.expect("an authorization request with this nonce");
        let code = self.issue(&params);
        let result = if step.get("url").is_some() {
            response_url(&params, &code)
        } else {
            code
        };
        let fields = [("Content-Type", "application/json")];
        reply("200 OK", &fields, app_answer(&result).as_bytes())
    }

    fn issue(&mut self, params: &Params) -> String {
        let code = self
            .next_codes
            .pop_front()
            .unwrap_or_else(|| format!("up-{}", unguessable()));
        self.issued.push(Issued {
            code: code.clone(),
            nonce: params.get("nonce").map(str::to_owned),
            challenge: params.get("code_challenge").map(str::to_owned),
            plain: params.get("code_challenge_method") != Some("S256"),
        });
        code
    }

    fn response(&self, params: &Params, code: &str) -> Vec<u8> {
        let target = params
            .get("redirect_uri")
            .unwrap_or("https://client.test/cb");
        let kind = params.get("response_type").unwrap_or("code");
        let mut answer = Params::default().with("code", code);
        if let Some(state) = params.get("state") {
            answer = answer.with("state", state);
        }
        let hybrid = kind.contains("token");
        if kind.contains("id_token") {
            answer = answer.with("id_token", "e30.e30.sig");
        }
        let shape = match (self.shape, params.get("response_mode")) {
            (Shape::AsAsked, Some("form_post")) => Shape::FormPost,
            (Shape::AsAsked, Some("fragment")) => Shape::Fragment(302),
            (Shape::AsAsked, None) if hybrid => Shape::Fragment(302),
            (Shape::AsAsked | Shape::Login | Shape::App, _) => Shape::Query(302),
            (shape, _) => shape,
        };
        let query = if target.contains('?') { '&' } else { '?' };
        let url = format!("{target}{query}{}", answer.encoded());
        let escaped = url.replace('&', "&amp;");
        match shape {
            Shape::Query(status) => reply(&format!("{status} Found"), &[("Location", &url)], b""),
            Shape::Fragment(status) => {
                let url = format!("{target}#{}", answer.encoded());
                reply(&format!("{status} Found"), &[("Location", &url)], b"")
            }
            Shape::Signed => {
                let claims: Map<String, Value> = answer
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect();
                let claims = URL_SAFE_NO_PAD.encode(Value::from(claims).to_string());
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
                let url = format!("{target}{query}response={header}.{claims}.c2ln");
                reply("302 Found", &[("Location", &url)], b"")
            }
            Shape::QueryAndBody => {
                let body =
                    format!("<p>Found. Redirecting to <a href=\"{escaped}\">{escaped}</a></p>");
                let fields = [("Location", url.as_str()), ("Content-Type", "text/html")];
                reply("302 Found", &fields, body.as_bytes())
            }
            Shape::FormPost => html(&form_post(target, &answer)),
            Shape::Json => json_reply("200 OK", &json!({ "redirect_to": url })),
            Shape::JsonCode => {
                let document = json!({ "code": code, "state": params.get("state") });
                json_reply("200 OK", &document)
            }
            Shape::Link => html(&format!("<a href=\"{escaped}\">Continue</a>")),
            Shape::MetaRefresh => html(&format!(
                "<meta http-equiv=\"refresh\" content=\"0;url={escaped}\">"
            )),
            Shape::Script => html(&format!("<script>location.replace(\"{url}\")</script>")),
            Shape::Refresh => reply("200 OK", &[("Refresh", &format!("0;url={url}"))], b""),
            Shape::AsAsked | Shape::Login | Shape::App => unreachable!("decided above"),
        }
    }
}

/// The answer to the last step of an application's login, in an unusual spelling.
pub(crate) fn app_answer(result: &str) -> String {
    let result = result.replace('/', "\\/");
    format!(
        "{{ \"version\":1.0, \"name\":\"caf\\u00e9\",\t\"type\" : \"create_entry\",\n \"result\" : \"{result}\" , \"context\":{{}} }}\n"
    )
}

fn response_url(params: &Params, code: &str) -> String {
    let target = params.get("redirect_uri").unwrap_or_default();
    let state = params.get("state").unwrap_or_default();
    let answer = Params::default().with("code", code).with("state", state);
    format!("{target}?{}", answer.encoded())
}

fn html(page: &str) -> Vec<u8> {
    reply(
        "200 OK",
        &[("Content-Type", "text/html; charset=utf-8")],
        page.as_bytes(),
    )
}

fn form_post(target: &str, answer: &Params) -> String {
    let field = |(name, value): (&str, &str)| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\"/>")
    };
    let fields: Vec<_> = answer.iter().map(field).collect();
    format!(
        "<!doctype html><body onload=\"document.forms[0].submit()\"><form method=\"post\" action=\"{target}\">{}</form>",
        fields.concat()
    )
}

/// Query and form, the last value of each name; what cannot be decoded stays as it is. Of a JSON object, its strings.
fn all_params(received: &Received) -> Params {
    let content = received.content();
    if let Ok(Value::Object(members)) = serde_json::from_slice(&content) {
        let strings = members.into_iter();
        let strings = strings.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
        return strings.collect();
    }
    let pairs = received.query().as_bytes().split(|&byte| byte == b'&');
    let mut params = Params::default();
    for pair in pairs.chain(content.split(|&byte| byte == b'&')) {
        let equals = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
        let value = value.get(1..).unwrap_or_default();
        params = params.with(&text(&decoded(name)), &text(&decoded(value)));
    }
    params
}

/// Percent-decoding that accepts invalid escapes.
fn decoded(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).and_then(|two| str::from_utf8(two).ok());
        let escape = escape.and_then(|two| u8::from_str_radix(two, 16).ok());
        (rest, ()) = match (first, escape) {
            (b'%', Some(byte)) => (&tail[2..], out.push(byte)),
            (b'+', _) => (tail, out.push(b' ')),
            _ => (tail, out.push(*first)),
        };
    }
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| latin1(bytes))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
