//! The cookie that binds a sign-in to the browser that began it (`browser_binding`). All sign-ins of a browser share one cookie,
//! so that many tabs do not exceed the browser's limits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use crate::flow::PendingAuthorization;
use crate::oauth::Digest;
use crate::policy::{Rule, Violation};
use crate::store::{self, StoreError};

use super::cookie;
use super::exchange::Exchange;
use super::settings::BrowserBinding;
use super::subject::About;
use crate::http::headers;

/// The binding of a fresh sign-in to its browser.
#[derive(Debug, Default)]
pub(super) struct Tie {
    /// The digest of the cookie, for the record.
    pub(super) digest: Option<Digest>,
    /// The `Set-Cookie` value. `None`: the browser has the cookie already.
    pub(super) set_cookie: Option<String>,
}

/// Binds a fresh sign-in to its browser.
pub(super) fn tie(exchange: &Exchange<'_>, request: &HeaderMap) -> Result<Tie, StoreError> {
    if exchange.site.settings.browser_binding == BrowserBinding::Off {
        return Ok(Tie::default());
    }
    let known = headers::cookie(request, exchange.cookie_name());
    if let Some(known) = known.filter(|cookie| cookie.len() == cookie::LENGTH) {
        return Ok(Tie {
            digest: Some(cookie::digest(known)),
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
        digest: Some(cookie::digest(&value)),
        set_cookie: Some(set_cookie),
    })
}

/// The browser of a request, compared with the browser that began the sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The cookie is equal, or the record has none.
    Same,
    /// The request has no cookie. In a cross-site frame (a silent renewal) browsers do not send it, so this proves neither the
    /// same browser nor another one.
    Unknown,
    /// The request has a different cookie.
    Other,
}

impl Seen {
    /// `begun`: the digest in the record. `now`: the digest of the request's cookie.
    pub(super) fn of(begun: Option<Digest>, now: Option<Digest>) -> Self {
        match (begun, now) {
            (None, _) => Self::Same,
            (Some(_), None) => Self::Unknown,
            (Some(begun), Some(now)) if begun == now => Self::Same,
            (Some(_), Some(_)) => Self::Other,
        }
    }
}

/// Checks that a sign-in continues in the browser that began it. `hard` requires the cookie, also with `prompt=none` (only the
/// error differs there). `soft` logs what `hard` would refuse.
pub(super) fn check(
    exchange: &Exchange<'_>,
    record: &PendingAuthorization,
    rule: &Rule,
    now: Option<Digest>,
) -> Result<(), Violation> {
    let seen = Seen::of(record.browser, now);
    match (exchange.site.settings.browser_binding, seen) {
        (BrowserBinding::Hard, Seen::Unknown | Seen::Other) => Err(Violation::BrowserMismatch),
        (BrowserBinding::Soft, Seen::Unknown | Seen::Other) => {
            foretell(exchange, record, rule, Violation::BrowserMismatch);
            Ok(())
        }
        (BrowserBinding::Hard | BrowserBinding::Soft, Seen::Same) | (BrowserBinding::Off, _) => {
            Ok(())
        }
    }
}

/// Under `soft`: logs a violation that `hard` would refuse.
pub(super) fn foretell(
    exchange: &Exchange<'_>,
    record: &PendingAuthorization,
    rule: &Rule,
    violation: Violation,
) {
    let client = exchange.site.state.client_name(record.application.client);
    let names = About::default().or_of(client, record.challenge.as_ref());
    exchange.foretell(rule, violation, &names);
}

/// The browser that the answer to a request goes to. Under `soft`, a request without the cookie counts as coming from the browser
/// that began the sign-in.
pub(super) fn of(
    exchange: &Exchange<'_>,
    record: &PendingAuthorization,
    now: Option<Digest>,
) -> Option<Digest> {
    match exchange.site.settings.browser_binding {
        BrowserBinding::Soft if Seen::of(record.browser, now) == Seen::Unknown => record.browser,
        BrowserBinding::Off | BrowserBinding::Soft | BrowserBinding::Hard => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_cookie_is_neither_the_same_browser_nor_another() {
        let [a, b] = ["a", "b"].map(|value| Some(cookie::digest(value)));
        for (begun, now, seen) in [
            (None, None, Seen::Same),
            (None, a, Seen::Same),
            (a, a, Seen::Same),
            (a, None, Seen::Unknown),
            (a, b, Seen::Other),
        ] {
            assert_eq!(Seen::of(begun, now), seen, "{begun:?} {now:?}");
        }
    }
}
