//! Judges an authorization request that the gate has not received. The order is that of [`super::handle`], or of
//! [`super::observe()`] if the upstream is only observed.

use http::{Method, header};

use crate::flow::Submission;
use crate::flow::submission::Part;
use crate::gateway::preview::draft::Draft;
use crate::gateway::preview::found::{Check, Found, Verdict};
use crate::gateway::settings::Correlation;
use crate::gateway::{concern, elsewhere, hints};
use crate::oauth::ClientId;
use crate::policy::{Violation, authorize};
use crate::suspicion::Suspicion;

use super::form::{Form, by_head, of_body};
use super::parsed::{content, rule_of};
use super::pushed::may_be_pushed;
use super::refuse::redacted;
use super::unreadable::{document, is_method, multipart, unknown_method};

/// Judges a request on an authorization path.
pub(in crate::gateway) fn preview<'c>(draft: &Draft<'c, '_>) -> Found<'c> {
    judged(draft).unwrap_or_else(|violation| draft.unreadable(violation))
}

/// `Err`: the request is not one unambiguous request.
fn judged<'c>(draft: &Draft<'c, '_>) -> Result<Found<'c>, Violation> {
    if !is_method(draft.method) {
        return Err(unknown_method());
    }
    let form = by_head(draft.method, draft.headers, draft.body.is_empty()).unwrap_or_else(|| {
        let may_be_json = draft.settings.has_code_in_json(draft.path);
        let pairs = draft.limits.form_pairs;
        of_body(draft.headers, may_be_json, draft.peeked(), pairs)
    });
    let form = form.map_err(|(violation, _)| violation)?;
    let encoded = match &form {
        Form::Urlencoded(form) => Some(form.as_ref()),
        Form::Json(form) => Some(form.as_slice()),
        Form::None | Form::Multipart => None,
    };
    let query = draft.query().as_bytes();
    let submission = Submission::read(query, encoded, draft.limits.form_pairs)?;
    let acts = !draft.settings.rules.observes_only();
    let handle = if acts {
        submission.handle(&draft.key)?
    } else {
        None
    };
    let mut headers = draft.headers.clone();
    if acts && matches!(form, Form::None) {
        headers.remove(header::CONTENT_TYPE);
    }
    let said = draft.said(&headers);
    let may_redeem = handle.is_none() || draft.codes_travel();
    if may_redeem && let Some(found) = token_request(draft, &said, &headers) {
        return Ok(found);
    }
    if handle.is_some() && concern::is_planted(&said) {
        let text = "the request contains a code next to the handle of a sign-in";
        return Err(Violation::malformed(text));
    }
    let may_continue = handle.is_some() || draft.settings.rules.any_upstream_codes();
    if acts && matches!(form, Form::Multipart) {
        multipart(&said, may_continue).map_err(|(violation, _)| violation)?;
    }
    if handle.is_some() {
        let text = "it continues a sign-in, because its state is a handle of the gate: the record of the sign-in decides";
        return Ok(Found::new(Verdict::Open(text)));
    }
    if acts && draft.settings.correlation == Correlation::Cookie && submission.mark().is_some() {
        let text = "it continues a sign-in that a cookie names: the record of the sign-in decides";
        return Ok(Found::new(Verdict::Open(text)));
    }
    let Some(part) = submission
        .fresh(draft.method == Method::GET)
        .map_err(Violation::from)?
    else {
        if acts {
            document(&said).map_err(|(violation, _)| violation)?;
        }
        let text = "it is not an authorization request but a form of the server: it is forwarded, and only the answer is checked";
        return Ok(Found::new(Verdict::Passes(text)));
    };
    match object(draft, &submission, part)? {
        None => fresh(draft, &submission, part),
        Some(form) => {
            let submission = Submission::read(b"", Some(&form), draft.limits.form_pairs)?;
            fresh(draft, &submission, Part::Form)
        }
    }
}

/// A request that looks like a token request.
fn token_request<'c>(
    draft: &Draft<'c, '_>,
    said: &Suspicion,
    headers: &http::HeaderMap,
) -> Option<Found<'c>> {
    let (rules, routes) = (&draft.settings.rules, &draft.settings.routes);
    if rules.observes_only() && routes.is_foreign_callback(draft.path) {
        return None;
    }
    let why =
        elsewhere::looks_like_token_request(said, draft.query(), headers, draft.codes_travel())?;
    let violation = Violation::TokenRequestElsewhere(why);
    let rule = draft.concerned(said);
    Some(Found::wrong(
        Check::Elsewhere,
        violation,
        draft.names(),
        rule,
    ))
}

/// The form of a request whose parameters are in a request object that the rule of its client allows.
fn object(
    draft: &Draft<'_, '_>,
    submission: &Submission<'_>,
    part: Part,
) -> Result<Option<Vec<u8>>, Violation> {
    let params = submission.part(part);
    if !params.contains("request") {
        return Ok(None);
    }
    let parsed = submission.request(part)?;
    let rule = draft.rule_of(parsed.client_id.map(ClientId::new).as_ref());
    Ok(content(rule, &parsed, params, false)?)
}

/// Judges a fresh request.
fn fresh<'c>(
    draft: &Draft<'c, '_>,
    submission: &Submission<'_>,
    part: Part,
) -> Result<Found<'c>, Violation> {
    let parsed = submission.request(part)?;
    let client = parsed.client_id.map(ClientId::new);
    let rule = rule_of(&parsed, draft.rule_of(client.as_ref()), || {
        draft.strictest()
    });
    let found = Found {
        client,
        rule: Some(rule),
        parameters: redacted(submission, part),
        ..Found::new(Verdict::Open(
            "its parameters were pushed (RFC 9126): the pushed request was judged when it was pushed",
        ))
    };
    if may_be_pushed(&draft.settings.endpoints, &parsed) {
        return Ok(found);
    }
    let verdict = authorize::judge(rule, &parsed);
    let (challenge, method) = (parsed.code_challenge, parsed.code_challenge_method);
    let each = authorize::each(rule, &parsed).into_iter();
    let each = each.map(|(check, verdict)| (Check::Authorization(check), verdict));
    Ok(Found {
        checks: [(Check::Parses, Ok(()))].into_iter().chain(each).collect(),
        hint: hints::of_verdict(rule, &verdict, challenge, method),
        verdict: Verdict::Judged(verdict.err()),
        ..found
    })
}
