//! The command line: one file per command.

mod against;
mod ask;
mod check;
mod demo;
mod healthcheck;
mod run;
mod schema;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The command line was wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// The configuration was (`EX_DATAERR`).
const CONFIG: u8 = 65;

/// The gate could not start.
const START: u8 = 1;

/// Makes any OAuth 2.0 / OpenID Connect server require PKCE with S256.
#[derive(Debug, Parser)]
#[command(name = "pkce-gate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    Run(ConfigFile),
    /// Say what is wrong with a configuration, and what it means for each client
    Check(Check),
    /// Describe every key of the configuration: a JSON schema for editors, a commented file, a page of the manual
    Schema(schema::Options),
    /// Try it: a server without PKCE, the gate in front of it, and a page to attack both
    Demo(demo::Options),
    /// Ask a running gate whether it is ready
    Healthcheck(Admin),
}

/// `--config FILE`.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    pub config: PathBuf,
}

/// `--config FILE --against ADDRESS`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The admin address of a running gate: say whether the file is in force there, and what of it needs a restart
    #[arg(long, value_name = "ADDRESS")]
    pub against: Option<SocketAddr>,
}

/// `--admin ADDRESS`.
#[derive(Debug, Args)]
pub struct Admin {
    /// Where the gate listens for operators
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
}

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => execute(&arguments.command),
        Err(error) => {
            // Whoever asked for help gets it; whoever did not has made a mistake.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let printed = error.print();
            ExitCode::from(if printed.is_ok() { code } else { USAGE })
        }
    }
}

fn execute(command: &Command) -> ExitCode {
    match command {
        Command::Run(file) => run::execute(file),
        Command::Check(options) => check::execute(options),
        Command::Schema(options) => schema::execute(options),
        Command::Demo(options) => demo::execute(options),
        Command::Healthcheck(admin) => healthcheck::execute(admin),
    }
}

/// One line to standard error; nobody is left to be told when that is gone.
fn complain(message: &str) {
    let _gone = writeln!(io::stderr().lock(), "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::print::Format;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn defaults_and_mistakes() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        assert!(matches!(
            parse("pkce-gate run").unwrap().command,
            Command::Run(ConfigFile { config }) if config.to_str() == Some("config.toml")
        ));
        assert!(matches!(
            parse("pkce-gate check --config a/b.toml").unwrap().command,
            Command::Check(Check { file, against: None }) if file.config.to_str() == Some("a/b.toml")
        ));
        assert!(matches!(
            parse("pkce-gate check --against [::1]:99").unwrap().command,
            Command::Check(Check { against: Some(admin), .. }) if admin.port() == 99
        ));
        assert!(matches!(
            parse("pkce-gate healthcheck --admin [::1]:99").unwrap().command,
            Command::Healthcheck(Admin { admin }) if admin.port() == 99
        ));
        assert!(matches!(
            parse("pkce-gate schema").unwrap().command,
            Command::Schema(schema::Options {
                format: Format::Json
            })
        ));
        for wrong in [
            "pkce-gate",
            "pkce-gate chek",
            "pkce-gate run config.toml",
            "pkce-gate check --conf x",
            "pkce-gate check --against x",
            "pkce-gate healthcheck --admin x",
        ] {
            assert!(parse(wrong).unwrap_err().use_stderr(), "{wrong}");
        }
        assert!(!parse("pkce-gate --help").unwrap_err().use_stderr());
    }
}
