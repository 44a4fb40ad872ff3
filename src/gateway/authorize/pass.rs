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
    let of = Of {
        begun,
        handle: None,
        browser,
        is_pushed: false,
    };
    pass_of(exchange, cleared, of).await
}

/// The sign-in of a request.
pub(super) struct Of<'h> {
    /// The record that it created.
    pub(super) begun: Option<Key>,
    /// The handle that it carries.
    pub(super) handle: Option<&'h Handle>,
    /// The digest of the cookie that its answer is bound to.
    pub(super) browser: Option<Digest>,
    /// Whether its `request_uri` is the one that the sign-in began with.
    pub(super) is_pushed: bool,
}

/// The same for a request of this sign-in.
pub(super) async fn pass_of(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    of: Of<'_>,
) -> Response<Body> {
    let asked = bind::Asked {
        sent: Box::new(cleared.get().sent()),
        browser: of.browser,
        begun: of.begun,
        handle: of.handle,
        at_authorization: true,
        is_pushed: of.is_pushed,
        is_plain: true,
    };
    let cleared = cleared.with(|request| Exchange::ask_for_identity(&mut request.headers));
    let sent = exchange.forward(cleared).await;
    bind::deliver(exchange, asked, sent).await
}
