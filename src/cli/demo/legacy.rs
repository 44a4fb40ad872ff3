//! The legacy authorization server of the demonstration, which does not support PKCE.
//!
//! **Not for any other use.** It has one user with a known password, keeps everything in memory and listens on loopback
//! only. Otherwise it is a correct server of its time: it compares client and redirect URI, and accepts a code once.
//! Anyone with a code can redeem it, because the code is not bound to the client instance that requested it. It ignores
//! unknown parameters such as challenge and verifier, as RFC 6749 sections 3.1 and 3.2 require.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Method, Response, StatusCode};
use minijinja::{AutoEscape, Environment, context};
use serde_json::json;

use super::facts::{ATTACKER, AUTHORIZE, CLIENT, METADATA, PASSWORD, Places, TOKEN, USER};
use super::ledger::{Exchange, Ledger, Message, Party};
use super::login::unguessable;
use super::wire::{self, Answers, Asked, Pairs, value};

/// Maximum number of codes that wait for their redemption.
const WAITING: usize = 100;
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
    places: Places,
    ledger: std::sync::Arc<Ledger>,
    grants: Mutex<VecDeque<Grant>>,
}

impl Legacy {
    pub(super) fn new(places: Places, ledger: std::sync::Arc<Ledger>) -> Self {
        Self {
            places,
            ledger,
            grants: Mutex::default(),
        }
    }

    fn serve(&self, asked: &Asked) -> Response<String> {
        match (asked.path.as_str(), &asked.method) {
            (AUTHORIZE, &Method::GET | &Method::POST) => self.authorize(asked),
            (TOKEN, &Method::POST) => self.token(&asked.form),
            (METADATA, &Method::GET) => metadata(&asked.host),
            _ => wire::plain(StatusCode::NOT_FOUND, "not found"),
        }
    }

    /// The authorization endpoint (RFC 6749 section 4.1.1): the login form, then the code.
    fn authorize(&self, asked: &Asked) -> Response<String> {
        let (client, redirect) = (
            value(&asked.query, "client_id"),
            value(&asked.query, "redirect_uri"),
        );
        let is_code = value(&asked.query, "response_type") == "code";
        if !is_code || self.registered(client) != Some(redirect) {
            let text = "unknown client, redirect_uri or response_type";
            return wire::plain(StatusCode::BAD_REQUEST, text);
        }
        if asked.method == Method::GET {
            return login_form(client, false);
        }
        if value(&asked.form, "username") != USER || value(&asked.form, "password") != PASSWORD {
            return login_form(client, true);
        }
        let Ok(code) = unguessable() else {
            return wire::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no random bytes available",
            );
        };
        let state = value(&asked.query, "state");
        let answer = [("code", code.as_str()), ("state", state)];
        let location = format!("{redirect}?{}", wire::encoded(answer));
        let mut grants = self.grants();
        if grants.len() == WAITING {
            grants.pop_front();
        }
        grants.push_back(Grant {
            code,
            client: client.to_owned(),
            redirect: redirect.to_owned(),
        });
        wire::redirect(StatusCode::FOUND, &location)
    }

    /// The token endpoint (RFC 6749 section 4.1.3). A server with PKCE would require the verifier here.
    fn token(&self, form: &Pairs) -> Response<String> {
        let error = |error: &str| wire::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        if value(form, "grant_type") != "authorization_code" {
            return error("unsupported_grant_type");
        }
        let mut grants = self.grants();
        let code = value(form, "code");
        let at = grants.iter().position(|grant| grant.code == code);
        // Removed whatever the outcome, because a code is for single use.
        let grant = at.and_then(|at| grants.remove(at));
        let matches = grant.is_some_and(|grant| {
            grant.client == value(form, "client_id")
                && grant.redirect == value(form, "redirect_uri")
        });
        match unguessable() {
            Ok(token) if matches => {
                let answer =
                    json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 });
                wire::json(StatusCode::OK, &answer)
            }
            Ok(_) | Err(_) => error("invalid_grant"),
        }
    }

    /// The redirect URI of a registered client.
    fn registered(&self, client: &str) -> Option<&str> {
        match client {
            CLIENT => Some(&self.places.callback),
            ATTACKER => Some(&self.places.attacker_callback),
            _ => None,
        }
    }

    fn grants(&self) -> MutexGuard<'_, VecDeque<Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Legacy {
    async fn answer(&self, asked: Asked) -> Response<String> {
        let number = self.ledger.number();
        let answer = self.serve(&asked);
        // Direct requests are recorded by their senders.
        if self.places.is_gate(&asked.host) {
            self.ledger.record(Exchange {
                number,
                from: Party::Gate,
                to: Party::Upstream,
                request: Message::request(&asked),
                status: answer.status().as_u16(),
                answer: Message::answer(&answer),
            });
        }
        answer
    }
}

/// The form posts to its own URL including the query, as many legacy servers do.
fn login_form(client: &str, wrong: bool) -> Response<String> {
    let mut pages = Environment::new();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    let context = context! { client, wrong, user => USER, password => PASSWORD };
    match pages.render_str(LOGIN, context) {
        Ok(html) => wire::page(StatusCode::OK, html),
        Err(error) => wire::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
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
