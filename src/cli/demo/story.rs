//! A scene as it happened: the exchanges that belong to it, and whether what was promised came true.

use std::collections::BTreeMap;

use super::ledger::{Exchange, Ledger, Party};

/// The parameters whose values tie the exchanges of one sign-in together.
const LINKS: [&str; 4] = ["state", "code", "code_challenge", "code_verifier"];

/// How good news is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    /// As it was expected, and bad: what happens without the gate.
    Alarm,
}

/// Something that has to be so, and whether it is.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub(super) kept: bool,
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Promise {
    pub(super) fn new(kept: bool, text: impl Into<String>) -> Self {
        Self {
            kept,
            tone: Tone::Good,
            text: text.into(),
        }
    }

    pub(super) fn with_tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// What is said about one exchange.
#[derive(Debug, Clone)]
pub(super) struct Remark {
    /// Which.
    pub(super) number: usize,
    pub(super) note: String,
    pub(super) verdict: Option<Promise>,
}

/// What a value is, for whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ClientState,
    Challenge,
    Verifier,
    /// A verifier that is none.
    MadeUp,
    StateHandle,
    CodeHandle,
    UpstreamCode,
    Token,
}

/// A scene, played.
#[derive(Debug, Clone)]
pub(super) struct Story {
    told: Vec<(Exchange, Remark)>,
    promises: Vec<Promise>,
}

impl Story {
    /// Picks the exchanges of one scene out of everything that went over the wire: whatever carries a value that
    /// belongs to it, and so on. Other sign-ins may go on at the same time.
    pub(super) fn gather(ledger: &Ledger, mut links: Vec<String>, remarks: &[Remark]) -> Self {
        let mut told = Vec::new();
        for exchange in ledger.all() {
            let values = exchange.pairs().filter(|(name, _)| LINKS.contains(name));
            let values: Vec<String> = values.map(|(_, value)| value.to_owned()).collect();
            if values.iter().any(|value| links.contains(value)) {
                links.extend(values);
                let said = remarks
                    .iter()
                    .find(|remark| remark.number == exchange.number);
                let remark = said.cloned().unwrap_or_else(|| Remark {
                    number: exchange.number,
                    note: usual(&exchange).to_owned(),
                    verdict: None,
                });
                told.push((exchange, remark));
            }
        }
        Self {
            told,
            promises: Vec::new(),
        }
    }

    pub(super) fn with_promises(self, promises: Vec<Promise>) -> Self {
        Self { promises, ..self }
    }

    /// In the order in which they happened.
    pub(super) fn told(&self) -> impl Iterator<Item = &(Exchange, Remark)> {
        self.told.iter()
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.told.iter().map(|(exchange, _)| exchange)
    }

    /// About the whole of it.
    pub(super) fn promises(&self) -> &[Promise] {
        &self.promises
    }

    /// Whether everything was as promised; a scene in which nothing happened was not.
    pub(super) fn is_kept(&self) -> bool {
        let verdicts = self
            .told
            .iter()
            .filter_map(|(_, remark)| remark.verdict.as_ref());
        let mut all = verdicts.clone().chain(&self.promises);
        verdicts.count() > 0 && all.all(|promise| promise.kept)
    }

    /// Whether a browser without a screen played it: only then is its talk with the gate known.
    pub(super) fn saw_the_browser(&self) -> bool {
        self.exchanges()
            .any(|exchange| exchange.is(Party::Browser, Party::Gate))
    }

    /// The codes that the legacy server issued through the gate were seen by nobody on the other side of it.
    pub(super) fn code_stayed_behind_the_gate(&self) -> Promise {
        let (behind, before): (Vec<_>, Vec<_>) = self
            .exchanges()
            .partition(|exchange| exchange.from == Party::Gate);
        let answers = behind.iter().flat_map(|exchange| &exchange.answer.pairs);
        let issued: Vec<&str> = answers
            .filter(|(name, _)| name == "code")
            .map(|(_, code)| code.as_str())
            .collect();
        let mut outside = before.iter().flat_map(|exchange| exchange.pairs());
        let leaked = outside.any(|(_, value)| issued.contains(&value));
        Promise::new(
            !issued.is_empty() && !leaked,
            "What the legacy server issued behind the gate never reached the browser, the application or the attacker",
        )
    }

    /// What the values on the wire are, by who said them to whom.
    pub(super) fn kinds(&self) -> BTreeMap<&str, Kind> {
        let mut kinds = BTreeMap::new();
        // What is learned first about a value counts: the application speaks before the gate does.
        for exchange in self.exchanges() {
            let from_gate = exchange.from == Party::Gate || is_redirected(exchange);
            for (name, value) in exchange.pairs().filter(|(_, value)| !value.is_empty()) {
                let kind = match name {
                    "code_challenge" => Kind::Challenge,
                    "code_verifier" if exchange.from == Party::Attacker => Kind::MadeUp,
                    "code_verifier" => Kind::Verifier,
                    "access_token" => Kind::Token,
                    "state" if from_gate => Kind::StateHandle,
                    "state" => Kind::ClientState,
                    "code" if exchange.to == Party::Upstream => Kind::UpstreamCode,
                    "code" => Kind::CodeHandle,
                    _ => continue,
                };
                kinds.entry(value).or_insert(kind);
            }
        }
        kinds
    }
}

/// The gate's own redirect, by which the handle comes into play.
fn is_redirected(exchange: &Exchange) -> bool {
    exchange.is(Party::Browser, Party::Gate) && exchange.status == 303
}

/// What an exchange is that nobody has said anything about.
fn usual(exchange: &Exchange) -> &'static str {
    let posted = exchange.request.line.starts_with("POST");
    match (exchange.from, exchange.to) {
        (Party::Browser, Party::Application) if exchange.request.line.ends_with("/callback") => {
            "The browser brings the answer to the application."
        }
        (Party::Browser, Party::Application) => "The application sends the browser to sign in.",
        (Party::Browser, Party::Gate) if posted => {
            "Alice logs in. The gate puts its handle in place of the code, and the application's state back."
        }
        (Party::Browser, Party::Gate)
            if exchange.answer.pairs.iter().any(|(n, _)| n == "error") =>
        {
            "The gate refuses: there is no challenge. The upstream is not asked."
        }
        (Party::Browser, Party::Gate) if exchange.status == 303 => {
            "The gate judges the request, and puts a handle in place of the state."
        }
        (Party::Browser, Party::Gate) => "The browser comes back with the handle.",
        (Party::Browser, Party::Upstream) if posted => {
            "Without the gate: alice logs in, and the code itself travels through her browser."
        }
        (Party::Browser, Party::Upstream) => {
            "Without the gate: the browser asks the legacy server."
        }
        (Party::Gate, Party::Upstream) if posted && exchange.status == 302 => {
            "Behind the gate: the password is right, and the legacy server issues its code."
        }
        (Party::Gate, Party::Upstream) if posted => {
            "Behind the gate: the legacy server gets its own code back."
        }
        (Party::Gate, Party::Upstream) => {
            "Behind the gate: the legacy server shows its login form."
        }
        (_, _) => "",
    }
}

#[cfg(test)]
mod tests;
