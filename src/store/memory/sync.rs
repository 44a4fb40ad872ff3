//! The synchronisation primitives of the store. With `--cfg shuttle` they are replaced by a model checker, which
//! decides at each lock and each atomic which thread continues. `model` has the checks, `tests/model` runs them.

#[cfg(shuttle)]
mod map;

#[cfg(not(shuttle))]
pub(super) use dashmap::{DashMap, mapref::entry::Entry};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, RwLock, atomic};

#[cfg(shuttle)]
pub(super) use map::DashMap;
#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic};

#[cfg(shuttle)]
pub(super) type Entry<'e, K, V> = map::Entry<'e, K, V, foldhash::quality::RandomState>;

/// Shards of each map. One for the model checker, so that threads contend.
pub(super) const SHARDS: usize = if cfg!(shuttle) { 1 } else { 64 };
