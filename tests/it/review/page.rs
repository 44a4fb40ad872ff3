//! The page as browsers, assistive technology and checkers of HTML see it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::fixture::{packaged, program};
use crate::support::gate::{file, scratch};
use crate::support::rig::{Config, Rig};

/// One view for each part of the page that another one does not have.
const VIEWS: [&str; 5] = [
    "/review",
    "/review?upstream=scripted&verdict=would_break&sort=name",
    "/review?upstream=quiet",
    "/review?upstream=scripted&verdict=not_seen&page=9",
    "/review?upstream=unknown",
];

/// A folder for the snapshot, which is removed after the gate has written it for the last time.
pub(super) struct Folder(pub(super) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A gate that has counted every verdict, and every kind of row, for a month; beside it an upstream that no client has used.
pub(super) fn busy() -> (Rig, Folder) {
    let folder = Folder(scratch());
    let snapshot = file(&folder.0, "counts.json", &counts().to_string());
    let tables = format!(
        r#"
[[upstream.client]]
id = "exempt"
methods = ["S256", "plain"]
until = "2999-01-01"
owner = "payments@example.com"
reason = "PKCE comes with release 12"
[[upstream.client]]
id = "confidential"
type = "confidential"
[[upstream.client]]
id = "configured"
[[upstream]]
name = "quiet"
url = "http://127.0.0.1:9"
public_url = "http://quiet.test"
hosts = ["quiet.test"]
[upstream.endpoints]
authorization = ["/authorize"]
token = ["/token"]
[review]
snapshot = {snapshot:?}
"#
    );
    let rig = Rig::with(Config {
        // In Redis, the counts are there.
        store: "kind = \"memory\"",
        pkce: "mode = \"report\"\nrequire = \"public\"",
        tables: &tables,
        ..Config::default()
    });
    (rig, folder)
}

/// A snapshot of the counts, as the gate writes it.
fn counts() -> Value {
    let client = |id: &str| json!({ "client": id });
    let long = format!(
        "https://{}.example.com/client.json",
        "application-".repeat(20)
    );
    let rows = [
        (
            client("ready"),
            row(&[("s256", 4), ("verified", 4)], &[], &[]),
        ),
        (
            client("confidential"),
            row(&[("s256", 1), ("verified", 1)], &[], &[]),
        ),
        (
            client("exempt"),
            row(
                &[("plain", 2), ("reported", 2)],
                &["method_not_allowed"],
                &[],
            ),
        ),
        (client(&long), row(&[("s256", 1)], &[], &[])),
        (
            client("<b>\"'&\u{202e}"),
            row(
                &[("none", 3), ("reported", 3)],
                &["missing_challenge", "future_code"],
                &[],
            ),
        ),
        (
            client("hex"),
            row(
                &[("malformed", 9), ("reported", 9)],
                &["malformed_challenge"],
                &["hex_challenge"],
            ),
        ),
        (
            client(""),
            row(&[("none", 1), ("reported", 1)], &["missing_client"], &[]),
        ),
        (
            json!({ "origin": "https://mcp.example.com" }),
            row(&[("s256", 20), ("verified", 19)], &[], &[]),
        ),
        (
            client("uncertain"),
            row(&[("s256", 3), ("verified", 1), ("uncertain", 2)], &[], &[]),
        ),
        (
            json!({ "unrequested": "https://portal.example.com" }),
            row(&[("reported", 2)], &["unbound_code_in_response"], &[]),
        ),
        (json!({ "route": "/login" }), row(&[], &[], &[])),
        (json!({ "route": "/assets/**" }), row(&[], &[], &[])),
        (
            json!("others"),
            row(
                &[("s256", 1), ("none", 1), ("reported", 1)],
                &["missing_challenge"],
                &[],
            ),
        ),
    ];
    json!({ "version": 1, "upstreams": { "scripted": rows } })
}

#[expect(clippy::disallowed_methods, reason = "the gate reads the same clock")]
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

/// A row with these numbers on each day, and these violations and hints.
fn row(numbers: &[(&str, u32)], violations: &[&str], hints: &[&str]) -> Value {
    const DAY: u64 = 86_400;
    let now = now();
    let mut all = json!({
        "s256": 0, "plain": 0, "malformed": 0, "none": 0, "verified": 0, "unverified": 0, "uncertain": 0,
        "refused": 0, "reported": 0,
    });
    for (name, number) in numbers {
        all[name] = (*number).into();
    }
    let today = now / DAY;
    let ten = |codes: &[&str]| {
        let codes = codes
            .iter()
            .map(|code| ((*code).to_owned(), Value::from(10)));
        Value::Object(codes.collect())
    };
    let (violations_of_day, hints_of_day) = (ten(violations), ten(hints));
    let days = (today - 29..=today).map(|day| {
        json!({ "day": day, "numbers": all, "violations": violations_of_day, "hints": hints_of_day })
    });
    json!({
        "first_seen": now - 29 * DAY,
        "last_seen": now,
        "last_good": if violations.is_empty() { now } else { 0 },
        "last_uncertain": if numbers.iter().any(|(name, _)| *name == "uncertain") { now } else { 0 },
        "last_bad": if violations.is_empty() { 0 } else { now },
        "origin": "https://app.example.com",
        "also": {
            "plain": { "number": 9, "first": now - 9 * DAY, "last": now },
            "unauthenticated": { "number": 3, "first": now - 9 * DAY, "last": now },
            "last_authenticated": if violations.is_empty() { now } else { 0 },
        },
        "days": days.collect::<Vec<_>>(),
    })
}

/// What Chromium sees of the busy gate.
fn look(rig: &mut Rig, only: &[&str]) -> Value {
    let base = format!("http://{}", rig.gate.address("admin"));
    let mut command = program("browser/review.mjs");
    command.args(["--base", &base]);
    for path in VIEWS {
        command.args(["--path", path]);
    }
    for name in only {
        command.args(["--only", name]);
    }
    let output = command.output().expect("the program starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
}

/// Every verdict and kind of row is there, so that the other tests look at all of them.
#[test]
fn the_busy_gate_has_every_verdict_and_kind_of_row() {
    let review = busy().0.gate.admin("/review.json").json();
    let clients = review["upstreams"][0]["clients"].as_array().unwrap();
    for (member, values) in [
        (
            "verdict",
            &[
                "would_break",
                "uncertain",
                "server_initiated",
                "exempt",
                "could_be_required",
                "ready",
                "not_seen",
            ][..],
        ),
        (
            "kind",
            &["client", "none", "origin", "unrequested", "others"],
        ),
    ] {
        for value in values {
            let found = clients.iter().any(|client| client[member] == *value);
            assert!(found, "{value}: {review:#}");
        }
    }
}

/// Wide and narrow (WCAG 2.2, 1.4.10: 320 pixels without scrolling sideways), light and dark.
#[test]
fn axe_finds_nothing_in_any_view() {
    let report = look(&mut busy().0, &["views"]);
    let views = report["views"].as_array().unwrap();
    assert_eq!(views.len(), VIEWS.len() * 3 * 2);
    for view in views {
        assert_eq!(view["found"], json!([]), "{view:#}");
        let passed = view["passed"].as_array().unwrap();
        assert!(passed.contains(&"color-contrast".into()), "{view:#}");
        assert_eq!(view["overflow"], 0, "{view:#}");
        assert_eq!(
            view["messages"],
            json!([]),
            "the policy allows all that the page has: {view:#}"
        );
        let background = match view["colorScheme"].as_str() {
            Some("dark") => "rgb(13, 17, 23)",
            _ => "rgb(255, 255, 255)",
        };
        assert_eq!(view["background"], background, "{view:#}");
    }
}

#[test]
fn the_tab_key_reaches_every_link_and_shows_where_it_is() {
    let (mut rig, _folder) = busy();
    let report = look(&mut rig, &["keyboard", "tree"]);
    let reached = report["keyboard"].as_array().unwrap();
    for element in reached {
        assert_eq!(element["is_outlined"], true, "{element:#}");
        assert_eq!(element["is_in_view"], true, "{element:#}");
    }
    let page = rig.gate.admin("/review");
    let text = page.text();
    let links = text.matches("<a href").count() + text.matches("<summary").count();
    assert_eq!(reached.len(), links);
    // On a phone, a row is shown as a list. It stays a row for assistive technology.
    let roles = &report["tree"];
    let (before, closed) = text.split_once("<details>").expect("the numbers of days");
    let (_, after) = closed.split_once("</details>").expect("they end");
    let rows = before.matches("<tr").count() + after.matches("<tr").count();
    assert_eq!(roles["row"], rows, "{roles:#}");
    assert!(roles["rowheader"].as_u64() > Some(10), "{roles:#}");
    assert!(roles["columnheader"].as_u64() > Some(10), "{roles:#}");
}

/// The Nu HTML checker of the W3C.
#[test]
fn the_html_checker_finds_no_error() {
    let folder = scratch();
    let (mut rig, _folder) = busy();
    let views = VIEWS.iter().enumerate().map(|(at, view)| {
        let page = rig.gate.admin(view);
        file(&folder, &format!("{at}.html"), page.text())
    });
    let views: Vec<_> = views.collect();
    let output = Command::new("java")
        .arg("-jar")
        .arg(packaged("vnu-jar/build/dist/vnu.jar"))
        .args(["--format", "json", "--stdout"])
        .args(views)
        .output()
        .expect("java starts");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["messages"], json!([]), "{told:#}");
    fs::remove_dir_all(folder).unwrap();
}

/// Links lead nowhere on paper: filters are left out, and what a link names is readable.
#[test]
fn the_page_reads_well_on_paper() {
    let report = look(&mut busy().0, &["paper"]);
    let paper = &report["paper"];
    assert_eq!(paper["navigation"], 0, "{paper:#}");
    assert_eq!(paper["document"], "\" (/review.json)\"", "{paper:#}");
    let codes = paper["codes"].as_array().unwrap();
    assert!(codes.contains(&"missing_challenge".into()), "{paper:#}");
    for element in ["tr", "li", "pre", "figure", "dd"] {
        assert_eq!(paper["breaks"][element], json!(["avoid"]), "{paper:#}");
    }
    assert!(paper["bytes"].as_u64() > Some(10_000), "{paper:#}");
}
