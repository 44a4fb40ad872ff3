//! No code, verifier, state, token or secret appears in a log, metric or error page, at any log level and for any malformed
//! request. Every secret in these tests is a canary: it may only appear in the answer for which it is meant.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::client::{Authorization, access_token};
use crate::support::http::{Request, Response};
use crate::support::params::{encode, s256, unguessable};
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, handle_of, request, target};
use crate::support::scripted::{Act, Shape, Then, json as json_reply, reply};

/// Secrets by kind.
struct Canaries(BTreeMap<&'static str, Vec<String>>);

impl Canaries {
    fn add(&mut self, what: &'static str, secret: &str) {
        self.0.entry(what).or_default().push(secret.to_owned());
    }

    /// A new secret of that kind, with characters that have several encodings.
    fn mint(&mut self, what: &'static str) -> String {
        let secret = format!("{what}/{}", unguessable());
        self.add(what, &secret);
        secret
    }

    /// The text contains no secret in any encoding, except those of the kinds in `but`.
    #[track_caller]
    fn assert_absent(&self, text: &[u8], place: &str, but: &[&str]) {
        for (what, secrets) in self.0.iter().filter(|(what, _)| !but.contains(what)) {
            for secret in secrets {
                let slashes = secret.replace('/', "\\/");
                let html = secret.replace('/', "&#x2f;");
                for form in [
                    secret,
                    &encode(secret),
                    &STANDARD.encode(secret),
                    &slashes,
                    &html,
                ] {
                    let there = text
                        .windows(form.len())
                        .any(|window| window == form.as_bytes());
                    assert!(
                        !there,
                        "the {what} {form} is in {place}: {}",
                        text.escape_ascii()
                    );
                }
            }
        }
    }
}

struct Watch {
    rig: Rig,
    canaries: Canaries,
    cookie: String,
    secret: String,
    basic: String,
}

impl Watch {
    fn new(format: &str) -> Self {
        let log = format!("level = \"trace\"\nformat = \"{format}\"");
        let rig = Rig::with(Config {
            log: &log,
            upstream: "response = \"5s\"", // long enough for a busy machine
            ..Config::default()
        });
        let mut canaries = Canaries(BTreeMap::new());
        let cookie = format!("sid={}", canaries.mint("cookie"));
        let secret = canaries.mint("client secret");
        let basic = format!("pub:{}", encode(&secret));
        let basic = format!("Basic {}", STANDARD.encode(basic));
        canaries.add("credentials", &basic);
        Self {
            rig: rig.unguarded(),
            canaries,
            cookie,
            secret,
            basic,
        }
    }

    /// A request in which every secret is a canary.
    fn authorization(&mut self) -> Authorization {
        let mut authorization = self.rig.authorization();
        authorization.verifier = unguessable();
        self.canaries
            .add("verifier", &authorization.verifier.clone());
        let (state, nonce, hint) = (
            self.canaries.mint("state"),
            self.canaries.mint("nonce"),
            self.canaries.mint("hint"),
        );
        let challenge = s256(&authorization.verifier);
        authorization
            .with("code_challenge", &challenge)
            .with("state", &state)
            .with("nonce", &nonce)
            .with("id_token_hint", &hint)
    }

    fn sign_in(&mut self) -> (Authorization, String) {
        let authorization = self.authorization();
        let code = self.rig.sign_in(&authorization).code().to_owned();
        self.canaries.add("handle", &code);
        for issued in self.rig.upstream.codes() {
            self.canaries.add("upstream's code", &issued);
        }
        (authorization, code)
    }

    /// The answer is a refusal and repeats no secret, except those of the listed kinds.
    #[track_caller]
    fn refused(&self, response: &Response, but: &[&str]) {
        assert!(
            response.status >= 300 && access_token(response).is_none(),
            "{response}"
        );
        self.canaries.assert_absent(&response.raw, "an answer", but);
    }

    #[track_caller]
    fn refused_everywhere(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&str>,
    ) {
        for accept in ["text/html", "application/json"] {
            let fields = [fields, &[("Accept", accept), ("Cookie", &self.cookie)]].concat();
            let response = self.rig.send(&request(method, path, &fields, body));
            self.refused(&response, &[]);
        }
    }

    /// Checks the log, the metrics and the other admin pages.
    fn finish(mut self) {
        let admin = self.rig.gate.address("admin");
        for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
            let response = Request::get(&format!("http://{admin}{path}")).send();
            self.canaries.assert_absent(&response.raw, path, &[]);
        }
        for token in self.rig.upstream.tokens() {
            self.canaries.add("token", &token);
        }
        let log = self.rig.gate.stop();
        assert!(log.lines().count() > 50, "there is a log: {log}");
        self.canaries.assert_absent(log.as_bytes(), "the log", &[]);
    }
}

