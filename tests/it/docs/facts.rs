//! The manual lists exactly the names that the program has.

use std::collections::{BTreeMap, BTreeSet};

use super::{code_words, documents, headings, ids, rows, section};
use crate::support::fixture::free_port;
use crate::support::gate::{Gate, run};
use crate::support::http::Request;
use crate::support::tree::read;

/// The labels of violations, from the function that defines them.
fn violations() -> BTreeSet<String> {
    let source = read("src/policy/violation.rs");
    let labels = source
        .split("fn names(")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next())
        .expect("labels are made in one function");
    let labels = labels.split('"').skip(1).step_by(2);
    let labels: BTreeSet<String> = labels.map(str::to_owned).collect();
    assert!(labels.len() > 20, "{labels:?}");
    labels
}

#[test]
fn the_manual_explains_every_violation() {
    let page = read("docs/src/violations.md");
    assert_eq!(rows(section(&page, "## All codes")), violations());

    let titles = page.lines().filter_map(|line| line.strip_prefix("### `"));
    let titles: Vec<&str> = titles.filter_map(|title| title.strip_suffix('`')).collect();
    let explained: BTreeSet<String> = titles.iter().map(|&title| title.to_owned()).collect();
    assert_eq!(explained, violations());
    assert_eq!(titles.len(), explained.len(), "each is explained once");
    for title in titles {
        // Every renderer makes the same anchor of this heading: the label.
        assert!(headings(&page).any(|anchor| anchor == title), "{title}");
        let section = section(&page, &format!("### `{title}`"));
        for part in [
            "**What happened.** ",
            "**Why it is dangerous.** ",
            "**Specification.** ",
            "**What to change.**",
        ] {
            assert_eq!(section.matches(part).count(), 1, "{title}: {part}");
        }
    }
}

/// The codes of hints, from the function that defines them: of each pair of texts the first.
fn hints() -> BTreeSet<String> {
    let source = read("src/policy/hint.rs");
    let names = source
        .split("fn names(")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next())
        .expect("codes are made in one function");
    let codes = names.split('"').skip(1).step_by(4);
    codes.map(str::to_owned).collect()
}

#[test]
fn the_manual_explains_every_hint() {
    let page = read("docs/src/hints.md");
    assert_eq!(rows(&page), hints());
    let titles = page.lines().filter_map(|line| line.strip_prefix("## `"));
    let titles: Vec<&str> = titles.filter_map(|title| title.strip_suffix('`')).collect();
    let explained: BTreeSet<String> = titles.iter().map(|&title| title.to_owned()).collect();
    assert_eq!(explained, hints());
    assert_eq!(titles.len(), explained.len(), "each is explained once");
    for title in titles {
        // The refusal page names this anchor.
        assert!(headings(&page).any(|anchor| anchor == title), "{title}");
        let section = section(&page, &format!("## `{title}`"));
        for part in [
            "**What the gate saw.** ",
            "**Why it fails.** ",
            "**What to change.** ",
            "**Specification.** ",
        ] {
            assert_eq!(section.matches(part).count(), 1, "{title}: {part}");
        }
    }
}

/// The keys of the reference file. Commented examples, such as `[[upstream.client]]`, are included.
fn keys() -> BTreeSet<String> {
    let shown = |rest: &str| {
        let name = rest.split(" = ").next().unwrap_or_default();
        let is_key = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
        rest.starts_with("[[") || (rest.contains(" = ") && is_key)
    };
    let file = read("config.toml");
    let lines = file.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if shown(rest) => rest,
        Some(_) | None => line,
    });
    let file: Vec<&str> = lines.collect();
    let file: toml::Table = file.join("\n").parse().expect("TOML");
    let mut keys = BTreeSet::new();
    let mut open = vec![(String::new(), file)];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            match value {
                toml::Value::Table(table) if !table.is_empty() => open.push((path + "-", table)),
                toml::Value::Array(tables) if tables.iter().any(toml::Value::is_table) => {
                    for table in tables {
                        let table = table.as_table().expect("all are tables").clone();
                        open.push((format!("{path}-"), table));
                    }
                }
                toml::Value::Array(_)
                | toml::Value::Table(_)
                | toml::Value::String(_)
                | toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_) => assert!(keys.insert(path.clone()), "{path}"),
            }
        }
    }
    assert!(keys.len() > 60, "{keys:?}");
    keys
}

