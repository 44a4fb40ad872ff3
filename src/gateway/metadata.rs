//! Server metadata (RFC 8414, OpenID Connect Discovery, SMART App Launch), rewritten to describe what the gate enforces. For a
//! server that has none it can be synthesized ([`mod@synthesis`]).

mod document;
mod synthesis;

use http::{Method, Response, header};

use crate::policy::Mode;

use super::exchange::Exchange;
use super::received::Received;
use super::{bind, forward, reply};
use crate::http::body::Body;

use document::{Found, rewritten};

/// Forwards a request for metadata and rewrites the answer.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let settings = &exchange.site.settings;
    let rule = settings.rules.default_rule();
    if rule.mode != Mode::Enforce || !settings.rewrite_metadata {
        return forward::pass(exchange, request).await;
    }
    let path = request.path().to_owned();
    let synthesis = settings.synthesis.as_ref();
    let synthesis = synthesis.filter(|synthesis| synthesis.paths.contains(&path));
    if synthesis.is_some() && synthesis::is_preflight(&request) {
        return reply::preflight();
    }
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return forward::pass(exchange, request).await;
    }
    if let Some(refused) = forward::guard(exchange, &mut request).await {
        return refused;
    }
    Exchange::ask_for_identity(&mut request.headers);
    // A cached copy from before the gate was deployed must not be confirmed with 304.
    request.headers.remove(header::IF_NONE_MATCH);
    request.headers.remove(header::IF_MODIFIED_SINCE);
    // The answer to HEAD has the length of the rewritten document, so the document has to be known.
    request.method = Method::GET;
    let asked = bind::Asked {
        browser: exchange.browser(&request.headers),
        sent: Box::new(request.sent()),
        is_plain: true,
        ..bind::Asked::default()
    };
    let fields = synthesis.map(|_| request.headers.clone());
    let sent = match exchange.send(request).await {
        Ok(response) => {
            let found = rewritten(exchange, &path, response, None).await;
            match (synthesis.zip(fields), found) {
                (Some((synthesis, fields)), found) => {
                    let asked = synthesis::Asked {
                        path: &path,
                        fields: &fields,
                    };
                    Box::pin(synthesis::answer(exchange, synthesis, asked, found)).await
                }
                (None, Found::Metadata(response) | Found::Other(response)) => Ok(response),
            }
        }
        failed @ Err(_) => failed,
    };
    // The answer of this endpoint is checked like any other.
    bind::deliver(exchange, asked, sent).await
}
