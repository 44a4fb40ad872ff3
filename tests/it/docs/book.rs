//! The manual as mdBook builds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ids, is_elsewhere, plain};
use crate::support::fixture::HINT;
use crate::support::params::unguessable;
use crate::support::tree::{below, has_extension, root};

/// Builds the book into a new folder, as deep as the one in `docs/book.toml`, so that its links to repository files work.
fn build() -> (PathBuf, String) {
    let mdbook = root().join("tests/servers/.venv/bin/mdbook");
    assert!(mdbook.exists(), "mdbook; {HINT}");
    let folder = root().join(format!("target/book-{}", unguessable()));
    let output = Command::new(mdbook)
        .args(["build", "docs", "--dest-dir"])
        .arg(&folder)
        .current_dir(root())
        .output()
        .expect("mdbook starts");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success(), "{told}");
    (folder, told)
}

#[test]
fn the_book_builds_without_warnings_and_all_its_links_have_targets() {
    let (folder, told) = build();
    let pages = pages(&folder);
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|(page, text)| {
            let targets = text.split(" href=\"").skip(1);
            let targets = targets.filter_map(|rest| Some(rest.split_once('"')?.0));
            let dead = targets.filter(|target| !leads(&pages, &folder, page, target));
            dead.map(|target| format!("{}: {target}", page.display()))
        })
        .collect();
    let named: BTreeSet<String> = pages
        .keys()
        .filter_map(|page| Some(page.file_stem()?.to_str()?.to_owned()))
        .collect();
    fs::remove_dir_all(&folder).ok();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for word in ["WARN", "ERROR"] {
        assert!(!told.contains(word), "{told}");
    }
    // A page that is missing in the summary is missing in the book.
    for path in below("docs/src") {
        let name = Path::new(&path).file_stem().and_then(|stem| stem.to_str());
        let name = name.expect("paths are UTF-8");
        let is_page = has_extension(&path, "md") && name != "SUMMARY";
        assert!(!is_page || named.contains(name), "{path}");
    }
}

fn pages(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(folder).expect("the book is there");
    let files = entries.map(|entry| entry.expect("its entries can be read").path());
    let pages = files.filter(|file| file.extension().is_some_and(|kind| kind == "html"));
    let pages: BTreeMap<_, _> = pages
        .map(|file| {
            let text = fs::read_to_string(&file).expect("pages are UTF-8");
            (file, text)
        })
        .collect();
    assert!(pages.len() > 15, "{}", pages.len());
    pages
}

fn leads(pages: &BTreeMap<PathBuf, String>, folder: &Path, page: &Path, target: &str) -> bool {
    if is_elsewhere(target) {
        return true;
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() {
        page.to_path_buf()
    } else {
        plain(&folder.join(file))
    };
    let has = |text: &String| ids(text).any(|id| id == fragment);
    file.exists() && (fragment.is_empty() || pages.get(&file).is_some_and(has))
}
