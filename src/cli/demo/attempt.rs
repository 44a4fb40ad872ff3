//! Token requests and the judgement of their outcomes.

use http::{Method, Request, Response, StatusCode, header};

use super::agent;
use super::facts::TOKEN;
use super::ledger::Party;
use super::stage::Stage;
use super::story::{Promise, Remark};
use super::wire::{self, Failed, Pairs};
use crate::oauth::json;

#[derive(Debug)]
pub(super) struct Attempt<'t> {
    pub(super) who: Party,
    pub(super) form: Pairs,
    pub(super) expect: Expect,
    /// The beginning of the verdict's text.
    pub(super) what: &'t str,
    pub(super) note: &'t str,
}

/// The expected outcome of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Token,
    Refused,
    /// A token for the attacker, which is expected without the gate.
    Stolen,
}

impl Attempt<'_> {
    /// Sends the request to the gate or server at `origin`.
    pub(super) async fn make(self, stage: &Stage, origin: &str) -> Result<Remark, Failed> {
        let pairs = self.form.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{origin}{TOKEN}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(wire::encoded(pairs))
            .map_err(wire::failed)?;
        let (number, answer) = agent::exchange(stage, self.who, request).await?;
        Ok(Remark {
            number,
            note: self.note.to_owned(),
            verdict: Some(judge(self.expect, self.what, &answer)),
        })
    }
}

/// Compares the outcome of a token request with the expected one.
fn judge(expect: Expect, what: &str, answer: &Response<String>) -> Promise {
    let body = json::parse(answer.body().as_bytes()).unwrap_or_default();
    let token = body.get("access_token").is_some();
    let error = body.get("error").and_then(serde_json::Value::as_str);
    let outcome = match error {
        _ if token => "token issued".to_owned(),
        Some(error) => format!("refused, {error}"),
        None => format!("{} without an error code", answer.status()),
    };
    let kept = match expect {
        Expect::Token | Expect::Stolen => token && answer.status() == StatusCode::OK,
        Expect::Refused => {
            !token && error == Some("invalid_grant") && answer.status() == StatusCode::BAD_REQUEST
        }
    };
    Promise {
        kept,
        alarm: expect == Expect::Stolen,
        text: format!("{what}: {outcome}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_depends_on_the_actual_outcome() {
        let token = wire::json(StatusCode::OK, &serde_json::json!({ "access_token": "t" }));
        let refused =
            |status, error: &str| wire::json(status, &serde_json::json!({ "error": error }));
        let invalid_grant = refused(StatusCode::BAD_REQUEST, "invalid_grant");
        let invalid_request = refused(StatusCode::BAD_REQUEST, "invalid_request");
        let failure = wire::plain(StatusCode::BAD_GATEWAY, "nobody there");
        for (expect, answer, kept) in [
            (Expect::Token, &token, true),
            (Expect::Token, &invalid_grant, false),
            (Expect::Token, &failure, false),
            (Expect::Stolen, &token, true),
            (Expect::Stolen, &invalid_grant, false),
            (Expect::Refused, &invalid_grant, true),
            (Expect::Refused, &invalid_request, false),
            (Expect::Refused, &token, false),
            (Expect::Refused, &failure, false),
        ] {
            let verdict = judge(expect, "it", answer);
            assert_eq!(verdict.kept, kept, "{expect:?}: {}", verdict.text);
        }
    }
}
