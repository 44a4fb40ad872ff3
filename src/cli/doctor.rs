//! `doctor`: asks a running upstream what it really does, without the gate and through it.

mod ask;
mod authorization;
mod finding;
mod gate;
mod login;
mod loopback;
mod metadata;
mod report;
mod side;
mod token;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use url::Url;
use zeroize::Zeroizing;

use super::check;
use super::loopback::this_machine;
use super::options::ConfigFile;
use super::terminal::{USAGE, complain};
use crate::clock;
use crate::config::Upstream;
use crate::files;
use crate::oauth::ClientId;
use ask::Client;
use gate::Gate;
use login::Redirects;
use report::Diagnosis;
use side::At;

/// Exit code if there are findings above notes.
const FOUND: u8 = 1;
/// Exit code if an upstream could not be asked.
const NOT_ASKED: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The name of one upstream; by default, all are asked
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Ask the same through the running gate, too: at `public_url`, where clients are, after the upstream itself at `url`
    #[arg(long)]
    through_gate: bool,
    /// PEM file with the certificates to trust at `public_url`; by default, the system's
    #[arg(long, value_name = "FILE", requires = "through_gate")]
    gate_ca: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Also ask what only a sign-in shows: a person opens a URL in a browser
    #[arg(long, requires = "client_id")]
    login: bool,
    /// The identifier of a client that is registered at the upstream
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File with the secret of the client, if it has one
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// A redirect URI of the client. For --login, it has to be one on this machine; by default /cb at a free port
    #[arg(long, value_name = "URI", requires = "client_id", value_parser = redirect_uri)]
    redirect_uri: Option<String>,
    /// The scope to request, if the upstream needs one
    #[arg(long, value_name = "SCOPE", requires = "client_id")]
    scope: Option<String>,
}

/// Keeps the text, because servers compare redirect URIs byte for byte.
fn redirect_uri(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.fragment().is_some() || url.query().is_some() {
        return Err("it has a query or a fragment".to_owned());
    }
    Ok(text.to_owned())
}

/// Asks the upstreams and prints what was found.
pub(super) fn execute(options: &Options) -> ExitCode {
    let checked = match check::load(&options.file.config, clock::today()) {
        Ok((_, checked)) => checked,
        Err(code) => return code,
    };
    let wanted = |upstream: &&Upstream| {
        let name = options.upstream.as_ref();
        name.is_none_or(|name| *name == upstream.gateway.name)
    };
    let upstreams: Vec<&Upstream> = checked.config.upstreams.iter().filter(wanted).collect();
    if upstreams.is_empty() || (options.login && upstreams.len() > 1) {
        let names = checked.config.upstreams.iter();
        let names: Vec<&str> = names.map(|it| it.gateway.name.as_str()).collect();
        complain(&format!(
            "error: --upstream has to name one of: {}",
            names.join(", ")
        ));
        return ExitCode::from(USAGE);
    }
    if let Some(upstream) = upstreams
        .iter()
        .find(|it| options.through_gate && has_no_gate(it))
    {
        let Upstream { gateway, .. } = upstream;
        complain(&format!(
            "error: public_url of {} is the url of the upstream itself: {}\nhelp: --through-gate needs the address at which clients \
             reach the gate",
            gateway.name, gateway.public_origin
        ));
        return ExitCode::from(USAGE);
    }
    let prepared =
        redirects(options).and_then(|(uri, redirects)| Ok((client(options, uri)?, redirects)));
    let (client, redirects) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let diagnoses = upstreams
        .into_iter()
        .map(|upstream| diagnose(upstream, options, &client, redirects.as_ref()));
    let diagnoses: Vec<Diagnosis> = diagnoses.collect();
    let text = match options.format {
        Format::Text => report::text(&diagnoses),
        Format::Json => report::json(&diagnoses),
        Format::Sarif => report::sarif(&diagnoses, &options.file.config.display().to_string()),
    };
    let printed = io::stdout().lock().write_all(text.as_bytes());
    let failures: Vec<&String> = diagnoses.iter().flat_map(Diagnosis::failures).collect();
    for failure in &failures {
        complain(&format!("error: {failure}"));
    }
    if printed.is_err() || !failures.is_empty() {
        ExitCode::from(NOT_ASKED)
    } else if diagnoses.iter().any(Diagnosis::is_bad) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
}

/// Whether clients would reach the upstream itself at `public_url`.
fn has_no_gate(upstream: &Upstream) -> bool {
    upstream.gateway.public_origin == upstream.connection.origin()
}

/// The redirect URI of the client; for a sign-in, with its listener.
fn redirects(options: &Options) -> Result<(Option<String>, Option<Redirects>), String> {
    if !options.login {
        return Ok((options.redirect_uri.clone(), None));
    }
    let given = options.redirect_uri.as_deref();
    let address = match given {
        Some(text) => redirect_address(text).ok_or_else(|| {
            format!("{text} is not on this machine\nhelp: --login needs a redirect URI such as http://127.0.0.1:8765/cb")
        })?,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let cannot = |error: io::Error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let own = listener.local_addr().map_err(cannot)?;
    let text = given.map_or_else(|| format!("http://{own}/cb"), str::to_owned);
    let uri = Url::parse(&text).map_err(|error| error.to_string())?;
    Ok((Some(text), Some(Redirects { listener, uri })))
}

/// The loopback address of a URL with plain http.
fn redirect_address(text: &str) -> Option<SocketAddr> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
    this_machine(&url)
}

fn client(options: &Options, redirect_uri: Option<String>) -> Result<Client, String> {
    let secret = options
        .client_secret_file
        .as_deref()
        .map(secret)
        .transpose()?;
    let made_up = || "pkce-gate-doctor".to_owned();
    Ok(Client {
        id: options.client_id.clone().unwrap_or_else(made_up),
        is_named: options.client_id.is_some(),
        secret,
        redirect_uri,
        scope: options.scope.clone(),
    })
}

/// The first line of a file.
fn secret(file: &Path) -> Result<Zeroizing<String>, String> {
    let cannot = |why: String| format!("cannot read {}: {why}", file.display());
    let bytes = files::read(file).map_err(|error| cannot(error.to_string()))?;
    let text =
        Zeroizing::new(String::from_utf8(bytes).map_err(|_| cannot("not UTF-8".to_owned()))?);
    let line = text.lines().next().filter(|line| !line.is_empty());
    let line = line.ok_or_else(|| cannot("it has no first line".to_owned()))?;
    Ok(Zeroizing::new(line.to_owned()))
}

/// Asks one upstream, and the gate in front of it if the operator wants that.
fn diagnose(
    upstream: &Upstream,
    options: &Options,
    client: &Client,
    redirects: Option<&Redirects>,
) -> Diagnosis {
    let ask = |at| side::examine(upstream, at, client, redirects);
    let gate_follows = options.through_gate;
    let server = ask(At::Upstream { gate_follows });
    let gate = options.through_gate.then(|| {
        let ca = options.gate_ca.as_deref();
        let rules = &upstream.gateway.rules;
        let mode = rules.of_name(&ClientId::new(&client.id), clock::today());
        Gate::new(ask(At::Gate { ca }), mode.mode, &server)
    });
    Diagnosis {
        upstream: upstream.gateway.name.clone(),
        server,
        gate,
    }
}
