//! What threads share, under one roof: with `--cfg shuttle` a model checker takes the place of all of it and decides who
//! goes on at each lock and each atomic. `model` says what has to hold then, `tests/model` runs it.

#[cfg(shuttle)]
mod map;

#[cfg(not(shuttle))]
pub(super) use dashmap::{DashMap, mapref::entry::Entry};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, RwLock, atomic};

#[cfg(shuttle)]
pub(super) use map::{DashMap, Entry};
#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic};

/// Of each map. A model checker sees more when threads meet.
pub(super) const SHARDS: usize = if cfg!(shuttle) { 1 } else { 64 };
