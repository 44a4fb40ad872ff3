//! The review of real clients at a real server, as Chromium shows it.

use serde_json::Value;

use crate::support::client::{Authorization, assert_token};
use crate::support::servers::OAUTH2_SERVER;
use crate::support::stage::Stage;

const REPORT: &str = r#"
[upstream.pkce]
mode = "report"
require = "public"
[[upstream.client]]
id = "conf"
type = "confidential"
"#;

/// The rows of the page as read: client, verdict, sign-ins, failing ones, challenges, codes redeemed. Of each cell the first line.
const ROWS: [[&str; 6]; 6] = [
    [
        "without",
        "would break",
        "3",
        "3",
        "3 without",
        "3 unverified",
    ],
    ["hex", "would break", "1", "1", "1 malformed", "none"],
    ["plain", "would break", "1", "1", "1 plain", "none"],
    [
        "conf",
        "could be required",
        "1",
        "0",
        "1 S256",
        "1 verified",
    ],
    ["pub", "ready", "2", "0", "2 S256", "2 verified"],
    ["native", "ready", "1", "0", "1 S256", "1 verified"],
];

#[test]
fn chromium_shows_the_right_verdict_on_each_of_six_clients() {
    let mut stage = Stage::configured(&OAUTH2_SERVER, REPORT).with_own_codes();
    let confidential = |id| ["--client-id", id, "--client-secret", "sekrit"];
    for _ in 0..2 {
        library(&stage, "clients/authlib_session.py", &[]);
    }
    library(&stage, "clients/passport-oauth2.mjs", &confidential("conf"));
    let without = [&confidential("without")[..], &["--pkce", "off"]].concat();
    for _ in 0..3 {
        library(&stage, "clients/passport-oauth2.mjs", &without);
    }
    let native = stage.authorization();
    own(&stage, "native", native);
    let plain = stage.authorization();
    let plain = plain
        .clone()
        .with("code_challenge", &plain.verifier)
        .with("code_challenge_method", "plain");
    own(&stage, "plain", plain);
    let hex = stage.authorization();
    let hex = hex.with("code_challenge", &"0123456789abcdef".repeat(4));
    own(&stage, "hex", hex);

    let base = format!("http://{}", stage.admin());
    let report = stage.run("browser/review.mjs", &["--base", &base, "--only", "rows"]);
    let rows = &report["rows"];
    assert_eq!(read(&rows["all"]), ROWS, "{rows:#}");
    assert_eq!(read(&rows["filtered"]), ROWS[..3], "{rows:#}");
    let headline = "3 of 6 clients would break; enforcing every client would have failed 5 of 9 sign-ins of the last 7 days.";
    assert_eq!(rows["headlines"], serde_json::json!([headline]));
}

/// Signs in with a library, which gets a token.
fn library(stage: &Stage, path: &str, arguments: &[&str]) {
    let gate = stage.gate_url();
    let (authorize, token) = (
        OAUTH2_SERVER.profile.authorization,
        OAUTH2_SERVER.profile.token,
    );
    let common = [
        "--issuer",
        &gate,
        "--authorize",
        authorize[0],
        "--token",
        token[0],
    ];
    let outcome = stage.run(path, &[&common, arguments].concat());
    assert_eq!(outcome["ok"], true, "{path} {arguments:?}: {outcome}");
    stage.granted(1);
}

/// Signs in with the tests' own client, under another name.
fn own(stage: &Stage, id: &str, authorization: Authorization) {
    let authorization = authorization.with("client_id", id);
    let code = stage.code_for(&authorization);
    let request = authorization.redemption(&code).with("client_id", id);
    assert_token(&stage.token(&request));
}

fn read(rows: &Value) -> Vec<[&str; 6]> {
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| {
        std::array::from_fn(|at| {
            let cell = row[at].as_str().expect("cells are texts");
            cell.lines().next().unwrap_or_default()
        })
    })
    .collect()
}
