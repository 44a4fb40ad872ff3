//! placeholder
use super::*;
use crate::clock::Clock;
use crate::flow::{HandleKey, PendingAuthorization, Settlement};
use crate::oauth::{AuthorizationCode, Digest};

#[derive(Debug)]
pub struct MemoryStore;
impl MemoryStore {
    pub fn new(_settings: Settings, _key: HandleKey, _clock: Clock) -> Self {
        Self
    }
    pub fn hold(&self, _place: Place, _pending: &PendingAuthorization) -> Result<Held, StoreError> {
        Err(StoreError::Full)
    }
    pub fn pending(&self, _key: Digest) -> Pending {
        Pending::Unknown
    }
    pub fn bind(
        &self,
        _pending: Digest,
        _place: Place,
        _code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        Ok(Bound::Unknown)
    }
    pub fn redeem(&self, _key: Digest) -> Redeemed {
        Redeemed::Unknown
    }
    pub fn settle(&self, _claim: Claim, _settlement: Settlement) {}
    pub fn discard(&self, _pending: Digest) {}
    pub fn sweep(&self) {}
    pub fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}
