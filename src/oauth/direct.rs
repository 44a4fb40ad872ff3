//! Requests whose answer gives the client a code directly, in JSON: the device authorization request (RFC 8628 section 3.1) and the
//! authorization challenge request (draft-ietf-oauth-first-party-apps section 5.1), each with a code challenge.

use std::fmt;

use super::client::ClientIdentity;
use super::params::Params;
use super::{Ambiguous, token};

/// Parameters that determine the meaning of such a request.
pub(crate) const PROTECTED: [&str; 8] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "auth_session",
];

/// A parsed request. A parameter with an empty value counts as omitted. `Debug` shows only the client: an `auth_session` is a secret,
/// and a challenge identifies a sign-in.
pub(crate) struct DirectRequest<'a> {
    /// `None`: the request names no client.
    pub(crate) client: Option<ClientIdentity>,
    pub(crate) code_challenge: Option<&'a str>,
    pub(crate) code_challenge_method: Option<&'a str>,
    /// The sign-in of a first-party app that the request continues.
    pub(crate) auth_session: Option<&'a str>,
}

impl<'a> DirectRequest<'a> {
    /// Parses the body, as strictly as a token request. `authorization` is the value of the `Authorization` header.
    pub(crate) fn parse(
        params: &'a Params<'_>,
        authorization: Option<&[u8]>,
    ) -> Result<Self, Ambiguous> {
        token::unambiguous(params, &PROTECTED)?;
        Ok(Self {
            client: ClientIdentity::read(authorization, params)?,
            code_challenge: params.one("code_challenge")?,
            code_challenge_method: params.one("code_challenge_method")?,
            auth_session: params.one("auth_session")?,
        })
    }
}

impl fmt::Debug for DirectRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectRequest")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_only_the_client() {
        let body = "client_id=tv&code_challenge=secret1&code_challenge_method=secret2&auth_session=secret3";
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        let shown = format!("{:?}", DirectRequest::parse(&params, None).unwrap());
        assert!(shown.contains("tv") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_challenge_is_read_and_what_servers_read_differently_is_refused() {
        let body = "client_id=tv&scope=a+b&code_challenge=c&code_challenge_method=S256";
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        let request = DirectRequest::parse(&params, None).unwrap();
        assert_eq!(request.code_challenge, Some("c"));
        assert_eq!(request.code_challenge_method, Some("S256"));
        assert_eq!(request.client.unwrap().id().as_str(), "tv");
        for body in [
            "client_id=tv&client_id=tv",
            "code_challenge=a&code_challenge=b",
            "code_challenge=a&Code_Challenge=b",
            "code_challenge[]=a",
            "code.challenge.method=S256",
            "client_id=tv+",
            "scope=a;code_challenge=b",
            r#"{"client_id":"tv"}"#,
        ] {
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            assert!(DirectRequest::parse(&params, None).is_err(), "{body}");
        }
        let params = Params::parse(b"client_id=a", 64).unwrap();
        let basic = DirectRequest::parse(&params, Some(b"Basic YjpzZWNyZXQ="));
        assert!(basic.is_err(), "two clients");
    }
}
