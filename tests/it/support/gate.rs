//! The gate under test: the real binary as a child process.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use super::http::{Request, Response};
use super::params::unguessable;
use super::store::Kept;

/// Time between two attempts.
const LOOK: Duration = Duration::from_millis(20);
/// Attempts before a test fails: at least half a minute.
const LOOKS: usize = 1500;

pub(crate) struct Gate {
    process: Child,
    directory: PathBuf,
    /// Where it keeps its records, unless its configuration says so.
    kept: Kept,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    admin: String,
}

impl Gate {
    /// Runs with this configuration and waits until the gate is ready. If a port is 0, the log must be at `info` or more,
    /// because it says which port was chosen.
    pub(crate) fn start(config: &str) -> Self {
        Self::launch(config, Stdio::piped(), Stdio::piped()).started(config)
    }

    /// The same with a limit of open files.
    pub(crate) fn start_with_descriptors(config: &str, limit: usize) -> Self {
        Self::start_in(&format!("ulimit -n {limit}; exec \"$0\" \"$@\""), config)
    }

    /// The same, started by these shell commands, in which `$0` is the program and `$3` the configuration file.
    pub(crate) fn start_in(lines: &str, config: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", lines, env!("CARGO_BIN_EXE_pkce-gate")]);
        Self::launch_by(shell, config, Stdio::piped(), Stdio::piped()).started(config)
    }

    fn started(mut self, config: &str) -> Self {
        self.wait();
        if self.kept.is_in_redis(config) {
            self.wait_for_store();
        }
        self
    }

    /// Starts with these outputs, and does not wait.
    pub(crate) fn launch(config: &str, stdout: Stdio, stderr: Stdio) -> Self {
        Self::launch_by(command(), config, stdout, stderr)
    }

