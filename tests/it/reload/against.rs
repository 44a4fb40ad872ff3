//! `check --against`: compares a file with a running gate before it replaces the current one.

use std::net::{SocketAddr, TcpListener};

use crate::support::gate::run;
use crate::support::rig::{Config, Rig};
use crate::support::scripted::{Act, Scripted, Then, reply};

/// The exit code and the output.
fn check(file: &std::path::Path, admin: SocketAddr) -> (Option<i32>, String) {
    let file = file.to_str().expect("paths are UTF-8");
    let admin = admin.to_string();
    let output = run(&["check", "--config", file, "--against", &admin]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("the output is UTF-8");
    (output.status.code(), said)
}

#[test]
fn against_compares_a_file_with_the_configuration_in_force() {
    let mut rig = Rig::with(Config {
        server: "workers = 1",
        ..Config::default()
    });
    let admin = rig.gate.address("admin");
    let file = rig.gate.config_file();
    let (code, said) = check(&file, admin);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("{admin}: this file has been in force since ")),
        "{said}"
    );
    assert!(!said.contains("needs a restart"), "{said}");

    let other = file.with_file_name("other.toml");
    let text = Config {
        server: "workers = 2",
        ..Config::default()
    }
    .render(&rig.upstream);
    std::fs::write(&other, rig.gate.with_store(&text)).expect("written");
    let (code, said) = check(&other, admin);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("another file has been in force since "),
        "{said}"
    );
    assert!(
        said.contains("server.workers needs a restart: 1 in the gate, 2 in the file"),
        "{said}"
    );
    // After the reload, it reports the same remaining keys.
    rig.gate.reload(&text);
    let (_, said) = check(&other, admin);
    assert!(
        said.contains("this file has been in force since "),
        "{said}"
    );
    assert!(said.contains("server.workers needs a restart"), "{said}");
}

#[test]
fn against_distinguishes_another_server_from_no_answer() {
    let rig = Rig::new();
    let file = rig.gate.config_file();
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let closed = free.local_addr().expect("it is bound");
    drop(free);
    let (code, said) = check(&file, closed);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("cannot query {closed}: Connection refused")),
        "{said}"
    );

    let other = Scripted::start();
    let of_another_version = r#"{"sha256":"00","since":"today","fixed":{}}"#;
    for answer in [
        reply("404 Not Found", &[], b"/livez /readyz /metrics\n"),
        reply("200 OK", &[], b"hello\n"),
        reply("200 OK", &[], b"{}"),
        reply("200 OK", &[], of_another_version.as_bytes()),
    ] {
        other.once("/config", Act::Say(answer, Then::Close));
        let (code, said) = check(&file, other.address());
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("another program, or another version of pkce-gate"),
            "{said}"
        );
    }
    other.once(
        "/config",
        Act::Say(b"220 mail.test\r\n".to_vec(), Then::Close),
    );
    let (code, said) = check(&file, other.address());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not an HTTP server"), "{said}");
}
