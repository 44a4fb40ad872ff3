//! The gate itself: the real binary as a child process.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use super::http::Request;
use super::params::unguessable;

pub(crate) struct Gate {
    process: Child,
    directory: PathBuf,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Runs with this configuration and waits until it says that it is ready.
    pub(crate) fn start(config: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pkce-gate-{}", unguessable()));
        fs::create_dir(&directory).expect("a directory for the configuration");
        let file = directory.join("config.toml");
        fs::write(&file, config).expect("the configuration is written");

        let mut command = Command::new(env!("CARGO_BIN_EXE_pkce-gate"));
        command
            .arg("run")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary under test starts");
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
        let mut gate = Self {
            process,
            directory,
            log,
            readers,
        };
        gate.wait(&admin_of(config));
        gate
    }

    /// Stops the gate and gives everything that it ever wrote.
    pub(crate) fn stop(&mut self) -> String {
        self.process.kill().ok(); // it may have ended by itself
        self.process.wait().expect("a killed process ends");
        for reader in self.readers.drain(..) {
            reader.join().expect("the log is read to its end");
        }
        fs::remove_dir_all(&self.directory).ok();
        self.log.lock().expect("the log").clone()
    }

    fn wait(&mut self, admin: &str) {
        let readyz = format!("http://{admin}/readyz");
        for _ in 0..500 {
            if let Some(status) = self.process.try_wait().expect("the process can be asked") {
                panic!("the gate ended with {status}: {}", self.stop());
            }
            if Request::get(&readyz)
                .try_send()
                .is_some_and(|answer| answer.status == 200)
            {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("the gate did not get ready: {}", self.stop());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop();
    }
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
