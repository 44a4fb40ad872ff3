//! Reads `config.toml` into the settings of every component.
//!
//! Every key is declared once, in `schema`: its kind and its default. The readers and the messages use these declarations.
//! From them and the texts in `schema/texts.toml`, `print` writes the commented `config.toml`, the reference page of the
//! manual and a JSON schema.
//!
//! The TOML parser records the position of every key and value, and continues after an error. One reader per section reads
//! the parsed tree. Readers record problems instead of returning the first one, so that one run reports all of them.
//! Checks that involve more than one key run last (`lint`).

pub(crate) mod print;
pub(crate) mod problem;

mod client;
mod context;
mod endpoints;
pub(crate) mod file;
mod key;
mod lint;
mod oauth;
mod origin;
mod path;
mod pkce;
mod read;
mod report;
mod routes;
mod schema;
mod sections;
mod server;
mod settings;
mod syntax;
mod tree;
mod unknown;
mod upstream;
mod value;
mod wording;

use std::path::Path;
use std::thread;

use toml::de::DeTable;

use context::Context;
pub use problem::Problems;
pub(crate) use problem::Severity;
use report::Report;
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
        read: files::read,
    };
    load_with(&context, text, file_name)
}

fn load_with(context: &Context<'_>, text: &str, file_name: &str) -> Result<Checked, Problems> {
    let (readable, given_up) = syntax::readable(text);
    let (tree, errors) = DeTable::parse_recoverable(&readable);
    let syntax = syntax::problems(&readable, given_up, tree.get_ref(), &errors);
    let report = Report::new(syntax);
    let root = Table::root(&schema::ROOT, tree.get_ref(), &report);
    let config = read(&root, context);
    unknown::check(tree.get_ref(), &report);
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

/// Reads the whole tree. Invalid values are recorded as problems and replaced by a placeholder, so that reading continues.
fn read(root: &Table<'_>, context: &Context<'_>) -> Config {
    use schema::{limits::LIMITS, server as keys, store::STORE, upstream::UPSTREAM};
    let (server_table, admin_table) = (root.table(&keys::SERVER), root.table(&keys::ADMIN));
    let (limits_table, store_table) = (root.table(&LIMITS), root.table(&STORE));
    let server = server::read(&server_table, &limits_table, context.cores);
    let admin = sections::admin(&admin_table);
    let own_origin = server::own_origin(&server_table, &server.listen);
    let upstreams: Vec<_> = root
        .tables(&UPSTREAM)
        .into_iter()
        .map(|table| upstream::read(table, own_origin.as_ref(), context))
        .collect();
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
    let config = Config {
        limits: sections::limits(&limits_table, server.settings.headers),
        store: sections::store(&store_table),
        log: sections::log(&root.table(&keys::LOG)),
        upstreams: upstreams.iter().map(|read| read.built.clone()).collect(),
        server: server.settings.clone(),
        admin,
    };
    if root.is_whole() {
        lint::listeners(&server, &admin_table, config.admin.listen);
        lint::proxies(&server, &server_table);
        lint::hidden_clients(&server, &upstreams);
        lint::limits(&config, &limits_table, &store_table);
        lint::unique(&upstreams);
        lint::one_server(&upstreams, context.today);
        let own = config.server.listen.iter().chain([&config.admin.listen]);
        lint::not_ourselves(&upstreams, &own.copied().collect::<Vec<_>>());
        for upstream in &upstreams {
            lint::upstream(upstream, context);
        }
    }
    config
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
