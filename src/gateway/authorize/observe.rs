//! The authorization endpoint of an upstream that is only observed: requests are judged and logged, and forwarded byte for byte.

use http::{Method, Response};

use crate::flow::submission::Part;
use crate::flow::{Key, Submission};
use crate::policy::Violation;

use super::correlated::Correlated;
use super::form::{Form, form};
use super::parsed::{Fresh, unwrapped};
use super::pushed::{self, is_pushed};
use super::unreadable::{is_method, unknown_method};
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::{bind, elsewhere};
use crate::http::body::Body;
use crate::oauth::Digest;

/// Judges and logs a request, and forwards it unchanged.
pub(in crate::gateway) async fn observe(
    exchange: &Exchange<'_>,
    mut request: Received,
) -> Response<Body> {
    let begun = if exchange.rules().all_off() {
        None
    } else {
        watch(exchange, &mut request).await
    };
    let asked = bind::Asked {
        sent: Box::new(request.sent()),
        begun: begun.map(Key::from),
        at_authorization: true,
        ..bind::Asked::default()
    };
    let sent = exchange.send(request).await;
    bind::deliver(exchange, asked, sent).await
}

/// The observing half of [`observe`]. Returns the key of the sign-in that the request began or continues.
async fn watch(exchange: &Exchange<'_>, request: &mut Received) -> Option<Digest> {
    if !is_method(&request.method) {
        // Previews of links and the like, which begin no sign-in.
        let rule = exchange.rules().default_rule();
        exchange.record(rule, unknown_method(), &request.names());
        return None;
    }
    let form = match form(exchange, request).await {
        Ok(Form::Urlencoded(form)) => Some(form),
        Ok(Form::Json(form)) => Some(form.into()),
        // A login form.
        Ok(Form::None | Form::Multipart) => None,
        Err((violation, _)) => {
            record(exchange, request, violation);
            return None;
        }
    };
    if elsewhere::guard(exchange, request).await.is_some() {
        return None;
    }
    let object;
    let query = request.query().to_owned();
    let pairs = exchange.snapshot.limits.form_pairs;
    let read = Submission::read(query.as_bytes(), form.as_deref(), pairs).and_then(|submission| {
        let part = submission.fresh(request.method == Method::GET)?;
        Ok((submission, part))
    });
    let (submission, part) = match read {
        Ok((_, None)) => return None,
        Ok((submission, Some(part))) => (submission, part),
        Err(doubt) => {
            record(exchange, request, doubt.into());
            return None;
        }
    };
    let read = match unwrapped(exchange, &submission, part, None) {
        Ok(None) => Ok((submission, part)),
        Ok(Some(form)) => {
            object = form;
            Submission::read(b"", Some(&object), pairs).map(|submission| (submission, Part::Form))
        }
        Err(doubt) => Err(doubt),
    };
    let (submission, part) = match read {
        Ok(read) => read,
        Err(doubt) => {
            record(exchange, request, doubt.into());
            return None;
        }
    };
    match Fresh::read(exchange, &submission, part) {
        Ok(fresh) if is_pushed(exchange, &fresh) => {
            pushed::watch(exchange, &fresh).await;
            None
        }
        Ok(mut fresh) => {
            let judged = fresh.judge();
            let pending = fresh.pending(&judged, None);
            fresh.take_hint(exchange, &judged, &pending);
            let correlated = Correlated::of(&pending);
            let goes_on = correlated.goes_on(exchange, &request.method, &fresh).await;
            if goes_on.is_some() {
                return goes_on;
            }
            drop(correlated.decide(exchange, &fresh, (), judged.err()).await);
            Some(correlated.key)
        }
        Err(doubt) => {
            record(exchange, request, doubt.into());
            None
        }
    }
}

fn record(exchange: &Exchange<'_>, request: &Received, violation: Violation) {
    // No rule of an observed upstream refuses.
    let rule = exchange.rules().default_rule();
    exchange.record(rule, violation, &exchange.about_unreadable(request));
}
