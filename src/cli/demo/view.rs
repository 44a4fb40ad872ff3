//! A story in the form in which the page and the terminal show it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ledger::{Exchange, Message, Party};
use super::story::{Promise, Remark, Story};

#[derive(Debug, Serialize)]
pub(super) struct StoryView<'s> {
    pub(super) steps: Vec<StepView<'s>>,
    pub(super) promises: &'s [Promise],
    kept: bool,
    saw_the_browser: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct StepView<'s> {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Whether the exchange is between gate and server, which no other party sees.
    is_behind: bool,
    pub(super) note: &'s str,
    pub(super) request: MessageView<'s>,
    /// The exchanges between gate and server before the gate responded.
    pub(super) behind: Vec<Self>,
    pub(super) answer: MessageView<'s>,
    pub(super) verdict: Option<&'s Promise>,
}

#[derive(Debug, Serialize)]
pub(super) struct MessageView<'s> {
    pub(super) line: &'s str,
    pub(super) pairs: Vec<PairView<'s>>,
}

#[derive(Debug, Serialize)]
pub(super) struct PairView<'s> {
    pub(super) name: &'s str,
    pub(super) value: &'s str,
    pub(super) mark: Option<Mark>,
}

/// The meaning of a value, and its CSS class.
type Mark = (&'static str, &'static str);

impl<'s> StoryView<'s> {
    pub(super) fn new(story: &'s Story) -> Self {
        let marks = marks(story);
        let mut steps: Vec<StepView<'_>> = Vec::new();
        for (exchange, remark) in &story.told {
            let step = step(exchange, remark, &marks);
            // The request of a real browser to the gate is not recorded; then the step has no parent.
            let asker = steps
                .last_mut()
                .filter(|last| last.to == Party::Gate.name());
            match asker.filter(|_| step.is_behind) {
                Some(asker) => asker.behind.push(step),
                None => steps.push(step),
            }
        }
        Self {
            steps,
            promises: &story.promises,
            kept: story.is_kept(),
            saw_the_browser: story.saw_the_browser(),
        }
    }
}

fn step<'s>(
    exchange: &'s Exchange,
    remark: &'s Remark,
    marks: &BTreeMap<&str, Mark>,
) -> StepView<'s> {
    StepView {
        from: exchange.from.name(),
        to: exchange.to.name(),
        is_behind: exchange.from == Party::Gate,
        behind: Vec::new(),
        note: &remark.note,
        request: message(&exchange.request, marks),
        answer: message(&exchange.answer, marks),
        verdict: remark.verdict.as_ref(),
    }
}

fn message<'s>(message: &'s Message, marks: &BTreeMap<&str, Mark>) -> MessageView<'s> {
    let pairs = message.pairs.iter().map(|(name, value)| PairView {
        name,
        value,
        mark: marks.get(value.as_str()).copied(),
    });
    MessageView {
        line: &message.line,
        pairs: pairs.collect(),
    }
}

/// The meaning of each value, by its parameter and the parties of the exchange.
fn marks(story: &Story) -> BTreeMap<&str, Mark> {
    let mut marks = BTreeMap::new();
    // The first meaning counts, because the application uses a value before the gate does.
    for exchange in story.exchanges() {
        // The gate's redirect introduces the handle.
        let is_redirected = exchange.is(Party::Browser, Party::Gate) && exchange.status == 303;
        let from_gate = exchange.from == Party::Gate || is_redirected;
        for (name, value) in exchange.pairs().filter(|(_, value)| !value.is_empty()) {
            let mark = match name {
                "code_challenge" => ("challenge", "client"),
                "code_verifier" if exchange.from == Party::Attacker => ("made up", "attacker"),
                "code_verifier" => ("verifier", "client"),
                "access_token" => ("token", "code"),
                "state" if from_gate => ("handle, in place of the state", "handle"),
                "state" => ("the application's state", "client"),
                "code" if exchange.to == Party::Upstream => ("the server's own code", "code"),
                "code" => ("handle, in place of the code", "handle"),
                _ => continue,
            };
            marks.entry(value).or_insert(mark);
        }
    }
    marks
}
