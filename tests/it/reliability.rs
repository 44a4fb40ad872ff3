//! What holds whatever fails: the invariants that [`crate::support::ledger`] checks.

mod broken;
mod checker;
mod haproxy;
mod memory;
mod min_replicas;
mod restarts;
mod rotation;
mod scale;
mod stores;
