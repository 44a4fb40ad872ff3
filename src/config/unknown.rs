//! Keys that no reader asked for, and what was probably meant.

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Span};
use super::report::{Known, Report, Section, Since, header};
use super::tree::{nearest, one_of};
use super::value::quoted;

/// Records every key of the tree that is not a known one. What is below an unknown key is not looked at.
pub(super) fn check(tree: &DeTable<'_>, known: &Known, report: &Report) {
    check_section(tree, "", known, report);
}

fn check_section(table: &DeTable<'_>, name: &str, known: &Known, report: &Report) {
    let Some(section) = known.get(name) else {
        return;
    };
    for (key, value) in table {
        let (span, key) = (key.span(), key.get_ref().as_ref());
        if !section.keys.contains_key(key) {
            report.push(unknown(key, span.into(), name, section, known));
            continue;
        }
        let below = path(name, key);
        for table in tables(value.get_ref()) {
            check_section(table, &below, known, report);
        }
    }
}

/// The tables that a value is or lists.
fn tables<'t>(value: &'t DeValue<'t>) -> Vec<&'t DeTable<'t>> {
    if let Some(list) = value.as_array() {
        let tables = list
            .iter()
            .filter_map(|element| element.get_ref().as_table());
        tables.collect()
    } else {
        value.as_table().into_iter().collect()
    }
}

fn path(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

fn unknown(key: &str, span: Span, name: &str, section: &Section, known: &Known) -> Problem {
    let message = if name.is_empty() {
        format!("unknown key {}", quoted(key))
    } else {
        format!("unknown key {} in {}", quoted(key), header(name, section))
    };
    let (label, help) = meant(key, name, section, known);
    Problem::error(span, message, label, help)
}

/// What was probably meant, and what to write.
fn meant(key: &str, name: &str, section: &Section, known: &Known) -> (String, String) {
    let here: Vec<&str> = section.keys.keys().copied().collect();
    let similar = nearest(key, &here);
    let homes: Vec<(&String, &Section)> = known
        .iter()
        .filter(|(_, section)| section.keys.contains_key(key))
        .collect();
    // One slip of the finger is likelier than the wrong section; two are not.
    if let Some((_, similar)) = similar.filter(|(distance, _)| homes.is_empty() || *distance <= 1) {
        let below = path(name, similar);
        let table = known.get(&below).map(|table| header(&below, table));
        let instead = table.unwrap_or_else(|| format!("`{similar}`"));
        return (
            format!("did you mean {instead}?"),
            format!("write {instead} instead"),
        );
    }
    if !homes.is_empty() {
        return belongs(key, &homes, known);
    }
    if let Some(related) = related(key, &here) {
        return (
            format!("did you mean `{related}`?"),
            format!("write `{related}` instead"),
        );
    }
    if let Some((place, similar)) = similar_elsewhere(key, known) {
        return (
            format!("did you mean `{similar}`? It belongs in {place}"),
            format!("write `{similar}` below a line {place}"),
        );
    }
    let names: Vec<&str> = section
        .keys
        .iter()
        .filter(|(_, since)| **since == Since::Now)
        .map(|(key, _)| *key)
        .collect();
    let help = format!("the keys here are {}", one_of(&names).replace('"', "`"));
    ("there is no such key".to_owned(), help)
}

/// A key that is one of the words of what was written (`client_id`), or begins as it does (`authorize`).
fn related<'k>(key: &str, here: &[&'k str]) -> Option<&'k str> {
    const BEGINNING: usize = 7;
    let is_word = |known: &&str| key.split(['_', '-']).any(|word| word == *known);
    let begins = |known: &&str| {
        let beginning = known.get(..BEGINNING);
        beginning.is_some_and(|beginning| key.starts_with(beginning))
    };
    let mut known = here.iter().copied();
    known.clone().find(is_word).or_else(|| known.find(begins))
}

/// A key that stands in the wrong section.
fn belongs(key: &str, homes: &[(&String, &Section)], known: &Known) -> (String, String) {
    let places: Vec<String> = homes
        .iter()
        .map(|(home, section)| {
            let below = path(home, key);
            match known.get(&below) {
                Some(table) => header(&below, table),
                None if home.is_empty() => "no section".to_owned(),
                None => header(home, section),
            }
        })
        .collect();
    let places = places.join(" or ");
    let later = homes
        .iter()
        .all(|(_, section)| section.keys.get(key) == Some(&Since::Later));
    let is_table = homes
        .iter()
        .any(|(home, _)| known.contains_key(&path(home, key)));
    match (later, is_table) {
        (true, _) => (
            format!("belongs in {places}, in a later version"),
            "remove it".to_owned(),
        ),
        (false, true) => (format!("this is {places}"), format!("write {places}")),
        (false, false) => (
            format!("belongs in {places}"),
            format!("move it below {places}"),
        ),
    }
}

