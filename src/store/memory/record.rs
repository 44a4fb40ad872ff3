//! How a record is packed into bytes.
//!
//! ```text
//! both      16 key   5 deadline, ms   1 state   1 count   1 shape   2 origin   [48 or 16 the origin itself]
//! pending   [16 browser]   challenge   [response_type]   [response_mode]   [client state, to the end]
//! code      [16 key of the pending authorization]   challenge   code, to the end
//! ```
//!
//! A challenge is 32 bytes under S256. Texts other than the last one are led by four bytes of length. `shape` says
//! which parts are there. With the log's two bytes of length this makes 124 bytes for a pending authorization with
//! S256, `response_type=code` and a client state of 64 bytes, and 92 for a code of 32 bytes under a handle.

use zeroize::{Zeroize as _, Zeroizing};

use super::origin::{Origin, OriginName};
use crate::clock::Timestamp;
use crate::flow::{ClientState, PendingAuthorization};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};

const HEAD: usize = 26;
const KEY: usize = 16;
const STATE: usize = 21;
const COUNT: usize = 22;
const SHAPE: usize = 23;

/// `origin` of a record that carries it itself: with redirect URI, and without.
const WITH_REDIRECT: u16 = u16::MAX;
const WITHOUT_REDIRECT: u16 = u16::MAX - 1;

/// Five bytes of milliseconds: 34 years after the start.
const LATEST: u64 = (1 << 40) - 1;

/// What a record is, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A pending authorization.
    Pending,
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
}

impl State {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Conflict => 1,
            Self::Bound => 2,
            Self::Claimed => 3,
            Self::Redeemed => 4,
            Self::Burnt => 5,
        }
    }
}

/// Which parts a record has.
#[derive(Debug, Clone, Copy, Default)]
struct Shape(u8);

impl Shape {
    const S256: u8 = 1;
    const PLAIN: u8 = 1 << 1;
    /// `response_type=code`, which nearly all have, takes no room.
    const TYPE_CODE: u8 = 1 << 2;
    const TYPE: u8 = 1 << 3;
    const MODE: u8 = 1 << 4;
    const DIGEST: u8 = 1 << 5;
    const STATE_BARE: u8 = 1 << 6;
    const STATE_VALUE: u8 = 1 << 7;

    fn has(self, part: u8) -> bool {
        self.0 & part != 0
    }
}

/// What both kinds of record begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) key: Digest,
    pub(super) deadline: Timestamp,
    pub(super) origin: OriginName,
}

/// No packer of this module made these bytes. It cannot happen; if it does, the record is as good as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// A packed record that is still in its log.
pub(super) struct Record<'a> {
    head: &'a mut [u8; HEAD],
    body: &'a mut [u8],
}

impl<'a> Record<'a> {
    /// `None`: too short for a record.
    pub(super) fn open(bytes: &'a mut [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk_mut()?;
        Some(Self { head, body })
    }

    pub(super) fn key(&self) -> Digest {
        Digest::from_bytes(self.head.first_chunk().copied().unwrap_or_default())
    }

    fn deadline(&self) -> Timestamp {
        let mut millis = [0; 8];
        for (to, from) in millis
            .iter_mut()
            .zip(self.head.iter().take(STATE).skip(KEY))
        {
            *to = *from;
        }
        Timestamp::from_millis(u64::from_le_bytes(millis))
    }

