//! The rest of each scene after the browser has returned to the application: token requests, and checks of their
//! outcomes against the real exchanges.

use http::{Request, Response, StatusCode, header};
use serde_json::Value;

use super::browser::sign_in;
use super::ledger::{Outcome, Party};
use super::login::{Login, unguessable};
use super::scenes::{Attempt, Expect, Verifier};
use super::stage::{Stage, TOKEN};
use super::story::{self, Story};
use super::wire::{self, FORM, Failed, Pairs, value};
use crate::oauth::json;

/// Plays a scene to its end.
pub(super) async fn play(stage: &Stage, login: &Login, callback: &Pairs) -> Story {
    let (pkce, code) = (login.scene.pkce, value(callback, "code"));
    let mut states = vec![login.state.clone()];
    let mut outcomes = Vec::new();
    for attempt in login.scene.attempts {
        if let Err(error) = redeem(stage, login, code, attempt, &mut states).await {
            let text = format!("The scene was completed ({error})");
            outcomes.push(Outcome::new(false, text));
            break;
        }
    }
    let exchanges = story::gather(stage.ledger.all().await, states);
    outcomes.push(if pkce {
        story::code_stayed_behind_the_gate(&exchanges)
    } else {
        Outcome::new(code.is_empty(), "There is no code to steal")
    });
    let own_state = value(callback, "state") == login.state;
    let text = "The application got its own state back";
    outcomes.push(Outcome::new(own_state, text));
    outcomes.push(story::reached_the_server(&exchanges, pkce));
    Story::new(exchanges, outcomes)
}

/// Sends a token request (RFC 6749 section 4.1.3). `states` are those of the scene's sign-ins.
async fn redeem(
    stage: &Stage,
    login: &Login,
    code: &str,
    attempt: &Attempt,
    states: &mut Vec<String>,
) -> Result<(), Failed> {
    let mut code = code.to_owned();
    if attempt.expect == Expect::Stolen {
        // Without the gate. The attacker sees the redirect before the application does.
        let login = Login::new(login.scene)?;
        let url = login.url(stage, &stage.upstream);
        states.push(login.state);
        let seen = sign_in(stage, &url, &stage.callback).await?;
        let seen = wire::pairs(seen.query().unwrap_or_default())?;
        value(&seen, "code").clone_into(&mut code);
    }
    let verifier = match attempt.verifier {
        Verifier::Right => Some(login.verifier.clone()),
        Verifier::MadeUp => Some(unguessable()?),
        Verifier::Missing => None,
    };
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", attempt.client),
        (
            "redirect_uri",
            stage.redirect_uri(attempt.client).unwrap_or_default(),
        ),
        ("code", &code),
    ];
    form.extend(
        verifier
            .as_deref()
            .map(|verifier| ("code_verifier", verifier)),
    );
    let origin = if attempt.to == Party::Gate {
        &stage.gate
    } else {
        &stage.upstream
    };
    let request = Request::post(format!("{origin}{TOKEN}"))
        .header(header::CONTENT_TYPE, FORM)
        .body(wire::encoded(form))?;
    let mut exchange = stage.ledger.begin(attempt.who, attempt.to, &request);
    let answer = wire::send(request).await?;
    exchange.note = attempt.note;
    exchange.verdict = Some(judge(attempt.expect, attempt.what, &answer));
    stage.ledger.end(exchange, &answer).await;
    Ok(())
}

/// Compares the outcome of a token request with the expected one.
fn judge(expect: Expect, what: &str, answer: &Response<String>) -> Outcome {
    let body = json::parse(answer.body().as_bytes()).unwrap_or_default();
    let token = body.get("access_token").is_some();
    let error = body.get("error").and_then(Value::as_str);
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
    Outcome {
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
