//! Rewrites a request for the upstream: every `state` becomes the handle.

use http::uri::InvalidUri;
use http::{Response, StatusCode};

use crate::flow::submission::{Part, Towards};
use crate::flow::{Handle, OwnVerifier, PendingAuthorization, Submission};
use crate::gateway::browser;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::settings::ToUpstream;
use crate::gateway::subject::About;
use crate::http::body::Body;
use crate::oauth::{CodeChallenge, Digest};
use crate::policy::{Cleared, Violation};

use super::pass::pass_from;

/// The sign-in that a request begins or continues.
pub(super) struct SignIn<'s> {
    pub(super) handle: &'s Handle,
    pub(super) record: &'s PendingAuthorization,
    /// The digest of the cookie in the request.
    pub(super) browser: Option<Digest>,
}

/// Forwards the request with the handle in every `state`, and with the PKCE parameters that `to_upstream` says.
pub(super) async fn rewritten(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    submission: &Submission<'_>,
    sign_in: SignIn<'_>,
    fresh: Option<Part>,
) -> Response<Body> {
    let SignIn { handle, record, .. } = sign_in;
    let challenge = record.challenge.as_ref().and_then(CodeChallenge::useful);
    let own = record.own.as_ref().map(OwnVerifier::challenge);
    let towards = match (own.as_ref(), exchange.site.settings.to_upstream, challenge) {
        // Whatever is configured by now: the token request will have its verifier.
        (Some(own), _, _) => Towards::Forward(own),
        (None, ToUpstream::Strip, _) => Towards::Strip,
        (None, ToUpstream::Forward | ToUpstream::Replace, Some(challenge)) => {
            Towards::Forward(challenge)
        }
        (None, ToUpstream::Forward | ToUpstream::Replace, None) => Towards::AsSent,
    };
    let parts = submission.towards_upstream(handle, fresh, towards);
    let accept = cleared.get().accept();
    let cleared = cleared.amend(|request| {
        if request.target.query().is_some() || !parts.query.is_empty() {
            request.set_query(&parts.query)?;
        }
        if let Some(form) = parts.form {
            request.body.replace(form);
        }
        Ok::<(), InvalidUri>(())
    });
    let Ok(cleared) = cleared else {
        let client = exchange.site.state.client_name(record.application.client);
        let names = About::default().or_of(client, record.challenge.as_ref());
        // Forwarding the original request instead would bypass the rewrite.
        let text = "the rewritten request would be too long, or not ASCII";
        let violation = Violation::malformed(text);
        exchange.refuse(&violation, &names);
        return exchange.page(StatusCode::BAD_REQUEST, &violation, accept.as_ref());
    };
    let begun = fresh.map(|_| handle.into());
    let browser = browser::of(exchange, record, sign_in.browser);
    pass_from(exchange, cleared, begun, Some(handle), browser).await
}
