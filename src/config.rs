//! Reads `config.toml` into the settings of every component.
//!
//! The TOML parser records the position of every key and value, and continues after an error. One reader per section reads
//! the parsed tree, and names each key with its kind and its default. Readers record problems instead of returning the first
//! one, so that one run reports all of them. Checks that involve more than one key run last (`lint`).
//!
//! There is no other list of keys: the readers are run once to collect what they read (`SECTIONS`). From this and the texts in
//! `print/texts.toml`, `print` writes the commented `config.toml`, the reference page of the manual and a JSON schema; `unknown`
//! finds the keys that no reader knows.

pub(crate) mod accepts;
pub(crate) mod print;
pub(crate) mod problem;
mod promote;

mod ca;
mod client;
mod code_in_json;
mod context;
mod endpoints;
pub(crate) mod file;
mod lint;
mod metadata;
mod oauth;
mod origin;
mod path;
mod pkce;
mod read;
mod report;
mod report_end;
mod routes;
mod section;
mod sections;
mod server;
mod settings;
mod store;
mod syntax;
mod tree;
mod unknown;
mod upstream;
mod value;
mod wording;

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use toml::de::DeTable;

use context::Context;
pub(crate) use context::NamedFile;
pub use problem::Problems;
pub(crate) use problem::Severity;
use report::Report;
use section::Section;
pub(crate) use settings::{Checked, Config, Upstream};
use tree::Table;

use crate::files;

/// Reads a configuration. `today` is in days since 1970-01-01. Relative paths are resolved against the directory of the file.
///
/// On failure returns all problems, warnings included.
pub fn load(text: &str, file_name: &str, today: u64) -> Result<Checked, Problems> {
    let context = Context {
        today,
        directory: Path::new(file_name).parent().unwrap_or(Path::new("")),
        cores: thread::available_parallelism().map_or(1, usize::from),
        reader: files::read,
        files: RefCell::default(),
    };
    load_with(&context, text, file_name)
}

fn load_with(context: &Context<'_>, text: &str, file_name: &str) -> Result<Checked, Problems> {
    let (readable, given_up) = syntax::readable(text);
    let (tree, errors) = DeTable::parse_recoverable(&readable);
    let syntax = syntax::problems(&readable, given_up, tree.get_ref(), &errors);
    let report = Report::new(syntax);
    let config = read(&Table::root(tree.get_ref(), &report), context);
    unknown::check(tree.get_ref(), &SECTIONS, &report);
    let problems = Problems::new(file_name, text, report.into_problems());
    if problems.count(Severity::Error) > 0 {
        Err(problems)
    } else {
        Ok(Checked {
            config,
            warnings: problems,
        })
    }
}

/// Every section with its keys: what the readers look for in a file with one table of each kind.
static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let context = Context {
        today: 0,
        directory: Path::new(""),
        cores: 1,
        reader: files::read,
        files: RefCell::default(),
    };
    let (tree, _) = DeTable::parse_recoverable(
        "[[store.keys]]\n[[upstream]]\n[[upstream.pkce.code_in_json]]\n[[upstream.client]]",
    );
    Report::sections(|report| {
        read(&Table::root(tree.get_ref(), report), &context);
    })
});

/// Renders the reference of all keys in the given format.
pub(crate) fn reference(format: print::Format) -> String {
    print::print(format, &SECTIONS)
}

/// Reads the whole tree. Invalid values are recorded as problems and replaced by a placeholder, so that reading continues.
fn read(root: &Table<'_>, context: &Context<'_>) -> Config {
    let (server_table, admin_table) = (root.table("server"), root.table("admin"));
    let (limits_table, store_table) = (root.table("limits"), root.table("store"));
    let server = server::read(&server_table, &limits_table, context.cores);
    let admin = sections::admin(&admin_table);
    let limits = sections::limits(&limits_table, server.settings.headers);
    let (store, kind, keys) = store::read(&store_table, context);
    let review_table = root.table("review");
    let review = sections::review(&review_table, context);
    let log = sections::log(&root.table("log"));
    let own_origin = server::own_origin(&server_table, &server.listen);
    let upstreams: Vec<_> = root
        .tables("upstream")
        .into_iter()
        .map(|table| upstream::read(table, own_origin.as_ref(), context))
        .collect();
    for upstream in &upstreams {
        let promote = upstream.gateway.promote;
        promote::needs_snapshot(&upstream.pkce, promote, &review_table);
        promote::needs_a_shared_store(&upstream.pkce, promote, &kind);
    }
    let label = "the gate has to stand in front of something";
    let help = "add [[upstream]] with url = \"http://127.0.0.1:9000\"";
    root.require("upstream", label, help);
    if root.is_empty_list("upstream") {
        root.empty_list(
            "upstream",
            label,
            "[{ url = \"http://127.0.0.1:9000\", … }]",
        );
    }
    if root.is_whole() {
        lint::listeners(&server, &admin_table, admin.listen);
        lint::proxies(&server, &server_table);
        lint::hidden_clients(&server, &upstreams);
        let header_bytes = server.settings.header_bytes;
        lint::limits(&limits_table, limits.uri_bytes, header_bytes);
        lint::store(&store_table, store.code);
        store::check(&store_table, &keys, &kind, &upstreams);
        lint::states(&store_table, &kind, &upstreams);
        lint::unique(&upstreams);
        lint::one_server(&upstreams, context.today);
        let own = server.settings.listen.iter().chain([&admin.listen]);
        lint::not_ourselves(&upstreams, &own.copied().collect::<Vec<_>>());
        for upstream in &upstreams {
            lint::upstream(upstream, context);
        }
    }
    let upstreams = upstreams.into_iter().map(|read| Upstream {
        connection: read.connection,
        gateway: read.gateway,
    });
    Config {
        limits,
        store,
        kind,
        review,
        log,
        upstreams: upstreams.collect(),
        server: server.settings,
        admin,
        files: context.files.take(),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
