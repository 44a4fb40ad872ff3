//! The layout of a packed record.

pub(super) const HEAD: usize = 30;

pub(super) const KEY: usize = 16;

pub(super) const STATE: usize = 21;

pub(super) const COUNT: usize = 22;

pub(super) const SHAPE: usize = 23;

/// The lower half of the byte at `STATE` is the state; the upper half counts releases.
pub(super) const STATE_BITS: u8 = 4;

pub(super) const STATE_MASK: u8 = (1 << STATE_BITS) - 1;

/// Values of `origin` for records that contain the origin itself, with and without a redirect URI.
pub(super) const WITH_REDIRECT: u16 = u16::MAX;

pub(super) const WITHOUT_REDIRECT: u16 = u16::MAX - 1;

/// The latest deadline, in five bytes of milliseconds: 34 years after the start.
pub(in crate::store::memory) const LATEST: u64 = (1 << 40) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::memory) enum State {
    Pending,
    /// A pending authorization whose redirect has not been followed yet.
    Unfollowed,
    /// The remains of an unfollowed pending authorization that was moved to another table.
    Followed,
    /// The marker of a pending authorization that cannot be trusted.
    Conflict,
    /// A code that can be redeemed.
    Bound,
    /// A code that a request is redeeming.
    Claimed,
    /// The remains of a redeemed code.
    Redeemed,
    /// The remains of a code burnt by wrong verifiers or too many releases.
    Burnt,
    /// The sign-in that a raw code was bound to.
    Trace,
}

impl State {
    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Conflict => 1,
            Self::Bound => 2,
            Self::Claimed => 3,
            Self::Redeemed => 4,
            Self::Burnt => 5,
            Self::Trace => 6,
            Self::Unfollowed => 7,
            Self::Followed => 8,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape(pub(super) u8);

impl Shape {
    pub(super) const S256: u8 = 1;
    pub(super) const PLAIN: u8 = 1 << 1;
    /// Both bits together mean a useless challenge.
    pub(super) const USELESS: u8 = Self::S256 | Self::PLAIN;
    /// `response_type=code`, which nearly all requests have, takes no bytes.
    pub(super) const TYPE_CODE: u8 = 1 << 2;
    pub(super) const TYPE: u8 = 1 << 3;
    pub(super) const MODE: u8 = 1 << 4;
    pub(super) const DIGEST: u8 = 1 << 5;
    pub(super) const STATE_BARE: u8 = 1 << 6;
    pub(super) const STATE_VALUE: u8 = 1 << 7;

    pub(super) fn has(self, part: u8) -> bool {
        self.0 & part != 0
    }

    pub(super) fn has_all(self, parts: u8) -> bool {
        self.0 & parts == parts
    }
}

/// The bytes were not written by this module. It cannot happen; if it does, the record is treated as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::memory) struct Garbled;
