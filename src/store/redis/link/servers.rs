//! Real servers for tests: one, one with replicas and sentinels, or a cluster. They are killed when the test ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Time for servers to start, to find each other and to fail over; on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(40);

/// One server process, on a port of 127.0.0.1.
#[derive(Debug)]
pub(in crate::store) struct Server {
    process: Child,
    pub(super) port: u16,
    folder: PathBuf,
    environment: Vec<String>,
    options: Vec<String>,
}

/// A port that is free now. A cluster's bus uses the port plus 10000.
pub(super) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if let Some(bus) = port.checked_add(10_000)
            && TcpListener::bind(("127.0.0.1", bus)).is_ok()
        {
            return port;
        }
        // Above 55535: the range of a system's ephemeral ports is larger than that.
        let low = 10_000 + (port % 20_000);
        if TcpListener::bind(("127.0.0.1", low)).is_ok()
            && TcpListener::bind(("127.0.0.1", low + 10_000)).is_ok()
        {
            return low;
        }
    }
}

/// Waits until `is_so`; fails after [`PATIENCE`].
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let step = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if is_so() {
            return;
        }
        sleep(step);
    }
    panic!("not within {PATIENCE:?}: {what}");
}

impl Server {
    /// Starts `redis-server` with further options, and waits until it answers.
    pub(in crate::store) fn start(options: &[&str]) -> Self {
        Self::start_under(&[], options)
    }

    /// The same with these environment variables, `NAME=value`.
    pub(in crate::store) fn start_under(environment: &[String], options: &[&str]) -> Self {
        let mut all = vec!["--save", "", "--appendonly", "no"];
        all.extend(["--repl-diskless-sync-delay", "0"]);
        all.extend(options);
        Self::start_with(environment, &all, String::new)
    }

    fn start_with(environment: &[String], options: &[&str], config: impl Fn() -> String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        // Another process may take the port first; the server then ends at once.
        for _ in 0..5 {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let folder = format!("pkce-gate-redis-{}-{count}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let port = free_port();
            let at = folder.display();
            let text = format!("port {port}\nbind 127.0.0.1\ndir {at}\n{}", config());
            fs::write(folder.join("redis.conf"), text).unwrap();
            let mut server = Self {
                process: spawn(environment, &folder, &options),
                port,
                folder,
                environment: environment.to_vec(),
                options: options.clone(),
            };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server ends at once with {options:?}");
    }

    /// Waits until this process answers at its port. False if it ends.
    fn answers(&mut self) -> bool {
        let own = format!("process_id:{}\r", self.process.id());
        let mut runs = true;
        until("redis-server answers", || {
            runs = self.process.try_wait().unwrap().is_none();
            let answer = self.ask(&["INFO", "server"]);
            !runs || answer.contains(&own) || answer.starts_with("-NOAUTH")
        });
        runs
    }

    pub(in crate::store) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends a command on a connection of its own; returns the raw answer, or nothing.
    pub(in crate::store) fn ask(&self, words: &[&str]) -> String {
        ask(self.port, words).unwrap_or_default()
    }

    /// Requires this password from now on.
    pub(super) fn protect(&self, password: &str) {
        let password = format!(">{password}");
        let answer = self.ask(&["ACL", "SETUSER", "default", "resetpass", &password]);
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    /// Sends a signal by its name: `STOP`, `CONT` ..
    pub(in crate::store) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success(), "kill -s {name}");
    }

    pub(in crate::store) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a server that was killed, at the same port and without its data.
    pub(in crate::store) fn restart(&mut self) {
        self.process = spawn(&self.environment, &self.folder, &self.options);
        assert!(self.answers(), "redis-server cannot be restarted");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn spawn(environment: &[String], folder: &std::path::Path, options: &[String]) -> Child {
    Command::new("env")
        .args(environment)
        .arg("redis-server")
        .arg(folder.join("redis.conf"))
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server cannot be started; tests/run installs it")
}

fn ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let strings = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let text = format!("*{}\r\n{}", words.len(), strings.collect::<String>());
    socket.write_all(text.as_bytes())?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    // A character for each byte: values are binary.
    Ok(answer.into_iter().map(char::from).collect())
}

/// A master, two replicas and three sentinels, which call a server dead after two seconds: on a busy machine a shorter time
/// makes them replace a master that is well.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) servers: Vec<Server>,
    pub(super) sentinels: Vec<Server>,
}

impl Watched {
    pub(super) fn start() -> Self {
        let master = Server::start(&[]);
        let of = format!("127.0.0.1 {}", master.port);
        let replicas = [
            Server::start(&["--replicaof", &of]),
            Server::start(&["--replicaof", &of]),
        ];
        let sentinels: Vec<_> = (0..3)
            .map(|_| {
                Server::start_with(&[], &["--sentinel"], || {
                    format!(
                        "sentinel monitor main {of} 2\nsentinel down-after-milliseconds main 2000\n\
                         sentinel failover-timeout main 5000\nsentinel parallel-syncs main 2\n"
                    )
                })
            })
            .collect();
        until("the replicas follow the master", || {
            master
                .ask(&["INFO", "replication"])
                .matches("state=online")
                .count()
                == 2
        });
        until("the sentinels know each other and the replicas", || {
            sentinels.iter().all(|sentinel| {
                let known = sentinel.ask(&["SENTINEL", "MASTER", "main"]);
                let is = |name: &str, value: &str| {
                    let mut words = known.split("\r\n");
                    words.any(|word| word == name) && words.nth(1) == Some(value)
                };
                is("num-slaves", "2") && is("num-other-sentinels", "2") && is("flags", "master")
            })
        });
        let mut servers = vec![master];
        servers.extend(replicas);
        Self { servers, sentinels }
    }

    pub(super) fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(Server::address).collect();
        format!("redis+sentinel://{}/main", sentinels.join(","))
    }
}

/// Three masters with a replica each.
#[derive(Debug)]
pub(super) struct Nodes(pub(super) Vec<Server>);

impl Nodes {
    pub(super) fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let nodes: Vec<_> = (0..6).map(|_| Server::start(&options)).collect();
        let addresses: Vec<_> = nodes.iter().map(Server::address).collect();
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .expect("redis-cli cannot be started; tests/run installs it");
        assert!(made.status.success(), "{made:?}");
        until("the cluster is complete", || {
            let is_ok = |node: &Server| node.ask(&["CLUSTER", "INFO"]).contains("state:ok");
            let replicas = nodes.iter().map(|node| node.ask(&["INFO", "replication"]));
            nodes.iter().all(is_ok)
                && replicas
                    .filter(|info| info.contains("state=online"))
                    .count()
                    == 3
        });
        Self(nodes)
    }

    pub(super) fn url(&self) -> String {
        let addresses: Vec<_> = self.0.iter().map(Server::address).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }
}
