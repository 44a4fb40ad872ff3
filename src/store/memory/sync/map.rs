//! The part of `DashMap` that the store uses, with one shard and locks that the model checker sees.

use std::borrow::Borrow;
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

    pub(in crate::store::memory) fn with_capacity_and_hasher_and_shard_amount(
        _capacity: usize,
        hasher: S,
        shards: usize,
    ) -> Self {
        Self::with_hasher_and_shard_amount(hasher, shards)
    }

    pub(in crate::store::memory) fn get<Q>(&self, key: &Q) -> Option<Ref<'_, K, V, S>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let map = self.read();
        let key = *map.get_key_value(key)?.0;
        Some(Ref { map, key })
    }

    pub(in crate::store::memory) fn entry(&self, key: K) -> Entry<'_, K, V, S> {
        let map = self.write();
        if map.contains_key(&key) {
            Entry::Occupied(OccupiedEntry { map, key })
        } else {
            Entry::Vacant(VacantEntry { map, key })
        }
    }

    pub(in crate::store::memory) fn remove_if(&self, key: &K, is_it: impl FnOnce(&K, &V) -> bool) {
        let mut map = self.write();
        if map.get(key).is_some_and(|value| is_it(key, value)) {
            map.remove(key);
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
    Occupied(OccupiedEntry<'a, K, V, S>),
    Vacant(VacantEntry<'a, K, V, S>),
}

impl<'a, K: Copy + Eq + Hash, V, S: BuildHasher> Entry<'a, K, V, S> {
    pub(in crate::store::memory) fn or_insert(self, value: V) -> OccupiedEntry<'a, K, V, S> {
        match self {
            Self::Occupied(there) => there,
            Self::Vacant(VacantEntry { mut map, key }) => {
                map.insert(key, value);
                OccupiedEntry { map, key }
            }
        }
    }
}

pub(in crate::store::memory) struct Ref<'a, K, V, S> {
    map: RwLockReadGuard<'a, HashMap<K, V, S>>,
    key: K,
}

impl<K: Eq + Hash, V, S: BuildHasher> Deref for Ref<'_, K, V, S> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.map[&self.key]
    }
}

pub(in crate::store::memory) struct OccupiedEntry<'a, K, V, S> {
    map: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher> OccupiedEntry<'_, K, V, S> {
    pub(in crate::store::memory) fn get(&self) -> &V {
        self
    }

    pub(in crate::store::memory) fn insert(&mut self, value: V) {
        self.map.insert(self.key, value);
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Deref for OccupiedEntry<'_, K, V, S> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.map[&self.key]
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> DerefMut for OccupiedEntry<'_, K, V, S> {
    fn deref_mut(&mut self) -> &mut V {
        match self.map.get_mut(&self.key) {
            Some(value) => value,
            None => unreachable!("the map is locked while the entry is held"),
        }
    }
}

pub(in crate::store::memory) struct VacantEntry<'a, K, V, S> {
    map: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}

impl<K: Eq + Hash, V, S: BuildHasher> VacantEntry<'_, K, V, S> {
    pub(in crate::store::memory) fn insert(mut self, value: V) {
        self.map.insert(self.key, value);
    }
}
