//! The synchronisation primitives of the store. With `--cfg shuttle` they are replaced by a model checker, which
//! decides at each lock and each atomic which thread continues. `model` has the checks, `tests/model` runs them.

#[cfg(shuttle)]
mod map;

#[cfg(not(shuttle))]
pub(super) use dashmap::DashMap;
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(shuttle)]
pub(super) use map::DashMap;
#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, atomic};

/// Shards of each table and each map. One for the model checker, so that threads contend.
pub(super) const SHARDS: usize = if cfg!(shuttle) { 1 } else { 96 };
/// A power of two.
pub(super) const MAP_SHARDS: usize = if cfg!(shuttle) { 1 } else { 64 };
