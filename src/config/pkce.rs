//! `[upstream.pkce]`: the rule for clients without a separate rule. Also reads the keys that `[[upstream.client]]`
//! shares with it.

use super::key::{Key, List};
use super::problem::Problem;
use super::schema::pkce as keys;
use super::tree::{At, Table};
use crate::gateway::settings::{BrowserBinding, Entry, ToUpstream};
use crate::oauth::CodeChallengeMethod;
use crate::policy::{Codes, Mode, Require, Rule};

#[derive(Debug)]
pub(super) struct Pkce {
    pub(super) rule: Rule,
    pub(super) require: Require,
    /// `None`: not written.
    pub(super) entry: Option<Entry>,
    pub(super) browser_binding: BrowserBinding,
    pub(super) to_upstream: ToUpstream,
}

/// Reads `[upstream.pkce]`.
pub(super) fn read(table: &Table<'_>) -> Pkce {
    let mode = table.get(&keys::MODE);
    let codes_by_default = match mode {
        Mode::Enforce => Codes::Handle,
        // So that a first installation does not change a byte of the traffic.
        Mode::Report | Mode::Off => Codes::Upstream,
    };
    let default = Rule::default();
    let types = listed(table, &keys::RESPONSE_TYPES);
    let modes = listed(table, &keys::RESPONSE_MODES);
    no_plain(table);
    table.later();
    Pkce {
        rule: Rule {
            mode,
            codes: table.find(&keys::CODES).unwrap_or(codes_by_default),
            response_types: types.unwrap_or_else(|| default.response_types.clone()),
            response_modes: modes.unwrap_or_else(|| default.response_modes.clone()),
            grants: At::values(table.get(&keys::GRANTS)),
            ..default
        },
        require: table.get(&keys::REQUIRE),
        entry: table.find(&keys::ENTRY),
        browser_binding: table.get(&keys::BROWSER_BINDING),
        to_upstream: table.get(&keys::TO_UPSTREAM),
    }
}

/// Reads `methods` of an upstream or a client, and reports a list without S256.
pub(super) fn methods(
    table: &Table<'_>,
    key: &Key<List<CodeChallengeMethod>>,
) -> Vec<At<CodeChallengeMethod>> {
    let methods = table.get(key);
    let only_plain = !methods.is_empty()
        && methods
            .iter()
            .all(|at| at.value == CodeChallengeMethod::Plain);
    if only_plain && table.is_good("methods") {
        let message = format!("{} has to list \"S256\"", table.name("methods"));
        let help = "write methods = [\"S256\", \"plain\"]";
        let label = "S256 is always allowed";
        table.push(Problem::error(table.at("methods"), message, label, help));
    }
    methods
}

fn no_plain(table: &Table<'_>) {
    let plain = methods(table, &keys::METHODS)
        .into_iter()
        .find(|at| at.value == CodeChallengeMethod::Plain);
    if let Some(plain) = plain {
        let message = format!(
            "{} cannot allow \"plain\" to all clients",
            table.name("methods")
        );
        let label = "an attacker who sees the authorization request could redeem its code";
        let help = "write methods = [\"S256\"] here, and allow \"plain\" in the [[upstream.client]] that needs it";
        table.push(Problem::error(plain.span, message, label, help));
    }
}

/// Reads a list of an upstream or a client, without duplicates. `None`: it has no valid element.
pub(super) fn listed<T: PartialEq>(table: &Table<'_>, key: &Key<List<T>>) -> Option<Vec<T>> {
    let mut values = Vec::new();
    for value in At::values(table.get(key)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    (!values.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests;
