//! The configuration in force, for operators and for `check --against`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock;

/// The configuration in force, since when, and the result of the last reload. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<Mutex<State>>);

/// Serialized for operators as it is.
#[derive(Debug, Serialize)]
struct State {
    /// SHA-256 of the file, in hexadecimal.
    sha256: String,
    since: String,
    /// Keys that only a restart can change, with their current values.
    fixed: Map<String, Value>,
    /// Those of them that have other values in the file.
    needs_restart: Vec<&'static str>,
    /// The last reload, if it failed.
    last_failure: Option<Failed>,
}

#[derive(Debug, Serialize)]
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
        let fixed = fixed.into_iter();
        Self(Arc::new(Mutex::new(State {
            sha256: sha256.to_owned(),
            since: clock::written(),
            fixed: fixed
                .map(|(key, value)| (key.to_owned(), value.into()))
                .collect(),
            needs_restart: Vec::new(),
            last_failure: None,
        })))
    }

    /// Records a changed configuration.
    pub(crate) fn applied(&self, sha256: &str, needs_restart: &[&'static str]) {
        let mut state = self.state();
        sha256.clone_into(&mut state.sha256);
        state.since = clock::written();
        state.needs_restart = needs_restart.to_vec();
        state.last_failure = None;
    }

    /// Records a failed reload.
    pub(crate) fn failed(&self, problem: &str) {
        self.state().last_failure = Some(Failed {
            at: clock::written(),
            problem: problem.to_owned(),
        });
    }

    /// All of it as a JSON document.
    pub(crate) fn document(&self) -> String {
        // Serialization to a string with string keys cannot fail.
        serde_json::to_string_pretty(&*self.state()).unwrap_or_default() + "\n"
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
