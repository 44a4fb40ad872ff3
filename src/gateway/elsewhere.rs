//! Token requests in disguise, and codes that stand where no code belongs: at any other route than the token endpoint.
//!
//! Where codes are handles such a request is worthless for a code that went through the gate. Where they travel as the upstream
//! issued them, this is what keeps an alias of the token endpoint that nobody configured from being a way around: as far as a
//! net can. `routes.default = "deny"` is the wall.

use http::Response;

use crate::clock;
use crate::policy::{Decision, Rule, Violation};
use crate::suspicion::Look;

use super::concern::{self, Heard, hear};
use super::exchange::Exchange;
use super::received::Received;
use super::reply;
use crate::http::body::Body;

/// The answer to a token request in disguise.
pub(super) async fn guard(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Option<Response<Body>> {
    let routes = &exchange.site.settings.routes;
    let look = look(exchange);
    // Also of what is not judged: with what came the answer is compared.
    let heard = hear(exchange, request, look).await;
    if routes.is_foreign_callback(request.path()) {
        return None;
    }
    refuse(exchange, request, &heard).await
}

/// How far a request has to be read. Where handles stand in place of codes nobody's code can stand in it.
pub(super) fn look(exchange: &Exchange<'_>) -> Look {
    if exchange.site.settings.rules.any_enforced_upstream_codes() {
        let lengths = exchange.site.state.store.code_lengths();
        Look::Candidates { lengths }
    } else {
        Look::Names
    }
}

/// The answer to a request that says this, if it is a token request in disguise.
pub(super) async fn refuse(
    exchange: &Exchange<'_>,
    request: &mut Received,
    heard: &Heard,
) -> Option<Response<Body>> {
    let (rule, violation) = suspect(exchange, request, heard).await?;
    let names = heard.names(request);
    match exchange.decide_unread(rule, (), violation, names.about()) {
        Decision::Allow(_) | Decision::Report(..) => None,
        Decision::Refuse((), violation) => Some(reply::token_refused(&violation, None)),
    }
}

/// What is wrong with a request, and by whose rule.
async fn suspect<'g>(
    exchange: &Exchange<'g>,
    request: &mut Received,
    heard: &Heard,
) -> Option<(&'g Rule, Violation)> {
    let rules = &exchange.site.settings.rules;
    let codes_travel = rules.any_enforced_upstream_codes();
    let may_ask = || may_ask_for_token(heard, request).filter(|_| codes_travel);
    if let Some(why) = asks_for_token(heard).or_else(may_ask) {
        let rule = concern::rule(exchange, request).await;
        return Some((rule, Violation::TokenRequestElsewhere(why)));
    }
    if heard.is_in_doubt() {
        let strictest = rules.strictest(clock::today());
        return Some((strictest, Violation::StoreUnavailable));
    }
    if !codes_travel {
        return None;
    }
    let rule = heard.rule_of_stray_codes(exchange, request)?;
    let violation = Violation::TokenRequestElsewhere("it has the code of a sign-in");
    Some((rule, violation))
}

/// By what a request is one for a token.
fn asks_for_token(heard: &Heard) -> Option<&'static str> {
    if heard.said.asks_for_token() {
        Some("it has a grant, or a code and what is sent with one")
    } else if heard.is_planted() {
        Some("it has a code beside the handle of a sign-in")
    } else {
        None
    }
}

/// Why a request may be one for a token, and it cannot be seen.
fn may_ask_for_token(heard: &Heard, request: &Received) -> Option<&'static str> {
    // Django reads the query, too, in the charset that the Content-Type names.
    if !request.query().is_empty() && concern::has_foreign_charset(&request.headers) {
        return Some("its query is in another charset");
    }
    let unreadable = heard.said.unreadable;
    unreadable.filter(|_| !concern::is_media(&request.headers))
}
