//! Which configuration is in force, for operators and for `check --against`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::clock;

/// What is in force, since when, and how the last reload ended. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Of the file, in hex.
    sha256: String,
    since: String,
    /// Keys that only a restart changes, with the values that they have.
    fixed: Vec<(&'static str, String)>,
    /// Those of them that the file has other values for.
    needs_restart: Vec<&'static str>,
    /// The last reload, if that failed.
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    at: String,
    problem: String,
}

impl InForce {
    /// At the start.
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

    /// Another one is in force.
    pub(crate) fn applied(&self, sha256: &str, needs_restart: &[&'static str]) {
        let mut state = self.state();
        sha256.clone_into(&mut state.sha256);
        state.since = clock::written();
        state.needs_restart = needs_restart.to_vec();
        state.failed = None;
    }

    /// One was refused.
    pub(crate) fn failed(&self, problem: &str) {
        self.state().failed = Some(Failed {
            at: clock::written(),
            problem: problem.to_owned(),
        });
    }

    /// As a JSON document.
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
