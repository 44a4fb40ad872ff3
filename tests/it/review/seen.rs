//! What the review says about traffic that no client can be judged by, or that is not about PKCE.

use std::sync::Arc;

use serde_json::{Value, json};

use super::page::{Folder, now};
use super::{REPORT, client, review, rig, signs_in};
use crate::support::gate::{self, file, scratch};
use crate::support::params::Params;
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, cookie_of, target};
use crate::support::scripted::{self, Act, Answerer, Then};

/// The upstream redirects to another origin with a code, without an authorization request.
fn sends_codes(rig: &Rig) {
    let fields = [("Location", "https://portal.test/cb?code=FROM-THE-SERVER")];
    let answer = scripted::reply("302 Found", &fields, b"");
    rig.upstream.on("/portal", Act::Say(answer, Then::GoOn));
}

/// Neither of two sign-ins without a state can be told from the other in report mode. Under enforcement, they would have handles.
#[test]
fn a_client_whose_codes_fit_several_sign_ins_is_uncertain() {
    let mut rig = rig();
    let sign_ins = [(); 2].map(|()| rig.authorization().without("state"));
    let begun = sign_ins.each_ref().map(|sign_in| rig.get(&target(sign_in)));
    let code = authorization_response(&begun[1], &sign_ins[1]).expect("a code");
    let answer = rig.token(&sign_ins[1].redemption(code.code()));
    assert_eq!(answer.status, 200, "{answer}");
    let review = review(&mut rig);
    let uncertain = client(&review, "pub");
    assert_eq!(uncertain["verdict"], "uncertain", "{uncertain:#}");
    assert_eq!(uncertain["redemption"]["uncertain"], 1, "{uncertain:#}");
    assert_eq!(uncertain["redemption"]["unverified"], 0, "{uncertain:#}");
    assert_eq!(review["headline"]["uncertain"], 1);
    let text = review["headline"]["text"].as_str().unwrap();
    assert!(text.contains("; 1 cannot be judged for certain"), "{text}");
    rig.gate.log_until(|log| log.contains("\"uncertain\":true"));
}

/// Anyone can send codes that belong to no sign-in, in the name of any client. The server accepts only real ones.
#[test]
fn only_an_unknown_code_that_the_server_accepts_makes_a_client_uncertain() {
    let mut rig = rig();
    let good = rig.authorization();
    signs_in(&rig, &good, |code| good.redemption(code));
    for (status, verdict, number) in [("400 Bad Request", "ready", 0), ("200 OK", "uncertain", 1)] {
        let answer = scripted::json(status, &json!({ "access_token": "t" }));
        rig.upstream.once("/token", Act::Say(answer, Then::GoOn));
        rig.token(&good.redemption("never-seen"));
        let review = review(&mut rig);
        let row = client(&review, "pub");
        assert_eq!(row["verdict"], verdict, "{row:#}");
        assert_eq!(row["redemption"]["uncertain"], number, "{row:#}");
    }
    let log = rig
        .gate
        .log_until(|log| log.contains("unknown_code_accepted"));
    assert_eq!(log.matches("unknown_code_accepted").count(), 1);
    let metrics = rig.gate.admin("/metrics");
    let counted = "pkce_gate_incidents_total{kind=\"unknown_code_accepted\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

/// A portal of the server that starts applications (IdP-initiated).
#[test]
fn codes_without_a_request_are_shown_by_the_origin_that_gets_them() {
    for (pkce, status, failed) in [(REPORT, 302, 0), ("", 502, 2)] {
        let mut rig = Rig::pkce(pkce).unguarded();
        sends_codes(&rig);
        for _ in 0..2 {
            assert_eq!(rig.get("/portal").status, status, "{pkce}");
        }
        let review = review(&mut rig);
        let portal = client(&review, "https://portal.test");
        assert_eq!(portal["kind"], "unrequested", "{portal:#}");
        assert_eq!(portal["verdict"], "server_initiated", "{portal:#}");
        assert_eq!(portal["failing"], 2, "{portal:#}");
        assert_eq!(portal["sign_ins"], 2, "{portal:#}");
        assert_eq!(portal["failed"], failed, "{portal:#}");
        let headline = &review["headline"];
        assert_eq!(headline["server_initiated"], 1, "{headline:#}");
        assert_eq!(headline["clients"], 0, "{headline:#}");
        let days = review["days"].as_array().unwrap();
        assert_eq!(days.last().unwrap()["failing"], 2, "{days:#?}");
        let text = rig.gate.admin("/review?verdict=server_initiated");
        let shown = "codes without a request, to <bdi>https://portal.test</bdi>";
        let text = text.text().replace("&#x2f;", "/");
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains("FROM-THE-SERVER"), "{text}");
        let admin = rig.gate.address("admin").to_string();
        for (format, expected) in [
            ("text", "server-initiated  (codes without a request, to"),
            (
                "md",
                "| (codes without a request, to https://portal.test) | server-initiated | 2 | 2 |",
            ),
            ("sarif", "\"ruleId\": \"server-initiated-sign-in\""),
        ] {
            let out = gate::run(&["review", "--admin", &admin, "--format", format]);
            let out = String::from_utf8(out.stdout).unwrap();
            assert!(out.contains(expected), "{out}");
        }
    }
}

