//! Configuration changes while the gate runs, by SIGHUP and by the file alone. Requests in progress end under the old
//! configuration, new ones are judged under the new one, and an invalid file changes nothing.

mod against;
mod files;
mod limits;
mod load;
mod requests;
mod sign_ins;
mod upstreams;

use serde_json::Value;

use crate::support::gate::Gate;

/// The log lines of one event.
fn events(gate: &Gate, event: &str) -> Vec<Value> {
    let log = gate.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

/// Waits for `so_many` log lines of this event, and returns the last one.
#[track_caller]
fn event(gate: &Gate, name: &str, so_many: usize) -> Value {
    let count = |log: &str| log.matches(&format!("\"event\":\"{name}\"")).count();
    gate.log_until(|log| count(log) >= so_many);
    let mut events = events(gate, name);
    assert_eq!(events.len(), so_many, "{events:?}");
    events.pop().expect("an event")
}
