//! The review for a terminal.

use std::fmt::Write as _;

use super::names::{WHERE_EXPLAINED, has_codes, name, plain, seen, why};
use crate::admin::review::Review;

/// Writing to a string cannot fail.
pub(super) fn text(review: &Review) -> String {
    let mut out = String::new();
    for upstream in &review.upstreams {
        let control = &upstream.control;
        let _ = writeln!(
            out,
            "upstream {} (mode {}), {}",
            upstream.name, upstream.mode, review.generated
        );
        let _ = writeln!(out, "  {}", upstream.headline.text);
        if let Some(gates) = &upstream.gates {
            let _ = writeln!(out, "  {}", gates.text());
        }
        let _ = writeln!(out, "  control: {}: {}", control.name, control.state);
        for line in &control.evidence {
            let _ = writeln!(out, "    {line}");
        }
        let _ = writeln!(out, "  what to do: {}", control.remediation);
        let _ = writeln!(out, "  also seen, not controlled here:");
        for also in &upstream.also_seen {
            let _ = writeln!(out, "    {}", seen(also));
        }
        let promotion = &upstream.promotion;
        if promotion.promote != "off" || promotion.enforced > 0 {
            let _ = writeln!(
                out,
                "  promote = {:?}: {} promoted, {} proposed",
                promotion.promote, promotion.enforced, promotion.proposed
            );
        }
        for client in &upstream.clients {
            let _ = writeln!(
                out,
                "  {:<17} {:<30} sign-ins in 7 days: {:>6}, failing: {:>6}  {}",
                client.verdict.to_string(),
                name(client),
                client.sign_ins,
                client.failing,
                why(client)
            );
        }
        if upstream.clients.iter().any(has_codes) {
            let _ = writeln!(out, "  {WHERE_EXPLAINED}");
        }
        if let Some(waiting) = promotion.waiting() {
            let names: Vec<String> = promotion.waits_for.iter().map(|it| plain(it)).collect();
            let _ = writeln!(out, "  {waiting}; they name {}", names.join(", "));
        }
        if let Some(toml) = &promotion.to_paste {
            let _ = writeln!(
                out,
                "  to enforce the proposed clients, paste this below the last line of the [[upstream]]:\n\n{toml}"
            );
        }
        if !upstream.routes.toml.is_empty() {
            let _ = writeln!(out, "  routes seen beside the endpoints:");
            for line in upstream.routes.toml.lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        out.push('\n');
    }
    out
}
