//! https:// upstreams with a private CA.

use std::fs;
use std::path::PathBuf;

use crate::support::authority::Authority;
use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::{Act, Scripted, Then, reply};

fn rig(upstream: Scripted, ca: &PathBuf) -> Rig {
    let keys = format!("url = \"https://{}\"\nca = {ca:?}", upstream.address());
    Rig::between(
        Config {
            upstream: &keys,
            ..Config::default()
        },
        upstream,
    )
}

#[test]
fn an_upstream_with_a_certificate_of_the_configured_authority_is_served() {
    let authority = Authority::new();
    let rig = rig(authority.upstream("127.0.0.1"), &authority.pem());
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));

    let own = format!("https://{}/x", rig.upstream.address());
    let answer = reply("302 Found", &[("Location", &own)], b"");
    rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
    assert_eq!(
        rig.get("/page").header("location"),
        Some("http://gate.test/x")
    );
}

#[test]
fn an_upstream_with_a_certificate_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let rig = rig(other.upstream("127.0.0.1"), &authority.pem());
    assert_not_reached(&rig, "TLS: the certificate is");
}

#[test]
fn another_authority_in_the_same_file_is_trusted_without_a_restart() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = authority.pem();
    let upstream = other.upstream("127.0.0.1");
    let keys = format!("url = \"https://{}\"\nca = {ca:?}", upstream.address());
    let config = Config {
        upstream: &keys,
        ..Config::default()
    };
    let text = config.render(&upstream);
    let rig = Rig::between(config, upstream);
    assert_not_reached(&rig, "TLS: the certificate is");
    fs::copy(other.pem(), &ca).expect("written");
    rig.gate.reloaded(&text, 0);
    assert_eq!(rig.get("/page").status, 200);
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    // An invalid file changes nothing.
    fs::write(&ca, "no certificate").expect("written");
    rig.gate.log_until(|log| {
        log.contains("\"reload_failed\"") && log.contains("it contains no certificate")
    });
    assert_eq!(rig.get("/page").status, 200);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    for name in ["other.test", "127.0.0.2"] {
        let rig = rig(authority.upstream(name), &authority.pem());
        assert_not_reached(&rig, "TLS: the certificate is for another name");
    }
}

#[test]
fn an_https_upstream_without_tls_is_refused() {
    let authority = Authority::new();
    let rig = rig(Scripted::start(), &authority.pem());
    assert_not_reached(&rig, "connect");
}

#[track_caller]
fn assert_not_reached(rig: &Rig, cause: &str) {
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let response = rig.get(&entry);
    // A server that does not speak TLS may also send nothing.
    assert!([502, 504].contains(&response.status), "{response}");
    assert!([502, 504].contains(&rig.get("/page").status));
    let token = rig.post(
        "/token",
        &[],
        "grant_type=refresh_token&refresh_token=sekrit",
    );
    assert!([502, 504].contains(&token.status), "{token}");
    assert_eq!(token.json()["error"], "server_error");
    assert!(
        rig.upstream.ledger().is_empty(),
        "not a byte of any request"
    );
    let unknown = authorization.redemption("unknown");
    assert_refused(&rig.token(&unknown), "invalid_grant");
    rig.gate.log_until(|log| log.contains(cause));
}

#[test]
fn the_cause_of_a_failed_connection_is_logged() {
    for (url, cause) in [
        ("http://127.0.0.1:1", "connection refused"),
        ("http://no-such-name.invalid", "the name cannot be resolved"),
    ] {
        let keys = format!("url = \"{url}\"");
        let rig = Rig::with(Config {
            upstream: &keys,
            ..Config::default()
        });
        assert!([502, 504].contains(&rig.get("/page").status));
        rig.gate.log_until(|log| log.contains(cause));
    }
}
