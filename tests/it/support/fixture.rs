//! Programs under `tests/` and how they are started.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) const HINT: &str = "run tests/run, which installs what the tests need";

/// Debian's.
const DOORKEEPER: &str = "/usr/share/ruby-doorkeeper";

/// The programs that drive Chromium.
const BROWSER: [&str; 2] = ["browser/scenarios.mjs", "clients/oidc-client-ts.mjs"];

/// A program in JavaScript, Python, Ruby or Go, by the path of its source below `tests/`.
pub(crate) fn program(path: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let source = tests.join(path);
    let venv = tests.join("servers/.venv");
    let language = source.extension().and_then(OsStr::to_str);
    let (program, installed) = match language {
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

/// What checks metrics as Prometheus would.
pub(crate) fn promtool() -> Command {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    let promtool = servers.join(".promtool/promtool");
    assert!(promtool.exists(), "{HINT}");
    Command::new(promtool)
}

/// What `tests/run` has compiled of it.
fn built(source: &Path) -> PathBuf {
    source
        .with_extension("")
        .file_name()
        .map(|name| source.with_file_name(".built").join(name))
        .expect("a program has a name")
}

/// Starts a server and waits for its `ready`. It ends when its standard input does, which is when this process ends.
pub(crate) fn serve(mut command: Command) -> Child {
    /// Much longer than any server takes, on a machine that does much else.
    const PATIENCE: Duration = Duration::from_mins(2);
    // Node 20 is known to hang now and then before it runs a line of a program; it would be waited for for ever.
    for _ in 0..3 {
        let mut child = command
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; {HINT}"));
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            // Whoever has given up does not hear it.
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

/// A free port of loopback that no other test gets. It is below those that the kernel gives to connections and to listeners
/// that ask for any port: between the look here and the listener that it is for, one of them would take it.
pub(crate) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 12_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another run of the tests on this machine begins elsewhere.
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
