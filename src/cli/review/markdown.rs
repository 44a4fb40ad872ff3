//! The review as Markdown.

use std::fmt::Write as _;

use super::names::{WHERE_EXPLAINED, has_codes, name, plain, seen, why};
use crate::admin::review::{Ratchet, Review};

/// Writing to a string cannot fail.
pub(super) fn markdown(review: &Review) -> String {
    let mut out = format!(
        "# PKCE review\n\n{}, pkce-gate {}\n",
        review.generated, review.version
    );
    for upstream in &review.upstreams {
        let control = &upstream.control;
        let _ = writeln!(out, "\n## {}\n", escaped(&upstream.name));
        let _ = writeln!(out, "**{}.**\n", upstream.headline.text);
        if let Some(gates) = &upstream.gates {
            let _ = writeln!(out, "{}.\n", gates.text());
        }
        let _ = writeln!(out, "| | |\n|---|---|");
        let _ = writeln!(out, "| control | {} |", control.name);
        let _ = writeln!(out, "| state | {} |", control.state);
        let _ = writeln!(out, "| recommended | `{}` |", control.recommended);
        let _ = writeln!(
            out,
            "| risk | {} (CVSS {:.1} to {:.1}) |",
            control.risk, control.cvss.low, control.cvss.high
        );
        let evidence: Vec<_> = control.evidence.iter().map(|line| escaped(line)).collect();
        let _ = writeln!(out, "| evidence | {} |", evidence.join("; "));
        let _ = writeln!(out, "| what to do | {} |", escaped(&control.remediation));
        for clause in &control.clauses {
            let met = if clause.is_met { "met" } else { "not met" };
            let _ = writeln!(out, "| {} | {met} |", clause.name);
        }
        promotion(&mut out, &upstream.promotion);
        let _ = writeln!(out, "\nAlso seen, not controlled here:\n");
        for also in &upstream.also_seen {
            let _ = writeln!(out, "- {}", escaped(&seen(also)));
        }
        let _ = writeln!(
            out,
            "\n| client | verdict | sign-ins, 7 days | fail | why | owner |\n|---|---|---|---|---|---|"
        );
        for client in &upstream.clients {
            let owner = client.exception.as_ref();
            let owner = owner.and_then(|exception| exception.owner.as_deref());
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                escaped(&name(client)),
                client.verdict,
                client.sign_ins,
                client.failing,
                escaped(&why(client)),
                escaped(owner.unwrap_or_default())
            );
        }
        if !upstream.routes.toml.is_empty() {
            let toml = &upstream.routes.toml;
            let _ = writeln!(
                out,
                "\nRoutes seen beside the endpoints:\n\n```toml\n{toml}```"
            );
        }
        if upstream.clients.iter().any(has_codes) {
            let _ = writeln!(out, "\n{}", escaped(WHERE_EXPLAINED));
        }
    }
    out
}

fn promotion(out: &mut String, ratchet: &Ratchet) {
    let Ratchet {
        promote,
        proposed,
        enforced,
        to_paste,
        waits_for,
    } = ratchet;
    if promote == "off" && *enforced == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\n`promote = {promote:?}`: {enforced} promoted, {proposed} proposed."
    );
    if let Some(waiting) = ratchet.waiting() {
        let names: Vec<String> = waits_for.iter().map(|it| escaped(&plain(it))).collect();
        let _ = writeln!(out, "\n{waiting}; they name {}.", names.join(", "));
    }
    if let Some(toml) = to_paste {
        // Names with backticks: a fence that is longer than any run of them.
        let fence = "`".repeat(3.max(longest_run(toml) + 1));
        let _ = writeln!(
            out,
            "\nTo enforce the proposed clients, paste this below the last line of the `[[upstream]]`:"
        );
        let _ = writeln!(out, "\n{fence}toml\n{toml}{fence}");
    }
}

/// The length of the longest run of backticks.
fn longest_run(text: &str) -> usize {
    let runs = text.split(|letter| letter != '`');
    runs.map(str::len).max().unwrap_or_default()
}

/// Text without a meaning in Markdown, in a cell of a table.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_punctuation() && !".,:;()=/\"'-".contains(letter) {
            out.push('\\');
        }
        out.push(if letter.is_control() { ' ' } else { letter });
    }
    out
}
