//! The diagnostics for a broken `config.toml`, byte for byte, and the commands `check` and `schema`.

use std::process::{Command, Output};

use crate::support::gate::scratch;
use crate::support::params::unguessable;
use crate::support::schema;
use crate::support::store::seal_key;
use pkce_gate::parts::{Problems, date, load};

/// The date that every check of these tests assumes.
const TODAY: &str = "2026-06-01";

fn problems(text: &str) -> Problems {
    let today = date::parse(TODAY).unwrap();
    match load(text, "config.toml", today) {
        Ok(checked) => checked.warnings,
        Err(problems) => problems,
    }
}

/// One test per file in `tests/config`; a snapshot next to the file has its diagnostics.
macro_rules! diagnostics {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../config/", stringify!($name), ".toml"));
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path("../config");
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(stringify!($name), problems(text)));
        }
    )*};
}

diagnostics! {
    unknown_key
    wrong_section
    wrong_type
    bad_duration
    bad_size
    several
    syntax
    missing
    later
    metadata
    lax_exception
    overlapping
    bad_url
    ways_around
    warnings
    doubts
    promises
}

fn pkce_gate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pkce-gate"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_prints_the_policy_of_a_good_file() {
    let output = pkce_gate(&["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(
        text(&output.stdout),
        "\
legacy: http://127.0.0.1:8080/ (any host) -> http://127.0.0.1:9000
  client              mode     codes   methods  types  until  owner
  every other client  enforce  handle  S256     code   -      -

config.toml: ok
"
    );
}

