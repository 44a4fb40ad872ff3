//! TLS in front of a gate: a real proxy with its file of `deploy/proxies`, in which only addresses and certificates are
//! replaced.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fixture::{HINT, program};
use super::gate::{file, scratch};

/// Attempts before a test fails: at least half a minute.
const LOOKS: usize = 1500;
/// The name under which clients reach the proxy; the public URL is `https://localhost:PORT`.
const NAME: &str = "localhost";
/// The setting of the gate that `docs/src/proxies.md` prescribes.
pub(crate) const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1/32\"]";

/// The public URL.
pub(crate) fn url(port: u16) -> String {
    format!("https://{NAME}:{port}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Caddy,
    Envoy,
}

impl Proxy {
    /// Its file in `deploy/proxies`.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
            Self::Caddy => "Caddyfile",
            Self::Envoy => "envoy.yaml",
        }
    }

    /// The addresses on which that file listens, and their replacements.
    fn listens(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Nginx => [
                ("listen 443 ", "listen 127.0.0.1:<PORT> "),
                ("listen [::]:443 ", "listen [::1]:<PORT> "),
            ],
            Self::Haproxy => [
                ("bind :443 ", "bind 127.0.0.1:<PORT> "),
                ("bind [::]:443 ", "bind [::1]:<PORT> "),
            ],
            Self::Caddy => [
                ("admin off\n", "admin off\n\tdefault_bind 127.0.0.1 ::1\n"),
                (":443 {", ":<PORT> {"),
            ],
            Self::Envoy => [
                (
                    "{address: 0.0.0.0, port_value: 443}",
                    "{address: 127.0.0.1, port_value: <PORT>}",
                ),
                (
                    "{address: \"::\", port_value: 443}",
                    "{address: \"::1\", port_value: <PORT>}",
                ),
            ],
        }
    }

    fn gate(self) -> (&'static str, &'static str) {
        match self {
            Self::Envoy => (
                "{address: 127.0.0.1, port_value: 8080}",
                "{address: 127.0.0.1, port_value: <GATE>}",
            ),
            Self::Nginx | Self::Haproxy | Self::Caddy => ("127.0.0.1:8080", "127.0.0.1:<GATE>"),
        }
    }

    fn certificates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Haproxy => &[("/etc/haproxy/login.example.com.pem", "<DIRECTORY>/both.pem")],
            Self::Nginx | Self::Caddy | Self::Envoy => &[
                (
                    "/etc/ssl/login.example.com/fullchain.pem",
                    "<DIRECTORY>/certificate.pem",
                ),
                (
                    "/etc/ssl/login.example.com/privkey.pem",
                    "<DIRECTORY>/key.pem",
                ),
            ],
        }
    }

    /// The command that runs this file.
    fn command(self, directory: &Path, file: &Path) -> Vec<PathBuf> {
        let venv = |name: &str| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/servers/.venv/bin")
                .join(name)
        };
        let words = |program: PathBuf, arguments: &[&str]| -> Vec<PathBuf> {
            let arguments = arguments.iter().map(PathBuf::from);
            [program].into_iter().chain(arguments).collect()
        };
        let mut command = match self {
            Self::Nginx => {
                return words("/usr/sbin/nginx".into(), &["-c", &nginx(directory, file)]);
            }
            Self::Haproxy => words("/usr/sbin/haproxy".into(), &["-db", "-f"]),
            Self::Caddy => words(
                venv("caddy"),
                &["run", "--adapter", "caddyfile", "--config"],
            ),
            Self::Envoy => words(
                venv("envoy"),
                &[
                    "--use-dynamic-base-id",
                    "--concurrency",
                    "1",
                    "--log-level",
                    "warning",
                    "-c",
                ],
            ),
        };
        command.push(file.to_owned());
        command
    }
}

/// The configuration that includes a file of `conf.d`, without settings for requests.
fn nginx(directory: &Path, included: &Path) -> String {
    let at = directory.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let bodies = kinds.map(|kind| format!("{kind}_temp_path {at}/{kind};\n"));
    let bodies = bodies.concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{bodies}include {};\n}}\n",
        included.display()
    );
    file(directory, "around.conf", &text).display().to_string()
}

pub(crate) struct Front {
    process: Child,
    directory: PathBuf,
    port: u16,
    /// The hash of its public key, as Chromium expects it for a trusted certificate.
    pin: String,
}

impl Front {
    /// Serves `https://localhost:PORT` in front of the gate at that port.
    pub(crate) fn start(proxy: Proxy, port: u16, gate: u16) -> Self {
        let directory = scratch();
        let pin = certificate(&directory);
        let filled = file(
            &directory,
            proxy.file(),
            &fill(proxy, &directory, port, gate),
        );
        let log = fs::File::create(directory.join("log")).expect("a file for its log");
        // Started by a shell that reads our pipe: however this process ends, the pipe closes, and the shell stops the proxy.
        let process = Command::new("sh")
            .args(["-c", "\"$@\" & cat >/dev/null; kill $!; wait", "sh"])
            .args(proxy.command(&directory, &filled))
            .envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, &directory)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .expect("a shell is there");
        let front = Self {
            process,
            directory,
            port,
            pin,
        };
        front.wait();
        front
    }

    fn wait(&self) {
        for _ in 0..LOOKS {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("the proxy does not listen; {HINT}");
    }

    pub(crate) fn authority(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    /// The environment variable with the trusted certificate, for programs in JavaScript.
    pub(crate) fn trust(&self) -> (&'static str, PathBuf) {
        (
            "NODE_EXTRA_CA_CERTS",
            self.directory.join("certificate.pem"),
        )
    }

    /// The hash of the trusted key, for Chromium.
    pub(crate) fn pin(&self) -> &str {
        &self.pin
    }

    /// Runs the client with these options, and returns its answers.
    #[track_caller]
    pub(crate) fn client(&self, options: &[(&str, String)]) -> Vec<Value> {
        let (name, file) = self.trust();
        let output = program("clients/tls.mjs")
            .args(["--port", &self.port.to_string()])
            .args(options.iter().flat_map(|(name, value)| [*name, value]))
            .env(name, file)
            .stdin(Stdio::null())
            .output()
            .expect("Node.js is there");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The answer to one request; see `tests/clients/tls.mjs`.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Value) -> Value {
        let requests = Value::from(vec![request.clone()]).to_string();
        self.client(&[("--requests", requests)]).remove(0)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok(); // whatever its exit status
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            println!("the proxy's log:\n{log}");
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Writes a certificate for [`NAME`] and its key in the form that each proxy needs.
fn certificate(directory: &Path) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let secret = key.serialize_pem();
    file(directory, "both.pem", &format!("{certificate}{secret}"));
    file(directory, "certificate.pem", &certificate);
    file(directory, "key.pem", &secret);
    STANDARD.encode(Sha256::digest(key.subject_public_key_info()))
}

/// The file with addresses and certificates replaced. Panics if the file does not contain them.
fn fill(proxy: Proxy, directory: &Path, port: u16, gate: u16) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/proxies")
        .join(proxy.file());
    let mut text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let listens = proxy.listens();
    let all = proxy.certificates().iter().chain(&listens);
    for (from, to) in all.copied().chain([proxy.gate()]) {
        assert!(text.contains(from), "{path:?} has {from:?}");
        text = text.replace(from, to);
    }
    let directory = directory.to_str().expect("paths are UTF-8");
    text.replace("login.example.com", NAME)
        .replace("<DIRECTORY>", directory)
        .replace("<PORT>", &port.to_string())
        .replace("<GATE>", &gate.to_string())
}
