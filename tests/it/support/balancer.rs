//! `HAProxy` in front of several gates, without TLS: the backend that `docs/src/stores.md` shows, in which only addresses are
//! replaced.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::fixture::{HINT, free_port};
use super::gate::{file, scratch};
use super::http::Request;
use super::tree::read;

/// Attempts before a test fails, and the time between two of them: at least half a minute.
const LOOKS: usize = 1500;
const LOOK: Duration = Duration::from_millis(20);

/// Where a gate listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) server: u16,
    pub(crate) admin: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        let (server, admin) = (free_port(), free_port());
        Self { server, admin }
    }

    pub(crate) fn address(self) -> SocketAddr {
        ([127, 0, 0, 1], self.server).into()
    }
}

pub(crate) struct Balancer {
    process: Child,
    directory: PathBuf,
    port: u16,
    statistics: u16,
}

impl Balancer {
    /// Listens on that port. The gates are `gate1` and `gate2` of the manual.
    pub(crate) fn start(port: u16, gates: [Ports; 2]) -> Self {
        assert!(Path::new("/usr/sbin/haproxy").exists(), "{HINT}");
        let (directory, statistics) = (scratch(), free_port());
        let text = format!(
            "global\n    maxconn 4000\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    timeout server 60s\n    timeout check 5s\n\
             frontend login\n    bind 127.0.0.1:{port}\n\
             \x20   http-request set-header X-Forwarded-For %[src]\n\
             \x20   http-request set-header X-Forwarded-Proto http\n    default_backend pkce-gate\n\
             frontend statistics\n    bind 127.0.0.1:{statistics}\n    stats enable\n    stats uri /\n{}",
            backend(gates)
        );
        let config = file(&directory, "haproxy.cfg", &text);
        let log = fs::File::create(directory.join("log")).expect("a file for its log");
        // Started by a shell that reads our pipe: however this process ends, the pipe closes, and the shell stops the proxy.
        let process = Command::new("sh")
            .args(["-c", "\"$@\" & cat >/dev/null; kill $!; wait", "sh"])
            .args(["/usr/sbin/haproxy", "-db", "-f"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .expect("a shell is there");
        let balancer = Self {
            process,
            directory,
            port,
            statistics,
        };
        for gate in 0..gates.len() {
            balancer.wait_for(gate);
        }
        balancer
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Waits until its health check has found that gate ready.
    #[track_caller]
    pub(crate) fn wait_for(&self, gate: usize) {
        for _ in 0..LOOKS {
            if self.statistic(gate, "status").as_deref() == Some("UP") {
                return;
            }
            sleep(LOOK);
        }
        panic!("the proxy does not use gate {gate}: {}", self.log());
    }

    /// The number of requests that it has sent to that gate.
    pub(crate) fn requests(&self, gate: usize) -> usize {
        let total = self.statistic(gate, "stot");
        total.map_or(0, |total| total.parse().expect("a number"))
    }

    /// A column of `HAProxy`'s statistics; `None` if it does not answer.
    fn statistic(&self, gate: usize, column: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/;csv", self.statistics);
        let answer = Request::get(&url).try_send()?;
        let mut lines = answer.text().lines();
        let mut columns = lines.next()?.trim_start_matches("# ").split(',');
        let index = columns.position(|name| name == column)?;
        let row = format!("pkce-gate,gate{},", gate + 1);
        let line = lines.find(|line| line.starts_with(&row))?;
        line.split(',').nth(index).map(str::to_owned)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok(); // whatever its exit status
        if std::thread::panicking() {
            println!("the proxy's log:\n{}", self.log());
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The backend of the manual with these addresses.
fn backend(gates: [Ports; 2]) -> String {
    let manual = read("docs/src/stores.md");
    let (_, from) = manual
        .split_once("```haproxy\n")
        .expect("the manual has it");
    let (backend, _) = from.split_once("```").expect("it has an end");
    let mut backend = backend.to_owned();
    for (host, gate) in ["10.0.0.1", "10.0.0.2"].into_iter().zip(gates) {
        let from = format!("{host}:8080 port 9901");
        assert!(backend.contains(&from), "{backend}");
        let to = format!("127.0.0.1:{} port {}", gate.server, gate.admin);
        backend = backend.replace(&from, &to);
    }
    backend
}
