//! The packed form of a record.
//!
//! ```text
//! all       16 key   5 deadline, ms   1 state   1 count   1 shape   2 origin   4 network   [48 or 16 the origin itself]
//! pending   [16 browser]   challenge   [response_type]   [response_mode]   [client state, to the end]
//! code      challenge   code, to the end
//! trace     16 the sign-in that a raw code was bound to
//! ```
//!
//! An S256 challenge takes 32 bytes. Texts other than the last one are prefixed with four bytes of length. `shape` says
//! which parts are present. With the two bytes of length in the log this makes 128 bytes for a pending authorization
//! with S256, `response_type=code` and a client state of 64 bytes, 96 for a code of 32 bytes, and 48 for the trace of
//! any code.

mod layout;
mod pack;
#[cfg(test)]
mod tests;

use super::network::NetworkName;
use super::origin::{Origin, OriginName};
use super::wipe::{Secret, wipe};
use crate::clock::Timestamp;
use crate::flow::{ClientState, PendingAuthorization};
use crate::oauth::pkce::Useless;
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};

use layout::{
    COUNT, Garbled, HEAD, KEY, STATE, STATE_BITS, STATE_MASK, Shape, WITH_REDIRECT,
    WITHOUT_REDIRECT,
};
pub(super) use layout::{LATEST, State};
pub(super) use pack::{Head, pack_code, pack_pending, pack_trace, packed_length};

pub(super) struct Record<'a> {
    head: &'a mut [u8; HEAD],
    body: &'a mut [u8],
}

impl<'a> Record<'a> {
    /// `None`: the bytes are too short for a record.
    pub(super) fn open(bytes: &'a mut [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk_mut()?;
        Some(Self { head, body })
    }

    pub(super) fn key(&self) -> Digest {
        Digest::from_bytes(self.head.first_chunk().copied().unwrap_or_default())
    }

    pub(super) fn bytes(&self) -> usize {
        HEAD + self.body.len()
    }

    pub(super) fn deadline(&self) -> Timestamp {
        let mut millis = [0; 8];
        for (to, from) in millis
            .iter_mut()
            .zip(self.head.iter().take(STATE).skip(KEY))
        {
            *to = *from;
        }
        Timestamp::from_millis(u64::from_le_bytes(millis))
    }

    fn set_deadline(&mut self, deadline: Timestamp) {
        let millis = deadline.as_millis().min(LATEST).to_le_bytes();
        let place = self.head.iter_mut().take(STATE).skip(KEY);
        for (to, from) in place.zip(millis) {
            *to = from;
        }
    }

    pub(super) fn network(&self) -> NetworkName {
        let [.., a, b, c, d] = *self.head;
        NetworkName::from_bytes([a, b, c, d])
    }

