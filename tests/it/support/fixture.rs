//! Starts the programs under `tests/`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) const HINT: &str = "run tests/run, which installs what the tests need";

/// From Debian's package.
const DOORKEEPER: &str = "/usr/share/ruby-doorkeeper";

/// The programs that drive Chromium.
const BROWSER: [&str; 5] = [
    "browser/review.mjs",
    "browser/scenarios.mjs",
    "browser/home_assistant.mjs",
    "clients/oidc-client-ts.mjs",
    "clients/snippets/oidc-client-ts.mjs",
];

/// A program in JavaScript, Python, Ruby or Go, by the path of its source below `tests/`.
pub(crate) fn program(path: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let source = tests.join(path);
    // Its pinned packages do not go with those of the others.
    let venv = match path {
        "servers/home_assistant.py" => tests.join("servers/.home-assistant"),
        _ => tests.join("servers/.venv"),
    };
    let language = source.extension().and_then(OsStr::to_str);
    let (program, installed) = match language {
        Some("py") if path.starts_with("mcp/") => {
            let venv = tests.join("mcp/.venv");
            (venv.join("bin/python"), venv.join(".installed"))
        }
        _ if path.starts_with("mcp/") => {
            let packages = tests.join("mcp/node_modules");
            (node_22(&packages), packages.join(".installed"))
        }
        Some("py") => (venv.join("bin/python"), venv.join(".installed")),
        Some("rb") => (PathBuf::from("ruby"), PathBuf::from(DOORKEEPER)),
        Some("go") => (built(&source), built(&source)),
        _ => (
            PathBuf::from("node"),
            tests.join("servers/node_modules/.installed"),
        ),
    };
    assert!(installed.exists(), "{HINT}");
    assert!(
        !BROWSER.contains(&path) || Path::new("/usr/bin/chromium").exists(),
        "{HINT}"
    );
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if language != Some("go") {
        command.arg(source);
    }
    command
}

/// MCP's programs need Node.js 22, which comes as a package.
fn node_22(packages: &Path) -> PathBuf {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    packages.join(format!("node-linux-{architecture}/bin/node"))
}

/// Prometheus's own checker of metrics.
pub(crate) fn promtool() -> Command {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    let promtool = servers.join(".promtool/promtool");
    assert!(promtool.exists(), "{HINT}");
    Command::new(promtool)
}

/// A file of an npm package.
pub(crate) fn packaged(path: &str) -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/node_modules");
    assert!(packages.join(".installed").exists(), "{HINT}");
    packages.join(path)
}

/// The program that `tests/run` has compiled from this source.
fn built(source: &Path) -> PathBuf {
    source
        .with_extension("")
        .file_name()
        .map(|name| source.with_file_name(".built").join(name))
        .expect("a program has a name")
}

/// Starts a server and waits for its `ready`. It stops when its standard input closes, which is when this process ends.
pub(crate) fn serve(mut command: Command) -> Child {
    /// Much longer than any server takes to start on a busy machine.
    const PATIENCE: Duration = Duration::from_mins(2);
    // Node 20 sometimes hangs before it runs a line of the program, so the start is repeated.
    for _ in 0..3 {
        let mut child = command
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; {HINT}"));
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            // The receiver is gone if the wait has timed out.
            let _ = tell.send(lines.any(|line| line == "ready"));
            lines.for_each(drop); // a full pipe would block it
        });
        match told.recv_timeout(PATIENCE) {
            Ok(is_ready) => {
                assert!(is_ready, "{command:?} did not get ready");
                return child;
            }
            Err(_) => drop(child.kill()),
        }
    }
    panic!("{command:?} said nothing in {PATIENCE:?}, three times")
}

/// A free loopback port that no other test gets. It is below the kernel's ephemeral range: otherwise another connection or
/// listener could take it before its server listens.
pub(crate) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 12_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // A parallel run of the tests on this machine begins at another port.
    let start = std::process::id().wrapping_mul(977);
    loop {
        let next = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = RANGE.start + next % (RANGE.end - RANGE.start);
        let port = u16::try_from(port).expect("ports are small");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
