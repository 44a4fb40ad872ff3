//! Programs under `tests/` and how they are started.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

const HINT: &str = "run tests/run, which installs what the tests need";

/// The programs that drive Chromium.
const BROWSER: [&str; 2] = ["browser/scenarios.mjs", "clients/oidc-client-ts.mjs"];

/// A Node or Python program, by its path below `tests/`.
pub(crate) fn program(path: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "py");
    let (interpreter, installed) = if python {
        let venv = tests.join("servers/.venv");
        (venv.join("bin/python"), venv.join(".installed"))
    } else {
        (
            PathBuf::from("node"),
            tests.join("servers/node_modules/.installed"),
        )
    };
    assert!(installed.exists(), "{HINT}");
    assert!(
        !BROWSER.contains(&path) || Path::new("/usr/bin/chromium").exists(),
        "{HINT}"
    );
    let mut command = Command::new(interpreter);
    command
        .arg(tests.join(path))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Starts a server and waits for its `ready`. It ends when its standard input does, which is when this process ends.
pub(crate) fn serve(mut command: Command) -> Child {
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {HINT}"));
    let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut lines = output.lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line == "ready"),
        "{command:?} did not get ready"
    );
    std::thread::spawn(move || lines.for_each(drop)); // a full pipe would block it
    child
}

/// A port of loopback that nobody listens on, and that no other test of this process is given.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        if GIVEN.lock().expect("the list of ports").insert(port) {
            return port;
        }
    }
}
