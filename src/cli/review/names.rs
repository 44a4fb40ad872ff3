//! What rows are called. Clients choose their names, so nothing in them may have a meaning.

use crate::admin::review::{AlsoSeen, Kind, Reviewed};

/// What a row is called.
pub(super) fn name(client: &Reviewed) -> String {
    match client.kind {
        Kind::Client => plain(&client.client_id),
        Kind::None => "(no client_id)".to_owned(),
        Kind::Origin => format!("(others at {})", plain(&client.client_id)),
        Kind::Unrequested => format!("(codes without a request, to {})", plain(&client.client_id)),
        Kind::Others => "(all others)".to_owned(),
    }
}

/// A name that a client chose, in one line: without control characters, and not longer than a table can show.
pub(super) fn plain(name: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = name
        .chars()
        .take(LONGEST)
        .filter(|letter| !letter.is_control() && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect();
    if name.chars().count() > LONGEST {
        shown + "…"
    } else {
        shown
    }
}

/// What was seen of a control beside PKCE.
pub(super) fn seen(also: &AlsoSeen) -> String {
    let (Some(first), Some(last)) = (&also.first_seen, &also.last_seen) else {
        return format!("{}: not seen ({})", also.name, also.section);
    };
    let clients: Vec<_> = also.clients.iter().map(|client| plain(client)).collect();
    let by = if clients.is_empty() {
        String::new()
    } else {
        format!(", by {}", clients.join(", "))
    };
    format!(
        "{}: {}, first {first}, last {last}{by} ({})",
        also.name, also.number, also.section
    )
}

/// Why the row has its verdict, with the hints for its owner.
pub(super) fn why(client: &Reviewed) -> String {
    if client.hints.is_empty() {
        client.why.clone()
    } else {
        format!("{}; hints: {}", client.why, client.hints.join(", "))
    }
}

/// Said below the clients, if one has codes.
pub(super) const WHERE_EXPLAINED: &str =
    "what a code means, and what to change in the client: pkce-gate explain CODE";

/// Whether the row names violations or hints.
pub(super) fn has_codes(client: &Reviewed) -> bool {
    !client.hints.is_empty() || !client.redemption.violations.is_empty()
}
