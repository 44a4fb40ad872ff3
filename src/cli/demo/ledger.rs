//! The HTTP exchanges, recorded by the application, the attacker, the automated browser and the legacy server. The gate
//! records nothing, because it is what is observed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Response, header};

use super::wire::{self, Asked, Pairs};

/// Maximum number of exchanges kept.
const KEPT: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Browser,
    /// The OAuth client, which is the demo page.
    Application,
    Attacker,
    Gate,
    Upstream,
}

impl Party {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Application => "application",
            Self::Attacker => "attacker",
            Self::Gate => "gate",
            Self::Upstream => "upstream",
        }
    }
}

/// The first line and the parameters of a request or response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) line: String,
    pub(super) pairs: Pairs,
}

impl Message {
    /// `GET /path`, with the parameters of query and form.
    pub(super) fn request(asked: &Asked) -> Self {
        Self {
            line: format!("{} {}", asked.method, asked.path),
            pairs: asked.pairs(),
        }
    }

    /// The status, with the parameters of its `Location`, the members of its JSON document, or the title of its page.
    pub(super) fn answer(response: &Response<String>) -> Self {
        let status = response.status().to_string();
        let text = |name| {
            let value: Option<&http::HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        if let Some(location) = text(header::LOCATION) {
            let (to, query) = location.split_once('?').unwrap_or((location, ""));
            return Self {
                line: format!("{status}, Location: {to}"),
                pairs: wire::pairs(query.as_bytes()).unwrap_or_default(),
            };
        }
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let line = if kind.starts_with("text/html") {
            format!("{status}, page: {}", title(response.body()))
        } else {
            status
        };
        let pairs = if kind.starts_with("application/json") {
            members(response.body())
        } else {
            Pairs::new()
        };
        Self { line, pairs }
    }
}

fn title(page: &str) -> &str {
    let (_, rest) = page.split_once("<title>").unwrap_or_default();
    let (title, _) = rest.split_once("</title>").unwrap_or_default();
    title
}

fn members(json: &str) -> Pairs {
    let Some(serde_json::Value::Object(members)) = crate::oauth::json::parse(json.as_bytes())
    else {
        return Pairs::new();
    };
    let text = |value: &serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let own = members
        .iter()
        .map(|(name, value)| (name.clone(), text(value)));
    own.collect()
}

#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// The position in the order in which requests were sent.
    pub(super) number: usize,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) request: Message,
    pub(super) status: u16,
    pub(super) answer: Message,
}

impl Exchange {
    pub(super) fn is(&self, from: Party, to: Party) -> bool {
        self.from == from && self.to == to
    }

    /// All parameters, the request's first.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.request.pairs.iter().chain(&self.answer.pairs);
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The exchanges, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    numbers: usize,
    exchanges: VecDeque<Exchange>,
}

impl Ledger {
    /// The number for a request; called when it is sent or received.
    pub(super) fn number(&self) -> usize {
        let mut book = self.book();
        book.numbers += 1;
        book.numbers
    }

    /// Records an exchange; called when the request is answered.
    pub(super) fn record(&self, exchange: Exchange) {
        let mut book = self.book();
        if book.exchanges.len() == KEPT {
            book.exchanges.pop_front();
        }
        // A later request may be answered earlier: those that the gate sends on behalf of another one.
        let before = |other: &Exchange| other.number < exchange.number;
        let at = book.exchanges.partition_point(before);
        book.exchanges.insert(at, exchange);
    }

    pub(super) fn all(&self) -> Vec<Exchange> {
        self.book().exchanges.iter().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
