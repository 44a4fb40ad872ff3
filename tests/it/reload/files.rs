//! The configuration file: an invalid one is logged and changes nothing, and the next valid one is applied.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::{event, events};
use crate::support::params::unguessable;
use crate::support::redis::{Options, Redis};
use crate::support::rig::{Config, Rig, target};
use crate::support::store::seal_key;

/// Longer than the interval at which the gate checks the file.
const LOOKS: Duration = Duration::from_secs(5);

/// A valid configuration that differs from the others in this number.
fn good(rig: &Rig, number: usize) -> String {
    Config {
        limits: &format!("uri_bytes = \"{}B\"", 4096 + number),
        ..Config::default()
    }
    .render(&rig.upstream)
}

fn wrong(rig: &Rig) -> String {
    good(rig, 1).replace("4097B", "many")
}

#[test]
fn an_invalid_file_changes_nothing_and_is_logged_once() {
    let mut rig = Rig::new();
    let before = rig.gate.in_force();
    assert_eq!(before["last_failure"], Value::Null, "{before}");
    let wrong = wrong(&rig);
    let line = wrong.lines().position(|line| line.contains("many"));
    let place = format!("config.toml:{}:13: ", line.expect("it is there") + 1);
    rig.gate.configure(&wrong);
    let told = event(&rig.gate, "reload_failed", 1);
    let problem = told["problem"].as_str().expect("a problem").to_owned();
    assert!(problem.contains(&place), "{problem}");
    assert_eq!(told["level"], "ERROR", "{told}");
    sleep(LOOKS);
    event(&rig.gate, "reload_failed", 1);
    let failed = "pkce_gate_reload_total{result=\"failed\"}";
    assert_eq!(rig.gate.metric(failed), 1);
    let after = rig.gate.in_force();
    assert_eq!(after["sha256"], before["sha256"]);
    assert_eq!(after["last_failure"]["problem"], problem.as_str());
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(rig.redeem(&authorization, &code).status, 200);
    // After SIGHUP the problem is logged again.
    rig.gate.signal("HUP");
    event(&rig.gate, "reload_failed", 2);
    // Another content with the same mistake is logged as well.
    rig.gate.configure(&format!("{wrong}\n"));
    event(&rig.gate, "reload_failed", 3);

    let next = good(&rig, 2);
    rig.gate.reload(&next);
    let state = rig.gate.in_force();
    assert_eq!(
        state["sha256"],
        pkce_gate::parts::sha256(&rig.gate.with_store(&next)).as_str()
    );
    assert_eq!(state["last_failure"], Value::Null, "{state}");
    assert_eq!(state["needs_restart"], Value::Array(Vec::new()), "{state}");
    assert_eq!(rig.gate.metric(failed), 3);
    assert!(
        rig.gate
            .metric("pkce_gate_reload_total{result=\"applied\"}")
            > 0
    );
}

#[test]
fn a_file_that_is_restored_clears_the_failure() {
    let mut rig = Rig::new();
    let before = Config::default().render(&rig.upstream);
    rig.gate.configure(&wrong(&rig));
    event(&rig.gate, "reload_failed", 1);
    rig.gate.configure(&before);
    rig.gate.reloaded(&before, 0);
    let state = rig.gate.in_force();
    assert_eq!(state["last_failure"], Value::Null, "{state}");
}

/// Replaces the file by something else, and returns the problem that the gate logs.
fn told_of(rig: &Rig, put: impl FnOnce(&Path)) -> String {
    let file = rig.gate.config_file();
    if file.is_dir() {
        fs::remove_dir(&file).expect("an empty directory");
    } else {
        fs::remove_file(&file).ok(); // it may be missing
    }
    put(&file);
    let so_many = events(&rig.gate, "reload_failed").len();
    rig.gate.signal("HUP");
    rig.gate
        .log_until(|log| log.matches("\"reload_failed\"").count() > so_many);
    let told = events(&rig.gate, "reload_failed");
    let last = told.last().expect("an event");
    last["problem"].as_str().expect("a problem").to_owned()
}

