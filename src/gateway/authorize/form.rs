//! Reads the body of a request on an authorization path.

use bytes::Bytes;
use http::header;
use http::{Method, StatusCode};

use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::http::body::Peeked;
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
) -> Result<Form, (Violation, StatusCode)> {
    let malformed = |text: &str, status| Err((Violation::malformed(text), status));
    if request.method == Method::GET {
        return if http_body::Body::is_end_stream(&request.body) {
            Ok(Form::None)
        } else {
            malformed("a GET request with a body", StatusCode::BAD_REQUEST)
        };
    }
    let media_type = request.media_type().to_ascii_lowercase();
    let limits = &exchange.snapshot.limits;
    let unsupported =
        |problem: NoForm| malformed(&problem.to_string(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    if media_type.starts_with("multipart/form-data") {
        return Ok(Form::Multipart);
    }
    match request.body.peek(limits.form_bytes).await {
        Peeked::Whole(body) if body.is_empty() => Ok(Form::None),
        Peeked::Whole(_) if request.headers.contains_key(header::CONTENT_ENCODING) => {
            unsupported(NoForm::MediaType)
        }
        Peeked::Whole(body) if is_json(exchange, request) => {
            match json_form::to_form(&body, &PROTECTED) {
                Some(form) => Ok(Form::Json(form)),
                None => malformed(
                    "the body must be a JSON object without duplicate members, whose parameters are strings",
                    StatusCode::BAD_REQUEST,
                ),
            }
        }
        Peeked::Whole(body) => {
            let agrees = |charset: Charset| charset.agrees_on(&body, limits.form_pairs, &PROTECTED);
            match form_charset(&media_type).and_then(agrees) {
                Ok(()) => Ok(Form::Urlencoded(body)),
                Err(problem) => unsupported(problem),
            }
        }
        Peeked::TooLong => malformed("the body is too long", StatusCode::PAYLOAD_TOO_LARGE),
        Peeked::Broken => malformed("the body ends early", StatusCode::BAD_REQUEST),
    }
}

/// Whether the body is a JSON object with the parameters: at the paths whose answers have a code in JSON (`code_in_json`).
pub(super) fn is_json(exchange: &Exchange<'_>, request: &Received) -> bool {
    let media_type = request.media_type().to_ascii_lowercase();
    let media_type = media_type.replace(' ', "");
    let is_json = ["application/json", "application/json;charset=utf-8"].contains(&&*media_type);
    is_json && exchange.has_code_in_json(request.path())
}
