//! Settles a claim after the exchange: burns or releases the code (step 5 of the crate documentation).

use std::sync::Arc;

use http::{Response, header};

use crate::flow::Settlement;
use crate::flow::settlement::{self, Answer};
use crate::oauth::CodeKind;
use crate::store::Claim;
use crate::upstream::UpstreamError;

use crate::gateway::exchange::Exchange;
use crate::http::body::{Body, Peeked};

/// How much of an answer is read to decide whether the code is still valid, in bytes.
const ANSWER: usize = 16 * 1024;

/// Settles the claim. An answer burns the code unless it shows that the code was not redeemed; a failure burns it unless the
/// request was not sent.
pub(super) async fn settle(
    exchange: &Exchange<'_>,
    claim: Option<Claim>,
    sent: Result<Response<Body>, UpstreamError>,
) -> Result<Response<Body>, UpstreamError> {
    let Some(claim) = claim else { return sent };
    let kind = claim.bound().code.kind();
    let (sent, settlement) = match sent {
        Ok(response) => said(exchange, kind, response).await,
        Err(failed) if failed.is_unsent() => (Err(failed), Settlement::Release),
        Err(failed) => (Err(failed), Settlement::Burn),
    };
    // If the store fails, the claim stays, and the code cannot be redeemed again.
    if exchange.store().redis().is_some() {
        // In a task of its own, because the client may go away meanwhile. The client waits for it: it may try again at once.
        let store = Arc::clone(&exchange.site.store);
        let settled = async move { store.settle(claim, settlement).await };
        let _ = Box::pin(exchange.shared.settlements.spawn(settled)).await;
    } else {
        let _ = exchange.store().settle(claim, settlement).await;
    }
    sent
}

/// Reads an answer and decides about the code. An answer that breaks off counts as none. A success is streamed as soon as a token
/// is found in it; other answers are held back until they end, or until [`ANSWER`] bytes.
async fn said(
    exchange: &Exchange<'_>,
    kind: CodeKind,
    mut response: Response<Body>,
) -> (Result<Response<Body>, UpstreamError>, Settlement) {
    let status = response.status().as_u16();
    if !settlement::may_release(status) {
        return (Ok(response), Settlement::Burn);
    }
    let mut looked_at = 0;
    let names_token = |so_far: &[u8]| {
        // The text of an error may mention a token.
        if status >= 400 {
            return false;
        }
        // Continues shortly before the end of what was searched already: a name may be split between two chunks.
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
    let settlement = match kind {
        CodeKind::Authorization | CodeKind::PushedRequest => settlement::of_answer(answer),
        CodeKind::Device => settlement::of_device_answer(answer),
    };
    (Ok(response), settlement)
}
