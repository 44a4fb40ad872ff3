//! The trait of carriers, and the result of reading one.

use std::borrow::Cow;

use crate::flow::{ClientState, Handle, HandleKey, Purpose};
use crate::oauth::{AuthorizationCode, Edit};

use super::credentials::Credentials;
use super::jarm;

/// A part of an answer that can carry a code to a client.
pub trait Carrier: Send + Sync {
    /// Scheme, authority and path of the URL that it leads to.
    fn target(&self) -> Cow<'_, str>;
    /// The whole URL that it leads to.
    fn url(&self) -> Cow<'_, str>;
    /// Whether it is a URL. If not, its value is the code itself.
    fn has_url(&self) -> bool {
        true
    }
    /// Reads its parameters.
    fn read(&self, ours: Ours<'_>) -> Carried;
    /// Rewrites it with the client's own state, and a handle in place of the code.
    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten;
}

/// A rewritten carrier.
#[derive(Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// The value of the `Location`.
    Location(Vec<u8>),
    /// The whole body, an HTML page.
    Body(Vec<u8>),
    /// The whole body, a JSON document.
    Document(Vec<u8>),
}

impl Rewritten {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Location(bytes) | Self::Body(bytes) | Self::Document(bytes) => bytes,
        }
    }
}

/// How to recognise handles in an answer.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// The key of the upstream's handles.
    pub key: &'a HandleKey,
    /// The handle that the request was forwarded with. Recognising it needs no hash.
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

/// The most handles and codes that are kept: two suffice to show that there are several.
pub(super) const SEVERAL: usize = 2;

impl Carried {
    /// Adds a parameter.
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
            _ if jarm::is_name(name) => self.take_signed(ours, value),
            _ if !value.is_empty() => self.take_lookalike(name),
            _ => {}
        }
    }

    /// Adds a response in a JWT, with its claims.
    pub(super) fn take_signed(&mut self, ours: Ours<'_>, value: &str) {
        self.signed |= jarm::is_response(value);
        self.signed_credential |= jarm::may_hold_credential(value);
        let Some(claims) = jarm::claims(value).filter(|_| jarm::is_response(value)) else {
            return;
        };
        self.signed_is_read = true;
        for (name, value) in &claims {
            if let (false, Some(value)) = (jarm::is_name(name), value.as_str()) {
                self.take(ours, name, value);
            }
        }
    }

    /// Adds a parameter whose name some client may take for that of a credential.
    fn take_lookalike(&mut self, name: &str) {
        let credentials = Credentials::of(name);
        self.lookalike |= credentials.code;
        self.access_token |= credentials.access_token;
        self.id_token |= credentials.id_token;
    }

    /// Whether it looks like an authorization response.
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

/// The values that replace those of the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// The handle in `state`, which is replaced.
    pub handle: &'a Handle,
    /// The client's own state, which replaces it.
    pub state: &'a ClientState,
    /// The code and the handle that replaces it. `None`: the answer has no code.
    pub code: Option<(&'a AuthorizationCode, &'a Handle)>,
    /// The parameters with these names are left out.
    pub without: &'a [&'a str],
    /// `iss` (RFC 9207), which is added beside the state. `None`: the answer has one, or needs none.
    pub issuer: Option<&'a str>,
}

impl<'a> Replacement<'a> {
    /// The issuer to add beside a parameter.
    pub(super) fn issuer_beside(&self, name: &str, value: &str) -> Option<&'a str> {
        let is_state = name == "state" && value == self.handle.expose();
        self.issuer.filter(|_| is_state)
    }

    /// The edit for a parameter of the answer.
    pub(super) fn edit(&self, name: &str, value: &str) -> Edit<'a> {
        match (name, self.code) {
            _ if self.without.contains(&name) => Edit::Drop,
            ("state", _) if value == self.handle.expose() => match self.state {
                // One in a cookie is read before the answer is rewritten.
                ClientState::Absent | ClientState::InCookie => Edit::Drop,
                ClientState::Bare => Edit::Bare,
                ClientState::Value(state) => Edit::Value((&***state).into()),
            },
            // Under any name: the answer may repeat the code.
            (_, Some((code, ours))) if value == code.expose() => Edit::Value(ours.expose().into()),
            _ => Edit::Keep,
        }
    }
}

/// The parameters of a carrier that matter to the gate.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says whether a parameter is present"
)]
pub struct Carried {
    /// Handles among the `state` values, two at most.
    pub handles: Vec<Handle>,
    /// The value of `state`. Needed to find the sign-in when nothing is rewritten.
    pub state: Option<String>,
    /// Distinct values of `code`, two at most.
    pub codes: Vec<AuthorizationCode>,
    /// A parameter whose name some client takes for `code`.
    pub lookalike: bool,
    /// `access_token` (implicit and hybrid responses).
    pub access_token: bool,
    /// `id_token` (implicit and hybrid responses).
    pub id_token: bool,
    /// A token is in the fragment, which only a client reads.
    pub in_fragment: bool,
    /// `token_type`, `expires_in` or `state`, which accompany a token in a response.
    pub token_company: bool,
    /// A JARM response, in which nothing can be replaced. The other members include its claims.
    pub signed: bool,
    /// A JARM response whose claims were read.
    pub signed_is_read: bool,
    /// A JARM response that contains a code or a token, or that cannot be read.
    pub signed_credential: bool,
    /// A possible code or token in a part that cannot be parsed.
    pub unread: bool,
    /// `error`.
    pub error: bool,
    /// `iss` (RFC 9207).
    pub issuer: Option<String>,
}
