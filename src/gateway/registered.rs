//! The redirect URIs of clients to which errors may be sent: configured ones, and those to which the upstream has sent a code.
//! Gates with a store in Redis share what they learn.

use std::sync::Arc;

use crate::flow::PendingAuthorization;
use crate::oauth::{Digest, RedirectUri, RegisteredRedirectUri};
use crate::policy::Rule;

use super::exchange::Exchange;
use super::site::state::{MAX_LEARNED, SiteState};

/// Learns the redirect URI of a sign-in that yielded a code.
pub(super) fn learn(exchange: &Exchange<'_>, record: &PendingAuthorization) {
    let client = record.application.client;
    let Some(redirect) = record.application.redirect else {
        return;
    };
    let learned = exchange.site.state.learn_redirect(client, redirect);
    if let Some(redirect) = learned
        && exchange.store().redis().is_some()
    {
        // Once for each redirect URI. If it fails, another gate shows a page instead.
        let store = Arc::clone(&exchange.site.store);
        exchange.shared.settlements.spawn(async move {
            if let Some(redis) = store.redis() {
                let _ = redis.keyspace().learn(client, redirect, MAX_LEARNED).await;
            }
        });
    }
}

/// The redirect URI for an error response, if it is known to be the client's.
pub(super) async fn registered(
    exchange: &Exchange<'_>,
    client: Digest,
    rule: &Rule,
    uri: &RedirectUri,
) -> Option<RegisteredRedirectUri> {
    let state = &exchange.site.state;
    let here = state.registered(client, rule, uri);
    if here.is_some() {
        return here;
    }
    let redis = exchange.store().redis()?;
    let elsewhere = redis
        .keyspace()
        .learned(client, &SiteState::names_of(uri))
        .await;
    // If Redis does not answer, nothing is known, and a page is shown.
    state.learn(client, elsewhere.ok()??);
    state.registered(client, rule, uri)
}