#[test]
fn the_manual_has_an_anchor_for_every_key_of_the_configuration() {
    let keys = keys();
    let page = read("docs/src/configuration.md");
    let anchors: BTreeSet<String> = ids(&page).collect();
    let missing: Vec<_> = keys.difference(&anchors).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Sections may have anchors as well.
    let is_section = |anchor: &str| {
        keys.iter()
            .any(|key| key.starts_with(&format!("{anchor}-")))
    };
    let unknown: Vec<_> = anchors
        .difference(&keys)
        .filter(|anchor| !is_section(anchor))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Metric names, and the labels of those that have samples, from a gate on which every metric has counted something.
fn metrics() -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let (server, admin) = (free_port(), free_port());
    let mut gate = Gate::start(&format!(
        "[server]\nlisten = [\"127.0.0.1:{server}\"]\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
         [[upstream]]\nurl = \"http://127.0.0.1:9\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n"
    ));
    // The upstream refuses connections, so that errors are counted as well.
    for path in ["/", "/authorize?client_id=a"] {
        Request::get(&format!("http://127.0.0.1:{server}{path}")).send();
    }
    Request::get(&format!("http://127.0.0.1:{server}//"))
        .header("Authorization", "a")
        .header("Authorization", "b")
        .send();
    gate.signal("HUP");
    gate.log_until(|log| log.contains("\"reloaded\""));
    let metrics = Request::get(&format!("http://127.0.0.1:{admin}/metrics")).send();
    gate.stop();

    let text = metrics.text();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap_or_default();
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        let of = rest.split('}').next().unwrap_or_default().split("=\"");
        let of = of.filter_map(|part| part.rsplit([',', '"']).next());
        let of = of.filter(|label| !["", "le"].contains(label));
        labels
            .entry(name.to_owned())
            .or_default()
            .extend(of.map(str::to_owned));
    }
    (names, labels)
}

#[test]
fn the_manual_lists_every_metric() {
    let (told, labels) = metrics();
    let page = read("docs/src/operations.md");
    let section = section(&page, "## Metrics");
    assert_eq!(rows(section), told);
    for row in section.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let (name, listed) = (cells[1], cells[2].split_whitespace().map(str::to_owned));
        if let Some(labels) = labels.get(name) {
            assert_eq!(&listed.collect::<BTreeSet<_>>(), labels, "{name}");
        }
    }
    // Metrics that other documents mention exist, too.
    for path in documents() {
        let text = read(&path);
        for word in code_words(&text)
            .into_iter()
            .filter(|word| word.starts_with("pkce_gate_"))
        {
            let name = word.split('{').next().unwrap_or_default();
            assert!(told.contains(name), "{path}: {name}");
        }
    }
}

