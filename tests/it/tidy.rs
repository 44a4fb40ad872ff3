//! Checks the structure of the source: allowed imports, and the size of files. See ARCHITECTURE.md.

mod circles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rank of each module: it may import modules of lower rank, unless `ONLY` says otherwise.
const RANKS: [(&str, u8); 26] = [
    ("oauth", 0),
    ("clock", 0),
    ("files", 0),
    ("roots", 1),
    ("network", 0),
    ("examined", 0),
    ("spelling", 1),
    ("flow", 1),
    ("route", 2),
    ("policy", 2),
    ("suspicion", 2),
    ("answer", 3),
    ("store", 3),
    ("telemetry", 3),
    ("socket", 3),
    ("upstream", 3),
    ("server", 3),
    ("http", 4),
    ("pages", 4),
    ("gateway", 5),
    ("admin", 6),
    ("config", 7),
    ("app", 8),
    ("cli", 9),
    ("fuzzing", 9),
    ("simulation", 9),
];

/// The only modules that these may import. Modules that are not listed may import all modules of lower rank.
const ONLY: [(&str, &[&str]); 12] = [
    ("spelling", &["examined", "oauth", "flow"]),
    ("roots", &["files"]),
    ("route", &["oauth", "spelling"]),
    ("policy", &["oauth", "flow", "spelling"]),
    ("suspicion", &["oauth", "flow", "spelling", "examined"]),
    (
        "answer",
        &["oauth", "flow", "spelling", "examined", "route", "policy"],
    ),
    (
        "store",
        &["oauth", "flow", "clock", "network", "files", "roots"],
    ),
    ("telemetry", &["oauth", "clock", "policy"]),
    ("upstream", &["clock", "roots", "socket"]),
    ("server", &["clock", "socket", "network"]),
    ("http", &["server", "upstream"]),
    ("pages", &["policy", "telemetry"]),
];

/// Modules without I/O, runtime, clock and randomness.
const PURE: [&str; 7] = [
    "oauth",
    "spelling",
    "flow",
    "route",
    "policy",
    "suspicion",
    "answer",
];

/// Pure modules that may use the message types of the `http` crate.
const READS_MESSAGES: [&str; 2] = ["route", "answer"];

/// Crates that pure modules must not use: they do I/O, know HTTP, or read clocks.
const IMPURE: [&str; 11] = [
    "http",
    "hyper",
    "hyper_util",
    "tokio",
    "tower",
    "tracing",
    "getrandom",
    "rand",
    "jiff",
    "dashmap",
    "minijinja",
];

const LINES: usize = 500;

/// Each file with its module, and its lines before the tests.
fn sources() -> Vec<(PathBuf, String, Vec<String>)> {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 50, "the sources were not found");
    files.sort();
    files
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.to_string_lossy().contains("/contract"))
        .map(|path| {
            let inside = path
                .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
                .unwrap();
            let module = inside
                .iter()
                .next()
                .unwrap()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = without_tests(&text).lines().map(str::to_owned).collect();
            (inside.to_owned(), module, code)
        })
        .collect()
}

/// The last `#[cfg(test)]` ends the code, if the tests begin there. Others are on items in the middle.
fn without_tests(text: &str) -> &str {
    match text.rsplit_once("\n#[cfg(test)]\n") {
        Some((code, rest)) if rest.trim_start().starts_with("mod tests") => code,
        Some(_) | None => text,
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules of this crate that a line names.
fn imports(line: &str) -> impl Iterator<Item = String> + '_ {
    line.match_indices("crate::").flat_map(|(at, found)| {
        let rest = line.get(at + found.len()..).unwrap_or_default();
        let names: Vec<String> = match rest.strip_prefix('{') {
            Some(list) => list
                .split(['{', '}', ','])
                .map(|name| name.trim().to_owned())
                .collect(),
            None => vec![rest.to_owned()],
        };
        names.into_iter().map(|name| {
            name.split([':', ';', ',', '}', ')', '>', ' ', '<', '('])
                .next()
                .unwrap()
                .to_owned()
        })
    })
}

#[test]
fn imports_go_downward() {
    let ranks: BTreeMap<_, _> = RANKS.into_iter().collect();
    let mut wrong = Vec::new();
    for (path, module, code) in sources() {
        let Some(rank) = ranks.get(module.as_str()) else {
            continue;
        };
        for (number, line) in code
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for imported in imports(line).filter(|imported| *imported != module) {
                let Some(below) = ranks.get(imported.as_str()) else {
                    continue;
                };
                let listed = ONLY.iter().find(|(name, _)| *name == module);
                let allowed = match listed {
                    Some((_, allowed)) => allowed.contains(&imported.as_str()),
                    None => below < rank,
                };
                if !allowed {
                    wrong.push(format!(
                        "{}:{}: {module} imports {imported}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_does_no_io() {
    let mut wrong = Vec::new();
    for (path, module, code) in sources() {
        if !PURE.contains(&module.as_str()) {
            continue;
        }
        for (number, line) in code.iter().enumerate() {
            let is_message = READS_MESSAGES.contains(&module.as_str());
            let impure = IMPURE.iter().filter(|name| !is_message || **name != "http");
            let named = impure.into_iter().find(|name| {
                line.contains(&format!("use {name}::")) || line.contains(&format!(" {name}::"))
            });
            let does_io = [
                "async fn",
                ".await",
                "std::fs",
                "TcpStream",
                "SocketAddr",
                "std::time::Instant",
            ]
            .into_iter()
            .find(|what| line.contains(what));
            if let Some(what) = named
                .copied()
                .or(does_io)
                .filter(|_| !line.trim_start().starts_with("//"))
            {
                wrong.push(format!("{}:{}: {what}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_policy_makes_a_cleared() {
    for (path, module, code) in sources() {
        if module != "policy" {
            let text = code.join("\n");
            assert!(
                !text.contains("Cleared("),
                "{}: only policy makes a Cleared",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_at_most_500_lines() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, _, code)| code.len() > LINES)
        .map(|(path, _, code)| format!("{}: {} lines", path.display(), code.len()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
    assert!(
        sources()
            .iter()
            .all(|(path, _, _)| !path.ends_with("mod.rs"))
    );
}

#[test]
fn architecture_lists_every_module() {
    let map =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (_, module, _) in sources() {
        let known = [format!("`src/{module}/`"), format!("`src/{module}.rs`")]
            .iter()
            .any(|name| map.contains(name));
        assert!(known, "ARCHITECTURE.md does not mention src/{module}");
    }
}

/// A tuple is a way around the limit on the number of parameters, and its fields have no names where it is made.
#[test]
fn no_parameter_is_a_tuple() {
    for (path, _, code) in sources() {
        for line in code {
            assert!(
                !line.contains("): (") || line.trim_start().starts_with("let "),
                "{}: write a struct, or two parameters: {line}",
                path.display()
            );
        }
    }
}
