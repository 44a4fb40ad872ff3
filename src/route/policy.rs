//! The policy for paths that are not endpoints.

use super::fold::{Readings, fold_path, fold_segments, is_below};

/// The policy for paths that are not endpoints (`[upstream.routes]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// Whether paths that are not in `allow` get a 404.
    pub deny_by_default: bool,
    /// Paths that pass. `/**` at the end includes everything below.
    pub allow: Vec<String>,
    /// Paths that get a 404 in every spelling, even if they are in `allow`.
    pub deny: Vec<String>,
    /// Exact paths at which the upstream, as a client of another server, receives that server's code.
    pub foreign_callbacks: Vec<String>,
}

impl RoutePolicy {
    /// Whether a path passes. `deny` applies to every reading of the path by some server, `allow` only to the exact path.
    pub fn admits(&self, path: &str) -> bool {
        let allowed = || {
            let mut allow = self.allow.iter();
            allow.any(|pattern| matches(pattern, path)) && Readings::of(path) != Readings::Ambiguous
        };
        !self.denies(path) && (!self.deny_by_default || allowed())
    }

    fn denies(&self, path: &str) -> bool {
        if self.deny.is_empty() {
            return false;
        }
        let readings = Readings::of(path);
        self.deny
            .iter()
            .any(|pattern| match pattern.strip_suffix("/**") {
                None => {
                    let folded = fold_path(pattern);
                    readings.any(|reading| reading == folded)
                }
                Some(above) => {
                    let folded = fold_segments(above);
                    readings.any(|reading| is_below(&folded, reading))
                }
            })
    }

    /// Whether the upstream receives another server's code at this path.
    pub fn is_foreign_callback(&self, path: &str) -> bool {
        self.foreign_callbacks.iter().any(|known| known == path)
    }
}

/// Whether a path is equal to a pattern, or below one that ends with `/**`.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/**") {
        None => pattern == path,
        Some(above) => is_below(above, path),
    }
}
