//! Echo servers: small applications that report what their framework read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::Duration;

use serde::Deserialize;

use crate::support::fixture::free_port;
use crate::support::http::{PATIENCE, Request};

const HINT: &str = "run tests/run, which installs what the tests need";

/// What a framework read in one request.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Reading {
    pub(super) case: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    /// `token`, `authorize`, or empty: the route that the framework's router selected.
    pub(super) route: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) form: Vec<(String, String)>,
}

impl Reading {
    /// The parameters of query and body together, as an application gets them that does not distinguish.
    pub(super) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.iter().chain(&self.form);
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

pub(super) struct Echo {
    process: Child,
    lines: Receiver<Reading>,
    pub(super) url: String,
    ends: usize,
}

impl Echo {
    /// Starts the application in that file, and waits until it listens.
    pub(super) fn start(file: &str) -> Self {
        let port = free_port();
        let mut process = command(file, port)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{file}: {error}; {HINT}"));
        let output = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
        let (said, lines) = channel();
        spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Some servers print other lines.
                let reading = serde_json::from_str(&line);
                if reading.is_ok_and(|reading| said.send(reading).is_err()) {
                    break;
                }
            }
        });
        let mut looks = 0;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.try_wait().expect("the process can be asked");
            assert!(
                ended.is_none() && looks < 1500,
                "{file} does not listen ({ended:?}); {HINT}"
            );
            looks += 1;
            sleep(Duration::from_millis(20));
        }
        Self {
            process,
            lines,
            url: format!("http://127.0.0.1:{port}"),
            ends: 0,
        }
    }

    /// Everything that was read so far, by case; requests without a case have an empty key. A final request that bypasses the
    /// gate marks the end.
    pub(super) fn readings(&mut self) -> BTreeMap<String, Vec<Reading>> {
        self.ends += 1;
        let end = format!("end-{}", self.ends);
        Request::get(&format!("{}/end", self.url))
            .header("X-Case", end.as_str())
            .send();
        let mut readings: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
        loop {
            let reading = self.lines.recv_timeout(PATIENCE);
            let reading = reading.expect("a line of the echo server");
            let case = reading.case.clone().unwrap_or_default();
            if case == end {
                return readings;
            }
            readings.entry(case).or_default().push(reading);
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok(); // whatever its exit status
    }
}

/// Started by a shell that reads our pipe: however this process ends, the pipe closes, and the shell stops the application.
fn command(file: &str, port: u16) -> Command {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    let path = servers.join("echoes").join(file);
    let (interpreter, arguments): (PathBuf, &[&str]) = match path.extension() {
        Some(py) if py == "py" => (servers.join(".venv/bin/python"), &[]),
        Some(cjs) if cjs == "cjs" => ("node".into(), &[]),
        Some(php) if php == "php" => ("php".into(), &["-S"]),
        Some(rb) if rb == "rb" => ("ruby".into(), &[]),
        Some(pl) if pl == "pl" => ("perl".into(), &[]),
        _ => (servers.join("echoes/.built").join(file), &[]),
    };
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("\"$@\" & cat >/dev/null; kill $!")
        .arg("sh")
        .arg(interpreter)
        .args(arguments);
    match path.extension() {
        Some(php) if php == "php" => command.arg(format!("127.0.0.1:{port}")).arg(path),
        Some(_) => command.arg(path).arg(port.to_string()),
        None => command.arg(port.to_string()),
    };
    command
}