fn in_every_format(check: impl Fn(&mut Watch)) {
    for format in ["json", "text"] {
        let mut watch = Watch::new(format);
        check(&mut watch);
        // At least this many lines, to be sure that the log works at this level.
        for _ in 0..60 {
            watch.rig.get_with("/page", &[("Cookie", &watch.cookie)]);
        }
        watch.finish();
    }
}

#[test]
fn successful_sign_ins_leave_no_secret() {
    in_every_format(|watch| {
        for shape in [Shape::Query(302), Shape::Fragment(302), Shape::FormPost] {
            watch.rig.upstream.answer_with(shape);
            let (authorization, code) = watch.sign_in();
            let form = authorization
                .redemption(&code)
                .with("client_secret", &watch.secret);
            let response = watch
                .rig
                .post("/token", &[("Cookie", &watch.cookie)], &form.encoded());
            assert!(access_token(&response).is_some(), "{response}");
            let (authorization, code) = watch.sign_in();
            let form = authorization.redemption(&code).encoded();
            let response = watch
                .rig
                .post("/token", &[("Authorization", &watch.basic)], &form);
            assert!(access_token(&response).is_some(), "{response}");
        }
        let refresh = watch.canaries.mint("refresh token");
        let form = format!(
            "grant_type=refresh_token&refresh_token={}",
            encode(&refresh)
        );
        watch
            .rig
            .post("/token", &[("Authorization", &watch.basic)], &form);
        let password = watch.canaries.mint("password");
        watch.rig.post(
            "/login",
            &[("Cookie", &watch.cookie)],
            &format!("user=u&password={}", encode(&password)),
        );
        watch.rig.get_with(
            &format!("/page?token={password}"),
            &[("Authorization", &watch.basic)],
        );
    });
}

#[test]
fn refused_redemptions_leave_no_secret() {
    in_every_format(|watch| {
        let (authorization, code) = watch.sign_in();
        let right = authorization
            .redemption(&code)
            .with("client_secret", &watch.secret);
        let wrong = watch.canaries.mint("wrong verifier");
        for form in [
            right.clone().without("code_verifier"),
            right.clone().with("code_verifier", &wrong),
            right.clone().with("code_verifier", &unguessable()),
            right.clone().with("client_id", "other"),
            right.clone().with("redirect_uri", "https://evil.test/cb"),
            right
                .clone()
                .with("grant_type", "authorization_code")
                .with("code", &wrong),
        ] {
            watch.refused_everywhere("POST", "/token", &[], Some(&form.encoded()));
        }
        // The code is burnt now.
        watch.refused_everywhere(
            "POST",
            "/token",
            &[("Authorization", &watch.basic)],
            Some(&right.encoded()),
        );
    });
}

