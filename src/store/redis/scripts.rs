//! The operations that change something: one script each, so that each is atomic.

use std::sync::LazyLock;

use super::fields::decimal;
use super::link::{Command, Script};
use crate::flow::RELEASES_PER_CODE;

/// A script of this store.
pub(super) struct Operation(LazyLock<Script>);

pub(super) static HOLD: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/hold.lua"))
}));
pub(super) static BIND: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/bind.lua"))
}));
pub(super) static REDEEM: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/redeem.lua"))
}));
static RELEASE: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/release.lua"))
}));
pub(super) static LEARN: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/learn.lua"))
}));
pub(super) static DISCARD: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/discard.lua"))
}));

pub(super) static SEAT: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/seat.lua"))
}));
pub(super) static LEAVE: Operation = Operation(LazyLock::new(|| {
    Script::new(include_str!("scripts/leave.lua"))
}));

impl Operation {
    /// A call with these keys and arguments, which the script names at its beginning.
    pub(super) fn command(&self, keys: &[&[u8]], args: &[&[u8]]) -> Command {
        Command::script(&self.0, keys, args)
    }
}

/// Ends the claim with this id. `counts`: as one of the releases that are allowed.
pub(super) fn release(key: &[u8], id: [u8; 8], counts: bool) -> Command {
    let counts: &[u8] = if counts { b"1" } else { b"" };
    let releases = decimal(RELEASES_PER_CODE.into());
    RELEASE.command(&[key], &[&id, counts, &releases])
}
