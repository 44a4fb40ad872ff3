//! `[upstream.pkce]`: what holds for clients that have no rule of their own. The keys that clients have too are read
//! here for both.

use super::problem::Problem;
use super::tree::{At, Table, nearest};
use super::value::{Kind, TEXT, Wrong, quoted};
use crate::gateway::settings::{BrowserBinding, Entry, ToUpstream};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};
use crate::policy::{Codes, Mode, Require, Rule};

/// `[upstream.pkce]`.
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
    let default = Rule::default();
    let mode = mode(table, Mode::Enforce);
    let codes_by_default = match mode {
        Mode::Enforce => Codes::Handle,
        // So that a first installation changes not one byte.
        Mode::Report | Mode::Off => Codes::Upstream,
    };
    no_plain(table);
    later(table);
    let grants = table.list("grants", &TEXT).unwrap_or_default();
    let requires = [("all", Require::All), ("public", Require::Public)];
    let entries = [
        ("redirect", Some(Entry::Redirect)),
        ("rewrite", Some(Entry::Rewrite)),
    ];
    let bindings = [
        ("off", BrowserBinding::Off),
        ("soft", BrowserBinding::Soft),
        ("hard", BrowserBinding::Hard),
    ];
    let ways = [
        ("forward", ToUpstream::Forward),
        ("strip", ToUpstream::Strip),
    ];
    Pkce {
        rule: Rule {
            mode,
            codes: codes(table, codes_by_default),
            response_types: response_types(table, &default.response_types),
            response_modes: response_modes(table, &default.response_modes),
            grants: grants.into_iter().map(|at| at.value).collect(),
            ..default
        },
        require: table.word("require", Require::All, &requires, &[]),
        entry: table.word("entry", None, &entries, &[]),
        browser_binding: table.word("browser_binding", BrowserBinding::Soft, &bindings, &[]),
        to_upstream: table.word("to_upstream", ToUpstream::Forward, &ways, &["replace"]),
    }
}

fn later(table: &Table<'_>) {
    table.later_word("correlation", "state", &["cookie", "broker"]);
    table.later_word("request_objects", "deny", &["read"]);
    table.later_word("device", "off", &["if_present", "require"]);
    table.later_list("code_in_json");
    table.later_key("promote");
}

/// Also of a client.
pub(super) fn mode(table: &Table<'_>, default: Mode) -> Mode {
    let modes = [Mode::Enforce, Mode::Report, Mode::Off].map(|mode| (mode.as_str(), mode));
    table.word("mode", default, &modes, &[])
}

/// Also of a client.
pub(super) fn codes(table: &Table<'_>, default: Codes) -> Codes {
    let words = [("handle", Codes::Handle), ("upstream", Codes::Upstream)];
    table.word("codes", default, &words, &[])
}

/// Also of a client. Not to be empty; S256 is among them.
pub(super) fn methods(table: &Table<'_>) -> Vec<At<CodeChallengeMethod>> {
    let methods = not_empty(table, "methods", &METHOD, "[\"S256\"]");
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

/// Also of a client.
pub(super) fn response_types(table: &Table<'_>, default: &[ResponseType]) -> Vec<ResponseType> {
    let listed = not_empty(table, "response_types", &RESPONSE_TYPE, "[\"code\"]");
    or_default(listed, default)
}

/// Also of a client.
pub(super) fn response_modes(table: &Table<'_>, default: &[ResponseMode]) -> Vec<ResponseMode> {
    let listed = not_empty(table, "response_modes", &RESPONSE_MODE, "[\"query\"]");
    or_default(listed, default)
}

fn not_empty<T>(table: &Table<'_>, key: &'static str, kind: &Kind<T>, instead: &str) -> Vec<At<T>> {
    let listed = table.list(key, kind);
    if table.is_empty_list(key) {
        table.empty_list(key, "nothing would be allowed", instead);
    }
    listed.unwrap_or_default()
}

/// What was listed, each once; the default when nothing was.
fn or_default<T: Clone + PartialEq>(listed: Vec<At<T>>, default: &[T]) -> Vec<T> {
    if listed.is_empty() {
        return default.to_vec();
    }
    let mut values = Vec::new();
    for At { value, .. } in listed {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

const METHOD: Kind<CodeChallengeMethod> = Kind {
    what: "a code challenge method",
    example: "S256",
    unit: "",
    read: |text| match text {
        "S256" => Ok(CodeChallengeMethod::S256),
        "plain" => Ok(CodeChallengeMethod::Plain),
        _ => Err(Wrong::new(
            "this method is not known",
            "write \"S256\", spelt exactly so",
        )),
    },
};

const RESPONSE_MODE: Kind<ResponseMode> = Kind {
    what: "a response mode",
    example: "query",
    unit: "",
    read: |text| {
        const HELP: &str = "write \"query\", \"fragment\" or \"form_post\"";
        match ResponseMode::parse(text) {
            Some(mode) => Ok(mode),
            None if text.split('.').next_back() == Some("jwt") => {
                Err(Wrong::later("the signed response mode", HELP))
            }
            None => Err(Wrong::new("this response mode is not known", HELP)),
        }
    },
};

const RESPONSE_TYPE: Kind<ResponseType> = Kind {
    what: "a response type",
    example: "code",
    unit: "",
    read: response_type,
};

fn response_type(text: &str) -> Result<ResponseType, Wrong> {
    const WORDS: [&str; 5] = ["code", "token", "id_token", "none", "code_credentials"];
    const HELP: &str = "write words out of code, token and id_token, with single spaces; or none, or code_credentials";
    let words: Vec<&str> = text.split(' ').collect();
    if let Some(odd) = words.iter().find(|word| !WORDS.contains(word)) {
        let label = match nearest(odd, &WORDS) {
            _ if odd.is_empty() => "it is empty, or has two spaces".to_owned(),
            Some((_, word)) => format!("did you mean {word:?}?"),
            None => format!("{} is not known", quoted(odd)),
        };
        return Err(Wrong::new(label, HELP));
    }
    let alone = |word| words.len() > 1 && words.contains(&word);
    if alone("none") || alone("code_credentials") {
        return Err(Wrong::new("this word stands alone", HELP));
    }
    let parsed = ResponseType::parse(text);
    if words
        .iter()
        .enumerate()
        .any(|(at, word)| words.iter().skip(at + 1).any(|w| w == word))
    {
        return Err(Wrong::new("it has a word twice", HELP));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
