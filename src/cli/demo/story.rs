//! A scene as it was played: its exchanges, and whether the outcomes were as expected.

use serde::Serialize;

use super::ledger::{Exchange, Ledger, Party};

/// The parameters whose values connect the exchanges of one sign-in.
const LINKS: [&str; 4] = ["state", "code", "code_challenge", "code_verifier"];

/// An expected outcome, and whether it occurred.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Promise {
    pub(super) kept: bool,
    /// As expected, but bad: an attack that succeeds without the gate.
    pub(super) alarm: bool,
    pub(super) text: String,
}

impl Promise {
    pub(super) fn new(kept: bool, text: impl Into<String>) -> Self {
        Self {
            kept,
            alarm: false,
            text: text.into(),
        }
    }

    /// The label of the outcome.
    pub(super) fn word(&self) -> &'static str {
        match (self.kept, self.alarm) {
            (true, false) => "ok",
            (true, true) => "!!",
            (false, _) => "UNEXPECTED",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Remark {
    pub(super) number: usize,
    pub(super) note: String,
    pub(super) verdict: Option<Promise>,
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    /// The exchanges and remarks, in order.
    pub(super) told: Vec<(Exchange, Remark)>,
    /// The outcomes of the scene as a whole.
    pub(super) promises: Vec<Promise>,
}

impl Story {
    /// Selects the exchanges of one scene from all recorded ones: those that contain a value of the scene, or a value
    /// of an exchange selected before. Other sign-ins may run at the same time.
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

    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.told.iter().map(|(exchange, _)| exchange)
    }

    /// Whether all outcomes were as expected, and there was at least one verdict.
    pub(super) fn is_kept(&self) -> bool {
        let verdicts = self
            .told
            .iter()
            .filter_map(|(_, remark)| remark.verdict.as_ref());
        let mut all = verdicts.clone().chain(&self.promises);
        verdicts.count() > 0 && all.all(|promise| promise.kept)
    }

    /// Whether the automated browser played the scene: only then its exchanges with the gate are recorded.
    pub(super) fn saw_the_browser(&self) -> bool {
        self.exchanges()
            .any(|exchange| exchange.is(Party::Browser, Party::Gate))
    }

    /// Checks that codes of the legacy server, issued through the gate, were seen only behind the gate.
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
            "The legacy server's code never reached the browser, the application or the attacker",
        )
    }
}

/// The default comment on an exchange.
fn usual(exchange: &Exchange) -> &'static str {
    let posted = exchange.request.line.starts_with("POST");
    match (exchange.from, exchange.to) {
        (Party::Browser, Party::Application) if exchange.request.line.ends_with("/callback") => {
            "The browser returns to the application with the response."
        }
        (Party::Browser, Party::Application) => {
            "The application redirects the browser to the sign-in."
        }
        (Party::Browser, Party::Gate) if posted => {
            "Alice logs in. The gate replaces the code with its handle, and restores the application's state."
        }
        (Party::Browser, Party::Gate)
            if exchange.answer.pairs.iter().any(|(n, _)| n == "error") =>
        {
            "The gate refuses the request, because it has no challenge. The upstream is not involved."
        }
        (Party::Browser, Party::Gate) if exchange.status == 303 => {
            "The gate accepts the request, and replaces the state with a handle."
        }
        (Party::Browser, Party::Gate) => "The browser follows the redirect with the handle.",
        (Party::Browser, Party::Upstream) if posted => {
            "Without the gate: alice logs in, and the code itself passes through her browser."
        }
        (Party::Browser, Party::Upstream) => {
            "Without the gate: the browser opens the legacy server's login form."
        }
        (Party::Gate, Party::Upstream) if posted && exchange.status == 302 => {
            "Behind the gate: the password is right, and the legacy server issues its code."
        }
        (Party::Gate, Party::Upstream) if posted => {
            "Behind the gate: the token request with the legacy server's own code."
        }
        (Party::Gate, Party::Upstream) => {
            "Behind the gate: the legacy server shows its login form."
        }
        (_, _) => "",
    }
}

#[cfg(test)]
mod tests;
