//! Forwards a request of the authorization endpoint and handles the answer, which may carry a code.

use http::Response;

use crate::flow::{Handle, Key};
use crate::gateway::bind;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::http::body::Body;
use crate::oauth::Digest;
use crate::policy::Cleared;

/// Forwards a cleared request without a handle. `begun`: the record that it created.
pub(super) async fn pass(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    begun: Option<Key>,
) -> Response<Body> {
    let browser = exchange.browser(&cleared.get().headers);
    pass_from(exchange, cleared, begun, None, browser).await
}

/// The same with the handle that it carries, and with the browser given instead of read from the cookie.
pub(super) async fn pass_from(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    begun: Option<Key>,
    handle: Option<&Handle>,
    browser: Option<Digest>,
) -> Response<Body> {
    let asked = bind::Asked {
        sent: Box::new(cleared.get().sent()),
        browser,
        begun,
        handle,
        at_authorization: true,
        is_plain: true,
    };
    let cleared = cleared.with(|request| Exchange::ask_for_identity(&mut request.headers));
    let sent = exchange.forward(cleared).await;
    bind::deliver(exchange, asked, sent).await
}
