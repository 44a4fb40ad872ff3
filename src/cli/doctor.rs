//! `doctor`: asks a running upstream what it really does, without the gate.

mod ask;
mod authorization;
mod finding;
mod login;
mod loopback;
mod metadata;
mod report;
mod token;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::header;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::check;
use super::fetch::{Ask, Failed, Fetch};
use super::learned::Document;
use super::loopback::this_machine;
use super::options::ConfigFile;
use super::terminal::{USAGE, complain};
use crate::clock;
use crate::config::Upstream;
use crate::files;
use ask::{Client, Server};
use finding::{Part, REACHABLE_AROUND_THE_GATE};
use login::{Inconclusive, Redirects, Verdict};
use report::Diagnosis;

/// Exit code if there are findings above notes.
const FOUND: u8 = 1;
/// Exit code if an upstream could not be asked.
const NOT_ASKED: u8 = 2;
/// Maximum time for all requests to one upstream, except those of sign-ins.
const BUDGET: Duration = Duration::from_mins(2);
/// Maximum time for the sign-ins at one upstream.
const LOGIN: Duration = Duration::from_mins(30);

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
    let prepared =
        redirects(options).and_then(|(uri, redirects)| Ok((client(options, uri)?, redirects)));
    let (client, mut redirects) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let diagnoses = upstreams
        .into_iter()
        .map(|upstream| diagnose(upstream, &client, redirects.take()));
    let diagnoses: Vec<Diagnosis> = diagnoses.collect();
    let text = match options.format {
        Format::Text => report::text(&diagnoses),
        Format::Json => report::json(&diagnoses),
        Format::Sarif => report::sarif(&diagnoses, &options.file.config.display().to_string()),
    };
    let printed = io::stdout().lock().write_all(text.as_bytes());
    let failed = diagnoses.iter().filter_map(|it| it.failure.as_ref());
    for failure in failed.clone() {
        complain(&format!("error: {failure}"));
    }
    if printed.is_err() || failed.count() > 0 {
        ExitCode::from(NOT_ASKED)
    } else if diagnoses.iter().any(Diagnosis::is_bad) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
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

fn diagnose(upstream: &Upstream, client: &Client, redirects: Option<Redirects>) -> Diagnosis {
    let mut diagnosis = Diagnosis {
        upstream: upstream.gateway.name.clone(),
        url: upstream.connection.origin(),
        verdict: Verdict::Unknown,
        part: Part::default(),
        failure: None,
    };
    complain(&format!("asking {}", diagnosis.url));
    if let Err(failure) = examine(upstream, client, redirects, &mut diagnosis) {
        diagnosis.failure = Some(format!("{}: {failure}", diagnosis.url));
    }
    diagnosis
}

/// Asks everything. What was found before a failure stays in the diagnosis.
fn examine(
    upstream: &Upstream,
    client: &Client,
    redirects: Option<Redirects>,
    diagnosis: &mut Diagnosis,
) -> Result<(), Inconclusive> {
    let url = Url::parse(&diagnosis.url).map_err(|error| Inconclusive::Other(error.to_string()))?;
    let fetch = |budget| {
        let fetch = Fetch::new(&url, upstream.connection.ca.as_deref(), budget);
        fetch.map_err(|error| Inconclusive::Other(error.to_string()))
    };
    let quick = fetch(BUDGET)?;
    let endpoints = &upstream.gateway.endpoints;
    let documents = documents(&quick, &endpoints.metadata)?;
    let part = &mut diagnosis.part;
    part.add(metadata::judge(&url, &upstream.gateway, &documents));
    let first = |paths: &'_ [String]| paths.first().map_or("/", String::as_str).to_owned();
    let (authorization, token) = (first(&endpoints.authorization), first(&endpoints.token));
    let mut server = Server {
        fetch: &quick,
        authorization: &authorization,
        token: &token,
        client,
        secret_in_form: metadata::takes_secret_in_form(&documents),
    };
    part.add(authorization::examine(&server)?);
    part.add(token::examine(&server)?);
    around(&url, part);
    let Some(redirects) = redirects else {
        part.skip("Codes and verifiers: that takes a sign-in (--login).");
        return Ok(());
    };
    let slow = fetch(LOGIN)?;
    server.fetch = &slow;
    let promised = metadata::promises_s256(&documents);
    let (found, verdict) = login::examine(&server, redirects, promised)?;
    part.add(found);
    diagnosis.verdict = verdict;
    Ok(())
}

fn documents(fetch: &Fetch, paths: &[String]) -> Result<Vec<Document>, Failed> {
    let mut documents = Vec::new();
    for path in paths {
        let mut ask = Ask::get(path);
        ask.headers = vec![(header::ACCEPT, "application/json")];
        let answer = fetch.send(&ask)?;
        if answer.status == http::StatusCode::OK {
            documents.extend(Document::parse(path, &answer.body));
        }
    }
    Ok(documents)
}

/// Every answer so far came without the gate.
fn around(url: &Url, part: &mut Part) {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let origin = url.origin().ascii_serialization();
    if is_here {
        part.see(format!(
            "The server is asked on this machine ({origin}); whether others reach it is not known."
        ));
    } else {
        let evidence = format!(
            "{origin} answered this machine. If that is the gate's own machine, ask from another one"
        );
        part.find(&REACHABLE_AROUND_THE_GATE, evidence);
    }
}
