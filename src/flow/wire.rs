//! The bytes of a record that is kept outside of this process: in a handle, or in Redis. Stores encrypt them.
//!
//! A record is a sequence of fields without names. An optional field begins with a byte that says which variant follows, a text
//! with its length in two bytes. Reading refuses what writing does not produce: unknown variants, and bytes at the end.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::application::Application;
use super::bound::BoundCode;
use super::own::{OwnVerifier, Pkce};
use super::pending::{ClientState, PendingAuthorization};
use crate::oauth::pkce::Useless;
use crate::oauth::{AuthorizationCode, CodeChallenge, CodeKind, Digest, RedirectDigest};

/// A kind of record.
pub(crate) trait Wire: Sized {
    /// Appends the fields. `None`: a text is longer than 65,535 bytes.
    fn write(&self, to: &mut Writer) -> Option<()>;

    /// Reads the fields. `None`: they are not what [`Wire::write`] produces.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// The bytes of a record.
pub(crate) fn to_bytes(record: &impl Wire) -> Option<Zeroizing<Vec<u8>>> {
    let mut writer = Writer(Zeroizing::new(Vec::with_capacity(256)));
    record.write(&mut writer)?;
    Some(writer.0)
}

/// The record of these bytes, which must end with it.
pub(crate) fn from_bytes<R: Wire>(bytes: &[u8]) -> Option<R> {
    let mut reader = Reader(bytes);
    let record = R::read(&mut reader)?;
    reader.0.is_empty().then_some(record)
}

pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn text(&mut self, text: &str) -> Option<()> {
        let length = u16::try_from(text.len()).ok()?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn digest(&mut self, digest: Digest) {
        self.0.extend_from_slice(digest.as_bytes());
    }

    fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> Option<()>,
    ) -> Option<()> {
        self.byte(value.is_some().into());
        value.map_or(Some(()), |value| write(self, value))
    }
}

pub(crate) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = u16::from_be_bytes(self.array()?);
        str::from_utf8(self.bytes(length.into())?).ok()
    }

    fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest::from_bytes)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether it could be read"
    )]
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }
}

impl Wire for Digest {
    fn write(&self, to: &mut Writer) -> Option<()> {
        to.digest(*self);
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.digest()
    }
}

