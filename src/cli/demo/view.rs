//! A story in the form in which the page and the terminal show it.

use std::collections::BTreeMap;

use minijinja::{Value, context};

use super::ledger::{Exchange, Message, Party};
use super::story::{Kind, Promise, Remark, Story, Tone};

#[derive(Debug, Clone)]
pub(super) struct StoryView {
    pub(super) steps: Vec<StepView>,
    pub(super) promises: Vec<PromiseView>,
    pub(super) kept: bool,
    pub(super) saw_the_browser: bool,
}

#[derive(Debug, Clone)]
pub(super) struct StepView {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Whether the exchange is between gate and server, which no other party sees.
    pub(super) is_behind: bool,
    pub(super) note: String,
    pub(super) request: MessageView,
    /// The exchanges between gate and server before the gate responded.
    pub(super) behind: Vec<StepView>,
    pub(super) answer: MessageView,
    pub(super) verdict: Option<PromiseView>,
}

#[derive(Debug, Clone)]
pub(super) struct MessageView {
    pub(super) line: String,
    pub(super) pairs: Vec<PairView>,
}

#[derive(Debug, Clone)]
pub(super) struct PairView {
    pub(super) name: String,
    pub(super) value: String,
    /// The meaning of the value, and its CSS class.
    pub(super) mark: Option<(&'static str, &'static str)>,
}

#[derive(Debug, Clone)]
pub(super) struct PromiseView {
    pub(super) kept: bool,
    pub(super) alarm: bool,
    pub(super) text: String,
}

impl StoryView {
    pub(super) fn new(story: &Story) -> Self {
        let kinds = story.kinds();
        let mut steps: Vec<StepView> = Vec::new();
        for (exchange, remark) in story.told() {
            let step = step(exchange, remark, &kinds);
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
            promises: story.promises().iter().map(promise).collect(),
            kept: story.is_kept(),
            saw_the_browser: story.saw_the_browser(),
        }
    }
}

fn step(exchange: &Exchange, remark: &Remark, kinds: &BTreeMap<&str, Kind>) -> StepView {
    StepView {
        from: exchange.from.name(),
        to: exchange.to.name(),
        is_behind: exchange.from == Party::Gate,
        behind: Vec::new(),
        note: remark.note.clone(),
        request: message(&exchange.request, kinds),
        answer: message(&exchange.answer, kinds),
        verdict: remark.verdict.as_ref().map(promise),
    }
}

fn message(message: &Message, kinds: &BTreeMap<&str, Kind>) -> MessageView {
    let pairs = message.pairs.iter().map(|(name, value)| PairView {
        name: name.clone(),
        value: value.clone(),
        mark: kinds.get(value.as_str()).copied().map(mark),
    });
    MessageView {
        line: message.line.clone(),
        pairs: pairs.collect(),
    }
}

const fn mark(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::ClientState => ("the application's state", "client"),
        Kind::Challenge => ("challenge", "client"),
        Kind::Verifier => ("verifier", "client"),
        Kind::MadeUp => ("made up", "attacker"),
        Kind::StateHandle => ("handle, in place of the state", "handle"),
        Kind::CodeHandle => ("handle, in place of the code", "handle"),
        Kind::UpstreamCode => ("the server's own code", "code"),
        Kind::Token => ("token", "code"),
    }
}

fn promise(promise: &Promise) -> PromiseView {
    PromiseView {
        kept: promise.kept,
        alarm: promise.tone == Tone::Alarm,
        text: promise.text.clone(),
    }
}

impl PromiseView {
    /// The label of the outcome.
    pub(super) fn word(&self) -> &'static str {
        match (self.kept, self.alarm) {
            (true, false) => "ok",
            (true, true) => "!!",
            (false, _) => "UNEXPECTED",
        }
    }
}

// The values for the page's template.

impl From<StoryView> for Value {
    fn from(story: StoryView) -> Self {
        let StoryView {
            steps,
            promises,
            kept,
            saw_the_browser,
        } = story;
        context! { steps, promises, kept, saw_the_browser }
    }
}

impl From<StepView> for Value {
    fn from(step: StepView) -> Self {
        let StepView {
            from,
            to,
            is_behind,
            note,
            request,
            behind,
            answer,
            verdict,
        } = step;
        context! { from, to, is_behind, note, request, behind, answer, verdict }
    }
}

impl From<MessageView> for Value {
    fn from(message: MessageView) -> Self {
        let MessageView { line, pairs } = message;
        context! { line, pairs }
    }
}

impl From<PairView> for Value {
    fn from(pair: PairView) -> Self {
        let PairView { name, value, mark } = pair;
        context! { name, value, mark }
    }
}

impl From<PromiseView> for Value {
    fn from(promise: PromiseView) -> Self {
        let PromiseView { kept, alarm, text } = promise;
        context! { kept, alarm, text }
    }
}
