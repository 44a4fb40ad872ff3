//! Stores equal [`Application`]s once, because each is as large as the rest of a sign-in.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use foldhash::quality::RandomState;

use super::sync::RwLock;
use crate::flow::Application;

#[derive(Default)]
pub(super) struct Applications(RwLock<HashSet<Arc<Application>, RandomState>>);

impl Applications {
    /// The maximum number of shared values. Sign-ins of further clients have their own, which costs memory only.
    pub(super) const LIMIT: usize = 3584;

    /// Returns the shared value that is equal to this one.
    pub(super) fn share(&self, application: &Arc<Application>) -> Arc<Application> {
        let is_full = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(application) {
                return Arc::clone(known);
            }
            known.len() >= Self::LIMIT
        };
        if !is_full {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(Arc::clone(application));
        }
        Arc::clone(application)
    }

    /// Removes values that no record uses, if there are many.
    pub(super) fn shrink(&self) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::LIMIT / 2 {
            known.retain(|application| Arc::strong_count(application) > 1);
        }
    }

    /// Memory in bytes, values that are not shared included. `clients`: the number of clients with sign-ins.
    pub(super) fn bytes(&self, clients: usize) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.len().max(clients) * (size_of::<Application>() + 2 * size_of::<usize>())
            + known.capacity() * (size_of::<usize>() + 1)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }
}
