//! The token request (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

use super::client::ClientIdentity;
use super::params::{Params, fold};
use super::{Ambiguous, AuthorizationCode, CodeKind};

/// Parameters that determine the meaning of a token request.
pub const PROTECTED: [&str; 9] = [
    "grant_type",
    "code",
    "code_verifier",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "redirect_uri",
    "code_challenge",
];

/// Parameters that may occur more than once (RFC 8707 section 2, RFC 8693 section 2.1).
pub(crate) const MAY_REPEAT: [&str; 2] = ["resource", "audience"];

#[derive(Debug)]
pub enum TokenRequest<'a> {
    /// The request has a `code`. Some servers redeem a code with the grant type `openid`, `hybrid_auth_code`, a padded
    /// `authorization_code`, or none; so the code decides, not the grant type.
    Redemption(Redemption<'a>),
    /// A grant without a code.
    Other {
        grant_type: Option<&'a str>,
        client: Option<ClientIdentity>,
    },
}

#[derive(Debug)]
pub struct Redemption<'a> {
    /// The gate's handle, or the upstream's own code if handles are off. Also a device code (RFC 8628 section 3.4).
    pub code: AuthorizationCode,
    /// Compared exactly (RFC 6749 section 4.1.3).
    pub redirect_uri: Option<&'a str>,
    /// Not yet validated, because the client's rule determines the allowed length.
    pub code_verifier: Option<UncheckedVerifier<'a>>,
    pub grant_type: Option<&'a str>,
    /// `None`: the request names no client.
    pub client: Option<ClientIdentity>,
}

/// The value of `code_verifier` before its validation. Redacted in `Debug`.
#[derive(Clone, Copy)]
pub struct UncheckedVerifier<'a>(&'a str);

impl<'a> UncheckedVerifier<'a> {
    /// For parsing it as a [`super::CodeVerifier`], and for a keyed hash of it.
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Debug for UncheckedVerifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UncheckedVerifier([redacted])")
    }
}

/// Whether a `code` is a one-time password rather than an authorization code.
pub(crate) fn is_one_time_password(code: &[u8]) -> bool {
    const DIGITS: usize = 10;
    code.len() <= DIGITS && code.iter().all(u8::is_ascii_digit)
}

impl Redemption<'_> {
    /// Whether the code may be a one-time password of another grant (from a text message or an authenticator): at most
    /// ten digits, without a verifier or redirect URI, and with a grant type that is neither a spelling of
    /// `authorization_code` nor one with which servers are known to redeem codes. The caller must check that the code
    /// is not one that was issued.
    pub fn may_be_one_time_password(&self) -> bool {
        const REDEEM: [&str; 3] = ["authorizationcode", "authcode", "openid"];
        let is_short = is_one_time_password(self.code.expose().as_bytes());
        let grant = fold(self.grant_type.unwrap_or_default());
        let is_other = !grant.is_empty() && !REDEEM.iter().any(|known| grant.contains(known));
        is_short && is_other && self.code_verifier.is_none() && self.redirect_uri.is_none()
    }
}

impl<'a> TokenRequest<'a> {
    /// Parses the body. `authorization` is the value of the `Authorization` header.
    pub fn parse(params: &'a Params<'_>, authorization: Option<&[u8]>) -> Result<Self, Ambiguous> {
        unambiguous(params, &PROTECTED)?;
        let grant_type = params.one("grant_type")?;
        let Some(code) = params.one("code")?.and_then(AuthorizationCode::new) else {
            let client = ClientIdentity::read_for_other_grant(authorization, params)?;
            return Ok(Self::Other { grant_type, client });
        };
        let client = ClientIdentity::read(authorization, params)?;
        Ok(Self::Redemption(Redemption {
            code,
            redirect_uri: params.one("redirect_uri")?,
            code_verifier: params.one("code_verifier")?.map(UncheckedVerifier),
            grant_type,
            client,
        }))
    }

    /// The same where device codes may be bound: a request with a `device_code` is a redemption of it, whatever its grant type.
    pub(crate) fn parse_with_device(
        params: &'a Params<'_>,
        authorization: Option<&[u8]>,
    ) -> Result<Self, Ambiguous> {
        let name = CodeKind::Device.parameter();
        if let Some(name) = params.folded_collision(&[name]) {
            return Err(Ambiguous::Folded(name));
        }
        match (Self::parse(params, authorization)?, params.one(name)?) {
            // One of them would be forwarded without having been judged.
            (Self::Redemption(_), Some(_)) => Err(Ambiguous::TwoCodes),
            (Self::Other { grant_type, client }, Some(code)) => {
                let Some(code) = AuthorizationCode::of(CodeKind::Device, code) else {
                    return Ok(Self::Other { grant_type, client });
                };
                Ok(Self::Redemption(Redemption {
                    code,
                    redirect_uri: params.one("redirect_uri")?,
                    code_verifier: params.one("code_verifier")?.map(UncheckedVerifier),
                    grant_type,
                    client,
                }))
            }
            (parsed @ (Self::Redemption(_) | Self::Other { .. }), None) => Ok(parsed),
        }
    }
}

