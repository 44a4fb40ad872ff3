//! Everything that is not intercepted: streamed through, with an eye on answers that carry a code.

use http::{Method, Response, header};

use super::bind;
use super::body::Body;
use super::exchange::{Exchange, Received};

/// Passes a request through.
pub(super) async fn pass(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let observes = exchange.site.observes_only;
    if !observes && may_be_read(&request) {
        Exchange::ask_for_identity(&mut request.headers);
    }
    let browser = exchange.browser(&request.headers);
    match exchange.send(request).await {
        Ok(response) if exchange.site.settings.rules.all_off() => {
            bind::pass_through(exchange, response)
        }
        Ok(response) if observes => bind::observe(exchange, response).await,
        Ok(response) => {
            bind::deliver(
                exchange,
                bind::Asked {
                    browser,
                    begun: None,
                },
                response,
            )
            .await
        }
        Err(failed) => exchange.upstream_failed(failed),
    }
}

/// Whether the answer may be a page or a document that has to be read: everything but scripts, styles and images, as
/// browsers ask for them.
fn may_be_read(request: &Received) -> bool {
    if request.method == Method::POST {
        return true;
    }
    let accept = request
        .headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    accept.is_none_or(|accept| accept.contains("html") || accept.contains("json"))
}
