//! The legacy authorization server of the demonstration, which does not support PKCE.
//!
//! **Not for any other use.** It has one user with a known password, keeps everything in memory and listens on loopback
//! only. Otherwise it is a correct server of its time: it compares client and redirect URI, and accepts a code once.
//! Anyone with a code can redeem it, because the code is not bound to the client instance that requested it. It ignores
//! unknown parameters such as challenge and verifier, as RFC 6749 sections 3.1 and 3.2 require.

use std::collections::VecDeque;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use minijinja::context;
use serde_json::json;
use tokio::sync::Mutex;

use super::ledger::{Party, keep};
use super::login::unguessable;
use super::stage::{AUTHORIZE, METADATA, PASSWORD, Stage, TOKEN, USER};
use super::wire::{self, Answer, field, value};
use crate::pages::Templates;

const LOGIN: &str = include_str!("login.html");

/// An issued code that was not redeemed yet.
#[derive(Debug)]
struct Grant {
    code: String,
    client: String,
    redirect: String,
}

#[derive(Debug)]
pub(super) struct Legacy {
    stage: Arc<Stage>,
    grants: Mutex<VecDeque<Grant>>,
}

impl Legacy {
    pub(super) fn new(stage: Arc<Stage>) -> Self {
        Self {
            stage,
            grants: Mutex::default(),
        }
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request<String>) -> Answer {
        let stage = &self.stage;
        let mut exchange = stage.ledger.begin(Party::Gate, Party::Upstream, &request);
        let path = request.uri().path();
        let host = field(request.headers(), header::HOST);
        let answer = match (path, request.method()) {
            (AUTHORIZE, &Method::GET | &Method::POST) => self.authorize(&request).await?,
            (TOKEN, &Method::POST) => self.token(request.body()).await?,
            (METADATA, &Method::GET) => metadata(host),
            _ => wire::plain(StatusCode::NOT_FOUND, "not found"),
        };
        exchange.note = match (path, answer.status()) {
            (TOKEN, _) => "Behind the gate: the token request with the legacy server's own code.",
            (_, StatusCode::FOUND) => {
                "Behind the gate: the password is right, and the legacy server issues its code."
            }
            _ => "Behind the gate: the legacy server shows its login form.",
        };
        // The gate forwards the `Host` of its client. Direct requests are recorded by their senders.
        if stage.gate.strip_prefix("http://") == Some(host) {
            stage.ledger.end(exchange, &answer).await;
        }
        Ok(answer)
    }

    /// The authorization endpoint (RFC 6749 section 4.1.1): the login form, then the code.
    async fn authorize(&self, request: &Request<String>) -> Answer {
        let query = wire::query(request.uri())?;
        let (client, redirect) = (value(&query, "client_id"), value(&query, "redirect_uri"));
        let is_code = value(&query, "response_type") == "code";
        if !is_code || !self.stage.accepts(client, redirect) {
            let text = "unknown client, redirect_uri or response_type";
            return Ok(wire::plain(StatusCode::BAD_REQUEST, text));
        }
        let form = wire::pairs(request.body())?;
        if value(&form, "username") != USER || value(&form, "password") != PASSWORD {
            // The form posts to its own URL including the query, as many legacy servers do.
            let wrong = request.method() == Method::POST;
            let values = context! { client, wrong, user => USER, password => PASSWORD };
            let form = Templates::new(&[("login.html", LOGIN)]).render("login.html", values);
            return Ok(wire::page(form));
        }
        let code = unguessable()?;
        let answer = wire::encoded([("code", code.as_str()), ("state", value(&query, "state"))]);
        let location = format!("{redirect}?{answer}");
        let grant = Grant {
            code,
            client: client.to_owned(),
            redirect: redirect.to_owned(),
        };
        keep(&mut *self.grants.lock().await, grant);
        wire::redirect(StatusCode::FOUND, &location)
    }

    /// The token endpoint (RFC 6749 section 4.1.3). A server with PKCE would require the verifier here.
    async fn token(&self, form: &str) -> Answer {
        let form = wire::pairs(form)?;
        let error = |error| wire::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        if value(&form, "grant_type") != "authorization_code" {
            return Ok(error("unsupported_grant_type"));
        }
        let mut grants = self.grants.lock().await;
        let code = value(&form, "code");
        let at = grants.iter().position(|grant| grant.code == code);
        // Removed whatever the outcome, because a code is for single use.
        let grant = at.and_then(|at| grants.remove(at));
        let matches = grant.is_some_and(|grant| {
            grant.client == value(&form, "client_id")
                && grant.redirect == value(&form, "redirect_uri")
        });
        if !matches {
            return Ok(error("invalid_grant"));
        }
        let token =
            json!({ "access_token": unguessable()?, "token_type": "Bearer", "expires_in": 600 });
        Ok(wire::json(StatusCode::OK, &token))
    }
}

/// The metadata (RFC 8414), without `code_challenge_methods_supported`. Its URLs use the requested host.
fn metadata(host: &str) -> Response<String> {
    let origin = format!("http://{host}");
    let document = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}{AUTHORIZE}"),
        "token_endpoint": format!("{origin}{TOKEN}"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["none"],
    });
    wire::json(StatusCode::OK, &document)
}
