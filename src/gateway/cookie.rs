//! The cookie that binds a sign-in to its browser.

use crate::oauth::Digest;

/// 128 random bits in base64url.
pub(super) const LENGTH: usize = 22;

/// Its name. With `https` the browser accepts it from this very host only.
pub(super) const fn name(is_https: bool) -> &'static str {
    if is_https {
        "__Host-pkce-gate"
    } else {
        "pkce-gate"
    }
}

/// The digest of a cookie value, as records have it.
pub(super) fn digest(value: &str) -> Digest {
    Digest::of("browser", &[value.as_bytes()])
}