    /// At its deadline a record is over.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.deadline() <= now
    }

    pub(super) fn state(&self) -> State {
        match self.head[STATE] {
            0 => State::Pending,
            1 => State::Conflict,
            2 => State::Bound,
            3 => State::Claimed,
            4 => State::Redeemed,
            _ => State::Burnt,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.head[STATE] = state.to_byte();
    }

    /// Wipes everything but what names the record: the state says what it was.
    pub(super) fn entomb(&mut self, state: State) {
        self.set_state(state);
        let secrets = self
            .parts()
            .map_or(self.body.len(), |parts| parts.rest.0.len());
        let names = self.body.len().saturating_sub(secrets);
        if let Some(secrets) = self.body.get_mut(names..) {
            secrets.zeroize();
        }
    }

    /// Codes bound to a pending authorization; wrong verifiers for a code.
    pub(super) fn count(&self) -> u8 {
        self.head[COUNT]
    }

    /// One more; returns how many there are now.
    pub(super) fn count_one(&mut self) -> u8 {
        self.head[COUNT] = self.head[COUNT].saturating_add(1);
        self.head[COUNT]
    }

    /// Who it belongs to.
    pub(super) fn origin(&self) -> Result<OriginName, Garbled> {
        self.parts().map(|parts| parts.origin)
    }

    /// The browser of a pending authorization; the pending authorization that a code is bound to.
    pub(super) fn digest(&self) -> Result<Option<Digest>, Garbled> {
        self.parts().map(|parts| parts.digest)
    }

    /// The challenge of either kind of record.
    pub(super) fn challenge(&self) -> Result<Option<CodeChallenge>, Garbled> {
        let Parts {
            shape, mut rest, ..
        } = self.parts()?;
        rest.challenge(shape)
    }

    /// The pending authorization; its origin is the caller's to resolve.
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

    /// The code and its challenge.
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
        let [.., shape, low, high] = *self.head;
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

/// A record whose names have been read.
struct Parts<'a> {
    shape: Shape,
    origin: OriginName,
    digest: Option<Digest>,
    /// The challenge and what follows it.
    rest: Reader<'a>,
}

/// Packs a pending authorization. `None`: a text of more than four gigabytes.
pub(super) fn pack_pending(
    head: Head,
    pending: &PendingAuthorization,
) -> Option<Zeroizing<Vec<u8>>> {
    let response_type = pending
        .response_type
        .as_deref()
        .filter(|text| *text != "code");
    let response_mode = pending.response_mode.as_deref();
    let state = pending.state.as_str().unwrap_or_default();
    let prefixed = |text: Option<&str>| text.map_or(0, |text| text.len() + 4);
    let length = prefixed(response_type) + prefixed(response_mode) + state.len();
    let challenge = pending.challenge.as_ref();
    let mut writer = Writer::new(State::Pending, head, pending.browser, challenge, length)?;
    match (&pending.response_type, response_type) {
        (None, _) => {}
        (Some(_), None) => writer.part(Shape::TYPE_CODE, &[]),
        (Some(_), Some(text)) => writer.text(Shape::TYPE, text)?,
    }
    if let Some(text) = response_mode {
        writer.text(Shape::MODE, text)?;
    }
    match &pending.state {
        ClientState::Absent => {}
        ClientState::Bare => writer.part(Shape::STATE_BARE, &[]),
        ClientState::Value(state) => writer.part(Shape::STATE_VALUE, state.as_bytes()),
    }
    Some(writer.finish())
}

/// Packs a code; `bound_for` names the pending authorization where the code may come a second time.
pub(super) fn pack_code(
    head: Head,
    challenge: Option<&CodeChallenge>,
    bound_for: Option<Digest>,
    code: &AuthorizationCode,
) -> Option<Zeroizing<Vec<u8>>> {
    let code = code.expose().as_bytes();
    let mut writer = Writer::new(State::Bound, head, bound_for, challenge, code.len())?;
    writer.bytes.extend_from_slice(code);
    Some(writer.finish())
}

/// Never grows beyond the capacity it began with: a reallocation would leave an unwiped copy behind.
struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    shape: Shape,
}

impl Writer {
    fn new(
        state: State,
        head: Head,
        digest: Option<Digest>,
        challenge: Option<&CodeChallenge>,
        texts: usize,
    ) -> Option<Self> {
        let plain = match challenge {
            Some(CodeChallenge::Plain(challenge)) => challenge.len(),
            Some(CodeChallenge::S256(_)) | None => 0,
        };
        // 48 the origin, 16 the digest, 32 or 4 the challenge.
        let bytes = Vec::with_capacity(HEAD + 48 + 16 + 32 + plain + texts);
        let mut writer = Self {
            bytes: Zeroizing::new(bytes),
            shape: Shape::default(),
        };
        writer.head(state, head);
        if let Some(digest) = digest {
            writer.part(Shape::DIGEST, digest.as_bytes());
        }
        match challenge {
            None => {}
            Some(CodeChallenge::S256(hash)) => writer.part(Shape::S256, hash),
            Some(CodeChallenge::Plain(challenge)) => writer.text(Shape::PLAIN, challenge)?,
        }
        Some(writer)
    }

