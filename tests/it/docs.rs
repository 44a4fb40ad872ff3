//! Checks the documents against the program: the README, the manual in `docs/`, and the READMEs in other folders.

mod book;
mod facts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::support::params::unguessable;
use crate::support::store::seal_key;
use crate::support::tree::{below, has_extension, read, root};

/// The documents whose links and configurations are checked.
fn documents() -> Vec<String> {
    let own = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "fuzz/README.md",
    ];
    let folders = ["docs", "deploy", "benches", "tests/it"];
    let below = folders.into_iter().flat_map(below);
    let pages = below.filter(|path| has_extension(path, "md"));
    own.map(str::to_owned).into_iter().chain(pages).collect()
}

/// The fenced blocks of a language, each with its first line number.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut inside: Option<(&'t str, usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), inside.as_mut()) {
            (Some(info), None) => inside = Some((info, at + 2, String::new())),
            (Some(_), Some(_)) => {
                let (info, first, block) = inside.take().expect("a block is open");
                if info == language {
                    blocks.push((first, block));
                }
            }
            (None, Some((_, _, block))) => block.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(inside.is_none(), "a fence is not closed");
    blocks
}

/// Whether `check` accepts a configuration, and its messages.
fn check(configuration: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("pkce-gate-{}.toml", unguessable()));
    // A key file that exists.
    let key = seal_key();
    // Keys and passwords in examples do not exist here.
    let named = |name: &str| configuration.split('"').find(|text| text.ends_with(name));
    let mut text = configuration.to_owned();
    for secret in ["/seal-2026-11", "/redis-password"] {
        if let Some(example) = named(secret) {
            text = text.replace(example, key.to_str().unwrap());
        }
    }
    fs::write(&file, text).expect("the configuration is written");
    let output = Command::new(env!("CARGO_BIN_EXE_pkce-gate"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .expect("the binary under test starts");
    fs::remove_file(&file).ok();
    let told = String::from_utf8(output.stderr).expect("messages are UTF-8");
    (output.status.success(), told)
}

/// Every configuration in the documents and in `deploy/`, with its place.
fn configurations() -> Vec<(String, String)> {
    let mut configurations = vec![("config.toml".to_owned(), read("config.toml"))];
    for path in documents() {
        let text = read(&path);
        let found = blocks(&text, "toml");
        assert!(path != "README.md" || !found.is_empty());
        configurations.extend(
            found
                .into_iter()
                // An included file is checked as that file.
                .filter(|(_, block)| !block.starts_with("{{#include "))
                .map(|(line, block)| (format!("{path}:{line}"), block)),
        );
    }
    let files = below("deploy");
    let files = files.iter().filter(|path| has_extension(path, "toml"));
    configurations.extend(files.map(|path| (path.clone(), read(path))));
    assert!(configurations.len() >= 7, "some were not found");
    configurations
}

const IN_THE_CLEAR: [&str; 2] = [
    "the upstream is reached over a network in plain http",
    "Redis is reached over a network without TLS",
];

#[test]
fn every_configuration_in_documents_and_in_deploy_passes_check() {
    for (place, text) in configurations() {
        let (passes, told) = check(&text);
        assert!(passes, "{place}\n{told}");
        // Report mode is the first step of a rollout. No other warning is acceptable in an example.
        let warnings = told.lines().filter(|line| line.starts_with("warning: "));
        let unreasoned: Vec<&str> = warnings
            .filter(|line| !line.starts_with("warning: nothing is refused at "))
            // The same: without handles, the records are in memory.
            .filter(|line| !line.starts_with("warning: some clients get no handles"))
            .filter(|line| !line.starts_with("warning: Redis cannot be asked from here"))
            // The manual says why connections without TLS are acceptable in these networks.
            .filter(|line| {
                !place.starts_with("deploy/compose/")
                    || !IN_THE_CLEAR.iter().any(|it| line.ends_with(it))
            })
            .collect();
        assert!(unreasoned.is_empty(), "{place}\n{told}");
    }
    assert!(
        !check("[[upstream]]\nurl = \"http://127.0.0.1:9000\"\n").0,
        "check refuses an incomplete file"
    );
}

#[test]
fn the_readme_is_at_most_eight_kib() {
    let size = read("README.md").len();
    assert!(size <= 8 * 1024, "{size} bytes");
}

#[test]
fn every_link_has_a_target() {
    let (mut broken, mut checked) = (Vec::new(), 0);
    for path in documents() {
        for target in links(&read(&path)) {
            if is_elsewhere(&target) {
                continue;
            }
            checked += 1;
            if !leads_somewhere(&path, &target) {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 200, "{checked} links were found");
}

fn is_elsewhere(target: &str) -> bool {
    let schemes = ["http://", "https://", "mailto:"];
    schemes.iter().any(|scheme| target.starts_with(scheme))
}

fn leads_somewhere(path: &str, target: &str) -> bool {
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(path).parent().expect("files are in folders");
    let file = if file.is_empty() {
        PathBuf::from(path)
    } else {
        plain(&folder.join(file))
    };
    let file = root().join(file);
    file.exists()
        && (fragment.is_empty()
            || fs::read_to_string(&file).is_ok_and(|text| anchors(&text).contains(fragment)))
}

/// The same path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

#[test]
fn wrong_links_and_anchors_are_found() {
    for good in [
        "rollout.md",
        "rollout.md#1-report",
        "#metrics",
        "../../deploy/",
    ] {
        assert!(leads_somewhere("docs/src/operations.md", good), "{good}");
    }
    for wrong in ["rollout", "rollout.md#report", "#metric", "../deploy/"] {
        assert!(!leads_somewhere("docs/src/operations.md", wrong), "{wrong}");
    }
    assert_eq!(
        links("[a](b) `[x](y)` [`c`](d#e)\n```\n[f](g)\n```\n"),
        ["b", "d#e"]
    );
}

/// The targets of inline links, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        // Skips text in backquotes, except in the text of a link.
        let shown: String = line.split('`').step_by(2).collect();
        let mut rest = shown.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').expect("a link ends on its line");
            found.push(target.to_owned());
            rest = after;
        }
    }
    found
}

