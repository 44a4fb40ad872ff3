//! The command line: one file per command.

mod admin_client;
mod against;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod explain;
mod fetch;
mod healthcheck;
mod init;
mod keygen;
mod learned;
mod loopback;
mod options;
mod remote;
mod review;
mod run;
mod schema;
mod shown;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use options::{Admin, Check, ConfigFile};
use terminal::USAGE;

/// Makes any OAuth 2.0 / OpenID Connect server require PKCE with S256.
#[derive(Debug, Parser)]
#[command(name = "pkce-gate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    Run(ConfigFile),
    /// Check a configuration, and show which rules apply to each client
    Check(Check),
    /// Write a first configuration, from what a server says about itself
    Init(init::Options),
    /// Ask a running upstream what it really does about PKCE, without the gate and behind it
    Doctor(doctor::Options),
    /// Explain what the gate decides about a request and why, or what the code of a violation or a hint means
    Explain(explain::Options),
    /// Describe all configuration keys: as a JSON schema for editors, a commented file, or a page of the manual
    Schema(schema::Options),
    /// Try the gate: a server without PKCE, the gate in front of it, and a page to attack both
    #[cfg(feature = "demo")]
    Demo(demo::Options),
    /// Show which clients of a running gate would break under enforcement
    Review(review::Options),
    /// Check whether a running gate is ready
    Healthcheck(Admin),
    /// Make a key for a store that encrypts its records
    Keygen(keygen::Options),
}

/// Parses the arguments of this process and executes the command.
pub fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => execute(&arguments.command),
        Err(error) => {
            #[cfg(not(feature = "demo"))]
            let error = without_demo(error);
            // `--help` is not an error; other parser messages are usage errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let printed = error.print();
            ExitCode::from(if printed.is_ok() { code } else { USAGE })
        }
    }
}

/// Explains that the documented command `demo` is not part of this build.
#[cfg(not(feature = "demo"))]
fn without_demo(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let asked = error.get(ContextKind::InvalidSubcommand);
    if asked == Some(&ContextValue::String("demo".to_owned())) {
        let tip = "this program was built without the cargo feature `demo`";
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn execute(command: &Command) -> ExitCode {
    match command {
        Command::Run(file) => run::execute(file),
        Command::Check(options) => check::execute(options),
        Command::Init(options) => init::execute(options),
        Command::Doctor(options) => doctor::execute(options),
        Command::Explain(options) => explain::execute(options),
        Command::Schema(options) => schema::execute(options),
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::execute(options),
        Command::Review(options) => review::execute(options),
        Command::Healthcheck(admin) => healthcheck::execute(admin),
        Command::Keygen(options) => keygen::execute(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::print::Format;
    use clap::CommandFactory as _;

    #[test]
    fn the_clap_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn arguments_have_defaults_and_mistakes_are_usage_errors() {
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
        for (wrong, help) in [
            ("review --admin localhost:9901", "\"127.0.0.1:9901\""),
            (
                "healthcheck --admin gate.example:9901",
                "an IP address and a port",
            ),
            ("check --against :9901", "\"127.0.0.1:9901\""),
            (
                "init --from https://a.example --admin localhost:1",
                "\"127.0.0.1:1\"",
            ),
            (
                "init --from ftp://a.example",
                "\"https://login.example.com\"",
            ),
            ("init --from a.example", "write \"https://a.example\""),
            (
                "init --from https://a.example --public-url https://b.example/x",
                "write \"https://b.example\"",
            ),
        ] {
            let error = parse(&format!("pkce-gate {wrong}")).unwrap_err();
            let told = error.to_string();
            let line = told.lines().find(|line| line.starts_with("help: "));
            assert!(line.is_some_and(|line| line.contains(help)), "{told}");
        }
        assert!(!parse("pkce-gate --help").unwrap_err().use_stderr());
    }

    #[cfg(not(feature = "demo"))]
    #[test]
    fn a_build_without_the_demo_explains_why() {
        let said = |command| {
            let parsed = Arguments::try_parse_from(["pkce-gate", command]);
            without_demo(parsed.unwrap_err()).to_string()
        };
        assert!(said("demo").contains("unrecognized subcommand"));
        assert!(said("demo").contains("the cargo feature `demo`"));
        assert!(!said("dema").contains("the cargo feature"));
        assert!(!said("--help").contains("demo"), "help does not offer it");
    }
}
