//! The client's part of a sign-in: state, verifier, challenge, and requests (RFC 7636 section 4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};

use super::facts::{AUTHORIZE, CLIENT};
use super::wire::{self, Failed, Pairs};

/// Returns 256 random bits in base64url.
pub(super) fn unguessable() -> Result<String, Failed> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).map_err(wire::failed)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// What the application stores about a sign-in until the callback.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) state: String,
    /// `None`: the application does not use PKCE.
    pub(super) verifier: Option<String>,
}

impl Login {
    pub(super) fn new(pkce: bool) -> Result<Self, Failed> {
        Ok(Self {
            state: unguessable()?,
            verifier: if pkce { Some(unguessable()?) } else { None },
        })
    }

    /// `BASE64URL(SHA256(ASCII(code_verifier)))`.
    pub(super) fn challenge(&self) -> Option<String> {
        let verifier = self.verifier.as_ref()?;
        Some(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
    }

    /// The authorization request for the server or gate at `origin`.
    pub(super) fn url(&self, origin: &str, callback: &str) -> String {
        let challenge = self.challenge();
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", callback),
            ("state", &self.state),
        ];
        if let Some(challenge) = &challenge {
            pairs.push(("code_challenge", challenge));
            pairs.push(("code_challenge_method", "S256"));
        }
        format!("{origin}{AUTHORIZE}?{}", wire::encoded(pairs))
    }
}

/// The parameters of a token request (RFC 6749 section 4.1.3).
pub(super) fn redemption(
    client: &str,
    callback: &str,
    code: &str,
    verifier: Option<&str>,
) -> Pairs {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("redirect_uri", callback),
        ("code", code),
    ];
    pairs.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    let own = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.collect()
}
