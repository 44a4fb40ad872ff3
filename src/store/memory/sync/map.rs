//! As much of a `DashMap` as the store uses, of one shard, so that every lock of it is one that the model checker sees.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(in crate::store::memory) struct DashMap<K, V, S>(RwLock<HashMap<K, V, S>>);

impl<K: Copy + Eq + Hash, V, S: BuildHasher> DashMap<K, V, S> {
    pub(in crate::store::memory) fn with_hasher_and_shard_amount(
        hasher: S,
        _shards: usize,
    ) -> Self {
        Self(RwLock::new(HashMap::with_hasher(hasher)))
    }

    pub(in crate::store::memory) fn entry(&self, key: K) -> Entry<'_, K, V, S> {
        let map = self.write();
        if map.contains_key(&key) {
            Entry::Occupied(There { map, key })
        } else {
            Entry::Vacant(NotThere { map, key })
        }
    }

    pub(in crate::store::memory) fn remove_if_mut(
        &self,
        key: &K,
        is_it: impl FnOnce(&K, &mut V) -> bool,
    ) {
        let mut map = self.write();
        if map.get_mut(key).is_some_and(|value| is_it(key, value)) {
            map.remove(key);
        }
    }

    pub(in crate::store::memory) fn retain(&self, mut stays: impl FnMut(&K, &mut V) -> bool) {
        self.write().retain(|key, value| stays(key, value));
    }

    pub(in crate::store::memory) fn len(&self) -> usize {
        self.read().len()
    }

    pub(in crate::store::memory) fn capacity(&self) -> usize {
        self.read().capacity()
    }

    pub(in crate::store::memory) fn shrink_to_fit(&self) {
        self.write().shrink_to_fit();
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<K, V, S>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<K, V, S>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(in crate::store::memory) enum Entry<'a, K, V, S> {
    Occupied(There<'a, K, V, S>),
    Vacant(NotThere<'a, K, V, S>),
}

impl<'a, K: Copy + Eq + Hash, V, S: BuildHasher> Entry<'a, K, V, S> {
    pub(in crate::store::memory) fn or_default(self) -> There<'a, K, V, S>
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    pub(in crate::store::memory) fn or_insert_with(
        self,
        value: impl FnOnce() -> V,
    ) -> There<'a, K, V, S> {
        match self {
            Self::Occupied(there) => there,
            Self::Vacant(NotThere { mut map, key }) => {
                map.insert(key, value());
                There { map, key }
            }
        }
    }
}

pub(in crate::store::memory) struct There<'a, K, V, S> {
    map: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}

impl<K: Eq + Hash, V, S: BuildHasher> Deref for There<'_, K, V, S> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.map[&self.key]
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> DerefMut for There<'_, K, V, S> {
    fn deref_mut(&mut self) -> &mut V {
        match self.map.get_mut(&self.key) {
            Some(value) => value,
            None => unreachable!("an entry stays while it is held"),
        }
    }
}

pub(in crate::store::memory) struct NotThere<'a, K, V, S> {
    map: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}