#[test]
fn malformed_token_requests_leave_no_secret() {
    in_every_format(|watch| {
        let (authorization, code) = watch.sign_in();
        let right = authorization
            .redemption(&code)
            .with("client_secret", &watch.secret)
            .encoded();
        let verifier = &authorization.verifier;
        for form in [
            format!("{right}&code={code}"),
            format!("{right}&code_verifier={verifier}"),
            format!("{right}&CODE={code}"),
            format!("{right}&code[]={code}"),
            format!("{right}&x=%zz{code}"),
            format!("{right}%ff"),
            format!("{right}%00"),
            format!("={code}&{right}"),
            format!("{right}&{}", "x=1&".repeat(100)),
            format!("{right}&x={}", "y".repeat(70_000)),
            right.replace('&', ";"),
            format!("{{\"code\":\"{code}\",\"code_verifier\":\"{verifier}\"}}"),
        ] {
            watch.refused_everywhere("POST", "/token", &[], Some(&form));
            watch.refused_everywhere(
                "POST",
                "/token",
                &[("Content-Type", "application/json")],
                Some(&form),
            );
        }
        for path in [
            format!("/token?{right}"),
            format!("/token/?{right}"),
            format!("/elsewhere?{right}"),
            format!("/%74oken?{right}"),
        ] {
            watch.refused_everywhere("POST", &path, &[], Some(""));
            watch.refused_everywhere("GET", &path, &[], None);
        }
        let broken = format!("{}%", watch.basic);
        watch.refused_everywhere(
            "POST",
            "/token",
            &[("Authorization", &broken)],
            Some(&right),
        );
        watch.refused_everywhere(
            "POST",
            "/token",
            &[
                ("Authorization", &watch.basic),
                ("Authorization", &watch.basic),
            ],
            Some(&right),
        );
        watch.refused_everywhere(
            "PUT",
            "/token",
            &[("Authorization", &watch.basic)],
            Some(&right),
        );
    });
}

#[test]
fn malformed_http_leaves_no_secret() {
    in_every_format(|watch| {
        let (authorization, code) = watch.sign_in();
        let right = authorization.redemption(&code).encoded();
        let verifier = &authorization.verifier;
        for head in [
            format!("POST /token?{right} HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n"),
            format!("POST /token HTTP/1.1\r\nHost: {HOST}\r\nX-{code} : x\r\n\r\n"),
            format!("POST /token HTTP/1.1\r\nHost: {code}/{verifier}\r\n\r\n"),
            format!("{code} {verifier}\r\n\r\n"),
            format!("GET /{code} HTTP/9\r\nHost: {HOST}\r\n\r\n"),
            format!("POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {code}\r\n\r\n"),
            format!("POST /token HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: {code}\r\n\r\n"),
            format!(
                "POST /token HTTP/1.1\r\nHost: {HOST}\r\nConnection: {code}, authorization\r\n\r\n"
            ),
            format!(
                "GET /{}?{right} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
                "x".repeat(20_000)
            ),
            format!(
                "GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}{code}\r\n\r\n",
                "x".repeat(200_000)
            ),
        ] {
            let response = watch.rig.send(head.as_bytes());
            watch.refused(&response, &[]);
        }
    });
}

/// At this level the log has a line for each request, with its path. Password reset links are secrets, and so may be anything
/// else that a client puts into a path.
#[test]
fn paths_and_methods_leave_no_secret() {
    in_every_format(|watch| {
        let (authorization, code) = watch.sign_in();
        let entry = watch.rig.entry(&watch.rig.authorization());
        let handle = handle_of(&entry);
        watch.canaries.add("handle of the state", &handle);
        let (word, link) = (unguessable(), watch.canaries.mint("link"));
        watch.canaries.add("word", &word);
        let letters = "correcthorsebatterystaple";
        watch.canaries.add("secret of letters", letters);
        for secret in [
            &code,
            &handle,
            &authorization.verifier,
            &word,
            &encode(&link),
        ] {
            for path in [
                format!("/{secret}"),
                format!("/login/{secret}"),
                format!("/login/{secret}/login"),
                format!("/login;session={secret}"),
                format!("/login={secret}"),
                format!("/login.{secret}"),
                format!("//{secret}"),
                format!("/token/{secret}"),
                format!("/authorize;{secret}"),
                format!("/authorize/{secret}"),
                format!("{}/{secret}", "/login".repeat(10)),
                format!("/{letters}/login"),
            ] {
                for method in ["GET", "POST"] {
                    let body = (method == "POST").then_some("");
                    watch.rig.send(&request(method, &path, &[], body));
                }
            }
            watch.rig.send(&request(secret, "/login", &[], None));
        }
        let log = watch
            .rig
            .gate
            .log_until(|log| log.contains("/login/*/login"));
        assert!(log.contains("other"), "{log}");
    });
}