#[test]
fn check_prints_all_problems_of_a_bad_file_and_nothing_else() {
    let output = pkce_gate(&["check", "--config", "tests/config/bad_size.toml"]);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(text(&output.stdout), "");
    let shown = text(&output.stderr);
    for place in ["2:16", "3:13", "4:14", "5:23", "6:14"] {
        let place = format!("--> tests/config/bad_size.toml:{place}\n");
        assert!(shown.contains(&place), "{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours in a pipe");
    assert!(shown.ends_with("error: tests/config/bad_size.toml: 5 errors\n"));
}

#[test]
fn warnings_do_not_fail() {
    let output = pkce_gate(&["check", "--config", "tests/config/warnings.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("warning: clients reach the gate in plain http"));
    assert!(text(&output.stdout).ends_with("tests/config/warnings.toml: ok\n"));
}

#[test]
fn the_start_of_run_warns_as_check_does() {
    let file = "tests/config/promises.toml";
    let checked = pkce_gate(&["check", "--config", file]);
    assert_eq!(checked.status.code(), Some(0));
    let warned = text(&checked.stderr);
    // The warnings: the default, the routes, the tree, the hashes, and sign-ins with the same state.
    for place in ["5:1", "15:8", "33:11", "37:18", "55:9", "71:18", "72:19"] {
        assert!(warned.contains(&format!("{file}:{place}\n")), "{warned}");
    }
    // The gate cannot listen on that address, and so it exits.
    let started = pkce_gate(&["run", "--config", file]);
    assert_eq!(started.status.code(), Some(1));
    let (before, _) = text(&started.stderr).rsplit_once("error: ").unwrap();
    assert_eq!(before, warned);
}

#[test]
fn a_missing_file_is_named_and_so_is_the_option() {
    let output = pkce_gate(&["check", "--config", "tests/config/none.toml"]);
    assert_eq!(output.status.code(), Some(65));
    let shown = text(&output.stderr);
    assert!(shown.contains("tests/config/none.toml"), "{shown}");
    assert!(shown.contains("--config FILE"), "{shown}");
}

#[test]
fn a_file_in_another_encoding_is_reported_with_the_place() {
    let file = std::env::temp_dir().join(format!("pkce-gate-{}.toml", unguessable()));
    let latin: Vec<u8> = [
        "# \u{e4}\nname = \"\u{e4}".as_bytes(),
        b"\xe4\"\n",
        "\u{e4}".as_bytes(),
    ]
    .concat();
    std::fs::write(&file, latin).unwrap();
    let output = pkce_gate(&["check", "--config", file.to_str().unwrap()]);
    std::fs::remove_file(&file).ok();
    assert_eq!(output.status.code(), Some(65));
    let told = format!("error: {}:2:10: this is not UTF-8\n", file.display());
    assert!(text(&output.stderr).starts_with(&told));
    assert!(text(&output.stderr).contains("save the file as UTF-8"));
}

#[test]
fn a_wrong_command_line_has_another_exit_code_than_a_wrong_file() {
    for wrong in [
        &[][..],
        &["chek"],
        &["schema", "--format", "xml"],
        &["check", "config.toml"],
        &["healthcheck", "--admin", "x"],
    ] {
        let output = pkce_gate(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains("Usage:") || !output.stderr.is_empty());
    }
    assert_eq!(pkce_gate(&["--help"]).status.code(), Some(0));
}

#[test]
fn schema_prints_the_reference_file_and_the_manual_page() {
    for (format, file) in [
        ("toml", include_str!("../../config.toml")),
        ("markdown", include_str!("../../docs/src/configuration.md")),
    ] {
        let output = pkce_gate(&["schema", "--format", format]);
        assert_eq!(output.status.code(), Some(0));
        let hint = "cargo run -- schema --format toml > config.toml, and --format markdown > docs/src/configuration.md";
        assert!(text(&output.stdout) == file, "write it anew: {hint}");
    }
}

/// The errors that the JSON Schema finds in the files: place and keyword.
fn found_by_the_schema(files: &[&str]) -> Vec<Vec<String>> {
    schema::errors(&pkce_gate(&["schema"]).stdout, files)
}

/// An editor must not mark a file that the gate accepts.
#[test]
fn the_json_schema_accepts_what_check_accepts() {
    let is_key = |code: &str| {
        let key = code.split(" = ").next().unwrap();
        key != code && !key.contains(' ')
    };
    let every_key = include_str!("../../config.toml")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(code) if code.starts_with("[[") || is_key(code) => code,
            _ => line,
        })
        // Files that do not exist here.
        .filter(|line| !line.starts_with("ca = ") && !line.starts_with("password_file = "));
    // The keys of a store in Redis need that store, and a key file.
    let key = seal_key();
    let every_key = every_key.collect::<Vec<_>>().join("\n");
    let every_key = every_key
        .replace("kind = \"memory\"", "kind = \"redis\"")
        .replace("/run/secrets/seal", key.to_str().unwrap());
    let with_a_date = every_key.replace("\"2027-03-31\"", "2027-03-31");
    let reserved = every_key.replace("[server]\n", "[server]\nproxy_protocol = false\n");
    let folder = scratch();
    let mut files = vec![
        "config.toml".to_owned(),
        "deploy/compose/config.toml".to_owned(),
        "deploy/docker/config.toml".to_owned(),
        "deploy/kubernetes/config.toml".to_owned(),
        "tests/config/doubts.toml".to_owned(),
        "tests/config/promises.toml".to_owned(),
        "tests/config/warnings.toml".to_owned(),
    ];
    for (name, text) in [
        ("every_key.toml", every_key),
        ("with_a_date.toml", with_a_date),
        ("reserved.toml", reserved),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        files.push(file.to_str().unwrap().to_owned());
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for file in &files {
        let checked = pkce_gate(&["check", "--config", file]);
        let told = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(0), "{file}: {told}");
    }
    let found = found_by_the_schema(&files);
    assert!(found.iter().all(Vec::is_empty), "{found:?}");
}

#[test]
fn the_json_schema_refuses_unknown_keys_wrong_types_and_keys_of_later_versions() {
    let found = found_by_the_schema(&[
        "tests/config/unknown_key.toml",
        "tests/config/wrong_section.toml",
        "tests/config/wrong_type.toml",
        "tests/config/missing.toml",
        "tests/config/later.toml",
    ]);
    let expected: [&[&str]; 5] = [
        &[
            "$.server additionalProperties",
            "$.upstream[0] additionalProperties",
        ],
        &[
            "$ additionalProperties",
            "$.server additionalProperties",
            "$.upstream[0] additionalProperties",
        ],
        &[
            "$.log.level enum",
            "$.server.listen type",
            "$.server.proxy_protocol const",
            "$.server.workers type",
            "$.store.per_client type",
            "$.upstream type",
        ],
        &[
            "$.upstream[0] required",
            "$.upstream[0].client[0] required",
            "$.upstream[0].endpoints required",
            "$.upstream[0].endpoints.authorization minItems",
        ],
        &[
            "$.server.listen[1] pattern",
            "$.server.proxy_protocol const",
            "$.server.tls not",
            "$.upstream[0].url pattern",
        ],
    ];
    assert_eq!(found, expected);
}
