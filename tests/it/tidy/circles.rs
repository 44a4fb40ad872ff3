//! Import cycles: no file is part of a cycle, and no file imports from a parent module.
//!
//! A file imports another one if one of its paths (in a `use` or in the code: `crate::…`, `super::…`, or the name of a child
//! module) leads to an item that is declared there. For a re-exported item, the file that declares it counts. Tests are
//! ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Code without tests and comments, by file: the key of `src/server/watch.rs` is `server/watch`.
type Sources = BTreeMap<String, String>;
type Names = Vec<String>;

fn crate_files() -> Sources {
    let (mut crate_files, mut of_tests) = (Sources::new(), Vec::new());
    for (path, _, lines) in super::sources() {
        let file = path.with_extension("").to_string_lossy().into_owned();
        let all = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(&path);
        let all = std::fs::read_to_string(all).unwrap();
        let all: Vec<&str> = all.lines().collect();
        let modules = all.windows(2).filter_map(|two| {
            let is_test = ["#[cfg(test)]", "#[cfg(shuttle)]"].contains(&two[0]);
            let name = two[1].strip_suffix(';').filter(|_| is_test)?;
            Some(join(&file, name.rsplit_once("mod ")?.1))
        });
        of_tests.extend(modules);
        crate_files.insert(file, without_tests(&lines));
    }
    crate_files.retain(|file, _| {
        let is_of_tests = |test: &String| file == test || is_above(test, file);
        !["lib", "main"].contains(&file.as_str()) && !of_tests.iter().any(is_of_tests)
    });
    crate_files
}

/// The code without comments and without inline test modules.
fn without_tests(lines: &[String]) -> String {
    let mut kept = String::new();
    let mut lines = lines.iter().peekable();
    while let Some(line) = lines.next() {
        let is_module = lines.peek().is_some_and(|next| {
            next.trim_start_matches("pub(super) ").starts_with("mod ") && next.ends_with('{')
        });
        if line == "#[cfg(test)]" && is_module {
            lines.by_ref().find(|line| *line == "}");
            continue;
        }
        kept += line.split("//").next().unwrap_or_default();
        kept.push('\n');
    }
    kept
}

/// The paths of `use` items (with whether the item is `pub`), and the rest of the code.
fn named(code: &str) -> (Vec<(bool, Names)>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    let mut lines = code.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let is_public = words[0].starts_with("pub");
        let Some(at) = words.iter().take(3).position(|word| *word == "use") else {
            rest += line;
            rest.push('\n');
            continue;
        };
        let mut tree = words[at + 1..].join(" ");
        while !tree.ends_with(';') {
            tree += lines.next().expect("a use has an end");
        }
        let paths = spread(tree.trim_end_matches(';'));
        uses.extend(paths.into_iter().map(|path| (is_public, path)));
    }
    (uses, rest)
}

/// `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn spread(tree: &str) -> Vec<Names> {
    let Some((stem, list)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let parts = name.trim().split("::").filter(|part| !part.is_empty());
        let parts = parts.filter(|part| *part != "self").map(str::to_owned);
        return vec![parts.collect()];
    };
    let stem = spread(stem).remove(0);
    let list = list.trim_end().trim_end_matches('}');
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(letter);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| spread(part))
        .map(|rest| stem.iter().cloned().chain(rest).collect())
        .collect()
}

/// The paths in the code that begin with one of these names.
fn mentions(code: &str, names: &[&str]) -> Vec<Names> {
    // The path in a visibility is not an import.
    let code = code.replace("pub(in crate::", "");
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter| !is_name(letter));
    words
        .map(|word| word.split("::").map(str::to_owned).collect::<Names>())
        .filter(|path| path.len() > 1 && names.contains(&path[0].as_str()))
        .collect()
}

fn parent(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_above(above: &str, file: &str) -> bool {
    file.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The file that declares the item to which a path in `file` leads.
fn declared_in(crate_files: &Sources, file: &str, path: &[String]) -> Option<String> {
    let mut at = file.to_owned();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            at = String::new();
            rest = &rest[1..];
        }
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                at = parent(&at).to_owned();
                rest = &rest[1..];
            }
        }
        child => {
            crate_files.get(&join(file, child))?;
        }
    }
    while let Some((first, after)) = rest.split_first() {
        let below = join(&at, first);
        if !crate_files.contains_key(&below) {
            break;
        }
        (at, rest) = (below, after);
    }
    let code = crate_files.get(&at)?;
    // An item that the file only imports is declared elsewhere.
    if let Some(name) = rest.first()
        && let Some((_, from)) = named(code)
            .0
            .into_iter()
            .find(|(_, from)| from.last() == Some(name) && from.as_slice() != path)
        && let Some(declared) = declared_in(crate_files, &at, &from)
    {
        return Some(declared);
    }
    Some(at)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The files that each file imports.