#[test]
fn refused_and_malformed_authorization_requests_leave_no_secret() {
    in_every_format(|watch| {
        let good = watch.authorization();
        let plain = good
            .clone()
            .with("code_challenge", &good.verifier)
            .with("code_challenge_method", "plain");
        let request = target(&good);
        for bad in [
            target(&good.clone().without_challenge()),
            target(&plain),
            format!(
                "{request}&code_verifier={0}&code_verifier={0}",
                good.verifier
            ),
            format!("{request}&State=x"),
            format!("{request}&x=%zz"),
            format!("{request}&request={}", good.verifier),
            format!("{request}&request_uri={}", good.verifier),
            request.replace("response_type=code", "response_type=token"),
            request.replace("client_id=pub", "client_id="),
            request.replace("/authorize", "/authorize/"),
        ] {
            watch.refused_everywhere("GET", &bad, &[("Authorization", &watch.basic)], None);
            let (path, form) = bad.split_once('?').expect("a query");
            watch.refused_everywhere("POST", path, &[], Some(form));
            watch.refused_everywhere(
                "POST",
                path,
                &[("Content-Type", "application/json")],
                Some(form),
            );
            watch.refused_everywhere("PUT", &bad, &[], None);
        }
        // Only the client's own state goes back to the client.
        watch.sign_in();
        for mode in ["query", "fragment", "form_post"] {
            let bad = watch
                .authorization()
                .without_challenge()
                .with("response_mode", mode);
            let response = watch
                .rig
                .get_with(&target(&bad), &[("Cookie", &watch.cookie)]);
            assert!(!response.text().contains("could not start"), "{response}");
            watch
                .canaries
                .assert_absent(&response.raw, "an error response", &["state"]);
        }
    });
}

#[test]
fn refused_continuations_leave_no_secret() {
    in_every_format(|watch| {
        watch.rig.upstream.answer_with(Shape::Login);
        let authorization = watch.authorization();
        let entry = watch.rig.entry(&authorization);
        let handle = handle_of(&entry);
        watch.canaries.add("handle of the state", &handle);
        let password = watch.canaries.mint("password");
        for form in [
            format!(
                "state={handle}&client_id=other&password={}",
                encode(&password)
            ),
            format!(
                "state={handle}&redirect_uri=https%3A%2F%2Fevil.test&password={}",
                encode(&password)
            ),
            format!("state={handle}&state={handle}"),
            format!("state={handle}&code_challenge={}", authorization.verifier),
            format!(
                "state={}&password={}",
                encode(&watch.canaries.mint("state")),
                encode(&password)
            ),
            format!("STATE={handle}"),
        ] {
            watch.refused_everywhere("POST", &entry, &[], Some(&form));
        }
        // Well-formed handles that do not exist.
        let elsewhere = Rig::new();
        let dead = elsewhere.entry(&elsewhere.authorization());
        let dead = handle_of(&dead);
        watch.canaries.add("dead handle", &dead);
        watch.refused_everywhere(
            "POST",
            &format!("/authorize?state={dead}"),
            &[],
            Some("a=b"),
        );
    });
}

