//! `explain`: says what the gate decides about a request, and why; or explains a code of a violation or a hint.

mod answer;
mod curl;
mod har;
mod log;
mod manual;
mod report;
mod request;
mod words;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check;
use super::options::ConfigFile;
use super::terminal::{CONFIG, USAGE, complain};
use crate::clock;
use crate::config::Config;
use crate::gateway::preview::Previews;
use crate::route::Misdirection;
use answer::{Answer, Format, Unusable};
use report::Explained;
use request::Written;

/// Exit code if a request would be refused under enforcement.
const REFUSED: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The upstream to which the request goes, whatever its host is
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    input: Input,
    /// Only this request of the HAR file; 1 is the first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    entry: Option<u32>,
    /// The log of the gate, in JSON
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// The URL of an authorization request, or the code of a violation or a hint
    #[arg(value_name = "URL|CODE")]
    subject: Option<String>,
    /// A curl command line, in quotes. Nothing is executed
    #[arg(long, value_name = "COMMAND")]
    curl: Option<String>,
    /// A HAR file, as browsers save it. Without --entry, all of its requests to the upstreams' hosts
    #[arg(long, value_name = "FILE")]
    har: Option<PathBuf>,
    /// The id of a request, from the log or an error page
    #[arg(long, value_name = "ID", requires = "log")]
    request_id: Option<String>,
}

/// Prints the explanation.
pub(super) fn execute(options: &Options) -> ExitCode {
    // clap does not check `requires` of options outside of a group against those inside.
    let unused = match options {
        Options { entry: Some(_), .. } if options.input.har.is_none() => {
            Some("--entry needs --har")
        }
        Options { log: Some(_), .. } if options.input.request_id.is_none() => {
            Some("--log needs --request-id")
        }
        _ => None,
    };
    if let Some(unused) = unused {
        complain(&format!("error: {unused}"));
        return ExitCode::from(USAGE);
    }
    let answer = match (&options.input.subject, &options.input.request_id) {
        (Some(code), _) if !code.contains(['/', ':']) => manual::explain(code, options.format),
        (_, Some(id)) => {
            let log = options.log.as_deref().unwrap_or("".as_ref());
            log::explain(id, log, options.format)
        }
        (_, None) => {
            let mut config = match check::load(&options.file.config, clock::today()) {
                Ok((_, checked)) => checked.config,
                Err(code) => return code,
            };
            check::promote(&mut config);
            requests(options, &config)
        }
    };
    match answer {
        Ok(answer) => match io::stdout().lock().write_all(answer.text.as_bytes()) {
            Ok(()) if answer.is_refused => ExitCode::from(REFUSED),
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(unusable) => {
            complain(&format!("error: {unusable}"));
            ExitCode::from(match unusable {
                Unusable::Usage(_) => USAGE,
                Unusable::File(_) => CONFIG,
            })
        }
    }
}

/// Explains one request, or those of a HAR file.
fn requests(options: &Options, config: &Config) -> Result<Answer, Unusable> {
    let upstreams: Vec<_> = config.upstreams.iter().map(|it| &it.gateway).collect();
    let wanted = options.upstream.as_deref();
    let chosen = wanted.map(|name| {
        let chosen = upstreams.iter().find(|upstream| upstream.name == name);
        chosen.copied().ok_or_else(|| {
            let all: Vec<&str> = upstreams.iter().map(|it| it.name.as_str()).collect();
            Unusable::Usage(format!("--upstream has to name one of: {}", all.join(", ")))
        })
    });
    let chosen = chosen.transpose()?;
    let input = &options.input;
    let (mut written, is_all) = match (&input.subject, &input.curl, &input.har) {
        (Some(url), _, _) => (vec![Written::url(url)?], false),
        (_, Some(command), _) => (vec![curl::read(command)?], false),
        (_, _, Some(file)) => (har::read(file, options.entry)?, options.entry.is_none()),
        (None, None, None) => (Vec::new(), false),
    };
    if let (Some(upstream), false) = (chosen, is_all) {
        for request in &mut written {
            request.goes_to(upstream);
        }
    }
    let previews = Previews::new(upstreams, config.limits, clock::today());
    let mut explained = Vec::new();
    for request in written {
        let (shown, message) = request.split();
        let judged = previews.of(message);
        let found = judged.as_ref().map(|it| it.upstream.name.as_str());
        let is_of_another = wanted.is_some_and(|wanted| found != Ok(wanted));
        let is_elsewhere = found == Err(&Misdirection::UNKNOWN) || is_of_another;
        if is_all && is_elsewhere {
            continue;
        }
        if let (true, Ok(found), Some(wanted)) = (is_of_another, found, wanted) {
            return Err(Unusable::Usage(format!(
                "the path belongs to the upstream {found}, not to {wanted}"
            )));
        }
        explained.push(Explained::new(shown, judged));
    }
    if is_all && explained.is_empty() {
        let text = "no request of the file goes to a host of these upstreams\nhelp: --entry with --upstream explains one, whatever its host is";
        return Err(Unusable::File(text.to_owned()));
    }
    Ok(Answer {
        is_refused: explained.iter().any(Explained::is_refused),
        text: match options.format {
            Format::Text => report::text(&explained),
            Format::Json => report::json(&explained),
        },
    })
}

#[cfg(test)]
mod tests;
