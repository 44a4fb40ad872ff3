//! Classifies requests on an authorization path: a fresh authorization request, the continuation of a sign-in, or a form of the
//! server's own. Nine of thirteen real servers POST logins or consents to the authorization path itself: with the query, without
//! it, or with every parameter as a hidden field.

use crate::oauth::Ambiguous;
use crate::oauth::authorize::{AuthorizationRequest, PROTECTED, is_own_parameter};
use crate::oauth::params::{Duplicate, Malformed, Pair, append_pair};
use crate::oauth::{CodeChallenge, Edit, Params, ResponseType, request_object};

use super::{ClientState, Handle, HandleKey, OwnVerifier, PendingAuthorization, Purpose};

/// The parameters of one request on an authorization path.
#[derive(Debug)]
pub struct Submission<'a> {
    query: Params<'a>,
    form: Option<Params<'a>>,
}

/// The part of a request that contains the parameters of a fresh authorization request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Query,
    /// The body.
    Form,
}

/// Why a request on an authorization path cannot be parsed unambiguously.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Invalid encoding.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Duplicates, lookalike names, parameters in two places.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// A request object that cannot be read.
    #[error(transparent)]
    Object(#[from] request_object::Refused),
    /// The request contains handles of two sign-ins.
    #[error("the request belongs to two sign-ins at once")]
    SeveralHandles,
}

impl From<Duplicate> for Doubt {
    fn from(duplicate: Duplicate) -> Self {
        Self::Ambiguous(duplicate.into())
    }
}

/// The PKCE parameters that the upstream gets.
#[derive(Debug, Clone, Copy)]
pub enum Towards<'a> {
    /// The recorded challenge and its method, in place of what was sent.
    Forward(&'a CodeChallenge),
    /// None.
    Strip,
    /// Those that were sent: no challenge was recorded.
    AsSent,
}

/// The name of the parameter that names the cookie of a sign-in ([`Sign::Mark`]). It is the gate's own and never reaches the
/// upstream.
pub(crate) const MARK: &str = "pkce_gate";

/// By what the requests and answers of a sign-in are recognised.
#[derive(Debug, Clone, Copy)]
pub enum Sign<'a> {
    /// The handle in `state`, in place of the client's.
    State(&'a Handle),
    /// A cookie, which [`MARK`] names in the URL of the authorization endpoint. The client's `state` stays.
    Mark { handle: &'a Handle, mark: &'a str },
}

impl<'a> Sign<'a> {
    pub fn handle(self) -> &'a Handle {
        match self {
            Self::State(handle) | Self::Mark { handle, .. } => handle,
        }
    }
}

/// The rewritten parts of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The query, without `?`.
    pub query: Vec<u8>,
    /// The body, if the request had a form.
    pub form: Option<Vec<u8>>,
}

impl Rewritten {
    /// The query of a redirect for a fresh request in this part, with the mark if that is the sign.
    pub fn as_query(&self, part: Part, sign: Sign<'_>) -> Vec<u8> {
        let mut query = match (part, &self.form) {
            (Part::Form, Some(form)) => joined(self.query.clone(), form),
            (Part::Form | Part::Query, _) => self.query.clone(),
        };
        if let Sign::Mark { mark, .. } = sign {
            append_pair(&mut query, MARK, mark);
        }
        query
    }
}

impl<'a> Submission<'a> {
    /// Parses both parts. Names must decode, and must not be lookalikes of protected ones. Values of fields that are not
    /// protected need not decode.
    pub fn read(query: &'a [u8], form: Option<&'a [u8]>, limit: usize) -> Result<Self, Doubt> {
        let query = Params::survey(query, limit)?;
        let form = form.map(|form| Params::survey(form, limit)).transpose()?;
        for part in std::iter::once(&query).chain(&form) {
            if let Some(name) = part.folded_collision(&PROTECTED) {
                return Err(Ambiguous::Folded(name).into());
            }
            if part.is_padded("client_id") {
                return Err(Ambiguous::PaddedClient.into());
            }
            if part
                .iter()
                .any(|pair| !pair.is_decoded() && PROTECTED.contains(&pair.name()))
            {
                return Err(Malformed::Encoding.into());
            }
        }
        // A request target is ASCII (RFC 3986); servers differ in how they read other bytes.
        if query
            .iter()
            .any(|pair| !pair.raw().is_ascii() && PROTECTED.contains(&pair.name()))
        {
            return Err(Malformed::Encoding.into());
        }
        Ok(Self { query, form })
    }