    fn head(
        &mut self,
        state: State,
        Head {
            key,
            deadline,
            origin,
        }: Head,
    ) {
        let millis = deadline.as_millis().min(LATEST).to_le_bytes();
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend(millis.iter().take(STATE - KEY));
        // Nothing counted yet, and the shape is known at the end.
        self.bytes.extend_from_slice(&[state.to_byte(), 0, 0]);
        let (number, itself) = match origin {
            OriginName::Number(number) => (number, None),
            OriginName::Itself(origin) if origin.redirect.is_some() => {
                (WITH_REDIRECT, Some(origin))
            }
            OriginName::Itself(origin) => (WITHOUT_REDIRECT, Some(origin)),
        };
        self.bytes.extend_from_slice(&number.to_le_bytes());
        let Some(Origin { client, redirect }) = itself else {
            return;
        };
        self.bytes.extend_from_slice(client.as_bytes());
        if let Some((exact, target)) = redirect.map(RedirectDigest::to_parts) {
            self.bytes.extend_from_slice(exact.as_bytes());
            self.bytes.extend_from_slice(target.as_bytes());
        }
    }

    fn part(&mut self, part: u8, bytes: &[u8]) {
        self.shape.0 |= part;
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, part: u8, text: &str) -> Option<()> {
        self.part(part, &u32::try_from(text.len()).ok()?.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn finish(mut self) -> Zeroizing<Vec<u8>> {
        if let Some(shape) = self.bytes.get_mut(SHAPE) {
            *shape = self.shape.0;
        }
        self.bytes
    }
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
        if shape.has(Shape::S256) {
            Ok(Some(CodeChallenge::S256(self.take()?)))
        } else {
            let plain = self.optional(shape, Shape::PLAIN, Self::text)?;
            Ok(plain.map(|challenge| CodeChallenge::Plain(challenge.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::RedirectUri;
    use proptest::prelude::*;

    fn digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 16]>().prop_map(Digest::from_bytes)
    }

    fn text(length: usize) -> impl Strategy<Value = Box<str>> {
        prop::collection::vec(any::<char>(), 0..length)
            .prop_map(|text| text.into_iter().collect::<String>().into())
    }

    fn challenge() -> impl Strategy<Value = Option<CodeChallenge>> {
        prop::option::of(prop_oneof![
            any::<[u8; 32]>().prop_map(CodeChallenge::S256),
            "[A-Za-z0-9._~-]{43,128}".prop_map(|plain| CodeChallenge::Plain(plain.into())),
        ])
    }

    fn origin() -> impl Strategy<Value = Origin> {
        (digest(), prop::option::of((digest(), digest()))).prop_map(|(client, redirect)| Origin {
            client,
            redirect: redirect.map(|(exact, target)| RedirectDigest::from_parts(exact, target)),
        })
    }

    fn name() -> impl Strategy<Value = OriginName> {
        prop_oneof![
            (0..4096u16).prop_map(OriginName::Number),
            origin().prop_map(OriginName::Itself),
        ]
    }

    fn state() -> impl Strategy<Value = ClientState> {
        prop_oneof![
            Just(ClientState::Absent),
            Just(ClientState::Bare),
            text(300).prop_map(ClientState::Value),
        ]
    }

    fn any_type() -> impl Strategy<Value = Option<Box<str>>> {
        prop::option::of(prop_oneof![Just("code".into()), Just("".into()), text(20)])
    }

    proptest! {
        #[test]
        fn a_pending_authorization_comes_back_as_it_went(
            (key, millis, name) in (digest(), 0..=LATEST, name()),
            (challenge, origin, browser) in (challenge(), origin(), prop::option::of(digest())),
            (state, response_type, response_mode) in (state(), any_type(), any_type()),
        ) {
            let pending = PendingAuthorization {
                challenge, client: origin.client, redirect: origin.redirect, state, response_type, response_mode,
                browser,
            };
            let deadline = Timestamp::from_millis(millis);
            let mut bytes = pack_pending(Head { key, deadline, origin: name }, &pending).unwrap();
            prop_assert_eq!(bytes.get(COUNT), Some(&0));
            let mut record = Record::open(&mut bytes).unwrap();
            prop_assert_eq!(record.key(), key);
            prop_assert_eq!(record.deadline(), deadline);
            prop_assert_eq!(record.origin(), Ok(name));
            prop_assert_eq!(record.state(), State::Pending);
            prop_assert_eq!(record.challenge(), Ok(pending.challenge.clone()));
            prop_assert_eq!(record.pending(origin), Ok(pending));
            record.entomb(State::Conflict);
            prop_assert_eq!((record.state(), record.origin()), (State::Conflict, Ok(name)));
        }

        #[test]
        fn a_code_comes_back_as_it_went_and_a_tombstone_has_nothing_of_it(
            (key, name, challenge) in (digest(), name(), challenge()),
            bound_for in prop::option::of(digest()),
            code in ".{1,300}",
        ) {
            let head = Head { key, deadline: Timestamp::from_millis(9), origin: name };
            let secret = AuthorizationCode::new(&code).unwrap();
            let mut bytes = pack_code(head, challenge.as_ref(), bound_for, &secret).unwrap();
            let mut record = Record::open(&mut bytes).unwrap();
            prop_assert_eq!(record.digest(), Ok(bound_for));
            prop_assert_eq!(record.origin(), Ok(name));
            let (read, read_challenge) = record.code().unwrap();
            prop_assert_eq!(read.expose(), code);
            prop_assert_eq!(read_challenge, challenge);
            for state in [State::Claimed, State::Bound, State::Redeemed, State::Conflict, State::Pending] {
                record.set_state(state);
                prop_assert_eq!(record.state(), state);
            }
            record.entomb(State::Burnt);
            prop_assert_eq!((record.key(), record.state(), record.origin()), (key, State::Burnt, Ok(name)));
            prop_assert_eq!(record.digest(), Ok(bound_for), "whose code it was is known to its end");
            let names = bound_for.map_or(0, |_| 16) + match name {
                OriginName::Number(_) => 0,
                OriginName::Itself(Origin { redirect, .. }) => 16 + redirect.map_or(0, |_| 32),
            };
            prop_assert!(bytes[HEAD + names..].iter().all(|byte| *byte == 0));
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(mut record) = Record::open(&mut bytes) {
                let _ = (record.origin().is_ok(), record.code().is_ok(), record.digest().is_ok());
                record.entomb(State::Burnt);
            }
        }
    }

    #[test]
    fn records_have_the_sizes_that_are_documented() {
        let key = Digest::of("key", &[]);
        let head = Head {
            key,
            deadline: Timestamp::default(),
            origin: OriginName::Number(0),
        };
        let challenge = Some(CodeChallenge::S256([7; 32]));
        let code = AuthorizationCode::new(&"c".repeat(32)).unwrap();
        assert_eq!(
            pack_code(head, challenge.as_ref(), None, &code)
                .unwrap()
                .len()
                + 2,
            92
        );
        let pending = PendingAuthorization {
            challenge,
            client: key,
            redirect: Some(RedirectUri::new("https://app.example/cb").digest()),
            state: ClientState::Value("s".repeat(64).into()),
            response_type: Some("code".into()),
            response_mode: None,
            browser: None,
        };
        assert_eq!(pack_pending(head, &pending).unwrap().len() + 2, 124);
    }

    #[test]
    fn packing_never_reallocates() {
        let client = Digest::of("client_id", &[]);
        let redirect = Some(RedirectUri::new("https://app.example/cb").digest());
        let origin = OriginName::Itself(Origin { client, redirect });
        let head = Head {
            key: client,
            deadline: Timestamp::default(),
            origin,
        };
        let plain = CodeChallenge::Plain("p".repeat(128).into());
        let code = AuthorizationCode::new(&"c".repeat(999)).unwrap();
        let bytes = pack_code(head, Some(&plain), Some(client), &code).unwrap();
        assert_eq!(bytes.capacity(), HEAD + 48 + 16 + 32 + 128 + 999);
        let pending = PendingAuthorization {
            challenge: Some(plain),
            client,
            redirect,
            state: ClientState::Value("s".repeat(999).into()),
            response_type: Some("code id_token".into()),
            response_mode: Some("form_post".into()),
            browser: Some(client),
        };
        let bytes = pack_pending(head, &pending).unwrap();
        assert_eq!(
            bytes.capacity(),
            HEAD + 48 + 16 + 32 + 128 + 999 + 4 + 13 + 4 + 9
        );
    }
}
