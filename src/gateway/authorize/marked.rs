//! Requests with a mark, which names the cookie of their sign-in (`correlation = "cookie"`).

use http::Response;

use crate::flow::submission::{MARK, Part, Sign};
use crate::flow::{Purpose, Submission};
use crate::oauth::Edit;
use crate::policy::Violation;

use super::continuation::continuation;
use super::parsed::Fresh;
use super::pass::pass;
use super::refuse::refuse;
use super::unreadable::doubtful;
use crate::gateway::concern::Heard;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::sign_in_cookies;
use crate::http::body::Body;

/// Handles such a request. Without the cookie it is refused: its answer could not be recognised as that of its sign-in.
pub(super) async fn marked(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    mark: &str,
    heard: &Heard,
) -> Response<Body> {
    let key = &exchange.site.state.key;
    // A cookie of that name may come from another host of the domain. Only one has the handle of that name.
    let (live, answered) = (request.flows.all(false), request.flows.all(true));
    let named = live.chain(answered).filter(|(name, _)| *name == mark);
    let mut handles = named.filter_map(|(_, text)| key.recognise(Purpose::State, text));
    if let Some(handle) = handles.find(|handle| sign_in_cookies::name(handle) == mark) {
        let sign = Sign::Mark {
            handle: &handle,
            mark,
        };
        drop(handles);
        return continuation(exchange, request, submission, sign, heard).await;
    }
    drop(handles);
    let fresh = match Fresh::read(exchange, submission, Part::Query) {
        Ok(fresh) => fresh,
        Err(doubt) => return doubtful(exchange, request, doubt).await,
    };
    let violation = Some(Violation::CookieLost);
    match exchange.decide(fresh.rule, request, violation, &fresh.about()) {
        Ok(cleared) => {
            let cleared = cleared.with(|request| unmark(request, submission));
            pass(exchange, cleared, None).await
        }
        Err((request, violation)) => refuse(exchange, &request, &fresh, &violation).await,
    }
}

/// Removes the mark, which is the gate's own. What is left of a valid query is valid.
fn unmark(request: &mut Received, submission: &Submission<'_>) {
    let query = submission.part(Part::Query).edit(|pair| {
        if pair.name() == MARK {
            Edit::Drop
        } else {
            Edit::Keep
        }
    });
    let _ = request.set_query(&query);
}
