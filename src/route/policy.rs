//! What happens to paths that are no endpoint.

use super::fold::{Readings, fold_path, fold_segments};

/// `[upstream.routes]`: what happens to paths that are no endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// 404 for whatever is not in `allow`; else everything passes, under the guards.
    pub deny_by_default: bool,
    /// Paths that pass; with `/**` at the end, everything below too.
    pub allow: Vec<String>,
    /// Paths that get a 404, whatever `allow` says, and however they are spelt.
    pub deny: Vec<String>,
    /// Exact paths at which the upstream itself receives another server's code.
    pub foreign_callbacks: Vec<String>,
}

impl RoutePolicy {
    /// Whether a path may be asked for at all. What is denied is denied under every name that some server has for it; what
    /// is allowed, under the one that is written.
    pub fn admits(&self, path: &str) -> bool {
        let allowed = || {
            let mut allow = self.allow.iter();
            allow.any(|pattern| matches(pattern, path)) && Readings::of(path) != Readings::Crooked
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

    /// Whether the upstream is a client of another server there.
    pub fn is_foreign_callback(&self, path: &str) -> bool {
        self.foreign_callbacks.iter().any(|known| known == path)
    }
}

/// An exact path, or with `/**` at its end everything below it.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/**") {
        None => pattern == path,
        Some(above) => is_below(above, path),
    }
}

fn is_below(above: &str, path: &str) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
