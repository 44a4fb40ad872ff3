//! Where in its bytes a record has what.

pub(super) const HEAD: usize = 30;

pub(super) const KEY: usize = 16;

pub(super) const STATE: usize = 21;

pub(super) const COUNT: usize = 22;

pub(super) const SHAPE: usize = 23;

/// The lower half of the byte at `STATE` is the state; the upper one counts releases.
pub(super) const STATE_BITS: u8 = 4;

pub(super) const STATE_MASK: u8 = (1 << STATE_BITS) - 1;

/// `origin` of a record that carries it itself: with redirect URI, and without.
pub(super) const WITH_REDIRECT: u16 = u16::MAX;

pub(super) const WITHOUT_REDIRECT: u16 = u16::MAX - 1;

/// Five bytes of milliseconds: 34 years after the start.
pub(in crate::store::memory) const LATEST: u64 = (1 << 40) - 1;

/// What a record is, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::memory) enum State {
    /// A pending authorization.
    Pending,
    /// The same, whose redirect has not been followed yet.
    Unfollowed,
    /// What is left of that when it was: the pending authorization stands in another table.
    Followed,
    /// What is left of a pending authorization that is not to be trusted.
    Conflict,
    /// A code that may be redeemed.
    Bound,
    /// A code that someone is redeeming.
    Claimed,
    /// What is left of a code that was redeemed.
    Redeemed,
    /// What is left of a code that was attacked.
    Burnt,
    /// What is kept of a raw code that was bound: to which sign-in.
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

/// Which parts a record has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape(pub(super) u8);

impl Shape {
    pub(super) const S256: u8 = 1;
    pub(super) const PLAIN: u8 = 1 << 1;
    /// Both at once: neither.
    pub(super) const USELESS: u8 = Self::S256 | Self::PLAIN;
    /// `response_type=code`, which nearly all have, takes no room.
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

/// No packer of this module made these bytes. It cannot happen; if it does, the record is as good as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::memory) struct Garbled;