/// The first word of each line below a heading of `--help`.
fn helped(command: &[&str], heading: &str) -> BTreeSet<String> {
    let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
    let output = run(&arguments);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, rest) = text.split_once(heading).unwrap_or_default();
    let is_option = heading == "Options:";
    // The description of an option may be on separate lines, with blank ones between them. Options are the last section.
    let lines = rest.lines().skip(1);
    let lines = lines.take_while(|line| is_option || !line.is_empty());
    let begins = |line: &&str| {
        let text = line.trim_start();
        text.starts_with("--") || text.starts_with("-h")
    };
    let lines = lines.filter(|line| !is_option || begins(line));
    let words = lines.filter_map(|line| line.split_whitespace().find(|word| !word.ends_with(',')));
    words
        .filter(|word| !["help", "--help", "--version"].contains(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_manual_lists_the_commands_and_their_options() {
    let page = read("docs/src/commands.md");
    let commands = helped(&[], "Commands:");
    assert!(commands.len() >= 4, "{commands:?}");
    let (table, _) = page.split_once("\n## ").expect("sections follow");
    let listed: BTreeSet<String> = rows(table)
        .into_iter()
        .map(|row| row.replace("pkce-gate ", ""))
        .collect();
    assert_eq!(listed, commands);
    for command in &commands {
        let rows = rows(section(&page, &format!("## {command}")));
        let options = rows.into_iter().filter(|row| row.starts_with("--"));
        let options: BTreeSet<String> = options
            .filter_map(|row| Some(row.split(' ').next()?.to_owned()))
            .collect();
        assert_eq!(options, helped(&[command], "Options:"), "{command}");
    }
}

/// A kind of finding, as its source defines it: code, severity, title and clause.
type Kind = (String, String, String, String);

fn kinds() -> Vec<Kind> {
    let source = read("src/cli/doctor/finding.rs");
    let (_, list) = source.split_once("\nkinds! {\n").expect("a list");
    let (list, _) = list.split_once("\n}").expect("its end");
    let lines: Vec<&str> = list.lines().map(str::trim).collect();
    let text = |line: &str| line.trim_matches('"').replace("\\\"", "\"");
    let kinds = lines.chunks(4).map(|kind| {
        let [name, title, clause, _] = kind else {
            panic!("four lines: {kind:?}")
        };
        let (_, name) = name.split_once(": \"").expect("a code");
        let (code, severity) = name.split_once("\" ").expect("a severity");
        (
            code.to_owned(),
            severity.to_lowercase(),
            text(title),
            text(clause),
        )
    });
    kinds.collect()
}

/// The table, and a section for each code.
#[test]
fn the_manual_lists_the_findings_of_doctor() {
    let kinds = kinds();
    assert!(kinds.len() > 20, "{kinds:?}");
    let page = read("docs/src/doctor.md");
    let rows = section(&page, "## Findings").lines();
    let listed = rows.filter_map(|row| {
        let mut cells = row.strip_prefix("| [`")?.split('|').map(str::trim);
        let (code, _) = cells.next()?.split_once('`')?;
        Some((
            code.to_owned(),
            cells.next()?.to_owned(),
            cells.next()?.to_owned(),
        ))
    });
    let in_table =
        |(code, severity, title, _): &Kind| (code.clone(), severity.clone(), title.clone());
    let defined: BTreeSet<_> = kinds.iter().map(in_table).collect();
    assert_eq!(listed.collect::<BTreeSet<_>>(), defined);
    let scores = section(&page, "## Severities");
    for (code, severity, title, clause) in &kinds {
        let range = match severity.as_str() {
            "high" => ", CVSS 7.0-8.9",
            "medium" => ", CVSS 4.0-6.9",
            "low" => ", CVSS 0.1-3.9",
            _ => "",
        };
        let row = format!(
            "| {severity} | {} |",
            range.strip_prefix(", CVSS ").unwrap_or("none")
        );
        assert!(scores.contains(&row), "{row}");
        let text = section(&page, &format!("### `{code}`"));
        let first = format!("\n{title} ({severity}{range}; {clause})\n\n");
        assert!(text.starts_with(&first), "{code}: {text}");
        assert!(text.len() > first.len() + 40, "{code} says what to do");
    }
    assert_eq!(page.matches("\n### ").count(), kinds.len());
}

/// Each row of these tables begins with the name of a package.
#[test]
fn the_manual_states_the_tested_versions() {
    let folders = ["tests/servers", "tests/mcp"];
    let node = folders.map(|folder| -> serde_json::Value {
        serde_json::from_str(&read(&format!("{folder}/package.json"))).expect("JSON")
    });
    let python = [
        "servers/requirements.txt",
        "servers/home-assistant.txt",
        "mcp/requirements.txt",
    ];
    let python = python.map(|list| read(&format!("tests/{list}")));
    let page = read("docs/src/tested-with.md");
    let rows = ["## Servers", "## Clients"].map(|heading| section(&page, heading).lines());
    let mut checked = 0;
    for row in rows
        .into_iter()
        .flatten()
        .filter(|row| row.starts_with("| ") && row.contains('('))
    {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().and_then(|cell| cell.split(' ').next());
        let (name, version) = (name.expect("a name"), cells.next().expect("a version"));
        let tested = node.iter().any(|node| node["dependencies"][name] == version)
            // Debian's packages are not pinned.
            || row.contains("from Debian")
            || python.iter().flat_map(|list| list.lines()).any(|line| {
                let (package, pinned) = line.split_once("==").unwrap_or_default();
                package.split('[').next() == Some(name) && pinned == version
            });
        assert!(tested, "{name} {version}");
        checked += 1;
    }
    assert_eq!(checked, 21);
}