    /// Whether the deadline is reached.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.deadline() <= now
    }

    pub(super) fn state(&self) -> State {
        match self.head[STATE] & STATE_MASK {
            0 => State::Pending,
            1 => State::Conflict,
            2 => State::Bound,
            3 => State::Claimed,
            4 => State::Redeemed,
            6 => State::Trace,
            7 => State::Unfollowed,
            8 => State::Followed,
            _ => State::Burnt,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.head[STATE] = self.head[STATE] & !STATE_MASK | state.to_byte();
    }

    /// Counts a release of a code. Returns the number of releases, at most fifteen.
    pub(super) fn count_release(&mut self) -> u8 {
        let releases = (self.head[STATE] >> STATE_BITS).saturating_add(1);
        let releases = releases.min(u8::MAX >> STATE_BITS);
        self.head[STATE] = releases << STATE_BITS | self.head[STATE] & STATE_MASK;
        releases
    }

    /// Moves a pending authorization whose redirect is followed: returns the new record, and wipes this one.
    pub(super) fn follow(&mut self, deadline: Timestamp) -> Secret {
        let mut followed = Vec::with_capacity(self.bytes());
        followed.extend_from_slice(self.head);
        followed.extend_from_slice(self.body);
        let mut followed = Secret(followed);
        if let Some(mut record) = Record::open(&mut followed.0) {
            record.set_state(State::Pending);
            record.set_deadline(deadline);
        }
        self.entomb(State::Followed);
        followed
    }

    /// Wipes all secrets; only key, state and origin remain.
    pub(super) fn entomb(&mut self, state: State) {
        self.set_state(state);
        let secrets = self
            .parts()
            .map_or(self.body.len(), |parts| parts.rest.0.len());
        let names = self.body.len().saturating_sub(secrets);
        if let Some(secrets) = self.body.get_mut(names..) {
            wipe(secrets);
        }
    }

    /// The number of codes bound to a pending authorization, or of wrong verifiers for a code.
    pub(super) fn count(&self) -> u8 {
        self.head[COUNT]
    }

    /// Increments [`Record::count`]; returns the new value.
    pub(super) fn count_one(&mut self) -> u8 {
        self.head[COUNT] = self.head[COUNT].saturating_add(1);
        self.head[COUNT]
    }

    pub(super) fn origin(&self) -> Result<OriginName, Garbled> {
        self.parts().map(|parts| parts.origin)
    }

    /// The browser of a pending authorization, or the sign-in of a trace.
    pub(super) fn digest(&self) -> Result<Option<Digest>, Garbled> {
        self.parts().map(|parts| parts.digest)
    }

    /// The challenge of a pending authorization or of a code.
    pub(super) fn challenge(&self) -> Result<Option<CodeChallenge>, Garbled> {
        let Parts {
            shape, mut rest, ..
        } = self.parts()?;
        rest.challenge(shape)
    }

    /// Unpacks a pending authorization. The caller resolves its origin.
    pub(super) fn pending(&self, origin: Origin) -> Result<PendingAuthorization, Garbled> {
        let Parts {
            shape,
            digest,
            mut rest,
            ..
        } = self.parts()?;
        let challenge = rest.challenge(shape)?;
        let response_type = if shape.has(Shape::TYPE_CODE) {
            Some("code")
        } else {
            rest.optional(shape, Shape::TYPE, Reader::text)?
        };
        let response_mode = rest.optional(shape, Shape::MODE, Reader::text)?;
        let state = if shape.has(Shape::STATE_VALUE) {
            ClientState::Value(rest.last()?.into())
        } else if shape.has(Shape::STATE_BARE) {
            ClientState::Bare
        } else {
            ClientState::Absent
        };
        Ok(PendingAuthorization {
            challenge,
            client: origin.client,
            redirect: origin.redirect,
            state,
            response_type: response_type.map(Into::into),
            response_mode: response_mode.map(Into::into),
            browser: digest,
        })
    }

    pub(super) fn code(&self) -> Result<(AuthorizationCode, Option<CodeChallenge>), Garbled> {
        let Parts {
            shape, mut rest, ..
        } = self.parts()?;
        let challenge = rest.challenge(shape)?;
        Ok((
            AuthorizationCode::new(rest.last()?).ok_or(Garbled)?,
            challenge,
        ))
    }

    fn parts(&self) -> Result<Parts<'_>, Garbled> {
        let [.., shape, low, high, _, _, _, _] = *self.head;
        let shape = Shape(shape);
        let mut rest = Reader(self.body);
        let origin = match u16::from_le_bytes([low, high]) {
            WITH_REDIRECT => {
                let client = rest.digest()?;
                let redirect = Some(RedirectDigest::from_parts(rest.digest()?, rest.digest()?));
                OriginName::Itself(Origin { client, redirect })
            }
            WITHOUT_REDIRECT => {
                let client = rest.digest()?;
                OriginName::Itself(Origin {
                    client,
                    redirect: None,
                })
            }
            number => OriginName::Number(number),
        };
        let digest = rest.optional(shape, Shape::DIGEST, Reader::digest)?;
        Ok(Parts {
            shape,
            origin,
            digest,
            rest,
        })
    }
}

/// A record after parsing up to the challenge.
struct Parts<'a> {
    shape: Shape,
    origin: OriginName,
    digest: Option<Digest>,
    /// The challenge and the remaining parts.
    rest: Reader<'a>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn digest(&mut self) -> Result<Digest, Garbled> {
        self.take().map(Digest::from_bytes)
    }

    fn text(&mut self) -> Result<&'a str, Garbled> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| Garbled)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Garbled)?;
        self.0 = rest;
        str::from_utf8(text).map_err(|_| Garbled)
    }

    fn last(&self) -> Result<&'a str, Garbled> {
        str::from_utf8(self.0).map_err(|_| Garbled)
    }

    fn optional<T>(
        &mut self,
        shape: Shape,
        part: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Option<T>, Garbled> {
        shape.has(part).then(|| read(self)).transpose()
    }

    fn challenge(&mut self, shape: Shape) -> Result<Option<CodeChallenge>, Garbled> {
        if shape.has_all(Shape::USELESS) {
            let [at] = self.take()?;
            let why = Useless::ALL.get(usize::from(at)).ok_or(Garbled)?;
            Ok(Some(CodeChallenge::Useless(*why)))
        } else if shape.has(Shape::S256) {
            Ok(Some(CodeChallenge::S256(self.take()?)))
        } else {
            let plain = self.optional(shape, Shape::PLAIN, Self::text)?;
            Ok(plain.map(|challenge| CodeChallenge::Plain(challenge.into())))
        }
    }
}