/// The gate cannot tell whether such a code answers a request that it has seen.
#[test]
fn codes_to_an_origin_at_which_clients_sign_in_are_uncertain() {
    let mut rig = rig();
    sends_codes(&rig);
    let elsewhere = rig
        .authorization()
        .with("redirect_uri", "https://portal.test/cb");
    for known in [&rig.authorization(), &elsewhere] {
        rig.get(&target(known));
    }
    rig.get("/portal");
    let review = review(&mut rig);
    let portal = client(&review, "https://portal.test");
    assert_eq!(portal["verdict"], "uncertain", "{portal:#}");
    assert_eq!(portal["failing"], 0, "{portal:#}");
    assert_eq!(review["headline"]["server_initiated"], 0);
}

/// The answer to a request of a sign-in is none that the server sends by itself, even if it does not fit.
#[test]
fn an_answer_that_does_not_fit_its_request_counts_for_the_client() {
    let mut rig = rig();
    let asked = rig.authorization();
    let fields = [(
        "Location",
        "https://app.test/cb?code=OTHER&state=of-another-sign-in",
    )];
    let answer = scripted::reply("302 Found", &fields, b"");
    rig.upstream
        .once("/authorize", Act::Say(answer, Then::GoOn));
    rig.get(&target(&asked));
    let review = review(&mut rig);
    let row = client(&review, "pub");
    let violations = &row["redemption"]["violations"];
    assert_eq!(violations["unbound_code_in_response"], 1, "{row:#}");
    assert_eq!(review["headline"]["server_initiated"], 0);
}

/// Enforcement refuses it whatever the rest says.
#[test]
fn a_request_that_cannot_be_read_counts_as_a_bad_sign_in_in_report_mode() {
    let mut rig = rig();
    let request = target(&rig.authorization()) + "&scope=a&code_challenge=x";
    rig.get(&request);
    let review = review(&mut rig);
    let row = client(&review, "pub");
    assert_eq!(row["verdict"], "would_break", "{row:#}");
    assert_eq!(
        row["redemption"]["violations"],
        json!({ "duplicate_parameter": 1 })
    );
    assert_ne!(row["last_bad"], Value::Null);
}

fn also_seen(rig: &mut Rig, code: &str) -> Value {
    let review = review(rig);
    let all = review["also_seen"].as_array().expect("controls");
    let found = all.iter().find(|also| also["code"] == *code);
    found.unwrap_or_else(|| panic!("{review:#}")).clone()
}

/// Two token requests, of which the upstream accepts the second one.
fn accepted_and_refused(rig: &Rig, form: &Params, fields: &[(&str, &str)]) {
    for status in ["401 Unauthorized", "200 OK"] {
        let answer = scripted::json(status, &json!({ "access_token": "t" }));
        rig.upstream.once("/token", Act::Say(answer, Then::GoOn));
        rig.post("/token", fields, &form.encoded());
    }
}

/// In report mode and under enforcement, which allows all of them here.
#[test]
fn neighbouring_controls_are_observed() {
    let enforce = "response_types = [\"code\", \"token\"]";
    for pkce in [REPORT, enforce] {
        let tables = r#"
[[upstream.client]]
id = "conf"
type = "confidential"
[[upstream.client]]
id = "plainly"
methods = ["S256", "plain"]
until = "2999-01-01"
owner = "o"
reason = "r"
"#;
        let mut rig = Rig::with(Config {
            pkce,
            tables,
            ..Config::default()
        })
        .unguarded();
        for code in [
            "implicit",
            "password_grant",
            "plain",
            "no_client_authentication",
        ] {
            let also = also_seen(&mut rig, code);
            assert_eq!(
                (also["number"].as_u64(), &also["first_seen"]),
                (Some(0), &Value::Null)
            );
        }
        let password = Params::default()
            .with("grant_type", "password")
            .with("client_id", "old")
            .with("username", "alice")
            .with("password", "hunter2-of-alice");
        accepted_and_refused(&rig, &password, &[]);
        let refresh = |client: &str| {
            Params::default()
                .with("grant_type", "refresh_token")
                .with("refresh_token", "rt-is-secret")
                .with("client_id", client)
        };
        // "old" is public as far as known, and "conf" is not. "mixed" is authenticated once.
        for client in ["old", "conf", "mixed"] {
            rig.get(&target(&rig.authorization().with("client_id", client)));
            accepted_and_refused(&rig, &refresh(client), &[]);
        }
        accepted_and_refused(&rig, &refresh("mixed").with("client_secret", "s"), &[]);
        let plain = rig.authorization();
        let verifier = plain.verifier.clone();
        let plain = plain
            .with("client_id", "plainly")
            .with("code_challenge", &verifier)
            .with("code_challenge_method", "plain");
        rig.get(&target(&plain));
        implicit(&rig);
        for (code, clients) in [
            ("implicit", &["pub"][..]),
            ("password_grant", &["old"]),
            ("plain", &["plainly"]),
            ("no_client_authentication", &["conf", "mixed"]),
        ] {
            let also = also_seen(&mut rig, code);
            assert_eq!(also["clients"], json!(clients), "{pkce} {also:#}");
            assert_eq!(also["number"], clients.len(), "{pkce} {also:#}");
            assert!(also["last_seen"].is_string(), "{pkce} {also:#}");
        }
        shown(&mut rig);
    }
}

