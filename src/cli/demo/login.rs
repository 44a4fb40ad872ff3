//! The client's part of a sign-in: state, verifier, challenge, and requests (RFC 7636 section 4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};

use super::scenes::Scene;
use super::stage::{AUTHORIZE, CLIENT, Stage};
use super::wire::{Failed, encoded};

/// Returns 256 random bits in base64url.
pub(super) fn unguessable() -> Result<String, Failed> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// What the application stores about a sign-in until the callback.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) scene: &'static Scene,
    pub(super) state: String,
    /// Not sent if the application does not use PKCE.
    pub(super) verifier: String,
}

impl Login {
    pub(super) fn new(scene: &'static Scene) -> Result<Self, Failed> {
        Ok(Self {
            scene,
            state: unguessable()?,
            verifier: unguessable()?,
        })
    }

    /// The authorization request for the server or gate at `origin`.
    pub(super) fn url(&self, stage: &Stage, origin: &str) -> String {
        // BASE64URL(SHA256(ASCII(code_verifier)))
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", &stage.callback),
            ("state", &self.state),
        ];
        if self.scene.pkce {
            pairs.push(("code_challenge", &challenge));
            pairs.push(("code_challenge_method", "S256"));
        }
        format!("{origin}{AUTHORIZE}?{}", encoded(pairs))
    }
}
