//! Every carrier of a code, under every combination of `codes`, `mode` and `correlation`: it works, or `check` refuses it.

use std::fmt::Write as _;

use crate::support::agent::AuthorizationResponse;
use crate::support::client::{Authorization, access_token};
use crate::support::gate;
use crate::support::params::{Params, decode};
use crate::support::rig::{Config, Jar, Rig, authorization_response, target};
use crate::support::scripted::{Scripted, Shape};

const CARRIERS: [(&str, Shape); 6] = [
    ("query", Shape::Query(302)),
    ("fragment", Shape::Fragment(302)),
    ("form_post", Shape::FormPost),
    ("URL in JSON", Shape::Json),
    ("code in JSON", Shape::JsonCode),
    ("signed response", Shape::Signed),
];

/// The manual has this table, too.
#[test]
fn no_carrier_is_without_an_answer() {
    let mut table = String::new();
    for (name, shape) in CARRIERS {
        write!(table, "| {name} |").unwrap();
        for codes in ["handle", "upstream"] {
            for mode in ["enforce", "report"] {
                for correlation in ["state", "cookie"] {
                    let result = cell((codes, mode, correlation), name, shape);
                    write!(table, " {result} |").unwrap();
                }
            }
        }
        table.push('\n');
    }
    let manual = include_str!("../../../docs/src/policy.md");
    for row in table.lines() {
        assert!(manual.contains(row), "the manual says otherwise:\n{table}");
    }
}

fn cell((codes, mode, correlation): (&str, &str, &str), name: &str, shape: Shape) -> &'static str {
    let signed = if shape == Shape::Signed {
        "response_modes = [\"query.jwt\"]\n"
    } else {
        ""
    };
    let pointer = if shape == Shape::JsonCode {
        "/code"
    } else {
        "/redirect_to"
    };
    let pkce = format!(
        "codes = \"{codes}\"\nmode = \"{mode}\"\ncorrelation = \"{correlation}\"\n{signed}\
         code_in_json = [{{ path = \"/authorize\", pointer = \"{pointer}\" }}]"
    );
    let config = Config {
        pkce: &pkce,
        ..Config::default()
    };
    let upstream = Scripted::start();
    let file = gate::file(&gate::scratch(), "config.toml", &config.render(&upstream));
    let checked = gate::run(&["check", "--config", file.to_str().unwrap()]);
    if checked.status.code() != Some(0) {
        return "`check` refuses it";
    }
    let rig = Rig::between(config, upstream).unguarded();
    rig.upstream.answer_with(shape);
    let mut authorization = rig.authorization();
    if shape == Shape::Signed {
        authorization = authorization.with("response_mode", "query.jwt");
    }
    let found = response(&rig, &authorization, shape);
    assert_eq!(found.get("state"), authorization.state(), "{name} {pkce}");
    let code = found.get("code").expect("a code").to_owned();
    let right = authorization.redemption(&code);
    let bare = rig.token(&right.clone().without("code_verifier"));
    let is_enforced = mode == "enforce";
    assert_eq!(
        access_token(&bare).is_none(),
        is_enforced,
        "{name} {pkce}: {bare}"
    );
    if is_enforced {
        let token = rig.redeem(&authorization, &code);
        assert!(access_token(&token).is_some(), "{name} {pkce}: {token}");
    }
    let log = rig.gate.log();
    assert!(!log.contains("unbound_code"), "{name} {pkce}: {log}");
    "works"
}

/// The parameters of the authorization response.
fn response(rig: &Rig, authorization: &Authorization, shape: Shape) -> Params {
    let mut jar = Jar::default();
    let mut answer = jar.get(rig, &target(authorization));
    if answer.status == 303 {
        let entry = answer.header("location").expect("a Location").to_owned();
        answer = jar.get(rig, &entry);
    }
    match shape {
        Shape::Json => of_url(answer.json()["redirect_to"].as_str().expect("a URL")),
        Shape::JsonCode => {
            let answer = answer.json();
            let text = |name: &str| answer[name].as_str().expect("a string").to_owned();
            Params::default()
                .with("code", &text("code"))
                .with("state", &text("state"))
        }
        Shape::Signed => {
            let location = answer.header("location").expect("a Location");
            let jwt = of_url(location)
                .get("response")
                .expect("a response")
                .to_owned();
            let payload = jwt.split('.').nth(1).expect("a payload");
            let claims = crate::support::params::base64url(payload);
            let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
            Params::default()
                .with("code", claims["code"].as_str().expect("a code"))
                .with("state", claims["state"].as_str().expect("a state"))
        }
        Shape::AsAsked
        | Shape::Query(_)
        | Shape::Fragment(_)
        | Shape::QueryAndBody
        | Shape::FormPost
        | Shape::Link
        | Shape::MetaRefresh
        | Shape::Script
        | Shape::Refresh
        | Shape::Login
        | Shape::App => {
            let found: Option<AuthorizationResponse> =
                authorization_response(&answer, authorization);
            found
                .unwrap_or_else(|| panic!("no response: {answer}"))
                .params
        }
    }
}

fn of_url(url: &str) -> Params {
    let pairs = url.split_once('?').expect("a query").1.split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
