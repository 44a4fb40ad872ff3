//! Step 5 of the walk: how the code is left after the exchange.

use http::{Response, header};

use crate::flow::Settlement;
use crate::flow::settlement::{self, Answer};
use crate::store::Claim;
use crate::upstream::UpstreamError;

use crate::gateway::exchange::Exchange;
use crate::http::body::{Body, Peeked};

/// Bytes of an answer that are read to see whether the code is still good.
const ANSWER: usize = 16 * 1024;

/// Step 5: an answer burns the code, unless it is one that leaves it good; so does none, unless nothing was sent.
pub(super) async fn settle(
    exchange: &Exchange<'_>,
    claim: Option<Claim>,
    sent: Result<Response<Body>, UpstreamError>,
) -> Result<Response<Body>, UpstreamError> {
    let Some(claim) = claim else { return sent };
    let (sent, settlement) = match sent {
        Ok(response) => said(exchange, response).await,
        Err(failed) if failed.is_unsent() => (Err(failed), Settlement::Release),
        Err(failed) => (Err(failed), Settlement::Burn),
    };
    // A store that cannot be told keeps the claim, and so the code is never redeemed again.
    let _ = exchange.site.state.store.settle(claim, settlement).await;
    sent
}

/// What an answer does to the code. It has to be read to its end for that: one that breaks off is none. But one that hands out a
/// token passes piece by piece as it comes, as soon as it names it.
async fn said(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> (Result<Response<Body>, UpstreamError>, Settlement) {
    let status = response.status().as_u16();
    if !settlement::may_release(status) {
        return (Ok(response), Settlement::Burn);
    }
    let mut looked_at = 0;
    let names_token = |so_far: &[u8]| {
        // An error may name one just so.
        if status >= 400 {
            return false;
        }
        // A name may stand in two pieces; what was looked at is not looked at again.
        let from = usize::saturating_sub(looked_at, settlement::LONGEST_NAME);
        looked_at = so_far.len();
        settlement::names_token(so_far.get(from..).unwrap_or_default())
    };
    let peeked = response.body_mut().peek_unless(ANSWER, names_token).await;
    let (body, whole) = match peeked {
        Peeked::Whole(body) => (body, true),
        Peeked::TooLong => (response.body().read(), false),
        Peeked::Broken => return (exchange.no_answer(UpstreamError::Broken), Settlement::Burn),
    };
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let answer = Answer {
        status,
        media_type: media_type.and_then(|value| value.to_str().ok()),
        encoded: response.headers().contains_key(header::CONTENT_ENCODING),
        body: body.get(..ANSWER).unwrap_or(&body),
        whole,
    };
    let settlement = settlement::of_answer(answer);
    (Ok(response), settlement)
}
