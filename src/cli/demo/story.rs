//! A scene as it was played: its exchanges, and whether the outcomes were as expected. The page and the terminal show it
//! with templates.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use super::ledger::{Exchange, Outcome, Party};
use super::scenes::Scene;
use super::stage::TOKEN;
use super::wire::Failed;

/// The parameters whose values connect the exchanges of one sign-in.
const LINKS: [&str; 4] = ["state", "code", "code_challenge", "code_verifier"];
/// Maximum width of text in a terminal, in columns.
const WIDTH: usize = 96;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Story {
    steps: Vec<Exchange>,
    /// The outcomes of the scene as a whole.
    outcomes: Vec<Outcome>,
    marks: BTreeMap<String, Mark>,
    /// Whether all outcomes were as expected, and there was at least one verdict.
    pub(super) kept: bool,
    /// Whether the automated browser played the scene: only then its exchanges with the gate are recorded.
    saw_the_browser: bool,
    /// Whether this is the scene that was played last.
    pub(super) is_latest: bool,
}

/// The meaning of a value, and its CSS class.
type Mark = (&'static str, &'static str);

impl Story {
    pub(super) fn new(exchanges: Vec<Exchange>, outcomes: Vec<Outcome>) -> Self {
        let is_browser = |e: &Exchange| e.from == Party::Browser && e.to == Party::Gate;
        let verdicts = exchanges.iter().filter_map(|e| e.verdict.as_ref());
        let mut all = verdicts.clone().chain(&outcomes);
        let mut story = Self {
            kept: verdicts.clone().count() > 0 && all.all(|outcome| outcome.kept),
            saw_the_browser: exchanges.iter().any(is_browser),
            is_latest: true,
            marks: marks(&exchanges),
            outcomes,
            steps: Vec::new(),
        };
        for exchange in exchanges {
            match story.steps.last_mut() {
                Some(asker) if asker.to == Party::Gate && exchange.from == Party::Gate => {
                    asker.behind.push(exchange);
                }
                // The request of a real browser to the gate is not recorded.
                Some(_) | None => story.steps.push(exchange),
            }
        }
        story
    }

    /// The text for a terminal: everything, or only the outcomes.
    pub(super) fn text(&self, scene: &Scene, is_complete: bool) -> Result<String, Failed> {
        let mut texts = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        texts.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
        texts.add_filter("wrap", wrap);
        let values = context! { scene => Serde(scene), story => Serde(self), is_complete };
        Ok(texts.render_str(include_str!("story.txt"), values)? + "\n")
    }
}

/// Selects the exchanges of one scene from all recorded ones: those that contain a value of the scene, or a value of an
/// exchange selected before. Other sign-ins may run at the same time.
pub(super) fn gather(mut all: Vec<Exchange>, mut links: Vec<String>) -> Vec<Exchange> {
    all.retain(|exchange| {
        let values = exchange
            .pairs()
            .filter(|(name, _)| LINKS.contains(&name.as_str()));
        let values: Vec<String> = values.map(|(_, value)| value.clone()).collect();
        let is_linked = values.iter().any(|value| links.contains(value));
        if is_linked {
            links.extend(values);
        }
        is_linked
    });
    all
}

/// Checks how far the request got: to the legacy server's token endpoint exactly once, or not at all.
pub(super) fn reached_the_server(exchanges: &[Exchange], pkce: bool) -> Outcome {
    let mut upstream = exchanges
        .iter()
        .filter(|exchange| exchange.from == Party::Gate);
    if pkce {
        let tokens = upstream.filter(|exchange| exchange.request.line.ends_with(TOKEN));
        let text = "Through the gate, one token request reached the legacy server: the right one";
        Outcome::new(tokens.count() == 1, text)
    } else {
        Outcome::new(
            upstream.next().is_none(),
            "No request reached the legacy server",
        )
    }
}

/// Checks that codes of the legacy server, issued through the gate, were seen only behind the gate.
pub(super) fn code_stayed_behind_the_gate(exchanges: &[Exchange]) -> Outcome {
    let (behind, before): (Vec<_>, Vec<_>) = exchanges
        .iter()
        .partition(|exchange| exchange.from == Party::Gate);
    let answers = behind.iter().flat_map(|exchange| &exchange.answer.pairs);
    let issued: Vec<&String> = answers
        .filter(|(name, _)| name == "code")
        .map(|(_, code)| code)
        .collect();
    let mut outside = before.iter().flat_map(|exchange| exchange.pairs());
    let leaked = outside.any(|(_, value)| issued.contains(&value));
    Outcome::new(
        !issued.is_empty() && !leaked,
        "The legacy server's code never reached the browser, the application or the attacker",
    )
}

/// The meaning of each value, by its parameter and the parties of the exchange.
fn marks(exchanges: &[Exchange]) -> BTreeMap<String, Mark> {
    let mut marks = BTreeMap::new();
    // The first meaning counts, because the application uses a value before the gate does.
    for exchange in exchanges {
        let is_at_gate = exchange.from == Party::Gate || exchange.to == Party::Gate;
        for (name, value) in exchange.pairs().filter(|(_, value)| !value.is_empty()) {
            let mark = match name.as_str() {
                "code_challenge" => ("challenge", "client"),
                "code_verifier" if exchange.from == Party::Attacker => ("made up", "attacker"),
                "code_verifier" => ("verifier", "client"),
                "access_token" => ("token", "code"),
                "state" if is_at_gate => ("handle, in place of the state", "handle"),
                "state" => ("the application's state", "client"),
                "code" if exchange.to == Party::Upstream => ("the server's own code", "code"),
                "code" => ("handle, in place of the code", "handle"),
                _ => continue,
            };
            marks.entry(value.clone()).or_insert(mark);
        }
    }
    marks
}

/// Breaks a text into lines that begin with the margin.
fn wrap(text: &str, margin: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                *line += " ";
                *line += word;
            }
            Some(_) | None => lines.push(format!("{margin}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests;
