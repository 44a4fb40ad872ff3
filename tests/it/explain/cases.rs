//! The requests that are compared.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::attacks::multipart;
use crate::support::client::Authorization;
use crate::support::params::Params;
use crate::support::rig::{HOST, Rig, request, target};

const FORM: &str = "application/x-www-form-urlencoded";

/// A request, as the gate gets it and as it is written in a HAR file.
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) target: String,
    fields: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
}

impl Case {
    fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            fields: Vec::new(),
            body: None,
        }
    }

    fn post(target: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            method: "POST",
            body: Some(body.into()),
            ..Self::get(target)
        }
        .with("Content-Type", FORM)
    }

    /// Replaces the field.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value.to_owned()));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let fields = self.fields.iter().map(|(name, value)| (*name, &**value));
        let fields: Vec<_> = fields.collect();
        request(self.method, &self.target, &fields, self.body.as_deref())
    }

    pub(super) fn entry(&self) -> Value {
        let fields = self.fields.iter();
        let fields: Vec<Value> = fields
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let url = format!("http://{HOST}{}", self.target);
        let mut request = json!({ "method": self.method, "url": url, "headers": fields });
        if let Some(body) = &self.body {
            request["postData"] = json!({ "mimeType": "", "text": body });
        }
        json!({ "request": request })
    }
}

/// Authorization requests, legitimate ones first.
pub(super) fn authorizations(rig: &Rig) -> Vec<Case> {
    let fresh = || rig.authorization();
    let mut all = vec![
        fresh(),
        fresh().with("response_mode", "form_post"),
        fresh().without("redirect_uri"),
        fresh().with("client_id", "lax").without_challenge(),
        fresh()
            .with("client_id", "plain")
            .with("code_challenge_method", "plain"),
        fresh()
            .with("client_id", "plain")
            .without("code_challenge_method"),
        fresh().with("client_id", "LAX").without_challenge(),
        fresh().without_challenge(),
        fresh().without("code_challenge"),
        fresh().without("client_id"),
        fresh().without("response_type"),
        fresh().with("client_id", " pub"),
        fresh().with("request", "e30.e30."),
        fresh().with("client_id", "lax").with("request", "e30.e30."),
        fresh().with("request_uri", "urn:ietf:params:oauth:request_uri:x"),
        fresh().with("redirect_uri", "https://client.test/cb?code=x"),
        fresh()
            .with("client_id", "lax")
            .with("grant_type", "authorization_code"),
        fresh()
            .with("grant_type", "authorization_code")
            .with("code", "x"),
    ];
    all.extend(values(rig));
    let mut cases: Vec<Case> = all.iter().map(|it| Case::get(target(it))).collect();
    cases.extend(spelt(&|| fresh().params.encoded()));
    cases.push(Case::post(
        "/authorize",
        fresh().without_challenge().params.encoded(),
    ));
    let kind = "multipart/form-data; boundary=b";
    let parts = multipart(&fresh().params, "b");
    cases.push(Case::post("/authorize", parts).with("Content-Type", kind));
    cases
}

/// Other values of the parameters.
fn values(rig: &Rig) -> Vec<Authorization> {
    let fresh = || rig.authorization();
    let good = fresh()
        .params
        .get("code_challenge")
        .expect("it has one")
        .to_owned();
    let short = good.split_at(42).0.to_owned();
    let with = |name: &str, values: &[&str]| -> Vec<Authorization> {
        values
            .iter()
            .map(|value| fresh().with(name, value))
            .collect()
    };
    let mut all = Vec::new();
    let long = format!("{good}A");
    let padded = format!("{good}=");
    let blank = format!("{short} ");
    let (hex, endless) = ("a".repeat(64), "a".repeat(129));
    let challenges = ["", &short, &long, &padded, &blank, &hex, &endless, "\u{e9}"];
    all.extend(with("code_challenge", &challenges));
    all.extend(with(
        "code_challenge_method",
        &["plain", "s256", "S256 ", "none", "S256,plain", "", "sha256"],
    ));
    all.extend(with(
        "response_type",
        &["token", "code token", "code id_token", "none", "CODE", ""],
    ));
    all.extend(with(
        "response_mode",
        &["query.jwt", "jwt", "x", "web_message", "fragment"],
    ));
    all
}

/// Other bytes, methods and places of a correct request.
fn spelt(encoded: &dyn Fn() -> String) -> Vec<Case> {
    let mut cases = Vec::new();
    for added in [
        "client_id=pub",
        "code_challenge=",
        "scope=a",
        "CODE_CHALLENGE=x",
        "code.challenge=x",
        "code_challenge[]=x",
        "x=%zz",
        "%ff=x",
        "state=a",
        "resource=a&resource=b",
        "x=1&x=2",
        "=x",
        "a;client_id=b",
        "login_hint=%ff",
    ] {
        cases.push(Case::get(format!("/authorize?{}&{added}", encoded())));
    }
    cases.push(Case::post("/authorize", encoded()));
    cases.push(Case::post(
        format!("/authorize?{}", encoded()),
        "user=a&password=b",
    ));
    cases.push(Case::post(
        format!("/authorize?{}", encoded()),
        "client_id=other",
    ));
    cases.push(Case::post("/authorize", "user=a&password=b"));
    cases.push(Case::post("/authorize", encoded()).with("Content-Type", "text/plain"));
    cases.push(
        Case::post("/authorize", encoded())
            .with("Content-Type", &format!("{FORM}; charset=utf-16")),
    );
    cases.push(Case::post("/authorize", encoded()).with("Content-Encoding", "gzip"));
    cases.push(
        Case::post(
            "/authorize",
            "{\"client_id\":\"pub\",\"response_type\":\"code\"}",
        )
        .with("Content-Type", "application/json"),
    );
    cases.push(Case {
        method: "PUT",
        ..Case::post("/authorize", encoded())
    });
    cases.push(Case::get(format!("/authorize?{}a=b", "x&".repeat(200))));
    cases
}

