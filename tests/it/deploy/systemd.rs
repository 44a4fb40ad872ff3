//! `deploy/systemd`: the unit permits what the program needs, and no more. No service manager runs: systemd's tools read the
//! unit, and the program runs in a sandbox that is built from it.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::fixture::HINT;
use crate::support::gate::{Gate, file, run, scratch};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::Scripted;
use crate::support::tree::{read, root};

const UNIT: &str = "deploy/systemd/pkce-gate.service";

/// The value of a directive that occurs once.
pub(super) fn directive(name: &str) -> String {
    let unit = read(UNIT);
    let start = format!("{name}=");
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(&start));
    let value = values.next().unwrap_or_else(|| panic!("{name} is there"));
    assert_eq!(values.next(), None, "{name} is there once");
    value.to_owned()
}

pub(super) fn systemd_analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "--man=no"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze: {error}; {HINT}"));
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("the output is UTF-8");
    (output.status.success(), told)
}

/// A copy of the unit with the program under test.
pub(super) fn with_unit<T>(use_it: impl FnOnce(&str) -> T) -> T {
    let directory = scratch();
    let unit = read(UNIT).replace("/usr/local/bin/pkce-gate", env!("CARGO_BIN_EXE_pkce-gate"));
    let path = file(&directory, "pkce-gate.service", &unit);
    let result = use_it(path.to_str().expect("paths are UTF-8"));
    fs::remove_dir_all(&directory).ok();
    result
}

#[test]
fn systemd_accepts_every_line_of_the_unit() {
    let (is_good, told) =
        with_unit(|unit| systemd_analyze(&["--recursive-errors=no", "verify", unit]));
    // Unknown directives only cause a warning.
    assert!(is_good && !told.contains("pkce-gate.service:"), "{told}");
}

#[test]
fn the_exposure_score_of_the_unit_is_that_in_the_manual() {
    let (_, told) = with_unit(|unit| systemd_analyze(&["--offline=yes", "security", unit]));
    let (_, exposure) = told
        .split_once("Overall exposure level for pkce-gate.service: ")
        .expect(&told);
    let exposure: f32 = exposure
        .split(' ')
        .next()
        .and_then(|level| level.parse().ok())
        .expect("a number");
    assert!(exposure <= 0.9, "{told}");
    let page = read("docs/src/systemd.md").replace('\n', " ");
    assert!(page.contains("The unit scores 0.9 in `systemd-analyze security` (systemd 252)"));
}

/// The restrictions of the unit that `bwrap` supports: a read-only file system without home directories, devices and other
/// processes, an unprivileged user, no capabilities, no new privileges, the system call filters, and a folder for its state. `$3` is the configuration,
/// which may have a key file beside it.
fn sandbox(filter: &str, state: &str) -> String {
    let files = directive("LimitNOFILE");
    let folder = directive("StateDirectory");
    format!(
        "ulimit -n {files}; exec bwrap --die-with-parent --new-session --unshare-user --uid 64999 --gid 64999 --unshare-ipc \
         --unshare-uts --unshare-pid --as-pid-1 --cap-drop ALL --ro-bind / / --tmpfs /home --tmpfs /root --tmpfs /tmp \
         --tmpfs /var/tmp --tmpfs /var/lib --bind {state} /var/lib/{folder} --remount-ro /var/lib --dev /dev --proc /proc --ro-bind \"$0\" /tmp/pkce-gate --ro-bind \"$3\" /tmp/config.toml \
         --ro-bind-try \"${{3%/*}}/seal\" /tmp/seal \
         --remount-ro /tmp --seccomp 9 /tmp/pkce-gate run --config /tmp/config.toml 9<{filter}"
    )
}

