//! Finding and replacing a code in what the upstream answers. Bytes in, bytes out, the rest untouched.
//!
//! A carrier reads an answer into a [`Carried`]: which handle it belongs to, which codes it carries, whether it is an
//! error. What that means is decided elsewhere; the carrier then writes the answer back with [`Replacement`].

pub mod beacon;
pub mod form_post;
pub mod html;
pub mod location;
pub mod metadata;

use memchr::memmem;

use crate::flow::{ClientState, Handle, HandleKey, Purpose};
use crate::oauth::{AuthorizationCode, Edit};

/// Whether a word stands in a text. Codes are random: looking for their first byte finds little else, and costs less than
/// preparing a search that is quick for every word. A long text, whose writer might have chosen both, gets one.
pub fn holds(text: &[u8], word: &[u8]) -> bool {
    match word.first() {
        Some(&first) if text.len() <= SHORT => memchr::memchr_iter(first, text)
            .any(|at| text.get(at..).is_some_and(|rest| rest.starts_with(word))),
        _ => memmem::find(text, word).is_some(),
    }
}

/// Bytes of a text in which even the worst word is found soon.
const SHORT: usize = 4096;

/// Whose handles an answer may carry.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// Recognises them.
    pub key: &'a HandleKey,
    /// The one that the request was sent on with: it is known when it comes back.
    pub sent: Option<&'a Handle>,
}

impl<'a> From<&'a HandleKey> for Ours<'a> {
    fn from(key: &'a HandleKey) -> Self {
        Self { key, sent: None }
    }
}

impl Ours<'_> {
    fn recognise(self, text: &str) -> Option<Handle> {
        match self.sent.filter(|sent| sent.is(Purpose::State, text)) {
            Some(sent) => Some(sent.clone()),
            None => self.key.recognise(Purpose::State, text),
        }
    }
}

/// What an answer carries, wherever it stands in it.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a parameter that is there, or not"
)]
pub struct Carried {
    /// Handles among the `state` values.
    pub handles: Vec<Handle>,
    /// Values of `state`, `None` for a parameter without a value. Needed where nothing is rewritten.
    pub state: Option<String>,
    /// Distinct values of `code`.
    pub codes: Vec<AuthorizationCode>,
    /// `access_token`: implicit and hybrid responses.
    pub access_token: bool,
    /// `id_token`: likewise.
    pub id_token: bool,
    /// `response`: a JARM answer, whose inside is not read.
    pub signed: bool,
    /// `error`.
    pub error: bool,
    /// `iss` (RFC 9207).
    pub issuer: Option<String>,
}

impl Carried {
    /// Takes a parameter of an answer in.
    fn take(&mut self, ours: Ours<'_>, name: &str, value: &str) {
        match name {
            "state" => {
                self.handles.extend(
                    ours.recognise(value)
                        .filter(|new| !self.handles.contains(new)),
                );
                self.state = Some(value.to_owned());
            }
            "code" => {
                let known = |new: &AuthorizationCode| {
                    self.codes.iter().any(|code| code.expose() == new.expose())
                };
                let code = AuthorizationCode::new(value).filter(|new| !known(new));
                self.codes.extend(code);
            }
            "access_token" => self.access_token = true,
            "id_token" => self.id_token = true,
            "response" => self.signed = true,
            "error" => self.error = true,
            "iss" => self.issuer = Some(value.to_owned()),
            _ => {}
        }
    }

    /// Whether it looks like an authorization response at all.
    pub fn is_response(&self) -> bool {
        self.error || self.has_tokens() || self.signed || !self.codes.is_empty()
    }

    /// Whether it carries a token of either kind.
    pub fn has_tokens(&self) -> bool {
        self.access_token || self.id_token
    }
}

/// What goes in place of the upstream's values.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// The handle that stands in `state` now.
    pub handle: &'a Handle,
    /// In place of it.
    pub state: &'a ClientState,
    /// In place of the code, where there is one.
    pub code: Option<&'a Handle>,
}

impl<'a> Replacement<'a> {
    /// What becomes of a parameter of the answer.
    fn edit(&self, name: &str, value: &str) -> Edit<'a> {
        match (name, self.code) {
            ("state", _) if value == self.handle.expose() => match self.state {
                ClientState::Absent => Edit::Drop,
                ClientState::Bare => Edit::Bare,
                ClientState::Value(state) => Edit::Value(state.as_ref().into()),
            },
            ("code", Some(code)) if !value.is_empty() => Edit::Value(code.expose().into()),
            _ => Edit::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_word_is_found_wherever_it_stands(
            text in "[ab]{0,24}",
            word in "[ab]{0,5}",
            far in prop_oneof![Just(0), SHORT - 12..SHORT + 12],
        ) {
            let text = [&vec![b'b'; far], text.as_bytes()].concat();
            let slowly = word.is_empty() || text.windows(word.len()).any(|part| part == word.as_bytes());
            prop_assert_eq!(holds(&text, word.as_bytes()), slowly);
        }
    }
}
