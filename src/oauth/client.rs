//! The client of a token request: from Basic credentials, the body, or a client assertion (RFC 6749 section 2.3, RFC
//! 7523).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::params::{Duplicate, Params, decode, pairs_loosely, text_of};
use super::{Digest, json};

/// A client identifier: public, printable, unique at its server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    id: String,
    digest: Digest,
}

impl ClientId {
    pub fn new(id: &str) -> Self {
        Self::from(id.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The key under which stores and rules look the client up.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl From<String> for ClientId {
    fn from(id: String) -> Self {
        let digest = Digest::remembered("client_id", &id, |id| {
            Digest::of("client_id", &[id.as_bytes()])
        });
        Self { id, digest }
    }
}

/// The client that a token request names. RFC 6749 section 2.3.1 requires the Basic user name to be form-encoded, but
/// many servers do not decode it; so both readings are kept, and either may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    id: ClientId,
    other: Option<ClientId>,
}

/// Why the client of a token request cannot be determined. A request must name its client unambiguously, because
/// servers choose differently between several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientProblem {
    #[error("two places name different clients")]
    Disagreement,
    /// A client secret in the body beside an Authorization header.
    #[error("the client uses more than one authentication method")]
    TwoMethods,
    /// The Basic credentials are not base64, not UTF-8, or without a colon.
    #[error("the Basic credentials are malformed")]
    Basic,
    /// The assertion is not a JWT with a string `sub`.
    #[error("the client assertion is malformed")]
    Assertion,
    #[error("a client parameter occurs more than once")]
    Duplicate(#[from] Duplicate),
}

impl ClientIdentity {
    /// Reads the client from the value of the `Authorization` header and from the body. `None`: the request names no
    /// client.
    pub fn read(
        authorization: Option<&[u8]>,
        params: &Params<'_>,
    ) -> Result<Option<Self>, ClientProblem> {
        let basic = authorization.and_then(basic_credentials).transpose()?;
        let asserted = assertion_subject(params)?;
        let named = params.one("client_id")?;
        if basic.is_some() && (params.one("client_secret")?.is_some() || asserted.is_some()) {
            return Err(ClientProblem::TwoMethods);
        }
        let mut identity = basic;
        for id in [named.map(str::to_owned), asserted].into_iter().flatten() {
            let id = ClientId::from(id);
            match identity {
                Some(known) if !known.may_be(id.digest()) => {
                    return Err(ClientProblem::Disagreement);
                }
                Some(_) | None => identity = Some(Self::named(id)),
            }
        }
        Ok(identity)
    }

    /// Reads the client of a grant without a code. Its assertion may have another subject than the client (a workload
    /// that acts for it, as Microsoft Entra allows), or one that only the server can read (SAML, encrypted).
    pub fn read_for_other_grant(
        authorization: Option<&[u8]>,
        params: &Params<'_>,
    ) -> Result<Option<Self>, ClientProblem> {
        let read = Self::read(authorization, params);
        let is_about_assertion = matches!(
            read,
            Err(ClientProblem::Disagreement | ClientProblem::Assertion)
        );
        match params.one("client_id")? {
            Some(id) if is_about_assertion && authorization.is_none() => Ok(Some(Self {
                id: ClientId::new(id),
                other: assertion_subject(params)
                    .unwrap_or_default()
                    .map(ClientId::from),
            })),
            Some(_) | None => read,
        }
    }

    fn named(id: ClientId) -> Self {
        Self { id, other: None }
    }

    /// The identifier, for rules, events and pages.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// All clients that the request may name: one, or two if the Basic user name has two readings.
    pub fn readings(&self) -> impl Iterator<Item = &ClientId> {
        std::iter::once(&self.id).chain(&self.other)
    }

    /// Whether one of the readings has this digest.
    pub fn may_be(&self, client: Digest) -> bool {
        self.readings().any(|id| id.digest() == client)
    }
}

/// Whether a token request has client authentication (RFC 6749 section 2.3): a secret, an assertion, or credentials in its Authorization
/// header. They are not verified. A client certificate (RFC 8705) is not in the request.
pub(crate) fn is_authenticated(authorization: Option<&[u8]>, params: &Params<'_>) -> bool {
    let in_header = authorization.is_some_and(|value| {
        let (scheme, credentials) = value.split_at_checked(6).unwrap_or((value, b""));
        let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
        // Some public clients send their identifier with an empty password.
        !is_basic || has_password(credentials)
    });
    let has = |name| params.all(name).any(|pair| !pair.value().is_empty());
    in_header || has("client_secret") || has("client_assertion")
}

fn has_password(encoded: &[u8]) -> bool {
    let decoded = STANDARD.decode(encoded.trim_ascii()).unwrap_or_default();
    let colon = memchr::memchr(b':', &decoded);
    colon.is_some_and(|colon| colon + 1 < decoded.len())
}

/// The client named by a request that cannot be parsed strictly. For the log only, never for a decision. `forms` are
/// the query and the form body. `None`: the request names no client, or several.
pub(crate) fn named_loosely<'f>(
    authorization: Option<&[u8]>,
    forms: impl IntoIterator<Item = &'f [u8]>,
) -> Option<ClientId> {
    let basic = authorization
        .and_then(basic_credentials)
        .and_then(Result::ok);
    let mut ids: Vec<ClientId> = basic.iter().map(|basic| basic.id.clone()).collect();
    for form in forms {
        let pairs = pairs_loosely(form);
        let values = pairs.filter_map(|pair| pair.strip_prefix(b"client_id="));
        for id in values.filter_map(|value| decode(value).ok()) {
            ids.push(ClientId::from(id.into_owned()));
        }
    }
    let may_be = |id: &ClientId| match &basic {
        Some(basic) => basic.may_be(id.digest()),
        None => ids.first() == Some(id),
    };
    let first = ids.first().filter(|id| !id.as_str().is_empty())?;
    ids.iter().all(may_be).then(|| first.clone())
}

/// Parses Basic credentials. `None`: another scheme (Bearer, DPoP), which names no client. `Basic` that is not the
/// first word, or is not followed by a space, is an error: some servers accept it as credentials, others do not.
fn basic_credentials(authorization: &[u8]) -> Option<Result<ClientIdentity, ClientProblem>> {
    const SCHEME: &[u8] = b"basic";
    if is_token_of_another_scheme(authorization) {
        return None;
    }
    let at = authorization
        .windows(SCHEME.len())
        .enumerate()
        .find(|(at, window)| {
            let ends = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
            let before = at.checked_sub(1).and_then(|at| authorization.get(at));
            window.eq_ignore_ascii_case(SCHEME)
                && ends(before)
                && ends(authorization.get(at + SCHEME.len()))
        })
        .map(|(at, _)| at)?;
    let credentials = authorization
        .get(SCHEME.len()..)
        .and_then(|rest| rest.strip_prefix(b" "))
        .filter(|_| at == 0);
    let identity = credentials.and_then(basic_identity);
    Some(identity.ok_or(ClientProblem::Basic))
}

/// Whether the value is a scheme other than Basic, a space, and one token (`token68`, RFC 9110 section 11.2). The token
/// may contain the letters `basic`.
pub(crate) fn is_token_of_another_scheme(authorization: &[u8]) -> bool {
    let mut parts = authorization.splitn(2, |byte| *byte == b' ');
    let (scheme, token) = (parts.next().unwrap_or_default(), parts.next());
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    !scheme.eq_ignore_ascii_case(b"basic")
        && scheme.iter().all(u8::is_ascii_alphanumeric)
        && token.is_some_and(|token| !token.is_empty() && token.iter().all(is_token))
}

/// The user name of Basic credentials: the bytes before the colon.
pub(crate) fn basic_user(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    decoded.truncate(colon);
    Some(decoded)
}

fn basic_identity(encoded: &[u8]) -> Option<ClientIdentity> {
    let user = basic_user(encoded)?;
    let undecoded = std::str::from_utf8(&user).ok()?;
    let id = match decode(&user) {
        Ok(Cow::Borrowed(same)) => {
            return Some(ClientIdentity::named(ClientId::new(same)));
        }
        Ok(Cow::Owned(id)) => id,
        Err(_) => loosely_decoded(&user),
    };
    Some(ClientIdentity {
        id: ClientId::from(id),
        other: Some(ClientId::new(undecoded)),
    })
}

/// The `sub` of a `client_assertion` (RFC 7523 section 3). The gate does not verify the assertion: the upstream checks
/// the signature and refuses a forged one.
fn assertion_subject(params: &Params<'_>) -> Result<Option<String>, ClientProblem> {
    let Some(assertion) = params.one("client_assertion")? else {
        return Ok(None);
    };
    params
        .one("client_assertion_type")?
        .ok_or(ClientProblem::Assertion)?;
    let subject = subject(assertion.as_bytes()).ok_or(ClientProblem::Assertion)?;
    Ok(Some(subject))
}

/// The `sub` of a JWT.
pub(crate) fn subject(jwt: &[u8]) -> Option<String> {
    let payload = jwt.split(|&byte| byte == b'.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims = json::parse(&payload)?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

/// Form decoding as lenient servers do it: a broken escape is kept as it is.
fn loosely_decoded(user: &[u8]) -> String {
    let mut out = Vec::with_capacity(user.len());
    let mut rest = user;
    while let Some((&byte, behind)) = rest.split_first() {
        let escape = behind.get(..2).and_then(|two| str::from_utf8(two).ok());
        let escape = escape.and_then(|two| u8::from_str_radix(two, 16).ok());
        rest = behind;
        match (byte, escape) {
            (b'%', Some(escaped)) => {
                out.push(escaped);
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    // No client has a name that is not UTF-8, so any mapping will do.
    text_of(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(basic: Option<&str>, body: &str) -> Result<Option<String>, ClientProblem> {
        let header = basic.map(|credentials| format!("Basic {}", STANDARD.encode(credentials)));
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        let identity = ClientIdentity::read(header.as_deref().map(str::as_bytes), &params)?;
        Ok(identity.map(|identity| identity.id().as_str().to_owned()))
    }

    #[test]
    fn a_secret_an_assertion_or_credentials_authenticate_a_client() {
        let basic = |credentials| format!("Basic {}", STANDARD.encode(credentials));
        for (authorization, body, expected) in [
            (None, "client_id=a", false),
            (None, "client_id=a&client_secret=", false),
            (None, "client_id=a&client_secret=s", true),
            (None, "client_assertion=x", true),
            (Some(basic("a:")), "", false),
            (Some(basic("a")), "", false),
            (Some("Basic !".to_owned()), "", false),
            (Some(basic("a:s")), "", true),
            (Some(basic("a:s").replace("Basic", "basic")), "", true),
            (Some("Bearer t".to_owned()), "", true),
        ] {
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let authorization = authorization.as_deref().map(str::as_bytes);
            let found = is_authenticated(authorization, &params);
            assert_eq!(found, expected, "{authorization:?} {body}");
        }
    }

    fn assertion(claims: &str) -> String {
        let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        format!("client_assertion_type=urn%3Ax&client_assertion={jwt}")
    }

    #[test]
    fn the_client_is_named_in_any_of_three_places() {
        assert_eq!(read(None, "code=1"), Ok(None));
        assert_eq!(
            read(None, "client_id=app&client_secret=s"),
            Ok(Some("app".to_owned()))
        );
        assert_eq!(read(Some("app:s"), "code=1"), Ok(Some("app".to_owned())));
        assert_eq!(
            read(Some("app:s"), "client_id=app"),
            Ok(Some("app".to_owned()))
        );
        assert_eq!(
            read(None, &assertion(r#"{"iss":"app","sub":"app"}"#)),
            Ok(Some("app".to_owned()))
        );
    }

    #[test]
    fn disagreement_and_ambiguity_are_refused() {
        for (basic, body, problem) in [
            (
                Some("a:s"),
                "client_id=b".to_owned(),
                ClientProblem::Disagreement,
            ),
            (
                None,
                format!("client_id=b&{}", assertion(r#"{"sub":"a"}"#)),
                ClientProblem::Disagreement,
            ),
            (
                Some("a:s"),
                "client_secret=s".to_owned(),
                ClientProblem::TwoMethods,
            ),
            (
                Some("a:s"),
                assertion(r#"{"sub":"a"}"#),
                ClientProblem::TwoMethods,
            ),
            (Some("no colon"), String::new(), ClientProblem::Basic),
            (
                None,
                assertion(r#"{"sub":"a","sub":"b"}"#),
                ClientProblem::Assertion,
            ),
            (None, assertion(r#"{"sub":1}"#), ClientProblem::Assertion),
            (
                None,
                "client_assertion=a.b.c".to_owned(),
                ClientProblem::Assertion,
            ),
            (
                None,
                "client_id=a&client_id=a".to_owned(),
                ClientProblem::Duplicate(Duplicate("client_id".to_owned())),
            ),
        ] {
            assert_eq!(read(basic, &body), Err(problem), "{basic:?} {body}");
        }
        let params = Params::parse(b"", 1).unwrap();
        assert_eq!(
            ClientIdentity::read(Some(b"Basic %%"), &params),
            Err(ClientProblem::Basic)
        );
        for token in [
            &b"Bearer x"[..],
            b"Bearer svc-basic-0123",
            b"DPoP a.Basic.b",
        ] {
            assert_eq!(ClientIdentity::read(Some(token), &params), Ok(None));
        }
        for mixed in [
            &b"Bearer basic YTpi"[..],
            b"Bearer basic:YTpi",
            b"x-basic YTpi",
            b"Bearer x, Basic YTpi",
            b"Bearer\tBasic",
        ] {
            let read = ClientIdentity::read(Some(mixed), &params);
            assert_eq!(read, Err(ClientProblem::Basic));
        }
    }

    #[test]
    fn an_assertion_with_another_subject_is_accepted_for_grants_without_a_code() {
        let read = |basic: Option<&str>, body: &str| {
            let header = basic.map(|credentials| format!("Basic {}", STANDARD.encode(credentials)));
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let header = header.as_deref().map(str::as_bytes);
            let identity = ClientIdentity::read_for_other_grant(header, &params)?;
            let ids = identity.iter().flat_map(ClientIdentity::readings);
            Ok(ids.map(|id| id.as_str().to_owned()).collect::<Vec<_>>())
        };
        let of_workload = assertion(r#"{"sub":"system:workload"}"#);
        let saml = "client_assertion_type=urn%3Ax&client_assertion=PHNhbWw";
        for (basic, body, expected) in [
            (
                None,
                format!("client_id=app&{of_workload}"),
                Ok(vec!["app", "system:workload"]),
            ),
            (None, of_workload.clone(), Ok(vec!["system:workload"])),
            (None, format!("client_id=app&{saml}"), Ok(vec!["app"])),
            (None, saml.to_owned(), Err(ClientProblem::Assertion)),
            (
                Some("a:s"),
                format!("client_id=a&{of_workload}"),
                Err(ClientProblem::TwoMethods),
            ),
            (
                Some("a:s"),
                "client_id=b".to_owned(),
                Err(ClientProblem::Disagreement),
            ),
            (
                None,
                "client_id=a&client_id=b".to_owned(),
                Err(ClientProblem::Duplicate(Duplicate("client_id".to_owned()))),
            ),
        ] {
            let expected = expected.map(|ids| ids.into_iter().map(str::to_owned).collect());
            assert_eq!(read(basic, &body), expected, "{basic:?} {body}");
        }
    }

    #[test]
    fn the_log_gets_the_client_of_a_malformed_request_only_if_it_names_one() {
        let basic = format!("Basic {}", STANDARD.encode("a%3Ab:s"));
        for (authorization, form, expected) in [
            (None, "client_id=app&x=%zz", Some("app")),
            (None, "x=1&client_id=app&client_id=app", Some("app")),
            (None, "client_id=app&client_id=other", None),
            (None, "client_id=&x", None),
            (None, "Client_Id=app", None),
            (None, "client_id=%ff", None),
            (Some(basic.as_str()), "client_secret=s", Some("a:b")),
            (
                Some(basic.as_str()),
                "client_id=a%3Ab&client_secret=s",
                Some("a:b"),
            ),
            (Some(basic.as_str()), "client_id=other", None),
            (Some("Basic %%"), "client_id=app", Some("app")),
            (Some("Bearer x"), "", None),
        ] {
            let named = named_loosely(authorization.map(str::as_bytes), [form.as_bytes()]);
            let named = named.as_ref().map(ClientId::as_str);
            assert_eq!(named, expected, "{authorization:?} {form}");
        }
    }

    #[test]
    fn both_readings_of_an_encoded_basic_user_name_may_match() {
        let header = format!("Basic {}", STANDARD.encode("my%3Aapp:s"));
        let identity =
            ClientIdentity::read(Some(header.as_bytes()), &Params::parse(b"", 1).unwrap())
                .unwrap()
                .unwrap();
        for (id, matches) in [("my:app", true), ("my%3Aapp", true), ("my", false)] {
            assert_eq!(identity.may_be(ClientId::new(id).digest()), matches, "{id}");
        }
    }
}
