//! What holds whatever fails: the invariants that [`crate::support::ledger`] checks.

mod checker;
mod memory;
mod stores;