#[test]
fn answers_that_cannot_be_delivered_leave_no_secret() {
    in_every_format(|watch| {
        for shape in [
            Shape::Json,
            Shape::JsonCode,
            Shape::Link,
            Shape::MetaRefresh,
            Shape::Script,
        ] {
            watch.rig.upstream.answer_with(shape);
            let authorization = watch.authorization();
            let entry = watch.rig.entry(&authorization);
            let response = watch.rig.get(&entry);
            for issued in watch.rig.upstream.codes() {
                watch.canaries.add("upstream's code", &issued);
            }
            watch.refused(&response, &[]);
        }
        for location in [
            "https://evil.test/cb?code=CODE&state=HANDLE",
            "https://client.test/cb?code=CODE&code=x&state=HANDLE",
            "https://client.test/cb?code=CODE&state=x",
            "https://client.test/cb#code=CODE&state=HANDLE&access_token=CODE",
        ] {
            let authorization = watch.authorization();
            let entry = watch.rig.entry(&authorization);
            let handle = handle_of(&entry);
            let code = watch.canaries.mint("code");
            let location = location
                .replace("CODE", &encode(&code))
                .replace("HANDLE", &handle);
            let answer = reply("302 Found", &[("Location", &location)], location.as_bytes());
            watch
                .rig
                .upstream
                .once("/authorize", Act::Say(answer, Then::GoOn));
            watch.refused(&watch.rig.get(&entry), &[]);
        }
    });
}

#[test]
fn a_failing_upstream_leaves_no_secret() {
    in_every_format(|watch| {
        for act in [
            Act::Say(Vec::new(), Then::Close),
            Act::Say(Vec::new(), Then::Stall),
            Act::Interrupt(Vec::new(), Then::Reset),
            Act::Say(
                b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n".to_vec(),
                Then::Stall,
            ),
            Act::Say(b"garbage\r\n\r\n".to_vec(), Then::Close),
            Act::Say(
                reply("302 Found", &[("Location", REDIRECT_URI)], b""),
                Then::GoOn,
            ),
            Act::Say(
                json_reply("401 Unauthorized", &json!({ "error": "invalid_client" })),
                Then::GoOn,
            ),
            Act::Say(json_reply("500 Oh", &json!({ "error": "x" })), Then::GoOn),
        ] {
            let (authorization, code) = watch.sign_in();
            watch.rig.upstream.once("/token", act);
            let form = authorization
                .redemption(&code)
                .with("client_secret", &watch.secret)
                .encoded();
            let response = watch
                .rig
                .post("/token", &[("Cookie", &watch.cookie)], &form);
            watch.refused(&response, &[]);
        }
        let (authorization, code) = watch.sign_in();
        let entry = watch.rig.entry(&authorization);
        watch.rig.upstream.refuse();
        let form = authorization.redemption(&code).encoded();
        watch.refused_everywhere(
            "POST",
            "/token",
            &[("Authorization", &watch.basic)],
            Some(&form),
        );
        watch.refused_everywhere("GET", &entry, &[], None);
        watch.rig.upstream.accept();
        for _ in 0..50 {
            watch
                .rig
                .get_with(&entry.replace("state=", "x="), &[("Cookie", &watch.cookie)]);
        }
    });
}

/// An identifier is not a secret, but its length is chosen by the client and must not fill the log.
#[test]
fn a_long_client_identifier_is_shortened_in_the_log() {
    let rig = Rig::new();
    let name = format!("%22%0a%1b%5b{}", "%C3%A9".repeat(2000));
    let target = format!("/authorize?response_type=code&state=s&client_id={name}x");
    assert_eq!(rig.get(&target).status, 400);
    let form = format!("grant_type=authorization_code&code=abc&client_id={name}y");
    assert_eq!(rig.post("/token", &[], &form).status, 400);
    let decisions = |log: &str| log.matches("\"refused\"").count();
    let log = rig.gate.log_until(|log| decisions(log) == 2);
    assert!(log.contains('…'), "{log}");
    assert!(log.lines().all(|line| line.chars().count() < 600), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}