    fn launch_by(mut program: Command, config: &str, stdout: Stdio, stderr: Stdio) -> Self {
        let directory = scratch();
        let file = directory.join("config.toml");
        let kept = Kept::beside(&directory);
        fs::write(&file, kept.configure(config)).expect("the configuration is written");
        let mut process = program
            .arg("run")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the binary under test starts");
        let log = Arc::new(Mutex::new(String::new()));
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|out| Box::new(out) as _),
            process.stderr.take().map(|err| Box::new(err) as _),
        ];
        let readers = outputs
            .into_iter()
            .flatten()
            .map(|output| keep(output, Arc::clone(&log)))
            .collect();
        Self {
            process,
            directory,
            kept,
            log,
            readers,
            admin: admin_of(config),
        }
    }

    /// The address of the server (`"server"`) or the admin listener (`"admin"`), from the log.
    pub(crate) fn address(&mut self, what: &str) -> SocketAddr {
        for _ in 0..LOOKS {
            if let Some(address) = listening(&self.log(), what) {
                return address;
            }
            self.must_run();
            sleep(LOOK);
        }
        panic!("the gate does not listen: {}", self.stop());
    }

    /// The path of its configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// The text of the configuration file for this configuration: the same, or with the store that `STORE` names.
    pub(crate) fn with_store(&self, config: &str) -> String {
        self.kept.configure(config)
    }

    /// Replaces the configuration file in one step.
    pub(crate) fn configure(&self, config: &str) {
        let new = file(&self.directory, "new.toml", &self.with_store(config));
        fs::rename(new, self.config_file()).expect("a file is renamed");
    }

    /// The same; then sends SIGHUP, and waits until the configuration is in force.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) {
        let before = self.log().lines().count();
        self.configure(config);
        self.signal("HUP");
        self.reloaded(config, before);
    }

    /// Waits until a log line, after the first `without` ones, says that this configuration is in force.
    #[track_caller]
    pub(crate) fn reloaded(&self, config: &str, without: usize) {
        let sha256 = pkce_gate::parts::sha256(&self.with_store(config));
        let is_so = |line: &str| line.contains("\"reloaded\"") && line.contains(&sha256);
        self.log_until(|log| log.lines().skip(without).any(is_so));
    }

    /// The answer of the admin listener for a target.
    pub(crate) fn admin(&mut self, target: &str) -> Response {
        let admin = self.address("admin");
        Request::get(&format!("http://{admin}{target}")).send()
    }

    /// The answer of `/config` on the admin listener.
    pub(crate) fn in_force(&mut self) -> serde_json::Value {
        self.admin("/config").json()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// The complete log lines so far, without the first `without` ones.
    pub(crate) fn log_lines(&self, without: usize) -> Vec<String> {
        let log = self.log.lock().expect("the log");
        log.lines().skip(without).map(str::to_owned).collect()
    }

    /// Waits until a log line satisfies `is_so`, and returns the whole log.
    #[track_caller]
    pub(crate) fn log_until(&self, is_so: impl Fn(&str) -> bool) -> String {
        for _ in 0..LOOKS {
            let log = self.log();
            if is_so(&log) {
                return log;
            }
            sleep(LOOK);
        }
        panic!("still not in the log: {}", self.log());
    }

    /// The peak of its resident memory, in bytes.
    pub(crate) fn most_memory(&self) -> usize {
        let file = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(file).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kib
            .and_then(|kib| kib.parse::<usize>().ok())
            .expect("a number")
    }

    /// Limits the number of open files from now on.
    pub(crate) fn limit_descriptors(&self, limit: usize) {
        let words = [
            "--nofile".to_owned() + &format!("={limit}:"),
            format!("--pid={}", self.process.id()),
        ];
        let set = Command::new("prlimit").args(words).status();
        assert!(set.expect("prlimit is there").success());
    }

    /// Waits until `/readyz` names no store that is out of reach.
    pub(crate) fn wait_for_store(&mut self) {
        let readyz = format!("http://{}/readyz", self.address("admin"));
        for _ in 0..LOOKS {
            if Request::get(&readyz).send().text() == "ready\n" {
                return;
            }
            sleep(LOOK);
        }
        panic!("the store does not answer: {}", self.log());
    }

    /// The value of a metric, given by name and labels; 0 if it is absent.
    pub(crate) fn metric(&mut self, name: &str) -> usize {
        let admin = self.address("admin");
        let metrics = Request::get(&format!("http://{admin}/metrics")).send();
        let text = metrics.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Sends `TERM`, `INT`, `KILL` and so on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.program().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill is there").success(), "{name} is sent");
    }

    /// The process ID of the program itself, which may be a descendant of the process that was started.
    pub(crate) fn program(&self) -> u32 {
        let mut pid = self.process.id();
        loop {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let child = children
                .ok()
                .and_then(|list| list.split(' ').next()?.parse().ok());
            match child {
                Some(child) => pid = child,
                None => return pid,
            }
        }
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("the process can be asked")
    }

    /// Waits until it exits by itself.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        for _ in 0..2 * LOOKS {
            if let Some(status) = self.has_ended() {
                return status;
            }
            sleep(LOOK);
        }
        panic!("the gate does not end: {}", self.stop());
    }

    /// Stops the gate, and returns the whole log.
    pub(crate) fn stop(&mut self) -> String {
        self.process.kill().ok(); // it may have exited already
        self.process.wait().expect("a killed process ends");
        for reader in self.readers.drain(..) {
            reader.join().expect("the log is read to its end");
        }
        fs::remove_dir_all(&self.directory).ok();
        self.log.lock().expect("the log").clone()
    }

    /// Waits until the gate says that it is ready.
    pub(crate) fn wait(&mut self) {
        let admin = if self.admin.ends_with(":0") {
            self.address("admin").to_string()
        } else {
            self.admin.clone()
        };
        let readyz = format!("http://{admin}/readyz");
        for _ in 0..LOOKS {
            self.must_run();
            if Request::get(&readyz)
                .try_send()
                .is_some_and(|answer| answer.status == 200)
            {
                return;
            }
            sleep(LOOK);
        }
        panic!("the gate did not get ready: {}", self.stop());
    }

    fn must_run(&mut self) {
        if let Some(status) = self.has_ended() {
            panic!("the gate ended with {status}: {}", self.stop());
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The binary under test.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pkce-gate"))
}

/// Runs a command until it exits.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let output = command().args(arguments).stdin(Stdio::null()).output();
    output.expect("the binary under test starts")
}

/// A new directory, which the caller removes.
pub(crate) fn scratch() -> PathBuf {
    let directory = env::temp_dir().join(format!("pkce-gate-{}", unguessable()));
    fs::create_dir(&directory).expect("a directory for a test");
    directory
}

/// A file of this content in that directory.
pub(crate) fn file(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).expect("the file is written");
    path
}

/// In JSON and in text, the address follows the word `address`.
fn listening(log: &str, what: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter(|line| line.contains("listening"));
    let line = lines
        .into_iter()
        .find(|line| line.contains(&format!("\"{what}\"")))?;
    let (_, rest) = line.split_once("address")?;
    let rest = rest.trim_start_matches(['"', ':', '=']);
    let end = rest
        .find(|c: char| c == '"' || c.is_whitespace())
        .unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn keep(output: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            *log.lock().expect("the log") += &(line + "\n");
        }
    })
}

fn admin_of(config: &str) -> String {
    let config: toml::Table = config.parse().expect("the test's configuration is TOML");
    config["admin"]["listen"]
        .as_str()
        .expect("admin.listen")
        .to_owned()
}
