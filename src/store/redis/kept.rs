//! What is known under the digest of a code.

use super::fields::owner_of;
use super::link::Value;
use crate::flow::{BoundCode, Purpose};
use crate::oauth::Digest;
use crate::store::operations::Redeemed;
use crate::store::seal::{Sealer, Unopened};

pub(super) enum Kept {
    Code(BoundCode),
    Dead(Redeemed),
    Nowhere,
}

impl Kept {
    /// From the fields `owner` and `record`. `None`: the gate did not write them.
    pub(super) fn read(
        sealer: &Sealer,
        raw: Digest,
        owner: &Value,
        record: &Value,
    ) -> Option<Self> {
        let owner = owner_of(owner, false).map(|owner| owner.client);
        match (owner, record) {
            (None, Value::Nil) => Some(Self::Nowhere),
            // It has a handle.
            (owner, Value::Nil) => Some(Self::Dead(Redeemed::Unknown(owner))),
            (Some(owner), Value::Bytes(record)) => {
                match sealer.open(Purpose::Code, raw.as_bytes(), record) {
                    Ok(bound) => Some(Self::Code(bound)),
                    Err(Unopened::ForeignKey) => Some(Self::Dead(Redeemed::Expired(Some(owner)))),
                    Err(Unopened::Forged) => None,
                }
            }
            _ => None,
        }
    }
}