#[test]
fn the_program_works_within_the_restrictions_of_the_unit() {
    let directory = scratch();
    let filter = Command::new("/usr/bin/python3")
        .args(["-B", "tests/sandbox/filter.py", UNIT])
        .current_dir(root())
        .output()
        .expect("Python is there");
    assert!(filter.status.success(), "{filter:?}; {HINT}");
    let program = directory.join("filter");
    fs::write(&program, &filter.stdout).expect("the filter is written");

    let upstream = Scripted::start();
    // With a host name, so that the gate resolves it.
    let url = format!("url = \"http://localhost:{}\"", upstream.address().port());
    let config = Config {
        upstream: &url,
        tables: "[review]\nsnapshot = \"/var/lib/pkce-gate/review.json\"",
        ..Config::default()
    };
    let state = scratch();
    let (filter, kept) = (program.to_str(), state.to_str());
    let lines = sandbox(filter.expect("UTF-8"), kept.expect("UTF-8"));
    let rig = Rig::of(Gate::start_in(&lines, &config.render(&upstream)), upstream);
    fs::remove_dir_all(&directory).ok();

    let status =
        fs::read_to_string(format!("/proc/{}/status", rig.gate.program())).expect("it runs");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:\t"));
    let threads: usize = threads
        .and_then(|threads| threads.parse().ok())
        .expect("a number");
    assert!(threads < directive("TasksMax").parse().expect("a number"));

    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(rig.redeem(&authorization, &code).status, 200);
    assert!(
        !rig.gate.log().contains("few_descriptors"),
        "{}",
        rig.gate.log()
    );
    let mut rig = rig;
    rig.gate.signal("TERM");
    assert!(rig.gate.wait_for_end().success());
    let counts = fs::read_to_string(state.join("review.json"));
    fs::remove_dir_all(state).ok();
    let counts = counts.expect("it may write in its folder");
    assert!(counts.contains("\"pub\""), "{counts}");
}

/// Like systemd: runs one command after the other, until one fails.
fn reload(gate: &Gate) -> bool {
    let unit = read(UNIT);
    let lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ExecReload="));
    let config = gate.config_file();
    let mut lines = lines.map(|line| {
        line.replace("/usr/local/bin/pkce-gate", env!("CARGO_BIN_EXE_pkce-gate"))
            .replace(
                "/etc/pkce-gate/config.toml",
                config.to_str().expect("UTF-8"),
            )
    });
    lines.all(|line| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            .env("MAINPID", gate.program().to_string());
        let ended = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.expect("a shell is there").success()
    })
}

#[test]
fn a_reload_applies_a_valid_file_and_fails_for_an_invalid_one() {
    let rig = Rig::new();
    let text = Config {
        limits: "uri_bytes = \"4KiB\"",
        ..Config::default()
    }
    .render(&rig.upstream);
    rig.gate.configure("[[upstream]]\n");
    assert!(!reload(&rig.gate));
    rig.gate.configure(&text);
    assert!(reload(&rig.gate));
    rig.gate.reloaded(&text, 0);
    assert_eq!(rig.get("/page").status, 200);
}

/// A permanent error stops the service; a temporary one is retried.
#[test]
fn permanent_errors_stop_the_service_without_a_restart() {
    let codes = directive("RestartPreventExitStatus");
    let prevented: Vec<i32> = codes
        .split(' ')
        .map(|code| code.parse().expect("a number"))
        .collect();
    assert_eq!(directive("Restart"), "on-failure");
    assert_eq!(
        directive("StartLimitIntervalSec"),
        "0",
        "a temporary failure is retried"
    );

    let directory = scratch();
    let upstream = "[[upstream]]\nurl = \"http://127.0.0.1:9\"\npublic_url = \"http://gate.test\"\n\
                    [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n";
    let wrong = file(&directory, "wrong.toml", "[[upstream]]\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound");
    let server = format!(
        "[server]\nlisten = [\"{address}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n{upstream}"
    );
    let busy = file(&directory, "busy.toml", &server);
    let code = |arguments: &[&str]| run(arguments).status.code().expect("it ends by itself");
    let with = |path: &std::path::Path| code(&["run", "--config", path.to_str().expect("UTF-8")]);

    let mistakes = [
        code(&["run", "--no-such-option"]),
        with(&wrong),
        with(&directory.join("absent.toml")),
    ];
    let fault = with(&busy);
    fs::remove_dir_all(&directory).ok();
    for mistake in mistakes {
        assert!(prevented.contains(&mistake), "{mistake}: {prevented:?}");
    }
    for code in &prevented {
        assert!(mistakes.contains(code), "{code}: {mistakes:?}");
    }
    assert!(fault != 0 && !prevented.contains(&fault), "{fault}");
}
