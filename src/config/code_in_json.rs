//! `[[upstream.pkce.code_in_json]]`: JSON answers that carry a code.

use super::endpoints::below;
use super::path::SEGMENTS;
use super::tree::{At, Table};
use super::value::{Kind, Wrong};
use crate::oauth::json_text::Pointer;
use crate::route::CodeInJson;

/// A path to a value in a JSON document (RFC 6901).
const POINTER: Kind<Pointer> = Kind::new("a JSON pointer", "/result", pointer).pattern("^/");

fn pointer(text: &str) -> Result<Pointer, Wrong> {
    Pointer::parse(text).ok_or_else(|| {
        Wrong::new(
            "it is not a JSON pointer",
            format!(
                "write the names of at most {} members, each behind a \"/\": \"/result\", \"/data/redirect_to\" (RFC 6901)",
                Pointer::MOST_STEPS
            ),
        )
    })
}

/// Reads the places, and prepends the prefix to their paths.
pub(super) fn read(pkce: &Table<'_>, prefix: &str) -> Vec<CodeInJson> {
    let tables = pkce.tables("upstream.pkce.code_in_json");
    let each = tables.iter().filter_map(|table| {
        let label = "to which requests does the upstream answer with a code?";
        table.require("path", label, "add path = \"…\"; \"*\" is any one segment");
        let label = "which value of the answer is the code, or a URL with it?";
        table.require("pointer", label, "add pointer = \"/…\"");
        let span = table.at("path");
        let value = table.find("path", &SEGMENTS);
        let pointer = table.find("pointer", &POINTER);
        let value = value.map(|value| At { span, value })?;
        let path = below(prefix, &[value]).pop()?;
        Some(CodeInJson {
            path,
            pointer: pointer?,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{UPSTREAM, check_upstream, config};

    #[test]
    fn paths_are_kept_with_the_prefix_in_front() {
        let config = config(
            "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\nprefix = \"/auth\"\n[upstream.endpoints]\n\
             authorization = [\"/a\"]\ntoken = [\"/t\"]\n[upstream.pkce]\n\
             code_in_json = [{ path = \"/flow/*\", pointer = \"/result\" }]",
        );
        let places = &config.upstreams[0].gateway.code_in_json;
        assert!(places[0].is_at("/auth/flow/1"));
        assert!(!places[0].is_at("/flow/1"));
    }

    #[test]
    fn a_place_has_a_path_and_a_pointer() {
        check_upstream(
            "[[upstream.pkce.code_in_json]]\npath = \"/a/**\"\npointer = \"result\"\n\
             [[upstream.pkce.code_in_json]]\n",
            &[
                "2:8 error: `upstream.pkce.code_in_json.path` is not a path | \
                 it has a wildcard, and paths are exact | write the exact path, without query or escapes",
                "3:11 error: `upstream.pkce.code_in_json.pointer` is not a JSON pointer | \
                 it is not a JSON pointer | write the names of at most 8 members, each behind a \"/\": \"/result\", \
                 \"/data/redirect_to\" (RFC 6901)",
                "4:1 error: `upstream.pkce.code_in_json.path` is missing | \
                 to which requests does the upstream answer with a code? | add path = \"…\"; \"*\" is any one segment",
                "4:1 error: `upstream.pkce.code_in_json.pointer` is missing | \
                 which value of the answer is the code, or a URL with it? | add pointer = \"/…\"",
            ],
        );
    }

    #[test]
    fn a_cookie_needs_handles_where_codes_are_enforced() {
        let report = "[upstream.pkce]\nmode = \"report\"\ncorrelation = \"cookie\"";
        config(&format!("{UPSTREAM}{report}"));
        check_upstream(
            "[upstream.pkce]\ncorrelation = \"cookie\"\ncodes = \"upstream\"\nbrowser_binding = \"soft\"\nentry = \"rewrite\"\n\
             [upstream.routes]\ndefault = \"deny\"",
            &[
                "2:15 error: `upstream.pkce.correlation` cannot be \"cookie\" here | \
                 with codes = \"upstream\" the gate changes nothing, and sets no cookie that names a sign-in | \
                 write codes = \"handle\", or correlation = \"state\"",
                "3:9 warning: this depends on the upstream being unreachable around the gate | \
                 clients get the codes that the upstream issued | \
                 close every other way to http://127.0.0.1:9000, or write codes = \"handle\"",
            ],
        );
    }
}
