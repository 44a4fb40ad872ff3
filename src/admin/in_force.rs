//! The configuration in force, for operators and for `check --against`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::clock;

/// The configuration in force, since when, and the result of the last reload. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// SHA-256 of the file, in hexadecimal.
    sha256: String,
    since: String,
    /// Keys that only a restart can change, with their current values.
    fixed: Vec<(&'static str, String)>,
    /// Those of them that have other values in the file.
    needs_restart: Vec<&'static str>,
    /// The last reload, if it failed.
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    at: String,
    problem: String,
}

impl InForce {
    /// The configuration at the start.
    pub(crate) fn new(
        sha256: &str,
        fixed: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            sha256: sha256.to_owned(),
            since: clock::written(),
            fixed: fixed.into_iter().collect(),
            needs_restart: Vec::new(),
            failed: None,
        })))
    }

    /// Records a changed configuration.
    pub(crate) fn applied(&self, sha256: &str, needs_restart: &[&'static str]) {
        let mut state = self.state();
        sha256.clone_into(&mut state.sha256);
        state.since = clock::written();
        state.needs_restart = needs_restart.to_vec();
        state.failed = None;
    }

    /// Records a failed reload.
    pub(crate) fn failed(&self, problem: &str) {
        self.state().failed = Some(Failed {
            at: clock::written(),
            problem: problem.to_owned(),
        });
    }

    /// All of it as a JSON document.
    pub(crate) fn document(&self) -> String {
        let state = self.state();
        let fixed = state.fixed.iter();
        let fixed: Map<String, Value> = fixed
            .map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())))
            .collect();
        let failed = state.failed.as_ref();
        let document = json!({
            "sha256": state.sha256,
            "since": state.since,
            "fixed": fixed,
            "needs_restart": state.needs_restart,
            "last_failure": failed.map(|failed| json!({ "at": failed.at, "problem": failed.problem })),
        });
        format!("{document:#}\n")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