fn needs(crate_files: &Sources) -> BTreeMap<&str, BTreeSet<String>> {
    let needs_of = |file: &str, code: &str| {
        let children = crate_files.keys().filter(|child| parent(child) == file);
        let children = children.filter_map(|child| child.rsplit('/').next());
        let names: Vec<&str> = children.chain(["crate", "super"]).collect();
        let (uses, rest) = named(code);
        let imported = uses.into_iter().filter(|(is_public, _)| !is_public);
        let imported = imported.map(|(_, path)| path);
        let all = imported.chain(mentions(&rest, &names));
        let needed = all.filter_map(|path| declared_in(crate_files, file, &path));
        needed.filter(|needed| needed != file).collect()
    };
    crate_files
        .iter()
        .map(|(file, code)| (file.as_str(), needs_of(file, code)))
        .collect()
}

/// Each file that imports from a parent module, with the imported files.
fn imports_from_above(crate_files: &Sources) -> BTreeMap<&str, Vec<String>> {
    needs(crate_files)
        .into_iter()
        .map(|(file, needed)| {
            let above = needed.into_iter().filter(|needed| is_above(needed, file));
            (file, above.collect::<Vec<_>>())
        })
        .filter(|(_, above)| !above.is_empty())
        .collect()
}

/// Each file in a cycle, with the other files of the cycle. Imports from parent modules are left out.
fn in_circles(crate_files: &Sources) -> BTreeMap<&str, Vec<String>> {
    let mut needs = needs(crate_files);
    for (file, needed) in &mut needs {
        needed.retain(|needed| !is_above(needed, file));
    }
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(file) = open.pop() {
            for next in needs.get(file.as_str()).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        reached
    };
    let all: BTreeMap<&str, _> = crate_files
        .keys()
        .map(|file| (file.as_str(), reached(file)))
        .collect();
    let others = |file: &str| {
        let others = all[file].iter().filter(|other| {
            other.as_str() != file && all.get(other.as_str()).is_some_and(|of| of.contains(file))
        });
        others.cloned().collect::<Vec<_>>()
    };
    crate_files
        .keys()
        .map(|file| (file.as_str(), others(file)))
        .filter(|(_, others)| !others.is_empty())
        .collect()
}

/// Each file that was found, and the others that it was found with.
fn report(found: &BTreeMap<&str, Vec<String>>) -> String {
    let lines = found
        .iter()
        .map(|(file, others)| format!("src/{file}.rs: {}\n", others.join(", ")));
    lines.collect()
}

#[test]
fn no_file_imports_from_a_parent_module() {
    assert_eq!(report(&imports_from_above(&crate_files())), "");
}

#[test]
fn no_file_is_in_an_import_cycle() {
    assert_eq!(report(&in_circles(&crate_files())), "");
}

#[test]
fn cycles_and_imports_from_parents_are_found_in_every_notation() {
    let crate_files = |files: &[(&str, &str)]| -> Sources {
        let files = files.iter();
        files
            .map(|(file, code)| ((*file).to_owned(), format!("\n{code}\n")))
            .collect()
    };
    for child in [
        "use super::Helper;",
        "use super::{other::Fine, Helper};",
        "use crate::room::Helper;",
        "use crate::{\n    room::{Helper},\n};",
        "fn f() { super::helper() }",
        "fn f(helper: crate::room::Helper) {}",
    ] {
        let found = crate_files(&[
            ("room", "mod child;\nmod other;"),
            ("room/child", child),
            ("room/other", ""),
        ]);
        assert_eq!(
            imports_from_above(&found).keys().collect::<Vec<_>>(),
            [&"room/child"],
            "{child}"
        );
    }
    let fine = crate_files(&[
        (
            "room",
            "mod child;\nmod other;\npub use other::Fine;\nuse child::f;",
        ),
        (
            "room/child",
            "use super::Fine;\nuse super::other::Fine as Same;\nuse std::fmt;",
        ),
        ("room/other", "pub struct Fine;"),
    ]);
    assert!(imports_from_above(&fine).is_empty() && in_circles(&fine).is_empty());
    for (one, other) in [
        ("use super::b::X;", "use super::a::Y;"),
        ("use super::b::{X};", "fn f() { crate::room::a::g() }"),
        (
            "fn f() { super::b::g() }",
            "pub(super) use std::fmt;\nuse crate::room::Y;",
        ),
    ] {
        let found = crate_files(&[
            ("room", "pub use a::Y;"),
            ("room/a", one),
            ("room/b", other),
        ]);
        let files: Vec<_> = in_circles(&found).into_keys().collect();
        assert_eq!(files, ["room/a", "room/b"], "{one} {other}");
    }
}
