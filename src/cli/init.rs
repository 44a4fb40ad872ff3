//! `init`: writes a first configuration for a server, from what the server says about itself.

mod discover;
mod file;
mod guess;
mod place;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::fetch::Fetch;
use super::learned::{KINDS, Learned, Source};
use super::shown::shown;
use super::terminal::{START, complain};
use crate::clock;
use crate::config::{self, accepts};
use discover::discover;
use file::Plan;
use place::Place;

/// Maximum time for all requests to the server.
const BUDGET: Duration = Duration::from_mins(2);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The issuer, or another URL of the server
    #[arg(long, value_name = "ISSUER", value_parser = server)]
    from: Url,
    /// The file to create; an existing file is not replaced. "-": standard output
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,
    /// PEM file with the CA certificates to trust for https; by default the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How clients will reach the gate; by default the server's own name for itself
    #[arg(long, value_name = "URL", value_parser = public)]
    public_url: Option<Url>,
    /// Where the gate will listen for health checks, metrics and the review
    #[arg(long, value_name = "ADDRESS", value_parser = accepts::address_option, default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
}

/// The URL of a server to ask.
fn server(text: &str) -> Result<Url, String> {
    accepts::issuer_option(text)?;
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    accepts::origin_option(&url.origin().ascii_serialization())?;
    Ok(url)
}

/// The public URL of a gate: scheme, host and port.
fn public(text: &str) -> Result<Url, String> {
    accepts::origin_option(text)?;
    Url::parse(text).map_err(|error| error.to_string())
}

/// Asks the server and writes the file. Nothing is written if no usable configuration comes of it.
pub(super) fn execute(options: &Options) -> ExitCode {
    match write(options) {
        Ok(summary) => {
            complain(&summary);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            complain(&format!("error: {problem}"));
            ExitCode::from(START)
        }
    }
}

fn write(options: &Options) -> Result<String, String> {
    let output = Some(options.output.as_path()).filter(|output| *output != Path::new("-"));
    // Before the server is asked; `create` makes sure.
    if let Some(output) = output.filter(|output| output.symlink_metadata().is_ok()) {
        return Err(exists(output));
    }
    let ca = options.ca.as_deref().map(absolute).transpose()?;
    if ca.is_some() && options.from.scheme() != "https" {
        return Err(
            "--ca needs an https:// server\nhelp: nothing is checked against it over plain http"
                .to_owned(),
        );
    }
    let fetch = Fetch::new(&options.from, ca.as_deref().map(Path::new), BUDGET);
    let fetch = fetch.map_err(|error| error.to_string())?;
    let learned = discover(&fetch, &options.from).map_err(|error| error.to_string())?;
    let (issuer, given) = (learned.issuer.as_deref(), options.public_url.as_ref());
    let place = Place::of(&options.from, issuer, given, options.admin);
    let plan = Plan {
        from: &options.from,
        place: &place,
        admin: options.admin,
        ca: ca.as_deref(),
        learned: &learned,
        today: clock::today(),
    };
    let text = checked(&plan)?;
    match output {
        Some(output) => create(output, &text)?,
        None => io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(|error| format!("cannot write to standard output: {error}"))?,
    }
    Ok(summary(output, &plan))
}

/// The path of the file independent of the current folder, as the configuration has to name it.
fn absolute(file: &Path) -> Result<String, String> {
    let absolute = path::absolute(file).map_err(|error| error.to_string())?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{} is not UTF-8", file.display()))
}

/// The text of the configuration, if `run` would accept it.
fn checked(plan: &Plan<'_>) -> Result<String, String> {
    let text = file::render(plan);
    match config::load(&text, "config.toml", clock::today()) {
        Ok(_) => Ok(text),
        Err(problems) => Err(format!(
            "what the server says makes no valid configuration:\n{problems}"
        )),
    }
}

fn create(output: &Path, text: &str) -> Result<(), String> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            exists(output)
        } else {
            format!("cannot write {}: {error}", output.display())
        }
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .open(output)
        .map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // A part of a configuration is worse than none.
        let _removed = std::fs::remove_file(output);
        failed(error)
    })
}

fn exists(output: &Path) -> String {
    format!(
        "{} exists, and is not replaced\nhelp: name another file with --output, or remove this one",
        output.display()
    )
}

/// What was found, and what to do next.
fn summary(output: Option<&Path>, plan: &Plan<'_>) -> String {
    let Learned {
        endpoints,
        notes,
        source,
        ..
    } = plan.learned;
    let (public, origin) = (&plan.place.public, plan.from.origin().ascii_serialization());
    let mut lines = vec![String::new(), format!("{public} -> {origin}")];
    for ((key, _), paths) in KINDS.iter().zip(endpoints) {
        if !paths.is_empty() {
            lines.push(format!("  {key}: {}", shown(&paths.join(", "))));
        }
    }
    if matches!(source, Source::Guess(_)) {
        let guessed = "warning: these paths are guessed, because the server has no metadata\nhelp: compare them with its manual";
        lines.push(guessed.to_owned());
    }
    lines.extend(notes.iter().map(|note| format!("warning: {note}")));
    let written = output.map(|output| output.display().to_string());
    let file = written.clone().unwrap_or_else(|| "FILE".to_owned());
    let written = written.unwrap_or_else(|| "the configuration to standard output".to_owned());
    lines.push(format!(
        "wrote {written}: mode = \"report\", so nothing is refused. Its last part lists what could not be learned"
    ));
    lines.push(format!("next: pkce-gate check --config {file}"));
    lines.join("\n")
}
