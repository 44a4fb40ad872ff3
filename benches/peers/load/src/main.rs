//! Both sides of a proxy under measurement: a fast upstream, and a load generator that checks every answer.
//!
//! Each is one thread with epoll that does as little as possible, because it shares the cores with the proxy.

mod flow;
mod http;
mod idle;
mod load;
mod proc;
mod random;
mod upstream;
mod verify;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;

pub type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
pkce-gate-load upstream --listen ADDRESS
pkce-gate-load run      --to ADDRESS --what get|post|flow|hold [--connections 64] [--warm 0.3] [--seconds 3]
                        [--rate PER_SECOND] [--count UNITS] [--process PID]
pkce-gate-load idle     --to ADDRESS --connections 9900
pkce-gate-load verify   --to ADDRESS";

fn main() -> ExitCode {
    match started() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pkce-gate-load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn started() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let command = words.next().ok_or(USAGE)?;
    let options = Options::parse(words)?;
    match command.as_str() {
        "upstream" => upstream::serve(options.required("listen")?),
        "run" => load::run(&load::Plan {
            to: options.required("to")?,
            what: options.required("what")?,
            connections: options.or("connections", 64)?,
            warm: options.or("warm", 0.3)?,
            seconds: options.or("seconds", 3.0)?,
            rate: options.or("rate", 0)?,
            count: options.or("count", u64::MAX)?,
            process: options.or("process", 0)?,
        }),
        "idle" => idle::hold(options.required("to")?, options.or("connections", 9900)?),
        "verify" => verify::verify(options.required::<SocketAddr>("to")?),
        _ => Err(USAGE.into()),
    }
}

/// `--name value` pairs.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = HashMap::new();
        while let Some(name) = words.next() {
            let name = name.strip_prefix("--").ok_or(USAGE)?.to_owned();
            options.insert(name, words.next().ok_or(USAGE)?);
        }
        Ok(Self(options))
    }

    fn or<T: FromStr<Err: std::error::Error + 'static>>(
        &self,
        name: &str,
        default: T,
    ) -> Result<T, Failure> {
        match self.0.get(name) {
            Some(text) => Ok(text.parse()?),
            None => Ok(default),
        }
    }

    fn required<T: FromStr<Err: std::error::Error + 'static>>(
        &self,
        name: &str,
    ) -> Result<T, Failure> {
        let text = self
            .0
            .get(name)
            .ok_or_else(|| format!("--{name} is missing\n{USAGE}"))?;
        Ok(text.parse()?)
    }
}
