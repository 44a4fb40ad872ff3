//! Answers that go out as they came (`codes = "upstream"`): a code in one is bound by its digest.

use http::{Response, header};

use crate::carrier::Carried;
use crate::carrier::form_post::forms;
use crate::carrier::location::Location;
use crate::oauth::Digest;
use crate::oauth::redirect::target_digest;
use crate::policy::{Mode, Violation};
use crate::store::{Bound, Pending, Place};
use crate::telemetry::Decided;

use super::super::body::Body;
use super::super::exchange::{Exchange, Sent};
use super::public::{is_foreign, pass_through, text};
use super::{Asked, Unsafe, bytes_of, page, the_code};

/// Under what a request is found again when nothing on the wire is rewritten: where its answer leads, and its state.
/// The client is not among them, because an answer does not name it; two clients under one key kill both records.
pub(in crate::gateway) fn correlation(target: Option<Digest>, state: &str) -> Digest {
    let target = target
        .map(|target| target.as_bytes().to_vec())
        .unwrap_or_default();
    Digest::of("correlation", &[&target, state.as_bytes()])
}

/// Looks for codes to bind, and changes not one byte.
pub(in crate::gateway) async fn observe(
    exchange: &Exchange<'_>,
    sent: Sent,
    mut response: Response<Body>,
) -> Response<Body> {
    let asked = Asked {
        sent,
        browser: None,
        begun: None,
        handle: None,
    };
    if response.status().is_redirection() {
        if let Some(location) = text(&response, &header::LOCATION).map(str::to_owned) {
            let carried = Location::new(&location).read(&exchange.site.key);
            if is_foreign(exchange, &location) {
                report(
                    exchange,
                    bind_upstream_code(exchange, &asked, &location, &carried).await,
                );
            }
        }
    } else if let Some(page) = page::readable(exchange, &mut response).await {
        for form in forms(&page)
            .iter()
            .filter(|form| is_foreign(exchange, &form.action))
        {
            let carried = form.read(&exchange.site.key);
            report(
                exchange,
                bind_upstream_code(exchange, &asked, &form.action, &carried).await,
            );
        }
    }
    pass_through(exchange, response)
}

fn report(exchange: &Exchange<'_>, bound: Result<(), Unsafe>) {
    if let Err(found) = bound {
        exchange.tell(
            Decided::Reported,
            Some(&Violation::UnboundCodeInResponse(found.why)),
            None,
        );
    }
}

/// Binds a code that travels as it is, to the request that was held under the same values.
pub(super) async fn bind_upstream_code(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    target: &str,
    carried: &Carried,
) -> Result<(), Unsafe> {
    let raw = carried.codes.first().map(bytes_of);
    let code = match the_code(asked, carried, raw) {
        Ok(None) => return Ok(()),
        Ok(Some(code)) => code,
        Err(why) => return Err(Unsafe::stray(why)),
    };
    let state = carried.state.as_deref().unwrap_or_default();
    let leads = target_digest(target);
    let keys = [correlation(Some(leads), state), correlation(None, state)];
    let mut found = None;
    for key in keys {
        match exchange.site.store.pending(key).await {
            Ok(Pending::Live(record)) if found.is_none() => found = Some((key, record)),
            // Whose code it is cannot be said. (Under one key the store sees to that.)
            Ok(Pending::Live(_)) => {
                return Err(Unsafe::stray("a code for two sign-ins with one state"));
            }
            Ok(Pending::Conflict) => return Err(Unsafe::stray("a code without a live sign-in")),
            Ok(Pending::Expired | Pending::Unknown) | Err(_) => {}
        }
    }
    if let Some((key, record)) = found {
        let rule = exchange.rule(Some(record.client));
        let same_browser = record
            .browser
            .is_none_or(|browser| asked.browser == Some(browser));
        if rule.mode == Mode::Enforce && !same_browser && asked.begun != Some(key) {
            return Err(Unsafe::stray("a sign-in that was begun in another browser"));
        }
        let place = Place::Digest(code.digest());
        return match exchange.site.store.bind(key, place, code).await {
            Ok(Bound::Digest) => {
                if let Some(redirect) = record.redirect {
                    exchange.site.learn_redirect(record.client, redirect);
                }
                Ok(())
            }
            Ok(Bound::Handle(_) | Bound::TooMany | Bound::Elsewhere | Bound::Unknown) | Err(_) => {
                Err(Unsafe::stray("a code that could not be bound"))
            }
        };
    }
    Err(Unsafe::stray("a code without a live sign-in"))
}
