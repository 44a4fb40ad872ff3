//! Report mode with codes that travel as they are: judged and recorded, and not one byte changed.

use http::{Method, Response};

use crate::flow::Submission;
use crate::policy::authorize;
use crate::telemetry::Decided;

use super::super::bind;
use super::super::body::Body;
use super::super::exchange::{Exchange, Received};
use super::fresh::{Fresh, hold_correlated};
use super::{Form, form};

/// Judges and records, and changes not one byte.
pub(in crate::gateway) async fn observe(
    exchange: &Exchange<'_>,
    mut request: Received,
) -> Response<Body> {
    let all_off = exchange.site.settings.rules.all_off();
    if !all_off && (request.method == Method::GET || request.method == Method::POST) {
        watch(exchange, &mut request).await;
    }
    match exchange.send(request).await {
        Ok(response) if all_off => bind::pass_through(exchange, response),
        Ok(response) => bind::observe(exchange, response).await,
        Err(failed) => exchange.upstream_failed(failed),
    }
}

/// The observing half of [`observe`].
async fn watch(exchange: &Exchange<'_>, request: &mut Received) {
    let form = match form(exchange, request).await {
        Ok(Form::Urlencoded(form)) => Some(form),
        Ok(Form::None) => None,
        Ok(Form::Multipart) | Err(_) => return,
    };
    let query = request.query().to_owned();
    let submission = Submission::read(
        query.as_bytes(),
        form.as_deref(),
        exchange.shared.limits.form_pairs,
    );
    let part = submission
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|submission| {
            Ok(submission
                .fresh(request.method == Method::GET)?
                .map(|part| (submission, part)))
        });
    let (submission, part) = match part {
        Ok(None) => return,
        Ok(Some(found)) => found,
        Err(doubt) => {
            return exchange.tell(
                Decided::Reported,
                Some(&authorize::unreadable(&doubt)),
                None,
            );
        }
    };
    match Fresh::read(exchange, submission, part) {
        Ok(fresh) => {
            let verdict = fresh.judge();
            let pending = fresh.pending(verdict.subject.clone(), None);
            drop(hold_correlated(exchange, &fresh, verdict, &pending).await);
        }
        Err(doubt) => exchange.tell(
            Decided::Reported,
            Some(&authorize::unreadable(&doubt)),
            None,
        ),
    }
}