#[test]
fn unreadable_and_malformed_files_change_nothing() {
    let rig = Rig::new();
    let text = good(&rig, 1);
    let half = text.split_at(text.len() / 2).0.to_owned() + "\"";
    let not_utf8 = [text.as_bytes(), b"# \xff"].concat();
    let missing = told_of(&rig, |_| {});
    assert!(missing.contains("No such file"), "{missing}");
    let told = told_of(&rig, |file| fs::write(file, &not_utf8).expect("written"));
    assert!(told.contains("this is not UTF-8"), "{told}");
    let told = told_of(&rig, |file| fs::write(file, half).expect("written"));
    assert!(told.contains("config.toml:"), "{told}");
    let told = told_of(&rig, |file| fs::write(file, "").expect("written"));
    assert!(told.contains("config.toml:1:1: "), "{told}");
    let told = told_of(&rig, |file| fs::create_dir(file).expect("made"));
    assert!(told.contains("not a regular file"), "{told}");
    let told = told_of(&rig, |file| {
        let made = Command::new("mkfifo").arg(file).status();
        assert!(made.expect("mkfifo is there").success());
    });
    assert!(told.contains("not a regular file"), "{told}");
    let told = told_of(&rig, |file| symlink(file, file).expect("a link"));
    assert!(told.contains("cannot read"), "{told}");
    let told = told_of(&rig, |file| {
        let large = fs::File::create(file).expect("a file");
        large.set_len(1 << 30).expect("a sparse one");
    });
    assert!(told.contains("larger than"), "{told}");
    assert!(
        rig.gate.most_memory() < 200 << 20,
        "{}",
        rig.gate.most_memory()
    );
    assert_eq!(rig.get("/page").status, 200);
    rig.gate.reload(&text);
}

#[test]
fn sigterm_stops_a_gate_whose_file_is_a_fifo() {
    let mut rig = Rig::new();
    told_of(&rig, |file| {
        let made = Command::new("mkfifo").arg(file).status();
        assert!(made.expect("mkfifo is there").success());
    });
    rig.gate.signal("TERM");
    assert_eq!(rig.gate.wait_for_end().code(), Some(0));
}

/// Like kubelet: the file is a symbolic link through `..data`, which links to a directory, and only `..data` is replaced.
#[test]
fn a_config_map_is_applied_when_its_links_are_replaced() {
    let mut rig = Rig::new();
    let file = rig.gate.config_file();
    let directory = file.parent().expect("it is in a directory").to_owned();
    let publish = |name: &str, text: &str| {
        let data = directory.join(name);
        fs::create_dir(&data).expect("a directory");
        fs::write(data.join("config.toml"), rig.gate.with_store(text)).expect("a file");
        symlink(name, directory.join("..data_tmp")).expect("a link");
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("renamed");
    };
    publish("..2026_1", &Config::default().render(&rig.upstream));
    symlink("..data/config.toml", directory.join("link")).expect("a link");
    fs::rename(directory.join("link"), &file).expect("renamed");
    for number in 2..4 {
        let text = good(&rig, number);
        publish(&format!("..2026_{number}"), &text);
        fs::remove_dir_all(directory.join(format!("..2026_{}", number - 1))).expect("removed");
        rig.gate.reloaded(&text, 0);
    }
    assert!(events(&rig.gate, "reload_failed").is_empty());
    let state = rig.gate.in_force();
    assert_eq!(state["last_failure"], Value::Null, "{state}");
}

