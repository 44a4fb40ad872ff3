use std::net::SocketAddr;
use std::time::Duration;

use super::testing::{UPSTREAM, check_text, config, load, problems};
use super::*;
use print::Format;

/// The reference at the root of the repository.
const REFERENCE: &str = include_str!("../../config.toml");

/// The reference page of the manual.
const MANUAL: &str = include_str!("../../docs/src/configuration.md");

/// The reference with its commented-out keys enabled.
fn uncommented() -> String {
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if key_of(code).is_some() || code.starts_with("[[") => code,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns `key` of a line `key = …`.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let is_key = key
        .chars()
        .all(|character| character.is_ascii_lowercase() || character == '_');
    is_key.then_some(key)
}

#[test]
fn the_values_in_the_reference_are_the_defaults() {
    let checked = load(REFERENCE).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    let minimal = UPSTREAM
        .replace("\"/authorize\"", "\"/oauth2/authorize\"")
        .replace("\"/token\"", "\"/oauth2/token\"");
    assert_eq!(checked.config, config(&minimal));
}

#[test]
fn commented_out_keys_of_the_reference_are_valid() {
    let text = uncommented().replace("http://127.0.0.1:9000", "https://127.0.0.1:9000");
    let text = text.replace("\"ca.pem\"", "\"/ca.pem\"");
    // Keys and a URL belong to Redis.
    let text = text.replace("kind = \"memory\"", "kind = \"redis\"");
    let text = text.replace("redis://", "rediss://");
    let text = text.replace("/run/secrets/seal", "seal");
    let text = text.replace("\"redis-password\"", "\"secret\"");
    // It belongs to report mode.
    let text = text.replace("\nreport_until", "\n# report_until");
    let checked = load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let rules = &checked.config.upstreams[0].gateway.rules;
    assert_eq!(rules.clients().count(), 1);
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
}

#[test]
fn the_files_in_the_repository_are_written_from_the_declarations() {
    for (format, file, found) in [
        ("toml", "config.toml", REFERENCE),
        ("markdown", "docs/src/configuration.md", MANUAL),
    ] {
        let declared = match format {
            "toml" => reference(Format::Toml),
            _ => reference(Format::Markdown),
        };
        assert!(
            found == declared,
            "write it again: cargo run -- schema --format {format} > {file}"
        );
    }
}

/// A file with every key, in which one key has a different value.
fn with(section: &Section, key: &str, value: &str) -> String {
    let mut header = String::new();
    let mut text = String::new();
    for line in uncommented().lines() {
        if line.starts_with('[') {
            header = line.split(" #").next().unwrap().trim().to_owned();
        }
        if header == section.header() && key_of(line) == Some(key) {
            continue;
        }
        text.extend([line, "\n"]);
        if header == section.header() && line.starts_with('[') {
            text.extend([key, " = ", value, "\n"]);
        }
    }
    text
}

#[test]
fn every_declared_key_is_read_as_declared() {
    for section in SECTIONS.iter() {
        let later = section.later.iter().map(|(key, _)| *key);
        let later = later.map(|key| (key, "is not supported in this version"));
        let keys = section.names().map(|key| (key, "has to be"));
        for (key, refused) in keys.chain(later) {
            // Only this key is a table.
            let wrong = if key == "aliases" { "0" } else { "{}" };
            let found = problems(&with(section, key, wrong));
            let refused = format!("`{}.{key}` {refused}", section.path);
            let says = |problem: &String| problem.contains(&refused);
            assert!(found.iter().any(says), "{refused}: {found:?}");
        }
    }
}

#[test]
fn a_minimal_file_has_the_defaults_of_the_contract() {
    let Config {
        server,
        admin,
        limits,
        store,
        upstreams,
        ..
    } = config(UPSTREAM);
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(server.listen, [address("127.0.0.1:8080")]);
    assert_eq!(admin.listen, address("127.0.0.1:9901"));
    assert_eq!((server.workers, server.connections), (2, 4096));
    assert_eq!((server.header_bytes, server.headers), (32 * 1024, 64));
    assert_eq!(server.drain, Duration::from_secs(25));
    assert_eq!(
        (limits.uri_bytes, limits.form_bytes),
        (16 * 1024, 64 * 1024)
    );
    assert_eq!(
        (limits.response_scan_bytes, limits.in_flight),
        (1024 * 1024, 512)
    );
    assert_eq!(store, crate::store::Settings::default());
    let [
        Upstream {
            connection,
            gateway,
        },
    ] = upstreams.as_slice()
    else {
        panic!("{upstreams:?}");
    };
    assert_eq!(connection.origin(), "http://127.0.0.1:9000");
    assert_eq!(gateway.public_origin, "http://127.0.0.1:8080");
    assert_eq!(
        (gateway.name.as_str(), gateway.prefix.as_str()),
        ("legacy", "/")
    );
    assert_eq!(
        gateway.rules.default_rule(),
        &crate::policy::Rule::default()
    );
    assert_eq!(
        gateway.endpoints.metadata,
        [
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server"
        ]
    );
}

