//! From `config.toml` to the settings of every component.
//!
//! The TOML parser keeps the place of every key and value, and goes on after a mistake. What it yields is read once by
//! the readers below, one per section: each asks for its keys by name and type, and what is wrong is recorded, never
//! returned, so that all problems are seen at once. What nobody asked for is an unknown key. What concerns more than
//! one key comes last (`lint`).

pub mod problem;

mod client;
mod endpoints;
pub mod file;
mod limits;
mod lint;
mod log;
mod origin;
mod path;
mod pkce;
mod report;
mod routes;
mod server;
mod store;
mod syntax;
mod tree;
mod unknown;
mod upstream;
mod value;

use std::io;
use std::path::Path;

use toml::de::DeTable;

use crate::{admin, files, gateway, http, telemetry};
pub use problem::{Problem, Problems, Severity, Span};
use report::{Known, Report};
use tree::Table;

/// A configuration that was checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]` and the part of `[limits]` that concerns connections.
    pub server: crate::server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[limits]`.
    pub limits: http::Limits,
    /// `[store]`.
    pub store: crate::store::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[[upstream]]`, in order.
    pub upstreams: Vec<Upstream>,
}

impl Config {
    /// What cannot change while the gate runs: the name of each key, and its value.
    pub fn fixed(&self) -> [(&'static str, String); 6] {
        let listen: Vec<String> = self.server.listen.iter().map(ToString::to_string).collect();
        [
            ("server.listen", listen.join(", ")),
            ("server.workers", self.server.workers.to_string()),
            ("admin.listen", self.admin.listen.to_string()),
            // There is no other kind yet.
            ("store.kind", "memory".to_owned()),
            ("log.level", format!("{:?}", self.log.level).to_lowercase()),
            (
                "log.format",
                format!("{:?}", self.log.format).to_lowercase(),
            ),
        ]
    }
}

/// One `[[upstream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub connection: crate::upstream::Settings,
    /// What happens to its requests.
    pub gateway: gateway::Settings,
}

/// A configuration to start with.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What it says.
    pub config: Config,
    /// What somebody should know about it.
    pub warnings: Problems,
}

/// What a configuration depends on besides its text.
trait Machine {
    /// How many threads can run at once.
    fn cores(&self) -> usize;
    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

struct ThisMachine;

impl Machine for ThisMachine {
    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        files::read(path)
    }
}

/// What the readers have to know.
struct Context<'c> {
    /// Days since 1970-01-01.
    today: u64,
    /// Where relative paths begin.
    directory: &'c Path,
    machine: &'c dyn Machine,
}

/// Reads a configuration. `today` is in days since 1970-01-01; relative paths in the file begin beside the file.
///
/// Fails with everything that is wrong with it, warnings included.
pub fn load(text: &str, file_name: &str, today: u64) -> Result<Checked, Problems> {
    load_on(&ThisMachine, text, file_name, today)
}

fn load_on(
    machine: &dyn Machine,
    text: &str,
    file_name: &str,
    today: u64,
) -> Result<Checked, Problems> {
    let (readable, given_up) = syntax::readable(text);
    let (tree, errors) = DeTable::parse_recoverable(&readable);
    let syntax = syntax::problems(text, given_up, tree.get_ref(), &errors);
    let report = Report::new(syntax);
    let context = Context {
        today,
        directory: Path::new(file_name).parent().unwrap_or(Path::new("")),
        machine,
    };
    let config = read(&Table::root(tree.get_ref(), &report), &context);
    unknown::check(tree.get_ref(), &known(), &report);
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

/// Reads the whole tree. What is wrong is recorded, and something is put in its place.
fn read(root: &Table<'_>, context: &Context<'_>) -> Config {
    let (server_table, admin_table) = (root.table("server"), root.table("admin"));
    let (limits_table, store_table) = (root.table("limits"), root.table("store"));
    let server = server::read(&server_table, &limits_table, context.machine);
    let admin = server::admin(&admin_table);
    let own_origin = server::own_origin(&server_table, &server.listen);
    let upstreams: Vec<_> = root
        .tables("upstream")
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
        limits: limits::requests(&limits_table, server.settings.headers),
        store: store::read(&store_table),
        log: log::read(&root.table("log")),
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

/// Every key that a reader asks for: they are let loose on a file with one table of each kind.
fn known() -> Known {
    let skeleton = "[[upstream]]\n[[upstream.client]]\n";
    let tree = DeTable::parse_recoverable(skeleton).0;
    let report = Report::new(Vec::new());
    let context = Context {
        today: 0,
        directory: Path::new(""),
        machine: &ThisMachine,
    };
    read(&Table::root(tree.get_ref(), &report), &context);
    report.into_known()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