/// The file is written in place in two steps. Its first half is a valid configuration without the last clients.
#[test]
fn a_file_that_is_written_in_two_steps_is_finally_applied_as_a_whole() {
    let rig = Rig::new();
    let clients =
        (0..2000).map(|number| format!("[[upstream.client]]\nid = \"client-{number}\"\n"));
    let clients = clients.collect::<Vec<_>>().concat();
    let text = Config {
        tables: &clients,
        ..Config::default()
    }
    .render(&rig.upstream);
    let text = rig.gate.with_store(&text);
    let file = rig.gate.config_file();
    let at =
        text.find("id = \"client-1000\"").expect("it is there") - "[[upstream.client]]\n".len();
    let (first, last) = text.split_at(at);
    // What the gate reads in between is read again.
    fs::write(&file, first).expect("written");
    sleep(Duration::from_millis(50));
    fs::write(&file, [first, last].concat()).expect("written");
    rig.gate.reloaded(&text, 0);
    assert_eq!(events(&rig.gate, "reload_failed").len(), 0);
}

#[test]
fn a_ca_file_may_appear_after_the_configuration_that_names_it() {
    let rig = Rig::new();
    let text = Config {
        upstream: "url = \"https://127.0.0.1:9\"\nca = \"ca.pem\"",
        ..Config::default()
    }
    .render(&rig.upstream);
    rig.gate.configure(&text);
    let told = event(&rig.gate, "reload_failed", 1);
    assert!(told.to_string().contains("No such file"), "{told}");
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let pem = certified.expect("a certificate").cert.pem();
    let ca = rig.gate.config_file().with_file_name("ca.pem");
    fs::write(ca, pem).expect("written");
    rig.gate.reloaded(&text, 0);
    assert_eq!(events(&rig.gate, "reload_failed").len(), 1);
}

#[test]
fn a_replaced_file_that_the_configuration_names_is_in_force_without_a_change_of_the_configuration()
{
    let redis = Redis::start(Options::default().user("gate", "first", "~* +@all"));
    let (key, url) = (seal_key(), format!("redis://gate:@{}", redis.address()));
    let store = format!(
        "kind = \"redis\"\nurl = \"{url}\"\npassword_file = \"password\"\ndeadline = \"2s\"\n\
         keys = [{{ id = \"a\", file = \"{}\" }}]",
        key.display()
    );
    let mut rig = Rig::new();
    let file = rig.gate.config_file().with_file_name("password");
    fs::write(&file, "first\n").expect("written");
    rig.gate.reload(
        &Config {
            store: &store,
            ..Config::default()
        }
        .render(&rig.upstream),
    );
    let authorization = rig.authorization();
    assert_eq!(
        rig.redeem(&authorization, &rig.code_for(&authorization))
            .status,
        200
    );

    let so_many = events(&rig.gate, "reloaded").len();
    fs::write(&file, "second\n").expect("written");
    event(&rig.gate, "reloaded", so_many + 1);
    let refused = rig.get(&target(&rig.authorization()));
    assert_eq!(refused.status, 503, "the password is wrong");
    fs::write(&file, "first\n").expect("written");
    event(&rig.gate, "reloaded", so_many + 2);
    rig.gate.wait_for_store();
    let authorization = rig.authorization();
    assert_eq!(
        rig.redeem(&authorization, &rig.code_for(&authorization))
            .status,
        200
    );
}

#[test]
fn the_report_of_an_invalid_file_contains_no_password() {
    let mut rig = Rig::new();
    let secret = unguessable();
    for url in [
        format!("url = \"http://gate:{secret}@127.0.0.1:1\""),
        format!("url = \"http://gate:{secret}@\""),
        format!("url = \"gate:{secret}@host\""),
        format!("url = http://gate:{secret}@host"),
        format!("public_url = \"https://gate:{secret}@host/path\""),
    ] {
        let text = Config {
            upstream: &url,
            ..Config::default()
        }
        .render(&rig.upstream);
        let told = told_of(&rig, |file| fs::write(file, text).expect("written"));
        assert!(!told.contains(&secret), "{url}: {told}");
        let state = rig.gate.in_force().to_string();
        assert!(!state.contains(&secret), "{url}: {state}");
    }
    assert!(!rig.gate.log().contains(&secret));
}