impl Wire for u64 {
    fn write(&self, to: &mut Writer) -> Option<()> {
        to.0.extend_from_slice(&self.to_be_bytes());
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.array().map(Self::from_be_bytes)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, to: &mut Writer) -> Option<()> {
        self.0.write(to)?;
        self.1.write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

impl Wire for Application {
    fn write(&self, to: &mut Writer) -> Option<()> {
        to.digest(self.client);
        to.optional(self.redirect, |to, redirect| {
            to.digest(redirect.exact);
            to.digest(redirect.target);
            Some(())
        })?;
        to.optional(self.response_type.as_deref(), Writer::text)?;
        to.optional(self.response_mode.as_deref(), Writer::text)?;
        to.optional(self.pushed, |to, digest| digest.write(to))
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let text = |from: &mut Reader<'_>| from.text().map(Box::from);
        Some(Self {
            client: from.digest()?,
            redirect: from.optional(|from| {
                Some(RedirectDigest {
                    exact: from.digest()?,
                    target: from.digest()?,
                })
            })?,
            response_type: from.optional(text)?,
            response_mode: from.optional(text)?,
            pushed: from.optional(Digest::read)?,
        })
    }
}

/// Added to the byte of the challenge if a verifier of the gate's own follows.
const WITH_OWN: u8 = 1 << 2;

impl Wire for Pkce {
    fn write(&self, to: &mut Writer) -> Option<()> {
        let more = if self.own().is_some() { WITH_OWN } else { 0 };
        match self.challenge() {
            None => to.byte(more),
            Some(CodeChallenge::S256(hash)) => {
                to.byte(1 | more);
                to.0.extend_from_slice(hash);
            }
            Some(CodeChallenge::Plain(challenge)) => {
                to.byte(2 | more);
                to.text(challenge)?;
            }
            Some(CodeChallenge::Useless(why)) => {
                let at = Useless::ALL.iter().position(|useless| useless == why)?;
                to.byte(3 | more);
                to.byte(u8::try_from(at).ok()?);
            }
        }
        if let Some(own) = self.own() {
            to.0.extend_from_slice(own.bytes());
        }
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let byte = from.byte()?;
        let challenge = match byte & !WITH_OWN {
            0 => None,
            1 => Some(CodeChallenge::S256(from.array()?)),
            2 => Some(CodeChallenge::Plain(from.text()?.into())),
            3 => {
                let at = usize::from(from.byte()?);
                Some(CodeChallenge::Useless(*Useless::ALL.get(at)?))
            }
            _ => return None,
        };
        let own = match byte & WITH_OWN {
            0 => None,
            _ => Some(OwnVerifier::new(from.array()?)),
        };
        Some(Self::new(challenge, own))
    }
}

impl Wire for ClientState {
    fn write(&self, to: &mut Writer) -> Option<()> {
        match self {
            Self::Absent => to.byte(0),
            Self::Bare => to.byte(1),
            Self::Value(state) => {
                to.byte(2);
                to.text(state)?;
            }
            Self::InCookie => to.byte(3),
        }
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.byte()? {
            0 => Some(Self::Absent),
            1 => Some(Self::Bare),
            2 => from.text().map(Self::value),
            3 => Some(Self::InCookie),
            _ => None,
        }
    }
}

impl Wire for PendingAuthorization {
    fn write(&self, to: &mut Writer) -> Option<()> {
        self.application.write(to)?;
        Pkce::new(self.challenge.clone(), self.own.clone()).write(to)?;
        self.state.write(to)?;
        to.optional(self.browser, |to, browser| {
            to.digest(browser);
            Some(())
        })
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let application = Arc::new(Application::read(from)?);
        let pkce = Pkce::read(from)?;
        Some(Self {
            application,
            challenge: pkce.challenge().cloned(),
            own: pkce.own().cloned(),
            state: ClientState::read(from)?,
            browser: from.optional(Reader::digest)?,
        })
    }
}

impl Wire for AuthorizationCode {
    fn write(&self, to: &mut Writer) -> Option<()> {
        to.byte(match self.kind() {
            CodeKind::Authorization => 0,
            CodeKind::Device => 1,
            CodeKind::PushedRequest => 2,
        });
        to.text(self.expose())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let kind = match from.byte()? {
            0 => CodeKind::Authorization,
            1 => CodeKind::Device,
            2 => CodeKind::PushedRequest,
            _ => return None,
        };
        Self::of(kind, from.text()?)
    }
}

impl Wire for BoundCode {
    fn write(&self, to: &mut Writer) -> Option<()> {
        self.application.write(to)?;
        self.code.write(to)?;
        self.pkce.write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            application: Arc::new(Application::read(from)?),
            code: AuthorizationCode::read(from)?,
            pkce: Pkce::read(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn digests() -> impl Strategy<Value = Digest> {
        any::<[u8; 16]>().prop_map(Digest::from_bytes)
    }

    fn texts() -> impl Strategy<Value = Box<str>> {
        "[ -~é]{0,40}".prop_map(Box::from)
    }

    fn applications() -> impl Strategy<Value = Arc<Application>> {
        let redirect = (digests(), digests());
        let redirect = redirect.prop_map(|(exact, target)| RedirectDigest { exact, target });
        let all = (
            digests(),
            option::of(redirect),
            option::of(texts()),
            option::of(texts()),
            option::of(digests()),
        );
        all.prop_map(|(client, redirect, response_type, response_mode, pushed)| {
            Arc::new(Application {
                client,
                redirect,
                response_type,
                response_mode,
                pushed,
            })
        })
    }

    fn challenges() -> impl Strategy<Value = Option<CodeChallenge>> {
        option::of(prop_oneof![
            any::<[u8; 32]>().prop_map(CodeChallenge::S256),
            "[a-z]{43,128}".prop_map(|plain| CodeChallenge::Plain(plain.into())),
            (0..Useless::ALL.len()).prop_map(|at| CodeChallenge::Useless(Useless::ALL[at])),
        ])
    }

    pub(super) fn pendings() -> impl Strategy<Value = PendingAuthorization> {
        let states = prop_oneof![
            Just(ClientState::Absent),
            Just(ClientState::Bare),
            Just(ClientState::InCookie),
            texts().prop_map(ClientState::value),
        ];
        let own = option::of(any::<[u8; 32]>().prop_map(OwnVerifier::new));
        let all = (
            applications(),
            challenges(),
            own,
            states,
            option::of(digests()),
        );
        all.prop_map(
            |(application, challenge, own, state, browser)| PendingAuthorization {
                application,
                challenge,
                own,
                state,
                browser,
            },
        )
    }

    fn codes() -> impl Strategy<Value = AuthorizationCode> {
        let kinds = prop_oneof![
            Just(CodeKind::Authorization),
            Just(CodeKind::Device),
            Just(CodeKind::PushedRequest),
        ];
        let all = (kinds, "[!-~]{1,80}");
        all.prop_map(|(kind, code)| AuthorizationCode::of(kind, &code).unwrap())
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(pending in pendings(), code in codes(), at in any::<u64>()) {
            let bound = pending.bind(code);
            let bytes = to_bytes(&(at, pending.clone())).unwrap();
            prop_assert_eq!(from_bytes(&bytes), Some((at, pending)));
            let bytes = to_bytes(&bound).unwrap();
            let read: BoundCode = from_bytes(&bytes).unwrap();
            prop_assert_eq!(read.application, bound.application);
            prop_assert_eq!(read.pkce, bound.pkce);
            prop_assert_eq!(read.code.expose(), bound.code.expose());
            prop_assert_eq!(read.code.kind(), bound.code.kind());
        }

        #[test]
        fn a_record_with_missing_or_additional_bytes_is_refused(pending in pendings(), cut in any::<prop::sample::Index>()) {
            let bytes = to_bytes(&pending).unwrap();
            let (start, _) = bytes.split_at(cut.index(bytes.len()));
            prop_assert_eq!(from_bytes::<PendingAuthorization>(start), None);
            let longer = [&bytes[..], b"\0"].concat();
            prop_assert_eq!(from_bytes::<PendingAuthorization>(&longer), None);
        }

        #[test]
        fn bytes_that_are_read_are_written_the_same(bytes in prop::collection::vec(0u8..8, 0..160)) {
            if let Some(read) = from_bytes::<PendingAuthorization>(&bytes) {
                prop_assert_eq!(&to_bytes(&read).unwrap()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_text_that_does_not_fit_is_not_written() {
        let state = ClientState::value("s".repeat(1 << 16));
        assert!(to_bytes(&state).is_none());
    }
}