/// Checks that every server reads the same parameters.
pub(crate) fn unambiguous(params: &Params<'_>, protected: &[&str]) -> Result<(), Ambiguous> {
    if let Some(duplicate) = params.duplicate(&MAY_REPEAT) {
        return Err(duplicate.into());
    }
    if let Some(name) = params.folded_collision(protected) {
        return Err(Ambiguous::Folded(name));
    }
    if params.is_cut_elsewhere() {
        return Err(Ambiguous::Separator);
    }
    if params.is_padded("client_id") {
        return Err(Ambiguous::PaddedClient);
    }
    let first = params
        .iter()
        .next()
        .map(|pair| pair.raw().trim_ascii_start());
    if matches!(first, Some([b'{' | b'[' | b'<', ..])) {
        return Err(Ambiguous::Document);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> Result<&'static str, Ambiguous> {
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        Ok(match TokenRequest::parse(&params, None)? {
            TokenRequest::Redemption(_) => "redemption",
            TokenRequest::Other { .. } => "other",
        })
    }

    #[test]
    fn digits_with_another_grant_may_be_a_one_time_password() {
        for (body, expected) in [
            ("grant_type=password&code=123456", true),
            ("grant_type=sms_code&code=1234&client_secret=s", true),
            ("grant_type=urn:x:grant-type:otp&code=0123456789", true),
            ("grant_type=password&code=01234567890", false),
            ("grant_type=password&code=12345a", false),
            ("grant_type=password&code=%D9%A1%D9%A2", false),
            ("grant_type=authorization_code&code=123456", false),
            ("grant_type=Authorization-Code+&code=123456", false),
            ("grant_type=hybrid_auth_code&code=123456", false),
            ("grant_type=openid&code=123456", false),
            ("grant_type=&code=123456", false),
            ("code=123456", false),
            ("grant_type=password&code=123456&code_verifier=x", false),
            ("grant_type=password&code=123456&redirect_uri=x", false),
        ] {
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let Ok(TokenRequest::Redemption(redemption)) = TokenRequest::parse(&params, None)
            else {
                unreachable!()
            };
            assert_eq!(redemption.may_be_one_time_password(), expected, "{body}");
        }
    }

    #[test]
    fn a_request_with_a_code_is_a_redemption_whatever_its_grant_type() {
        for grant in [
            "authorization_code",
            "openid",
            "authorization_code+",
            "refresh_token",
            "hybrid_auth_code",
            "",
        ] {
            assert_eq!(
                kind(&format!("grant_type={grant}&code=x")),
                Ok("redemption"),
                "{grant}"
            );
        }
        assert_eq!(kind("code=x"), Ok("redemption"));
        assert_eq!(
            kind("grant_type=refresh_token&refresh_token=x&code_verifier=y"),
            Ok("other")
        );
        assert_eq!(kind("grant_type=authorization_code&code="), Ok("other"));
    }

    #[test]
    fn a_request_with_a_device_code_redeems_it_whatever_its_grant_type() {
        let kind = |body: &str| {
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let parsed = TokenRequest::parse_with_device(&params, None);
            parsed.map(|parsed| match parsed {
                TokenRequest::Redemption(redemption) => Some(redemption.code.kind()),
                TokenRequest::Other { .. } => None,
            })
        };
        for grant in ["urn:ietf:params:oauth:grant-type:device_code", "x", ""] {
            let body = format!("grant_type={grant}&device_code=d");
            assert_eq!(kind(&body), Ok(Some(CodeKind::Device)), "{grant}");
        }
        assert_eq!(kind("code=x"), Ok(Some(CodeKind::Authorization)));
        assert_eq!(kind("device_code=&grant_type=x"), Ok(None));
        for body in [
            "code=x&device_code=d",
            "device_code=d&device_code=d",
            "device_code=d&Device_Code=e",
            "device_code[]=d",
            "device.code=d",
        ] {
            assert!(kind(body).is_err(), "{body}");
        }
    }

    #[test]
    fn ambiguous_token_requests_are_refused() {
        for body in [
            "code=a&code=a",
            "grant_type=a&grant_type=a",
            "x=1&x=2",
            "CODE=a",
            "code[]=a",
            "code.verifier=a",
            "grant[type=a",
            "client[id=a",
            "client_id]x=a",
            "scope=a[]=b",
            "client_id=+a",
            "client_id=a%1F",
            r#"{"code":"a"}"#,
            " [\"&grant_type=x&\"]",
            "<code>a</code>",
        ] {
            assert!(kind(body).is_err(), "{body}");
        }
        assert_eq!(kind("resource=a&resource=b&grant_type=x"), Ok("other"));
    }

    #[test]
    fn debug_redacts_code_and_verifier() {
        let params = Params::parse(b"code=C0DE&code_verifier=VER1F1ER&client_id=app", 64).unwrap();
        let shown = format!("{:?}", TokenRequest::parse(&params, None));
        assert!(
            !shown.contains("C0DE") && !shown.contains("VER1F1ER"),
            "{shown}"
        );
    }
}
