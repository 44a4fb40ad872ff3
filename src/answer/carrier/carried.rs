//! What a carrier is, and what it carries.

use std::borrow::Cow;

use crate::flow::{ClientState, Handle, HandleKey, Purpose};
use crate::oauth::{AuthorizationCode, Edit};

use super::credentials::Credentials;
use super::jarm;

/// A place in an answer in which a code travels to a client.
pub trait Carrier: Send + Sync {
    /// Scheme, authority and path of where it leads.
    fn target(&self) -> Cow<'_, str>;
    /// All of where it leads.
    fn url(&self) -> Cow<'_, str>;
    /// What it carries.
    fn read(&self, ours: Ours<'_>) -> Carried;
    /// Itself, with the client's own state, and our handle in place of the code.
    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        self.rewrite_without(replacement, &[])
    }
    /// The same without the parameters of these names.
    fn rewrite_without(&self, replacement: Replacement<'_>, without: &[&str]) -> Rewritten;
}

/// A carrier with a code replaced.
#[derive(Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// A `Location`.
    Location(Vec<u8>),
    /// A body.
    Body(Vec<u8>),
}

impl Rewritten {
    /// The bytes that go out.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Location(bytes) | Self::Body(bytes) => bytes,
        }
    }
}

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

/// More of a kind than two say no more than two.
pub(super) const SEVERAL: usize = 2;

impl Carried {
    /// Takes a parameter of an answer in.
    pub(super) fn take(&mut self, ours: Ours<'_>, name: &str, value: &str) {
        match name {
            "state" => {
                self.token_company = true;
                if self.handles.len() < SEVERAL {
                    let known = |new: &Handle| self.handles.contains(new);
                    let new = ours.recognise(value).filter(|new| !known(new));
                    self.handles.extend(new);
                }
                self.state = Some(value.to_owned());
            }
            "code" => {
                let known = |new: &AuthorizationCode| {
                    self.codes.iter().any(|code| code.expose() == new.expose())
                };
                if self.codes.len() < SEVERAL {
                    let code = AuthorizationCode::new(value).filter(|new| !known(new));
                    self.codes.extend(code);
                }
            }
            "access_token" => self.access_token |= !value.is_empty(),
            "id_token" => self.id_token |= !value.is_empty(),
            "token_type" | "expires_in" => self.token_company = true,
            "error" => self.error |= !value.is_empty(),
            "iss" => self.issuer = Some(value.to_owned()),
            _ if jarm::is_name(name) => self.take_signed(value),
            _ if !value.is_empty() => self.take_lookalike(name),
            _ => {}
        }
    }

    pub(super) fn take_signed(&mut self, value: &str) {
        self.signed |= jarm::is_response(value);
        self.signed_credential |= jarm::may_hold_credential(value);
    }

    /// Clients are as forgiving as servers about names.
    fn take_lookalike(&mut self, name: &str) {
        let credentials = Credentials::of(name);
        self.lookalike |= credentials.code;
        self.access_token |= credentials.access_token;
        self.id_token |= credentials.id_token;
    }

    /// Whether it looks like an authorization response at all.
    pub fn is_response(&self) -> bool {
        self.error || self.signed || self.has_credential()
    }

    /// Whether it carries a code or a token.
    pub fn has_credential(&self) -> bool {
        self.has_tokens() || self.lookalike || self.unread || !self.codes.is_empty()
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
    /// The code, and what goes in its place, where there is one.
    pub code: Option<(&'a AuthorizationCode, &'a Handle)>,
}

impl<'a> Replacement<'a> {
    /// What becomes of a parameter of the answer.
    pub(super) fn edit(&self, name: &str, value: &str, without: &[&str]) -> Edit<'a> {
        match (name, self.code) {
            _ if without.contains(&name) => Edit::Drop,
            ("state", _) if value == self.handle.expose() => match self.state {
                ClientState::Absent => Edit::Drop,
                ClientState::Bare => Edit::Bare,
                ClientState::Value(state) => Edit::Value(state.as_ref().into()),
            },
            // Under whatever name it stands there once more.
            (_, Some((code, ours))) if value == code.expose() => Edit::Value(ours.expose().into()),
            _ => Edit::Keep,
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
    /// Handles among the `state` values, two at most.
    pub handles: Vec<Handle>,
    /// Values of `state`, `None` for a parameter without a value. Needed where nothing is rewritten.
    pub state: Option<String>,
    /// Distinct values of `code`, two at most.
    pub codes: Vec<AuthorizationCode>,
    /// A name that some client takes for `code`.
    pub lookalike: bool,
    /// `access_token`: implicit and hybrid responses.
    pub access_token: bool,
    /// `id_token`: likewise.
    pub id_token: bool,
    /// A token stands in a fragment, where only a client reads it.
    pub in_fragment: bool,
    /// `token_type`, `expires_in` or `state`: what goes with a token in a response.
    pub token_company: bool,
    /// A JARM answer, in which nothing can be replaced.
    pub signed: bool,
    /// The same, with a code or a token inside, or with what cannot be read.
    pub signed_credential: bool,
    /// What looks like a code or a token, in a part that cannot be read.
    pub unread: bool,
    /// `error`.
    pub error: bool,
    /// `iss` (RFC 9207).
    pub issuer: Option<String>,
}
