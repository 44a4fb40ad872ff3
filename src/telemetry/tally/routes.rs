//! The paths beside the endpoints that were requested, as patterns.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pattern::{Pattern, pattern};

/// The most patterns of an upstream.
pub(crate) const PATTERNS: usize = 200;

/// The most patterns in one folder. A folder with more has names that users or the server chose, so it becomes a tree.
const IN_FOLDER: usize = 20;

/// How often a pattern is requested before it is stored. The link in a mail is requested once or twice; should a secret in it look like
/// a word, it is not stored.
const ENOUGH: u64 = 3;

/// The lowest bits of a slot, which have the number of requests. The others identify the pattern.
const NUMBER: u64 = 0b11;

/// The patterns that are counted at a time, and the paths that are known.
const SLOTS: usize = 4096;

#[derive(Debug)]
pub(super) struct Routes {
    /// Digests of paths whose patterns were counted often enough: such a path costs a hash.
    known: Box<[AtomicU64]>,
    /// Digests of patterns. A newer pattern displaces the one in its slot, which is then counted anew.
    slots: Box<[AtomicU64]>,
    /// Keyed: clients choose paths, and must not be able to predict which of them share a slot.
    key: RandomState,
    patterns: Mutex<BTreeSet<Box<str>>>,
}

impl Default for Routes {
    fn default() -> Self {
        let slots = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self {
            known: slots(),
            slots: slots(),
            key: RandomState::new(),
            patterns: Mutex::default(),
        }
    }
}

impl Routes {
    /// Counts a request for a path, which begins with `/`.
    pub(super) fn count(&self, path: &str) {
        let digest = self.key.hash_one(path);
        let Some(known) = self.known.get(place(digest)) else {
            return;
        };
        if known.load(Ordering::Relaxed) != digest && self.is_enough(pattern(path)) {
            known.store(digest, Ordering::Relaxed);
        }
    }

    /// Counts a request for a pattern. Returns whether there were enough.
    fn is_enough(&self, found: Pattern<'_>) -> bool {
        let digest = self.key.hash_one(found);
        let Some(slot) = self.slots.get(place(digest)) else {
            return false;
        };
        let (own, known) = (digest & !NUMBER, slot.load(Ordering::Relaxed));
        let number = if known & !NUMBER == own {
            known & NUMBER
        } else {
            0
        };
        if number >= ENOUGH {
            return true;
        }
        slot.store(own | (number + 1), Ordering::Relaxed);
        if number + 1 == ENOUGH {
            self.keep(found);
        }
        number + 1 == ENOUGH
    }

    /// Forgets all patterns.
    pub(super) fn clear(&self) {
        self.patterns().clear();
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// The patterns, as `[upstream.routes] allow` has them.
    pub(super) fn all(&self) -> Vec<Box<str>> {
        self.patterns().iter().cloned().collect()
    }

    /// Adds a pattern that was stored earlier. Text of another kind is left out.
    pub(super) fn restore(&self, written: &str) {
        let path = written.strip_suffix("/**");
        let found = pattern(path.unwrap_or(written));
        let is_path = written.starts_with('/');
        if is_path && !found.is_tree {
            self.keep(Pattern {
                is_tree: path.is_some(),
                ..found
            });
        }
    }

    fn patterns(&self) -> MutexGuard<'_, BTreeSet<Box<str>>> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn keep(&self, found: Pattern<'_>) {
        let mut patterns = self.patterns();
        let written = found.written();
        if patterns.contains(&*written) || is_covered(&patterns, found.path) {
            return;
        }
        let folder = match found.path.rsplit_once('/') {
            Some((folder, _)) => folder.to_owned(),
            None => String::new(),
        };
        let beside = patterns.iter().filter(|known| is_in(&folder, known));
        let tree = if found.is_tree {
            found.path
        } else if !folder.is_empty() && beside.count() >= IN_FOLDER {
            &folder
        } else {
            if patterns.len() < PATTERNS {
                patterns.insert(written.into());
            }
            return;
        };
        // Everything is below the root, so this tree does not replace the others.
        if !tree.is_empty() {
            let below = format!("{tree}/");
            patterns.retain(|known| !known.starts_with(&below) && **known != *tree);
        }
        if patterns.len() < PATTERNS {
            patterns.insert(format!("{tree}/**").into());
        }
    }
}

/// The slot of a digest.
fn place(digest: u64) -> usize {
    usize::try_from(digest >> 32).unwrap_or(0) % SLOTS
}

/// Whether a path is in a tree, other than that of the root.
fn is_covered(patterns: &BTreeSet<Box<str>>, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at);
    let above = ends.chain([path.len()]).filter(|end| *end > 0);
    let mut trees = above.filter_map(|end| Some(format!("{}/**", path.get(..end)?)));
    trees.any(|tree| patterns.contains(&*tree))
}

/// Whether a pattern is directly in this folder.
fn is_in(folder: &str, pattern: &str) -> bool {
    let path = pattern.strip_suffix("/**").unwrap_or(pattern);
    path.rsplit_once('/')
        .is_some_and(|(known, _)| known == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(paths: &[&str], times: u64) -> Vec<String> {
        let routes = Routes::default();
        for path in paths {
            for _ in 0..times {
                routes.count(path);
            }
        }
        routes.all().into_iter().map(String::from).collect()
    }

    #[test]
    fn a_pattern_is_stored_with_its_third_request() {
        assert!(requested(&["/login"], ENOUGH - 1).is_empty());
        assert_eq!(requested(&["/login"], ENOUGH), ["/login"]);
        // The requests of different links in mails count for one pattern.
        assert_eq!(
            requested(&["/reset/a1b2", "/reset/c3d4", "/reset/e5f6"], 1),
            ["/reset/**"]
        );
    }

    #[test]
    fn a_tree_replaces_what_is_in_it() {
        let paths = ["/a", "/a/b", "/ab", "/a/1", "/a/c", "/a/d/2", "/1"];
        assert_eq!(requested(&paths, ENOUGH), ["/**", "/a/**", "/ab"]);
    }

    /// Names that users chose, for example. And scanners do not fill the memory.
    #[test]
    fn the_number_of_patterns_is_bounded() {
        let words = ["ba", "ce", "di", "fo", "gu"];
        let mut names = Vec::new();
        for one in words {
            for other in words {
                names.extend(words.map(|third| format!("{one}{other}{third}")));
            }
        }
        let users: Vec<String> = names.iter().map(|name| format!("/users/{name}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        assert_eq!(requested(&users, ENOUGH), ["/users/**"]);
        let many: Vec<String> = names
            .iter()
            .flat_map(|name| ["x", "y", "z"].map(|after| format!("/{name}/{after}")))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(requested(&many, ENOUGH).len(), PATTERNS);
    }

    #[test]
    fn only_patterns_are_restored() {
        let routes = Routes::default();
        for written in [
            "/login",
            "/assets/**",
            "/**",
            "/reset/a1b2c3",
            "\n",
            "/x/a1b2/**",
        ] {
            routes.restore(written);
        }
        assert_eq!(routes.all(), ["/**", "/assets/**", "/login"].map(Box::from));
    }
}