/// A section, as it is written, and a key in it; there are many, so a weak likeness means nothing.
fn similar_elsewhere<'k>(key: &str, known: &'k Known) -> Option<(String, &'k str)> {
    known
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .filter_map(|(name, section)| {
            let keys: Vec<&str> = section.keys.keys().copied().collect();
            let (distance, similar) = nearest(key, &keys)?;
            (distance <= 1).then(|| (distance, header(name, section), similar))
        })
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, place, similar)| (place, similar))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_upstream};

    #[test]
    fn a_slip_of_the_finger() {
        check(
            "[server]\nlisen = []",
            &[
                "2:1 error: unknown key \"lisen\" in [server] | did you mean `listen`? | \
               write `listen` instead",
            ],
        );
        check(
            "[sever]\nlisten = []",
            &["1:2 error: unknown key \"sever\" | did you mean [server]? | write [server] instead"],
        );
        check_upstream(
            "[upstream.endpoint]\ntokn = []",
            &["1:11 error: unknown key \"endpoint\" in [[upstream]] | \
               did you mean [upstream.endpoints]? | write [upstream.endpoints] instead"],
        );
    }

    /// Of two that are as near the one that begins alike; and a name that is a part of what was written, or begins like it.
    #[test]
    fn other_names_for_the_same() {
        let unknown = |at: &str, key: &str, section: &str, meant: &str| {
            format!(
                "{at} error: unknown key \"{key}\" in {section} | did you mean `{meant}`? | write `{meant}` instead"
            )
        };
        for (key, meant) in [
            ("modes", "mode"),
            ("response_typ", "response_types"),
            ("required", "require"),
        ] {
            check_upstream(
                &format!("[upstream.pkce]\n{key} = 1"),
                &[&unknown("2:1", key, "[upstream.pkce]", meant)],
            );
        }
        check_upstream(
            "[[upstream.client]]\nid = \"a\"\nclient_type = \"public\"\nredirects = []\n",
            &[
                &unknown("3:1", "client_type", "[[upstream.client]]", "type"),
                &unknown("4:1", "redirects", "[[upstream.client]]", "redirect_uris"),
            ],
        );
        check_upstream(
            "token_endpoint = 1\nauthorize = 1\nuserinfo = 1",
            &[
                &unknown("1:1", "token_endpoint", "[upstream.endpoints]", "token"),
                &unknown("2:1", "authorize", "[upstream.endpoints]", "authorization"),
                "3:1 error: unknown key \"userinfo\" in [upstream.endpoints] | there is no such key | \
                 the keys here are `authorization`, `continuation`, `metadata`, `query` or `token`",
            ],
        );
    }

    #[test]
    fn the_wrong_section() {
        check(
            "listen = []",
            &[
                "1:1 error: unknown key \"listen\" | belongs in [admin] or [server] | \
               move it below [admin] or [server]",
            ],
        );
        check(
            "[server]\nheader_bytes = \"8KiB\"",
            &[
                "2:1 error: unknown key \"header_bytes\" in [server] | belongs in [limits] | \
               move it below [limits]",
            ],
        );
        check(
            "[pkce]\nmode = \"report\"",
            &["1:2 error: unknown key \"pkce\" | this is [upstream.pkce] | write [upstream.pkce]"],
        );
        check(
            "[server]\nissuer_ = \"x\"",
            &["2:1 error: unknown key \"issuer_\" in [server] | \
               did you mean `issuer`? It belongs in [upstream.metadata] | \
               write `issuer` below a line [upstream.metadata]"],
        );
        check_upstream(
            "[upstream.metadata]\npromote = \"after 7d\"",
            &[
                "2:1 error: unknown key \"promote\" in [upstream.metadata] | \
               belongs in [upstream.pkce], in a later version | remove it",
            ],
        );
    }

    #[test]
    fn nothing_like_it() {
        check(
            "[log]\nxyzzy = 1",
            &[
                "2:1 error: unknown key \"xyzzy\" in [log] | there is no such key | \
               the keys here are `format` or `level`",
            ],
        );
    }

    #[test]
    fn every_table_of_a_list_is_looked_at() {
        check_upstream(
            "[[upstream.client]]\nid = \"a\"\nowners = 1\n[[upstream.client]]\nid = \"b\"\nscope = 1",
            &[
                "3:1 error: unknown key \"owners\" in [[upstream.client]] | \
                 did you mean `owner`? | write `owner` instead",
                "6:1 error: unknown key \"scope\" in [[upstream.client]] | there is no such key | \
                 the keys here are `assume_method`, `codes`, `id`, `methods`, `mode`, `owner`, `reason`, \
                 `redirect_uris`, `response_modes`, `response_types`, `type`, `until` or `verifier_max`",
            ],
        );
    }
}
