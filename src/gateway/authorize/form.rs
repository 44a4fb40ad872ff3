//! Reads the body of a request on an authorization path.

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Method, StatusCode};

use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::token::form::Unreadable;
use crate::http::body::Peeked;
use crate::http::headers;
use crate::oauth::authorize::PROTECTED;
use crate::oauth::json_form;
use crate::oauth::media::{Charset, NoForm, form_charset};
use crate::policy::Violation;

/// The body of a request on an authorization path.
pub(super) enum Form {
    None,
    Urlencoded(Bytes),
    /// A JSON object, as a form with the same parameters ([`json_form`]).
    Json(Vec<u8>),
    /// Not parsed here. Only a continuation may have one, with its handle in the query.
    Multipart,
}

/// Reads the body, if there is one. It can still be forwarded.
pub(super) async fn form(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Result<Form, Unreadable> {
    let is_empty = http_body::Body::is_end_stream(&request.body);
    let limits = &exchange.snapshot.limits;
    if let Some(form) = by_head(&request.method, &request.headers, is_empty) {
        return form;
    }
    let body = request.body.peek(limits.form_bytes).await;
    let may_be_json = exchange.has_code_in_json(request.path());
    of_body(&request.headers, may_be_json, body, limits.form_pairs)
}

/// What the head of a request says about its body, if that is sufficient.
pub(super) fn by_head(
    method: &Method,
    headers: &HeaderMap,
    is_empty: bool,
) -> Option<Result<Form, Unreadable>> {
    if method == Method::GET {
        return Some(if is_empty {
            Ok(Form::None)
        } else {
            malformed("a GET request with a body", StatusCode::BAD_REQUEST)
        });
    }
    let is_multipart = headers::media_type(headers)
        .to_ascii_lowercase()
        .starts_with("multipart/form-data");
    is_multipart.then_some(Ok(Form::Multipart))
}

/// Reads a body that was peeked at. `may_be_json`: whether its path may have JSON (`code_in_json`).
pub(super) fn of_body(
    headers: &HeaderMap,
    may_be_json: bool,
    body: Peeked,
    pairs: usize,
) -> Result<Form, Unreadable> {
    let media_type = headers::media_type(headers).to_ascii_lowercase();
    let unsupported =
        |problem: NoForm| malformed(&problem.to_string(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    match body {
        Peeked::Whole(body) if body.is_empty() => Ok(Form::None),
        Peeked::Whole(_) if headers.contains_key(header::CONTENT_ENCODING) => {
            unsupported(NoForm::MediaType)
        }
        Peeked::Whole(body) if may_be_json && names_json(&media_type) => {
            match json_form::to_form(&body, &PROTECTED) {
                Some(form) => Ok(Form::Json(form)),
                None => malformed(
                    "the body must be a JSON object without duplicate members, whose parameters are strings",
                    StatusCode::BAD_REQUEST,
                ),
            }
        }
        Peeked::Whole(body) => {
            let agrees = |charset: Charset| charset.agrees_on(&body, pairs, &PROTECTED);
            match form_charset(&media_type).and_then(agrees) {
                Ok(()) => Ok(Form::Urlencoded(body)),
                Err(problem) => unsupported(problem),
            }
        }
        Peeked::TooLong => malformed("the body is too long", StatusCode::PAYLOAD_TOO_LARGE),
        Peeked::Broken => malformed("the body ends early", StatusCode::BAD_REQUEST),
    }
}

fn malformed(text: &str, status: StatusCode) -> Result<Form, Unreadable> {
    Err((Violation::malformed(text), status))
}

/// Whether the body is a JSON object with the parameters: at the paths whose answers have a code in JSON (`code_in_json`).
pub(super) fn is_json(exchange: &Exchange<'_>, request: &Received) -> bool {
    names_json(&request.media_type().to_ascii_lowercase())
        && exchange.has_code_in_json(request.path())
}

/// Whether a media type in lower case is that of JSON.
fn names_json(media_type: &str) -> bool {
    let media_type = media_type.replace(' ', "");
    ["application/json", "application/json;charset=utf-8"].contains(&&*media_type)
}
