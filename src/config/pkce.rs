//! `[upstream.pkce]`: the rule for clients without a separate rule. Also reads the keys that `[[upstream.client]]`
//! shares with it.

use super::oauth::{METHOD, RESPONSE_MODE, RESPONSE_TYPE};
use super::problem::Problem;
use super::tree::{At, Table};
use super::value::{Kind, TEXT};
use crate::oauth::CodeChallengeMethod;
use crate::policy::{Codes, Mode, Rule};

/// Why a list of allowed values may not be empty.
const NOTHING: Option<&str> = Some("nothing would be allowed");

/// Reads the rule of an upstream.
pub(super) fn rule(table: &Table<'_>) -> Rule {
    let mode = mode(table, Mode::Enforce);
    let codes_by_default = match mode {
        Mode::Enforce => Codes::Handle,
        // So that a first installation does not change a byte of the traffic.
        Mode::Report | Mode::Off => Codes::Upstream,
    };
    let modes = ["query", "fragment", "form_post"];
    no_plain(table);
    Rule {
        mode,
        codes: codes(table, codes_by_default),
        reads_request_objects: table.words(
            "request_objects",
            false,
            &[("deny", false), ("read", true)],
        ),
        response_types: listed(table, "response_types", &RESPONSE_TYPE, &["code"], &[]),
        response_modes: listed(table, "response_modes", &RESPONSE_MODE, &modes, &[]),
        grants: At::values(&table.list("grants", &TEXT)),
        ..Rule::default()
    }
}

/// Reads `device`: whether device codes are bound. That needs the endpoint which issues them.
pub(super) fn device(table: &Table<'_>, endpoints: &Table<'_>, paths: &[String]) -> bool {
    const ENDPOINT: &str = "device_authorization";
    let binds = table.words("device", false, &[("off", false), ("if_present", true)]);
    let is_empty = endpoints.has(ENDPOINT) && endpoints.is_good(ENDPOINT) && paths.is_empty();
    if binds && (is_empty || endpoints.lacks(ENDPOINT)) {
        let message = format!("{} needs the endpoint", table.name("device"));
        let label = "the gate has to know where device codes come from";
        let help = "add device_authorization = [\"/oauth2/device_authorization\"] below [upstream.endpoints]";
        let problem = Problem::error(table.at("device"), message, label, help);
        table.push(problem.and_at(endpoints.at(ENDPOINT), "none is listed here"));
    }
    binds
}

/// Reads `mode` of an upstream or a client.
pub(super) fn mode(table: &Table<'_>, default: Mode) -> Mode {
    let modes = [Mode::Enforce, Mode::Report, Mode::Off];
    table.words("mode", default, &modes.map(|mode| (mode.as_str(), mode)))
}

/// Reads `codes` of an upstream or a client.
pub(super) fn codes(table: &Table<'_>, default: Codes) -> Codes {
    let choices = [("handle", Codes::Handle), ("upstream", Codes::Upstream)];
    table.words("codes", default, &choices)
}

/// Reads `methods` of an upstream or a client, and reports a list without S256.
pub(super) fn methods(table: &Table<'_>) -> Vec<At<CodeChallengeMethod>> {
    let methods = table.list_or("methods", &METHOD, &["S256"], NOTHING);
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
    let plain = methods(table)
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

/// Reads a list of an upstream or a client, without duplicates. Without a valid element it is the inherited list.
pub(super) fn listed<T: Clone + PartialEq>(
    table: &Table<'_>,
    key: &'static str,
    kind: &Kind<T>,
    default: &[&str],
    inherited: &[T],
) -> Vec<T> {
    let mut values = Vec::new();
    for value in At::values(&table.list_or(key, kind, default, NOTHING)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if values.is_empty() {
        values.extend_from_slice(inherited);
    }
    values
}

#[cfg(test)]
mod tests;