    fn parts(&self) -> impl Iterator<Item = &Params<'a>> {
        std::iter::once(&self.query).chain(&self.form)
    }

    /// The handle among the `state` values, live or dead.
    pub fn handle(&self, key: &HandleKey) -> Result<Option<Handle>, Doubt> {
        let mut found: Option<Handle> = None;
        for pair in self.parts().flat_map(|part| part.all("state")) {
            let Some(handle) = key.recognise(Purpose::State, pair.value()) else {
                continue;
            };
            if found.as_ref().is_some_and(|known| *known != handle) {
                return Err(Doubt::SeveralHandles);
            }
            found = Some(handle);
        }
        Ok(found)
    }

    /// The value of [`MARK`] in a request that begins no sign-in by itself: it has no challenge.
    pub fn mark(&self) -> Option<&str> {
        let begins = |part: &Params<'_>| {
            part.contains("code_challenge") || part.contains("code_challenge_method")
        };
        if self.parts().any(begins) {
            return None;
        }
        self.query.all(MARK).next().map(Pair::value)
    }

    /// The `request_uri` of a request that continues a pushed one. `None`: there is none that a server would not fetch.
    pub fn request_uri(&self) -> Option<&str> {
        let mut all = self.parts().flat_map(|part| part.all("request_uri"));
        all.find_map(|pair| is_urn(pair.value()).then_some(pair.value()))
    }

    /// Checks that the protected parameters of a continuation are equal to its record. Forms of servers also contain values that
    /// the client omitted: the default response mode, and the registered redirect URI. These are allowed. `pushed`: the
    /// `request_uri` with which the sign-in began, which servers repeat.
    pub fn continues(
        &self,
        handle: &Handle,
        record: &PendingAuthorization,
        pushed: Option<&str>,
    ) -> Result<(), &'static str> {
        for part in self.parts() {
            for name in PROTECTED {
                if part.all(name).nth(1).is_some() {
                    return Err(name);
                }
            }
            for pair in part.iter().filter(|pair| !pair.value().is_empty()) {
                let value = pair.value();
                let same = match pair.name() {
                    "client_id" => {
                        crate::oauth::ClientId::new(value).digest() == record.application.client
                    }
                    "redirect_uri" => record
                        .application
                        .redirect
                        .is_none_or(|redirect| redirect.is(value)),
                    "response_type" => {
                        record
                            .application
                            .response_type
                            .as_deref()
                            .is_some_and(|asked| {
                                asked == value
                                    || ResponseType::parse(asked) == ResponseType::parse(value)
                            })
                    }
                    "response_mode" => record.application.has_mode(value),
                    "state" => value == handle.expose() || record.state.as_str() == Some(value),
                    "code_challenge" => is_challenge_of(record, value),
                    "request_uri" => pushed == Some(value),
                    "request" => false,
                    _ => true,
                };
                if !same {
                    let name = PROTECTED.into_iter().find(|name| *name == pair.name());
                    return Err(name.unwrap_or("a parameter"));
                }
            }
        }
        Ok(())
    }

    /// The part that contains a fresh authorization request. `None`: this is not one.
    ///
    /// A POST form with `request` or `request_uri` is not one if it has no `client_id` and no `response_type`, and has fields
    /// that authorization requests do not have. It is a form of the server's own with a field of that name: an authorization
    /// request has `client_id` and `response_type` beside a request object, too (RFC 9101 section 5).
    pub fn fresh(&self, is_get: bool) -> Result<Option<Part>, Ambiguous> {
        let named = |name: &str| self.parts().any(|part| part.contains(name));
        let own_form = !is_get && !named("client_id") && !named("response_type");
        let has_object =
            |part: &Params<'_>| part.contains("request") || part.contains("request_uri");
        let in_form = self.form.as_ref().is_some_and(|form| {
            has_object(form) && form.iter().any(|pair| !is_own_parameter(pair.name()))
        });
        let names_client = is_get && self.query.contains("client_id");
        let begins = |part: &Params<'_>| part.contains("response_type") || has_object(part);
        if own_form && in_form && !has_object(&self.query) {
            return Ok(None);
        }
        if !names_client && !self.parts().any(begins) {
            return Ok(None);
        }
        let protected =
            |part: &Params<'_>| part.iter().any(|pair| PROTECTED.contains(&pair.name()));
        match &self.form {
            None => Ok(Some(Part::Query)),
            Some(form) if !protected(form) => Ok(Some(Part::Query)),
            Some(_) if !protected(&self.query) => Ok(Some(Part::Form)),
            Some(form) if begins(&self.query) && self.repeats_query(form) => Ok(Some(Part::Query)),
            Some(_) => Err(Ambiguous::Split),
        }
    }

    /// Whether every protected pair of the form has an equal copy in the query.
    fn repeats_query(&self, form: &Params<'_>) -> bool {
        form.iter()
            .filter(|pair| PROTECTED.contains(&pair.name()))
            .all(|pair| {
                let mut copies = self.query.all(pair.name()).peekable();
                copies.peek().is_some() && copies.all(|copy| copy.value() == pair.value())
            })
    }

    /// The part that holds the fresh request.
    pub fn part(&self, part: Part) -> &Params<'a> {
        match (part, &self.form) {
            (Part::Form, Some(form)) => form,
            (Part::Form | Part::Query, _) => &self.query,
        }
    }

    /// Parses the fresh request in this part. All of its values must decode.
    pub fn request(&self, part: Part) -> Result<AuthorizationRequest<'_>, Doubt> {
        let params = self.part(part);
        if params.iter().any(|pair| !pair.is_decoded()) {
            return Err(Malformed::Encoding.into());
        }
        Ok(AuthorizationRequest::parse(params)?)
    }

    /// The client's own state in a fresh request.
    pub fn client_state(&self, part: Part) -> ClientState {
        match self.part(part).all("state").next() {
            None => ClientState::Absent,
            Some(pair) if !pair.has_equals() => ClientState::Bare,
            Some(pair) => ClientState::value(pair.value()),
        }
    }

    /// Whether the request has only parameters of an authorization request, so that it may be answered with a redirect. `own`:
    /// the names of parameters in the query of the endpoint's URL, which are allowed as well.
    pub fn is_pure_request(&self, own: &[String]) -> bool {
        let of_endpoint = self.query.iter().filter(|pair| {
            let name = pair.name();
            !own.iter().any(|own| own == name)
        });
        let form = self.form.iter().flat_map(Params::iter);
        of_endpoint
            .chain(form)
            .all(|pair| is_own_parameter(pair.name()))
    }

    /// Whether the request asks for no user interaction: `prompt=none` without other values (OpenID Connect Core section
    /// 3.1.2.1).
    pub fn is_silent(&self) -> bool {
        let mut prompts = self.parts().flat_map(|part| part.all("prompt")).peekable();
        prompts.peek().is_some() && prompts.all(|pair| pair.value() == "none")
    }

    /// The first redirect URI.
    pub fn redirect_uri(&self) -> Option<&str> {
        let mut all = self.parts().flat_map(|part| part.all("redirect_uri"));
        all.next().map(Pair::value).filter(|uri| !uri.is_empty())
    }

    /// The query of the redirect for a fresh request: without PKCE parameters, and with the handle as `state`, or with the mark.
    pub fn entry_query(&self, part: Part, sign: Sign<'_>) -> Vec<u8> {
        let request = self.part(part).edit(|pair| match (pair.name(), sign) {
            ("code_challenge" | "code_challenge_method" | "code_verifier", _)
            | (MARK, Sign::Mark { .. }) => Edit::Drop,
            ("state", Sign::State(handle)) => Edit::Value(handle.expose().into()),
            _ => Edit::Keep,
        });
        let mut query = match part {
            Part::Query => request,
            Part::Form => joined(self.query.edit(|_| Edit::Keep), &request),
        };
        match sign {
            Sign::State(handle) if !self.part(part).contains("state") => {
                append_pair(&mut query, "state", handle.expose());
            }
            Sign::State(_) => {}
            Sign::Mark { mark, .. } => append_pair(&mut query, MARK, mark),
        }
        query
    }

    /// Both parts for the upstream after a pushed request, which has this `request_uri` there. What was pushed counts, so of the
    /// other protected parameters only `client_id` is kept.
    pub fn towards_pushed(
        &self,
        sign: Option<Sign<'_>>,
        part: Part,
        request_uri: &str,
    ) -> Rewritten {
        let write = |params: &Params<'_>, this: Part| {
            let mut out = params.edit(|pair| match pair.name() {
                "client_id" => Edit::Keep,
                "request_uri" => Edit::Value(request_uri.into()),
                name if name == MARK || PROTECTED.contains(&name) => Edit::Drop,
                _ => Edit::Keep,
            });
            if let (Some(Sign::State(handle)), true) = (sign, this == part) {
                append_pair(&mut out, "state", handle.expose());
            }
            out
        };
        Rewritten {
            query: write(&self.query, Part::Query),
            form: self.form.as_ref().map(|form| write(form, Part::Form)),
        }
    }

    /// Both parts for the upstream: every `state` becomes the handle if that is the sign, PKCE parameters as in `pkce`, the rest
    /// unchanged. `fresh`: the part with a fresh request; it gets a `state` if the client sent none.
    pub fn towards_upstream(
        &self,
        sign: Sign<'_>,
        fresh: Option<Part>,
        pkce: Towards<'_>,
    ) -> Rewritten {
        let write = |params: &Params<'_>, this: Part| {
            let mut out = params.edit(|pair| edit_for_upstream(pair.name(), sign, pkce));
            if let Sign::State(handle) = sign
                && fresh == Some(this)
                && !params.contains("state")
            {
                append_pair(&mut out, "state", handle.expose());
            }
            let is_request = params.contains("response_type")
                || (this == Part::Query && params.contains("client_id"));
            // What was pushed has its challenge.
            let is_request = is_request && !params.contains("request_uri");
            if let (Towards::Forward(challenge), true) = (pkce, is_request) {
                if !params.contains("code_challenge") {
                    append_pair(&mut out, "code_challenge", &challenge.encoded());
                }
                if !params.contains("code_challenge_method") {
                    let method = challenge.method().as_str();
                    append_pair(&mut out, "code_challenge_method", method);
                }
            }
            out
        };
        Rewritten {
            query: write(&self.query, Part::Query),
            form: self.form.as_ref().map(|form| write(form, Part::Form)),
        }
    }
}

