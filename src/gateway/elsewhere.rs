//! Refuses token requests, and requests that contain a code, on routes other than the token endpoint.
//!
//! With handles, such a request cannot redeem a code that went through the gate. With `codes = "upstream"` it can, if the server
//! has an alias of the token endpoint that is not configured here. This check closes such an alias as far as a heuristic can;
//! `routes.default = "deny"` closes it for certain.

use http::{HeaderMap, Response};

use crate::policy::{Rule, Violation};
use crate::suspicion::{Look, Suspicion};

use super::concern::{self, Heard, hear};
use super::exchange::Exchange;
use super::received::Received;
use super::reply;
use crate::http::body::Body;

/// The refusal of a token request on a route that is not the token endpoint. `None`: the request may pass.
pub(super) async fn guard(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Option<Response<Body>> {
    let routes = &exchange.site.settings.routes;
    let look = look(exchange);
    // Also for a foreign callback: reading the body keeps it for the comparison with the answer.
    let heard = hear(exchange, request, look).await;
    if routes.is_foreign_callback(request.path()) {
        return None;
    }
    refuse(exchange, request, &heard).await
}

/// What to scan a request for. Codes only matter under `codes = "upstream"`.
pub(super) fn look(exchange: &Exchange<'_>) -> Look {
    if exchange.rules().any_enforced_upstream_codes() {
        let lengths = exchange.store().code_lengths();
        let kinds = exchange.site.code_kinds();
        Look::Candidates { lengths, kinds }
    } else {
        Look::Names
    }
}

/// The refusal, from a scan that was already made.
pub(super) async fn refuse(
    exchange: &Exchange<'_>,
    request: &mut Received,
    heard: &Heard,
) -> Option<Response<Body>> {
    let (rule, violation) = suspect(exchange, request, heard).await?;
    let names = heard.names(request);
    let decided = exchange.decide(rule, (), Some(violation), &names);
    let ((), violation) = decided.err()?;
    Some(reply::token_refused(&violation, None))
}

/// The violation of a request, and the rule to judge it by.
async fn suspect<'g>(
    exchange: &Exchange<'g>,
    request: &mut Received,
    heard: &Heard,
) -> Option<(&'g Rule, Violation)> {
    let codes_travel = exchange.rules().any_enforced_upstream_codes();
    let why =
        looks_like_token_request(&heard.said, request.query(), &request.headers, codes_travel);
    if let Some(why) = why {
        let rule = concern::rule(exchange, request).await;
        return Some((rule, Violation::TokenRequestElsewhere(why)));
    }
    if heard.is_in_doubt() {
        return Some((exchange.strictest(), Violation::StoreUnavailable));
    }
    if !codes_travel {
        return None;
    }
    let rule = heard.rule_of_stray_codes(exchange, request)?;
    let violation = Violation::TokenRequestElsewhere("it contains the code of a sign-in");
    Some((rule, violation))
}

/// Why a request counts as a token request, by the request alone. `codes_travel`: whether clients may have codes of the upstream.
pub(super) fn looks_like_token_request(
    said: &Suspicion,
    query: &str,
    headers: &HeaderMap,
    codes_travel: bool,
) -> Option<&'static str> {
    let may_ask = || may_ask_for_token(said, query, headers).filter(|_| codes_travel);
    asks_for_token(said).or_else(may_ask)
}

/// Why a request counts as a token request, if it does.
fn asks_for_token(said: &Suspicion) -> Option<&'static str> {
    if said.asks_for_token() {
        Some("it contains a grant_type, or a code with parameters of a token request")
    } else if concern::is_planted(said) {
        Some("it contains a code next to the handle of a sign-in")
    } else {
        None
    }
}

/// Why a request may be a token request that cannot be recognised.
fn may_ask_for_token(said: &Suspicion, query: &str, headers: &HeaderMap) -> Option<&'static str> {
    // Django decodes the query, too, in the charset that Content-Type names.
    if !query.is_empty() && concern::has_foreign_charset(headers) {
        return Some("its query is in a charset that is not supported");
    }
    said.unreadable.filter(|_| !concern::is_media(headers))
}
