//! The legacy authorization server of the demonstration, and what is wrong with it: it has never heard of PKCE.
//!
//! **Not a server to be used.** It has one user with a known password, keeps everything in memory and answers on
//! loopback only. It is honest otherwise, as servers of its time are: it compares client and redirect URI, and a code
//! is good once. Whoever holds a code can redeem it all the same, because nothing ties it to who asked for it; what
//! it does not know, a challenge and a verifier, it ignores (RFC 6749 section 3.1 and 3.2 say so).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Method, Response, StatusCode};
use minijinja::{AutoEscape, Environment, context};
use serde_json::json;

use super::facts::{ATTACKER, AUTHORIZE, CLIENT, METADATA, PASSWORD, Places, TOKEN, USER};
use super::ledger::{Exchange, Ledger, Message, Party};
use super::login::unguessable;
use super::wire::{self, Answers, Asked, Pairs, value};

/// Codes that wait for their redemption at most.
const WAITING: usize = 100;
const LOGIN: &str = include_str!("login.html");

/// A code that was issued and not redeemed.
#[derive(Debug)]
struct Grant {
    code: String,
    client: String,
    redirect: String,
}

/// The server.
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

    /// RFC 6749 section 4.1.1: the login form, and after it the code.
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

    /// RFC 6749 section 4.1.3. This is where a verifier would have to be asked for.
    fn token(&self, form: &Pairs) -> Response<String> {
        let error = |error: &str| wire::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        if value(form, "grant_type") != "authorization_code" {
            return error("unsupported_grant_type");
        }
        let mut grants = self.grants();
        let code = value(form, "code");
        let at = grants.iter().position(|grant| grant.code == code);
        // Taken out whatever comes of it: single use.
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

    /// The redirect URI of a client that is registered here.
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
        // Who comes here directly writes it down himself.
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

/// The form posts to its own URL, query and all: so do many servers of that age.
fn login_form(client: &str, wrong: bool) -> Response<String> {
    let mut pages = Environment::new();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    let context = context! { client, wrong, user => USER, password => PASSWORD };
    match pages.render_str(LOGIN, context) {
        Ok(html) => wire::page(StatusCode::OK, html),
        Err(error) => wire::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// RFC 8414, without `code_challenge_methods_supported`. The URLs follow the host that was asked.
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