/// A sign-in with an access token in the answer.
fn implicit(rig: &Rig) {
    let asked = rig
        .authorization()
        .with("response_type", "token")
        .without_challenge();
    let answer = Act::Compute(Answerer(Arc::new(|request| {
        let query = request
            .target()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let params = Params::from_query(query);
        let state = params.get("state").unwrap_or_default();
        let location =
            format!("{REDIRECT_URI}#access_token=at-is-secret&token_type=Bearer&state={state}");
        scripted::reply("302 Found", &[("Location", &location)], b"")
    })));
    rig.upstream.once("/authorize", answer);
    let mut response = rig.get(&target(&asked));
    if response.status == 303 {
        let location = response.header("location").unwrap().to_owned();
        let cookie = cookie_of(&response).unwrap_or_default();
        response = rig.get_with(&location, &[("Cookie", &cookie)]);
    }
    let location = response.header("location").expect("a redirect");
    assert!(location.contains("access_token=at-is-secret"), "{response}");
}

/// All forms of the review have it, and no secret.
fn shown(rig: &mut Rig) {
    let admin = rig.gate.address("admin").to_string();
    let printed = ["text", "md"].map(|format| {
        let out = gate::run(&["review", "--admin", &admin, "--format", format]);
        String::from_utf8(out.stdout).unwrap()
    });
    for text in &printed {
        assert!(
            text.contains("tokens for the password of a user: 1, first 20"),
            "{text}"
        );
    }
    let page = rig.gate.admin("/review");
    let page = page.text();
    assert!(
        page.contains("by <bdi>conf</bdi>, <bdi>mixed</bdi>"),
        "{page}"
    );
    assert!(page.contains("RFC 9700 section 2.1.2"), "{page}");
    let document = rig.gate.admin("/review.json");
    for text in [page, document.text(), &printed[0], &printed[1]] {
        for secret in ["hunter2", "is-secret"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

const PAGES: [&str; 9] = [
    "/login",
    "/account/settings/",
    "/assets/css/main.css",
    "/assets/app.4f3a9b1c2d.js",
    "/reset/eyJhbGciOiJIUzI1NiJ9-is-secret",
    "/reset/0b8e6e2e-7a3c-4a4c-9a57-1a5c9a4b9c11/done?token=is-secret",
    "/users/4711/avatar.png",
    "/.well-known/change-password",
    "/OAuth/UserInfo",
];

/// What scanners ask for.
const SCANNED: &str = "/wp-admin/setup.php";

/// The pages are answered with 200, and what scanners ask for with 404.
fn serves(rig: &Rig, prefix: &str) {
    for page in PAGES {
        let path = page.split('?').next().unwrap();
        let page = scripted::reply("200 OK", &[], b"hello");
        let path = format!("{prefix}{path}");
        rig.upstream.on(&path, Act::Say(page, Then::GoOn));
    }
    let missing = scripted::reply("404 Not Found", &[], b"");
    let path = format!("{prefix}{SCANNED}");
    rig.upstream.on(&path, Act::Say(missing, Then::GoOn));
}

#[test]
fn the_routes_that_were_seen_are_a_list_that_the_configuration_accepts() {
    for (keys, prefix) in [
        ("", ""),
        ("prefix = \"/tenants/a1b2c3\"", "/tenants/a1b2c3"),
    ] {
        let config = Config {
            upstream: keys,
            pkce: REPORT,
            ..Config::default()
        };
        let mut rig = Rig::with(config).unguarded();
        serves(&rig, prefix);
        for path in PAGES.into_iter().chain([SCANNED]) {
            for _ in 0..3 {
                rig.get(&format!("{prefix}{path}"));
            }
        }
        let routes = review(&mut rig)["routes"].clone();
        let expected = json!([
            "/.well-known/change-password",
            "/OAuth/UserInfo",
            "/account/settings/",
            "/assets/**",
            "/login",
            "/reset/**",
            "/users/**",
        ]);
        assert_eq!(routes["allow"], expected, "{routes:#}");
        assert_eq!(
            (&routes["is_complete"], &routes["denies"]),
            (&true.into(), &false.into())
        );
        let toml = routes["toml"].as_str().unwrap().to_owned();
        is_shown(&mut rig, &toml);

        // Pasted into a configuration under enforcement.
        let config = Config {
            upstream: keys,
            tables: &toml,
            ..Config::default()
        };
        let mut closed = Rig::with(config);
        let file = closed.gate.config_file();
        let checked = gate::run(&["check", "--config", file.to_str().unwrap()]);
        assert!(checked.status.success(), "{checked:?}");
        serves(&closed, prefix);
        for path in PAGES {
            let answer = closed.get(&format!("{prefix}{path}"));
            assert_eq!(answer.status, 200, "{path}: {answer}");
        }
        let path = format!("{prefix}{SCANNED}");
        assert_eq!(closed.get(&path).status, 404);
        assert!(
            closed.upstream.requests_to(&path).is_empty(),
            "it is closed"
        );
        let routes = review(&mut closed)["routes"].clone();
        assert_eq!(
            (&routes["allow"], &routes["denies"]),
            (&expected, &true.into())
        );
    }
}

/// In all forms of the review, and no secret is in any of them.
fn is_shown(rig: &mut Rig, toml: &str) {
    let admin = rig.gate.address("admin").to_string();
    let printed = ["text", "md"].map(|format| {
        let out = gate::run(&["review", "--admin", &admin, "--format", format]);
        String::from_utf8(out.stdout).unwrap()
    });
    let page = rig.gate.admin("/review").text().to_owned();
    let page = page.replace("&#x2f;", "/").replace("&quot;", "\"");
    assert!(page.contains(toml), "{page}");
    let document = rig.gate.admin("/review.json").text().to_owned();
    for text in [&page, &document, &printed[0], &printed[1]] {
        assert!(text.contains("/reset/**"), "{text}");
        for secret in ["is-secret", "eyJ", "0b8e6e2e", "4711", "4f3a9b1c2d"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// `/**` would allow everything.
#[test]
fn a_list_without_a_pattern_for_some_path_says_so() {
    let mut rig = rig();
    rig.upstream.on(
        "/a1b2c3d4",
        Act::Say(scripted::reply("200 OK", &[], b""), Then::GoOn),
    );
    for _ in 0..3 {
        rig.get("/a1b2c3d4");
    }
    let routes = review(&mut rig)["routes"].clone();
    assert_eq!(routes["allow"], json!([]), "{routes:#}");
    assert_eq!(routes["is_complete"], false, "{routes:#}");
}

/// A gate whose counts began so many days ago. How long report mode lasts is known from them alone.
fn since(days: u64) -> (Rig, Folder) {
    const DAY: u64 = 86_400;
    let row = json!({
        "first_seen": now() - days * DAY, "last_seen": now(), "last_good": 0, "last_bad": 0, "origin": null, "days": [],
    });
    let rows = json!([[{ "client": "pub" }, row]]);
    let counts = json!({ "version": 1, "upstreams": { "scripted": rows } });
    let folder = Folder(scratch());
    let snapshot = file(&folder.0, "counts.json", &counts.to_string());
    let tables = format!("[review]\nsnapshot = {snapshot:?}");
    let config = Config {
        // In Redis, the counts are there.
        store: "kind = \"memory\"",
        pkce: REPORT,
        tables: &tables,
        ..Config::default()
    };
    (Rig::with(config), folder)
}

#[test]
fn report_mode_without_an_end_is_louder_after_ninety_days_than_after_thirty() {
    for (days, level, overdue) in [
        (29, "", "false"),
        (31, "WARN", "true"),
        (91, "ERROR", "true"),
    ] {
        let (mut rig, _folder) = since(days);
        if level.is_empty() {
            rig.gate.log_until(|log| log.contains("\"listening\""));
        } else {
            let line = format!("\"level\":\"{level}\",\"event\":\"report_mode_lasts\"");
            rig.gate.log_until(|log| log.contains(&line));
        }
        let metrics = rig.gate.admin("/metrics");
        let metric =
            format!("report_mode_days{{upstream=\"scripted\",overdue=\"{overdue}\"}} {days}");
        assert!(metrics.text().contains(&metric), "{}", metrics.text());
        let control = review(&mut rig)["control"].clone();
        let evidence = control["evidence"].to_string();
        let lasts = format!("has lasted for {days} days");
        assert!(evidence.contains(&lasts), "{evidence}");
        assert_eq!(evidence.contains("ninety or more"), days > 90, "{evidence}");
    }
}
