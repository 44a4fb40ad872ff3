//! The text of a story for a terminal.

use super::facts::Places;
use super::scene::Scene;
use super::story::Promise;
use super::view::{MessageView, StepView, StoryView};

/// Maximum width of text, in columns.
const WIDTH: usize = 96;

/// The introduction, with the addresses.
pub(super) fn opening(places: &Places) -> String {
    let Places {
        page,
        gate,
        upstream,
        ..
    } = places;
    format!(
        "pkce-gate demo: three servers on this machine, for as long as this command runs\n\n  \
         application  {page:<25}  the demo page, client of the two below\n  \
         gate         {gate:<25}  pkce-gate in enforce mode\n  \
         upstream     {upstream:<25}  a legacy authorization server without PKCE\n\n"
    )
}

pub(super) fn invitation(places: &Places) -> String {
    format!(
        "open {}  (user alice, password pass; Ctrl-C ends the demo)\n\n",
        places.page
    )
}

/// The outcomes of a scene, one line each.
pub(super) fn summary(scene: Scene, view: &StoryView<'_>) -> String {
    let verdicts = view.steps.iter().filter_map(|step| step.verdict);
    let lines: String = verdicts.chain(view.promises).map(verdict).collect();
    format!("{}\n{lines}\n", scene.title())
}

pub(super) fn scene(number: usize, scene: Scene, view: &StoryView<'_>) -> String {
    let title = format!("{number}. {}", scene.title());
    let rule = "=".repeat(title.len());
    let steps: String = view
        .steps
        .iter()
        .map(|shown| step(shown, "") + "\n")
        .collect();
    let promises: String = view.promises.iter().map(verdict).collect();
    format!(
        "{title}\n{rule}\n{}\n{steps}{promises}\n",
        wrapped(scene.lead(), "")
    )
}

fn step(step: &StepView<'_>, margin: &str) -> String {
    let (from, to) = (step.from, step.to);
    let inner = format!("{margin}    ");
    let behind = step.behind.iter().map(|step| self::step(step, &inner));
    let lines = [
        wrapped(step.note, &format!("{margin}# ")),
        format!("{margin}{from} -> {to}  {}", message(&step.request, margin)),
        behind.collect(),
        format!("{margin}{from} <- {to}  {}", message(&step.answer, margin)),
        step.verdict.map(verdict).unwrap_or_default(),
    ];
    lines.concat()
}

fn message(message: &MessageView<'_>, margin: &str) -> String {
    let names = message.pairs.iter().map(|pair| pair.name.len());
    let width = names.max().unwrap_or_default();
    let pairs = message.pairs.iter().map(|pair| {
        let mark = pair
            .mark
            .map(|(text, _)| format!("  [{text}]"))
            .unwrap_or_default();
        format!("{margin}    {:<width$}  {}{mark}\n", pair.name, pair.value)
    });
    format!("{}\n{}", message.line, pairs.collect::<String>())
}

fn verdict(promise: &Promise) -> String {
    format!("  [{}] {}\n", promise.word(), promise.text)
}

fn wrapped(text: &str, margin: &str) -> String {
    let mut lines = vec![margin.to_owned()];
    for word in text.split_whitespace() {
        let width = lines.last().map_or(0, |line| line.chars().count());
        if width + word.chars().count() > WIDTH {
            lines.push(margin.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            *line += word;
            line.push(' ');
        }
    }
    let ended = lines.iter().map(|line| format!("{}\n", line.trim_end()));
    ended.collect()
}