/// The fragments of a document: its headings and its explicit ids.
fn anchors(text: &str) -> BTreeSet<String> {
    headings(text).chain(ids(text)).collect()
}

fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter_map(|line| line.split_once("# "));
    titles
        .filter(|(marks, _)| marks.chars().all(|mark| mark == '#'))
        .map(|(_, title)| {
            let kept = title.to_lowercase().replace(' ', "-");
            kept.chars()
                .filter(|kept| kept.is_alphanumeric() || matches!(kept, '-' | '_'))
                .collect()
        })
}

/// Values of the attribute `id`.
fn ids(text: &str) -> impl Iterator<Item = String> {
    let after = text.split(" id=\"").skip(1);
    after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
}

/// Words in backquotes.
fn code_words(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The text from a heading to the next heading of the same level, or to the end.
#[track_caller]
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let (_, rest) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    let (marks, _) = heading.split_once(' ').expect("a heading has a title");
    let next = format!("\n{marks} ");
    rest.split(&next).next().unwrap_or_default()
}

/// The first cells of all table rows that begin with a word in backquotes.
fn rows(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let words = rows.filter_map(|row| row.trim_start_matches('[').strip_prefix('`'));
    words
        .filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()))
        .collect()
}

/// Each test in the table of promises exists.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let sources = ["src", "tests/it"].into_iter().flat_map(below);
    let sources: String = sources
        .filter(|path| has_extension(path, "rs"))
        .map(|path| read(&path))
        .collect();
    let model = read("docs/src/threat-model.md");
    let promises = section(&model, "## Promises");
    let held = promises.lines().filter_map(|row| row.rsplit_once(" | "));
    let named: BTreeSet<&str> = held.flat_map(|(_, held)| code_words(held)).collect();
    assert!(named.len() > 90, "{}", named.len());
    let missing: Vec<_> = named
        .into_iter()
        .filter(|word| {
            let name = word.rsplit("::").next().unwrap_or_default();
            !["fn", "mod"].iter().any(|item| {
                let item = format!("{item} {name}");
                let mut after = sources.split(item.as_str()).skip(1);
                after.any(|rest| rest.starts_with(['(', ';', ' ']))
            })
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