/// A form that becomes a query: the query of the endpoint's URL is kept.
fn joined(mut query: Vec<u8>, form: &[u8]) -> Vec<u8> {
    if !query.is_empty() && !form.is_empty() {
        query.push(b'&');
    }
    query.extend_from_slice(form);
    query
}

/// Whether a `request_uri` is the name of a pushed request (RFC 9126 section 2.2), and no address from which a server could fetch a
/// request object.
pub(crate) fn is_urn(uri: &str) -> bool {
    uri.get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"))
}

/// Whether a sign-in may go on with this challenge: the client's own, or the one that the upstream got and repeats in its forms.
fn is_challenge_of(record: &PendingAuthorization, value: &str) -> bool {
    let recorded = record.challenge.as_ref().and_then(CodeChallenge::useful);
    let of_gate = record.own.as_ref().map(OwnVerifier::challenge);
    recorded.is_none_or(|challenge| challenge.encoded() == value)
        || of_gate.is_some_and(|challenge| challenge.encoded() == value)
}

fn edit_for_upstream<'e>(name: &str, sign: Sign<'e>, pkce: Towards<'e>) -> Edit<'e> {
    match (name, sign) {
        ("state", Sign::State(handle)) => return Edit::Value(handle.expose().into()),
        (MARK, Sign::Mark { .. }) => return Edit::Drop,
        _ => {}
    }
    match (name, pkce) {
        ("code_verifier", _) | ("code_challenge" | "code_challenge_method", Towards::Strip) => {
            Edit::Drop
        }
        ("code_challenge", Towards::Forward(challenge)) => Edit::Value(challenge.encoded()),
        ("code_challenge_method", Towards::Forward(challenge)) => {
            Edit::Value(challenge.method().as_str().into())
        }
        _ => Edit::Keep,
    }
}

#[cfg(test)]
mod tests;