/// Token requests whose verdict does not depend on the code, which is alive.
pub(super) fn redemptions(whole: &Params) -> Vec<Case> {
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let post = |params: &Params| Case::post("/token", params.encoded());
    let assertion = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let with = |name: &str, value: &str| whole.clone().with(name, value);
    let verifier = whole.get("code_verifier").expect("it has one");
    let mut cases: Vec<Case> = [
        whole.clone().without("code_verifier"),
        with("code_verifier", ""),
        with("code_verifier", &"a".repeat(42)),
        with("code_verifier", &"a".repeat(129)),
        with("code_verifier", &format!("{verifier}=")),
        with("code_verifier", &format!("{verifier}\u{e9}")),
        whole.clone().without("client_id"),
        whole.clone().without("code"),
        with("code", ""),
        with("client_id", "pub ").without("code_verifier"),
        with("client_assertion", &assertion("{\"sub\":\"other\"}"))
            .with("client_assertion_type", KIND),
        with("client_assertion", "x.%.y").with("client_assertion_type", KIND),
        Params::default()
            .with("grant_type", "refresh_token")
            .with("refresh_token", "x"),
        Params::default()
            .with("grant_type", "client_credentials")
            .with("client_id", "lax"),
        Params::default()
            .with("grant_type", "sms")
            .with("code", "123456")
            .with("client_id", "pub"),
        Params::default()
            .with("grant_type", "authorization_code")
            .with("client_id", "pub"),
    ]
    .iter()
    .map(post)
    .collect();
    for credentials in [&*basic("other:s"), &basic("pub"), "Basic %%%", &basic(":s")] {
        cases.push(post(whole).with("Authorization", credentials));
    }
    let secret = whole.clone().with("client_secret", "x");
    cases.push(post(&secret).with("Authorization", &basic("pub:s")));
    cases.extend(redemptions_spelt(&whole.encoded()));
    cases
}

/// Other bytes, methods and places of a correct request.
fn redemptions_spelt(encoded: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for added in [
        "code=x",
        "scope=a&scope=a",
        "CODE=x",
        "code.verifier=x",
        "code[]=x",
        "x=%ff",
        "x=%zz",
        "x=%00",
        "=x",
        "scope=a;code=x",
        "grant_type=x",
        "client[id=x",
    ] {
        cases.push(Case::post("/token", format!("{encoded}&{added}")));
        cases.push(Case::post("/token", format!("{added}&{encoded}")));
    }
    for body in ["{\"code\":\"x\"}", "[1]", "<code/>", "", "\u{feff}a=b"] {
        cases.push(Case::post("/token", body));
    }
    let many: Vec<String> = (0..70).map(|at| format!("a{at}=&")).collect();
    let many = many.concat();
    cases.push(Case::post("/token", format!("{many}{encoded}")));
    for query in ["?", "?code=x", "?scope=x"] {
        cases.push(Case::post(format!("/token{query}"), encoded));
    }
    for kind in [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=b",
        &format!("{FORM}; charset=ibm037"),
        &format!("{FORM};q=1"),
    ] {
        cases.push(Case::post("/token", encoded).with("Content-Type", kind));
    }
    cases.push(Case::post("/token", encoded).with("Content-Encoding", "gzip"));
    cases.push(Case::get(format!("/token?{encoded}")));
    cases.push(Case {
        method: "PUT",
        ..Case::post("/token", encoded)
    });
    cases.push(Case {
        method: "OPTIONS",
        ..Case::get("/token")
    });
    cases.push(Case {
        method: "OPTIONS",
        ..Case::get("/token?x")
    });
    cases.push(Case::post(
        "/token",
        format!("{encoded}&x={}", "a".repeat(70_000)),
    ));
    cases
}

/// Other paths.
pub(super) fn others(whole: &Params) -> Vec<Case> {
    let form = whole.encoded();
    let mut cases = Vec::new();
    for path in [
        "/token/",
        "/Token",
        "/%74oken",
        "/x/../token",
        "/token;a",
        "/token.json",
        "/token%00",
        "/authorize/",
        "/AUTHORIZE",
    ] {
        cases.push(Case::post(path, form.clone()));
        cases.push(Case::get(path));
    }
    for path in ["/", "/other/token", "/api"] {
        cases.push(Case::post(path, form.clone()));
        cases.push(Case::get(format!("{path}?{form}")));
        cases.push(Case::get(path));
        cases.push(Case::post(path, "user=a"));
    }
    cases.push(Case {
        method: "GET",
        ..Case::post("/api", "a=b")
    });
    cases.push(Case::get("//token"));
    cases.push(Case::get("/closed"));
    cases
}
