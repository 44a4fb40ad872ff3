//! The ratchet in the review: which clients are promoted, and what to paste for those that could be.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::model::{Promoted, Promotion, Ratchet};
use crate::clock;
use crate::gateway::settings::Promote;
use crate::gateway::site::ratchet;
use crate::policy::Rules;

/// How much TOML is shown, in bytes; the last client may be beyond it.
const LONGEST: usize = 4 * 1024;

/// The most clients that are named.
const NAMED: usize = 5;

/// What is shown of the promotions of an upstream. `waits_for`: the clients that are in the way.
pub(super) fn ratchet(
    promote: Promote,
    all: &ratchet::Promoted,
    rules: &Rules,
    waits_for: &[&str],
) -> Ratchet {
    let enforced = all.values().filter(|promotion| promotion.is_enforced);
    let enforced = enforced.count();
    Ratchet {
        promote: promote.to_string(),
        proposed: all.len() - enforced,
        enforced,
        to_paste: to_paste(all, rules),
        waits_for: waits_for
            .iter()
            .take(NAMED)
            .map(|client| (*client).to_owned())
            .collect(),
    }
}

/// What is shown of the promotion of a client. `now`: seconds since 1970.
pub(super) fn promotion(of: &ratchet::Promotion, now: u64) -> Promotion {
    Promotion {
        state: if of.is_enforced {
            Promoted::Enforced
        } else {
            Promoted::Proposed
        },
        since: clock::written_at(of.since),
        is_downgraded: of.is_downgraded(now),
    }
}

/// The TOML that enforces the proposed clients. A client that is configured needs one line there: no client can be written twice.
fn to_paste(all: &ratchet::Promoted, rules: &Rules) -> Option<String> {
    let configured: HashSet<&str> = rules.clients().map(|client| client.id.as_str()).collect();
    let proposed = all.iter().filter(|(_, promotion)| !promotion.is_enforced);
    let (mut toml, mut more) = (String::new(), 0);
    // The configuration takes no control characters.
    for (id, _) in proposed.filter(|(id, _)| !id.chars().any(char::is_control)) {
        if toml.len() > LONGEST {
            more += 1;
            continue;
        }
        let quoted = quoted(id);
        // Writing to a string cannot fail.
        let _ = if configured.contains(id.as_str()) {
            write!(
                toml,
                "# In the [[upstream.client]] that has id = {quoted}:\n# mode = \"enforce\"\n\n"
            )
        } else {
            write!(
                toml,
                "[[upstream.client]]\nid = {quoted}\nmode = \"enforce\"\n\n"
            )
        };
    }
    if more > 0 {
        let _ = writeln!(
            toml,
            "# Not shown before these are in the configuration: {more} more."
        );
    }
    let toml = toml.trim_end();
    (!toml.is_empty()).then(|| format!("{toml}\n"))
}

/// A string of TOML in visible ASCII, so that no name looks like another.
fn quoted(id: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in id.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.extend(['\\', letter]);
        } else if letter == ' ' || letter.is_ascii_graphic() {
            quoted.push(letter);
        } else {
            let _ = write!(quoted, "\\U{:08X}", u32::from(letter));
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_from_the_toml() {
        for id in [
            "spa",
            "a\"b\\c",
            "d\u{202e}e\u{1f600}",
            "https://a.test/client?x=1",
            " ",
        ] {
            let toml: toml::Table = toml::from_str(&format!("id = {}", quoted(id))).unwrap();
            assert_eq!(toml["id"].as_str(), Some(id));
            assert!(quoted(id).is_ascii());
        }
    }

    #[test]
    fn what_is_pasted_is_bounded_and_says_what_is_left_out() {
        let proposal = ratchet::Promotion {
            since: 1,
            is_enforced: false,
            downgraded: 0,
        };
        let all = (0..10_000).map(|number| (format!("{number}{}", "x".repeat(500)), proposal));
        let all: ratchet::Promoted = all.collect();
        let toml = to_paste(&all, &Rules::default()).unwrap();
        assert!(toml.len() < 2 * LONGEST, "{}", toml.len());
        let shown = toml.matches("[[upstream.client]]").count();
        assert!(toml.ends_with(&format!(
            "# Not shown before these are in the configuration: {} more.\n",
            10_000 - shown
        )));
    }
}