#[test]
fn an_empty_file_has_one_problem() {
    let missing = "1:1 error: `upstream` is missing | the gate has to stand in front of something | \
                   add [[upstream]] with url = \"http://127.0.0.1:9000\"";
    check_text("", &[missing]);
    check_text("# nothing\n", &[missing]);
}

#[test]
fn problems_are_sorted_and_consequential_errors_are_not_reported() {
    let text = "\
[store]
kind = \"redis\"
url = \"redis://127.0.0.1\"
[server]
listen = \"0.0.0.0:80\"
[[upstream]]
url = \"9000\"
[upstream.pkce]
mode = \"enforced\"
[[upstream.client]]
id = \"a\"
mode = \"report\"
";
    let lines: Vec<String> = problems(text)
        .into_iter()
        .map(|problem| problem.split(" | ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "2:8 error: `store.keys` is missing",
            "5:10 error: `server.listen` has to be a list",
            "6:1 error: `upstream.endpoints.authorization` is missing",
            "6:1 error: `upstream.endpoints.token` is missing",
            "7:7 error: `upstream.url` is not a URL of scheme, host and port",
            "9:8 error: `upstream.pkce.mode` cannot be \"enforced\"",
        ]
    );
}

#[test]
fn a_misspelt_key_is_not_reported_as_missing() {
    let lines = |text: &str| -> Vec<String> {
        let found = problems(text).into_iter();
        found
            .map(|problem| problem.split(" | ").next().unwrap().to_owned())
            .collect()
    };
    for (right, wrong, expected) in [
        (
            "token =",
            "tokens =",
            "5:1 error: unknown key \"tokens\" in [upstream.endpoints]",
        ),
        (
            "url =",
            "ulr =",
            "2:1 error: unknown key \"ulr\" in [[upstream]]",
        ),
        (
            "endpoints]",
            "endpoint]",
            "3:11 error: unknown key \"endpoint\" in [[upstream]]",
        ),
        (
            "upstream",
            "upstreams",
            "1:3 error: unknown key \"upstreams\"",
        ),
    ] {
        let text = UPSTREAM.replace(right, wrong);
        assert_eq!(lines(&text), [expected], "{text}");
    }
    let client = "[[upstream.client]]\nid = \"a\"\nmode = \"report\"\n\
                  until = \"2027-01-01\"\nowner = \"o\"\nreasons = \"r\"\n";
    assert_eq!(
        lines(&format!("{UPSTREAM}{client}")),
        ["11:1 error: unknown key \"reasons\" in [[upstream.client]]"]
    );
    let text = "[[upstream]]\nurl = \"http://127.0.0.1\"\nendpoints = 5\n";
    assert_eq!(
        lines(text),
        ["3:13 error: `upstream.endpoints` has to be a table"]
    );
    assert_eq!(lines("upstream = []"), ["1:12 error: `upstream` is empty"]);
}

mod broken {
    use super::{load, uncommented};
    use proptest::prelude::*;

    /// The reference with some parts replaced, like damage by an editor, a template or a merge.
    fn mutated() -> impl Strategy<Value = String> {
        let whole = uncommented();
        let scrap = prop_oneof![
            Just(String::new()),
            "[\\[\\]{}=\"'#,.\n\r\t 0-9a-zäé\u{feff}\u{1b}-]{1,6}",
            Just("\"\"\"".to_owned()),
            Just("[[upstream]]\n".to_owned()),
            Just("[[upstream.client]]\n".to_owned()),
            Just("2026-01-01T00:00:00Z".to_owned()),
            Just("99999999999999999999h".to_owned()),
            any::<String>(),
        ];
        let edits = proptest::collection::vec((0.0..1.0, 0_usize..40, scrap), 1..6);
        edits.prop_map(move |edits| {
            let mut text = whole.clone();
            for (place, length, scrap) in edits {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "any place will do"
                )]
                let place = (place * text.len() as f64) as usize;
                let start = text.floor_char_boundary(place);
                let end = text.ceil_char_boundary((start + length).min(text.len()));
                text.replace_range(start..end, &scrap);
            }
            text
        })
    }

    fn check(text: &str) {
        let problems = load(text).map_or_else(|problems| problems, |checked| checked.warnings);
        for problem in problems.iter() {
            for span in problem
                .also
                .iter()
                .map(|(span, _)| *span)
                .chain([problem.span])
            {
                assert!(
                    text.get(span.range()).is_some(),
                    "{span:?} of {problem:?} in {text}"
                );
            }
            for part in [&problem.message, &problem.label, &problem.help] {
                assert!(!part.is_empty(), "{problem:?}");
            }
        }
        let rendered = problems.to_string();
        assert_eq!(rendered.is_empty(), problems.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_mutation_of_the_reference_panics(text in mutated()) {
            check(&text);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            check(&text);
        }
    }
}
