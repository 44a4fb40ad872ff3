//! Reports keys that are not declared, and suggests the key that was probably meant.

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Span};
use super::report::Report;
use super::section::Section;
use super::wording::{nearest, one_of, quoted};

/// Records every key of the tree that is not declared. The contents of an unknown key are not checked.
pub(super) fn check(tree: &DeTable<'_>, sections: &[Section], report: &Report) {
    check_section(tree, &Section::new("", false), sections, report);
}

fn check_section(table: &DeTable<'_>, section: &Section, all: &[Section], report: &Report) {
    for (key, value) in table {
        let (span, key) = (key.span(), key.get_ref().as_ref());
        let inner = section.below(all).find(|inner| inner.name() == key);
        if let Some(inner) = inner {
            for table in tables(value.get_ref()) {
                check_section(table, inner, all, report);
            }
        } else if !section.has(key) {
            report.push(unknown(key, span.into(), section, all));
        }
    }
}

/// The value itself if it is a table, or its elements that are tables if it is a list.
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

fn unknown(key: &str, span: Span, section: &Section, all: &[Section]) -> Problem {
    let message = match section.path {
        "" => format!("unknown key {}", quoted(key)),
        _ => format!("unknown key {} in {}", quoted(key), section.header()),
    };
    let (label, help) = meant(key, section, all);
    Problem::error(span, message, label, help)
}

/// Returns what was probably meant, and what to write.
fn meant(key: &str, section: &Section, all: &[Section]) -> (String, String) {
    let tables = section.below(all).map(Section::name);
    let mut names: Vec<&str> = section.names().chain(tables).collect();
    names.sort_unstable();
    let later = section.later.iter().map(|(name, _)| *name);
    let here: Vec<&str> = names.iter().copied().chain(later).collect();
    let tables = headers(all, |other| other.name() == key);
    let homes = headers(all, |other| other.has(key));
    let is_elsewhere = !tables.is_empty() || !homes.is_empty();
    // One typing error is more likely than the wrong section; two are not.
    let slip = nearest(key, &here).filter(|(distance, _)| !is_elsewhere || *distance <= 1);
    let similar = match slip {
        Some((_, similar)) => Some(similar),
        None if is_elsewhere => None,
        None => related(key, &here),
    };
    if let Some(similar) = similar {
        let table = section.below(all).find(|inner| inner.name() == similar);
        let instead = table.map_or_else(|| format!("`{similar}`"), Section::header);
        return (
            format!("did you mean {instead}?"),
            format!("write {instead} instead"),
        );
    }
    if !tables.is_empty() {
        return (format!("this is {tables}"), format!("write {tables}"));
    }
    if !homes.is_empty() {
        return (
            format!("belongs in {homes}"),
            format!("move it below {homes}"),
        );
    }
    let names = one_of(&names).replace('"', "`");
    (
        "there is no such key".to_owned(),
        format!("the keys here are {names}"),
    )
}

/// The headers of the sections that satisfy the predicate.
fn headers(all: &[Section], is_such: impl Fn(&Section) -> bool) -> String {
    let sections = all.iter().filter(|section| is_such(section));
    let headers: Vec<String> = sections.map(Section::header).collect();
    headers.join(" or ")
}

/// A key that is one of the words of the written name (`client_id`), or has the same first letters (`authorize`).
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

#[cfg(test)]
mod tests {
    use crate::config::testing::{check, check_upstream};

    #[test]
    fn typing_errors_are_corrected() {
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

    /// At equal distance the key with the same first letter is suggested; then a key that is a part of the written name.
    #[test]
    fn similar_names_are_suggested() {
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
                 the keys here are `aliases`, `authorization`, `authorization_challenge`, `continuation`, \
                 `device_authorization`, `metadata`, `pushed_authorization_request`, `query`, `registration` or `token`",
            ],
        );
    }

    #[test]
    fn a_key_in_the_wrong_section_is_located() {
        check(
            "listen = []",
            &[
                "1:1 error: unknown key \"listen\" | belongs in [server] or [admin] | \
               move it below [server] or [admin]",
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
        check_upstream(
            "[upstream.metadata]\npromote = \"after 7d\"",
            &[
                "2:1 error: unknown key \"promote\" in [upstream.metadata] | \
               belongs in [upstream.pkce] | move it below [upstream.pkce]",
            ],
        );
    }

    #[test]
    fn a_key_without_similar_names_lists_the_known_keys() {
        check(
            "[log]\nxyzzy = 1",
            &[
                "2:1 error: unknown key \"xyzzy\" in [log] | there is no such key | \
               the keys here are `format` or `level`",
            ],
        );
    }

    #[test]
    fn every_table_of_a_list_is_checked() {
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
