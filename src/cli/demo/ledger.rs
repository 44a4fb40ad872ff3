//! The HTTP exchanges, recorded by the application, the attacker, the automated browser and the legacy server. The gate
//! records nothing, because it is what is observed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, header};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::wire::{self, Pairs};
use crate::oauth::json;

/// Maximum number of exchanges, sign-ins and codes that are kept; the oldest is dropped.
const KEPT: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Party {
    Browser,
    /// The OAuth client, which is the demo page.
    Application,
    Attacker,
    Gate,
    Upstream,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Exchange {
    /// The position in the order in which requests were sent.
    #[serde(skip)]
    pub(super) number: usize,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) note: &'static str,
    pub(super) request: Message,
    /// The exchanges between gate and server before the gate answered, in a story.
    pub(super) behind: Vec<Exchange>,
    pub(super) answer: Message,
    pub(super) verdict: Option<Outcome>,
}

impl Exchange {
    /// All parameters, the request's first.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &(String, String)> {
        self.request.pairs.iter().chain(&self.answer.pairs)
    }
}

/// The first line and the parameters of a request or response.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Message {
    pub(super) line: String,
    pub(super) pairs: Pairs,
}

/// An expected outcome, and whether it occurred.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    pub(super) kept: bool,
    /// As expected, but bad: an attack that succeeds without the gate.
    pub(super) alarm: bool,
    pub(super) text: String,
}

impl Outcome {
    pub(super) fn new(kept: bool, text: impl Into<String>) -> Self {
        Self {
            kept,
            alarm: false,
            text: text.into(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    numbers: AtomicUsize,
    exchanges: Mutex<VecDeque<Exchange>>,
}

impl Ledger {
    /// Notes a request when it is sent or received.
    pub(super) fn begin(&self, from: Party, to: Party, request: &Request<String>) -> Exchange {
        let (uri, form) = (request.uri(), wire::pairs(request.body()));
        let mut pairs = wire::query(uri).unwrap_or_default();
        pairs.extend(form.unwrap_or_default());
        Exchange {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            from,
            to,
            note: "",
            request: Message {
                line: format!("{} {}", request.method(), uri.path()),
                pairs,
            },
            behind: Vec::new(),
            answer: Message::default(),
            verdict: None,
        }
    }

    /// Records an exchange when its request is answered.
    pub(super) async fn end(&self, mut exchange: Exchange, response: &Response<String>) {
        exchange.answer = answer(response);
        keep(&mut *self.exchanges.lock().await, exchange);
    }

    /// The exchanges, in the order of their requests.
    pub(super) async fn all(&self) -> Vec<Exchange> {
        let mut all = Vec::from(self.exchanges.lock().await.clone());
        all.sort_by_key(|exchange| exchange.number);
        all
    }
}

/// Adds an item, and drops the oldest one if there are too many.
pub(super) fn keep<T>(items: &mut VecDeque<T>, item: T) {
    if items.len() == KEPT {
        items.pop_front();
    }
    items.push_back(item);
}

/// The status, with the parameters of its `Location`, the members of its JSON document, or the title of its page.
fn answer(response: &Response<String>) -> Message {
    let (mut line, body) = (response.status().to_string(), response.body());
    let location = wire::field(response.headers(), header::LOCATION);
    let media_type = wire::field(response.headers(), header::CONTENT_TYPE);
    let mut pairs = Pairs::new();
    if !location.is_empty() {
        let (to, query) = location.split_once('?').unwrap_or((location, ""));
        line = format!("{line}, Location: {to}");
        pairs = wire::pairs(query).unwrap_or_default();
    } else if media_type.starts_with("text/html") {
        let (_, rest) = body.split_once("<title>").unwrap_or_default();
        let (title, _) = rest.split_once("</title>").unwrap_or_default();
        line = format!("{line}, page: {title}");
    } else if let Some(Value::Object(members)) = json::parse(body.as_bytes()) {
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        pairs.extend(
            members
                .into_iter()
                .map(|(name, value)| (name, text(&value))),
        );
    }
    Message { line, pairs }
}
