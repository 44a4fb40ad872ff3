//! I4: what passes at paths that the gate does not protect.

use super::{Outcome, Report};
use crate::support::http::Response;
use crate::support::wire::{Framing, dechunked, end_of_head, fields};

/// Fields that the gate sets on requests: who the client is, what holds for one connection only, and that answers must be
/// readable.
const OF_REQUESTS: [&str; 6] = [
    "accept-encoding",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "connection",
];
/// Fields of answers that hold for one connection only.
const OF_ANSWERS: [&str; 2] = ["connection", "date"];

pub(super) fn transparency(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    for passed in &report.passed {
        let Some(sent) = report.sends.get(passed.send) else {
            continue; // conservation reports it
        };
        let requests = (sent.bytes.as_slice(), passed.request.as_slice());
        if let Err(what) = same(requests, Framing::of_request, &OF_REQUESTS) {
            wrong.push(format!("request {} was changed: {what}", sent.id));
        }
        // An answer of the gate itself is not this one.
        let Outcome::Answer(Response { raw, .. }) = &sent.outcome else {
            continue;
        };
        if sent.outcome.upstream_answered().is_none() {
            continue;
        }
        let answers = (passed.answer.as_slice(), raw.as_slice());
        if let Err(what) = same(answers, Framing::of_response, &OF_ANSWERS) {
            wrong.push(format!(
                "the answer to request {} was changed: {what}",
                sent.id
            ));
        }
    }
    wrong
}

/// First line without the reason phrase, fields, and content. Names are compared without case (RFC 9110 section 5.1).
fn same(
    (one, other): (&[u8], &[u8]),
    framing: fn(&[u8]) -> Framing,
    declared: &[&str],
) -> Result<(), String> {
    let parts = |message: &[u8]| {
        let (head, body) = message.split_at(end_of_head(message).unwrap_or_default());
        let content = match framing(head) {
            Framing::Chunked => dechunked(body),
            Framing::Length(_) | Framing::UntilClose => body.to_vec(),
        };
        let line = head.split(|&byte| byte == b'\r').next();
        let line = line.unwrap_or_default();
        let end = if line.starts_with(b"HTTP/") {
            "HTTP/1.1 200".len()
        } else {
            line.len()
        };
        let line = line.get(..end).unwrap_or(line).escape_ascii().to_string();
        let kept = fields(head).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let mut kept: Vec<_> = kept
            .filter(|(name, _)| !declared.contains(&&**name))
            .collect();
        kept.sort_by(|(one, _), (other, _)| one.cmp(other)); // keeps the order of equal names
        (line, kept, content.escape_ascii().to_string())
    };
    let (one, other) = (parts(one), parts(other));
    if one == other {
        return Ok(());
    }
    Err(format!("{one:?}\nbecame {other:?}"))
}
