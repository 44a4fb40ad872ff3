//! The cookie that ties a sign-in to the browser that began it: one for all sign-ins of a browser, so that many tabs
//! do not fill its jar.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use crate::flow::PendingAuthorization;
use crate::oauth::Digest;
use crate::policy::Violation;
use crate::store::{self, StoreError};

use super::exchange::Exchange;
use super::{BrowserBinding, headers};

/// 128 random bits in base64url.
const COOKIE_LENGTH: usize = 22;

/// What a fresh sign-in remembers of its browser.
#[derive(Debug, Default)]
pub(super) struct Tie {
    /// Goes into the record.
    pub(super) digest: Option<Digest>,
    /// Goes to the browser, unless it has a cookie already.
    pub(super) set_cookie: Option<String>,
}

/// Ties a fresh sign-in to its browser.
pub(super) fn tie(exchange: &Exchange<'_>, request: &HeaderMap) -> Result<Tie, StoreError> {
    if exchange.site.settings.browser_binding == BrowserBinding::Off {
        return Ok(Tie::default());
    }
    let known = headers::cookie(request, exchange.cookie_name());
    if let Some(known) = known.filter(|cookie| cookie.len() == COOKIE_LENGTH) {
        return Ok(Tie {
            digest: Some(digest(known)),
            set_cookie: None,
        });
    }
    let value = URL_SAFE_NO_PAD.encode(store::random::<16>()?);
    let attributes = if exchange.site.is_https() {
        "; Secure; SameSite=None"
    } else {
        "; SameSite=Lax"
    };
    let name = exchange.cookie_name();
    let set_cookie = [name, "=", &value, "; Path=/; HttpOnly", attributes].concat();
    Ok(Tie {
        digest: Some(digest(&value)),
        set_cookie: Some(set_cookie),
    })
}

/// Under what a browser is remembered.
pub(super) fn digest(value: &str) -> Digest {
    Digest::of("browser", &[value.as_bytes()])
}

/// Whether a sign-in goes on in the browser that began it.
pub(super) fn check(
    exchange: &Exchange<'_>,
    record: &PendingAuthorization,
    request: &HeaderMap,
) -> Result<(), Violation> {
    let same = |begun| exchange.browser(request) == Some(begun);
    // Under `soft` it is told where it matters and once: when the code is issued.
    match exchange.site.settings.browser_binding {
        BrowserBinding::Hard if !record.browser.is_none_or(same) => Err(Violation::BrowserMismatch),
        BrowserBinding::Off | BrowserBinding::Soft | BrowserBinding::Hard => Ok(()),
    }
}
