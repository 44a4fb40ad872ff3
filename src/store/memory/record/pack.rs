//! Packing records.

use super::layout::{
    HEAD, KEY, LATEST, SHAPE, STATE, Shape, State, WITH_REDIRECT, WITHOUT_REDIRECT,
};
use crate::clock::Timestamp;
use crate::flow::{ClientState, PendingAuthorization};
use crate::oauth::pkce::Useless;
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};
use crate::store::memory::network::NetworkName;
use crate::store::memory::origin::{Origin, OriginName};
use crate::store::memory::wipe::Secret;

#[derive(Debug, Clone, Copy)]
pub(in crate::store::memory) struct Head {
    pub(in crate::store::memory) key: Digest,
    pub(in crate::store::memory) deadline: Timestamp,
    pub(in crate::store::memory) origin: OriginName,
    pub(in crate::store::memory) network: NetworkName,
}

pub(in crate::store::memory) fn packed_length(
    origin: OriginName,
    pending: &PendingAuthorization,
) -> usize {
    let prefixed = |text: &str| text.len() + 4;
    let origin = match origin {
        OriginName::Number(_) => 0,
        OriginName::Itself(origin) if origin.redirect.is_some() => 48,
        OriginName::Itself(_) => 16,
    };
    let challenge = match &pending.challenge {
        None => 0,
        Some(CodeChallenge::S256(hash)) => hash.len(),
        Some(CodeChallenge::Plain(challenge)) => prefixed(challenge),
        Some(CodeChallenge::Useless(_)) => 1,
    };
    let response_type = match pending.response_type.as_deref() {
        None | Some("code") => 0,
        Some(text) => prefixed(text),
    };
    let response_mode = pending.response_mode.as_deref().map_or(0, prefixed);
    let browser = pending
        .browser
        .map_or(0, |browser| browser.as_bytes().len());
    let state = pending.state.as_str().map_or(0, str::len);
    HEAD + origin + browser + challenge + response_type + response_mode + state
}

/// Packs a pending authorization. `None`: a text is longer than 4 GB.
pub(in crate::store::memory) fn pack_pending(
    state: State,
    head: Head,
    pending: &PendingAuthorization,
) -> Option<Secret> {
    let response_type = pending
        .response_type
        .as_deref()
        .filter(|text| *text != "code");
    let response_mode = pending.response_mode.as_deref();
    let own = pending.state.as_str().unwrap_or_default();
    let prefixed = |text: Option<&str>| text.map_or(0, |text| text.len() + 4);
    let length = prefixed(response_type) + prefixed(response_mode) + own.len();
    let challenge = pending.challenge.as_ref();
    let mut writer = Writer::new(state, head, pending.browser, challenge, length)?;
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

/// Packs a code. `None`: a text is longer than 4 GB.
pub(in crate::store::memory) fn pack_code(
    head: Head,
    challenge: Option<&CodeChallenge>,
    code: &AuthorizationCode,
) -> Option<Secret> {
    let code = code.expose().as_bytes();
    let mut writer = Writer::new(State::Bound, head, None, challenge, code.len())?;
    writer.bytes.0.extend_from_slice(code);
    Some(writer.finish())
}

pub(in crate::store::memory) fn pack_trace(head: Head, sign_in: Digest) -> Option<Secret> {
    Writer::new(State::Trace, head, Some(sign_in), None, 0).map(Writer::finish)
}

/// Writes a record. Never exceeds its initial capacity: a reallocation would leave an unwiped copy behind.
struct Writer {
    bytes: Secret,
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
            Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => 0,
        };
        // 48 for the origin, 16 for the digest, 32 or 4 for the challenge.
        let bytes = Vec::with_capacity(HEAD + 48 + 16 + 32 + plain + texts);
        let mut writer = Self {
            bytes: Secret(bytes),
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
            Some(CodeChallenge::Useless(why)) => {
                let at = Useless::ALL.iter().position(|one| one == why)?;
                writer.part(Shape::USELESS, &[u8::try_from(at).ok()?]);
            }
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
            network,
        }: Head,
    ) {
        let millis = deadline.as_millis().min(LATEST).to_le_bytes();
        self.bytes.0.extend_from_slice(key.as_bytes());
        self.bytes.0.extend(millis.iter().take(STATE - KEY));
        // Zero counts, and the shape, which is known at the end.
        self.bytes.0.extend_from_slice(&[state.to_byte(), 0, 0]);
        let (number, itself) = match origin {
            OriginName::Number(number) => (number, None),
            OriginName::Itself(origin) if origin.redirect.is_some() => {
                (WITH_REDIRECT, Some(origin))
            }
            OriginName::Itself(origin) => (WITHOUT_REDIRECT, Some(origin)),
        };
        self.bytes.0.extend_from_slice(&number.to_le_bytes());
        self.bytes.0.extend_from_slice(&network.to_bytes());
        let Some(Origin { client, redirect }) = itself else {
            return;
        };
        self.bytes.0.extend_from_slice(client.as_bytes());
        if let Some((exact, target)) = redirect.map(RedirectDigest::to_parts) {
            self.bytes.0.extend_from_slice(exact.as_bytes());
            self.bytes.0.extend_from_slice(target.as_bytes());
        }
    }

    fn part(&mut self, part: u8, bytes: &[u8]) {
        self.shape.0 |= part;
        self.bytes.0.extend_from_slice(bytes);
    }

    fn text(&mut self, part: u8, text: &str) -> Option<()> {
        self.part(part, &u32::try_from(text.len()).ok()?.to_le_bytes());
        self.bytes.0.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn finish(mut self) -> Secret {
        if let Some(shape) = self.bytes.0.get_mut(SHAPE) {
            *shape = self.shape.0;
        }
        self.bytes
    }
}
