//! The files in `deploy/` agree with what the program needs.

mod alerts;
mod manifests;
mod proxies;
mod replicas;
mod systemd;

use std::fs;
use std::process::Command;

use crate::support::tree::{read, root};

#[test]
fn every_folder_in_deploy_explains_itself() {
    for entry in fs::read_dir(root().join("deploy")).expect("deploy exists") {
        let folder = entry.expect("its entries can be read").path();
        assert!(folder.join("README.md").is_file(), "{}", folder.display());
    }
}

/// `systemd-analyze security` is not installed everywhere, so this test asserts the settings on which its score depends.
#[test]
fn the_unit_confines_the_gate() {
    let unit = read("deploy/systemd/pkce-gate.service");
    for directive in [
        "Type=exec",
        "ExecStart=/usr/local/bin/pkce-gate run --config /etc/pkce-gate/config.toml",
        "Restart=on-failure",
        "RestartPreventExitStatus=64 65",
        "DynamicUser=yes",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "DevicePolicy=closed",
        "PrivateUsers=yes",
        "ProtectHostname=yes",
        "ProtectClock=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RemoveIPC=yes",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
    ] {
        assert!(unit.lines().any(|line| line == directive), "{directive}");
    }
    // Exit codes other than these restart the program.
    assert!(!unit.contains("ExecStartPre"));
}

#[test]
fn the_image_runs_the_gate_as_an_unprivileged_user() {
    let file = read("deploy/docker/Dockerfile");
    for instruction in [
        "USER 65532:65532",
        "CMD [\"/usr/local/bin/pkce-gate\", \"healthcheck\"]",
        "ENTRYPOINT [\"/usr/local/bin/pkce-gate\"]",
        "CMD [\"run\", \"--config\", \"/etc/pkce-gate/config.toml\"]",
    ] {
        assert!(
            file.lines().any(|line| line.trim() == instruction),
            "{instruction}"
        );
    }
    let minimum = read("Cargo.toml");
    let minimum = minimum
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.split('"').next())
        .expect("Cargo.toml has a rust-version");
    assert!(
        file.contains(&format!("FROM rust:{minimum}-")),
        "built with Rust {minimum}"
    );
}

#[test]
fn the_image_holds_the_released_binary() {
    let file = read("deploy/docker/Dockerfile");
    for step in ["deploy/release/build", "cp target/released/pkce-gate"] {
        assert!(file.contains(step), "{step}");
    }
    assert!(read("deploy/release/build").contains("--no-default-features"));
    // The build context contains everything that the release build needs.
    let ignored = read("deploy/docker/Dockerfile.dockerignore");
    let ignored: Vec<_> = ignored.lines().collect();
    let place = |line| ignored.iter().position(|ignored| *ignored == line);
    assert!(place("deploy") < place("!deploy/release"));
    assert!(place("benches").is_none());

    let help = Command::new(root().join("deploy/release/build"))
        .arg("--help")
        .output()
        .expect("Python is there");
    assert!(help.status.success(), "{help:?}");
}

#[test]
fn manifests_route_clients_only_to_the_gate() {
    for (folder, url) in [
        ("kubernetes", "http://127.0.0.1:9000"),
        ("compose", "http://upstream:9000"),
        ("docker", "http://127.0.0.1:9000"),
    ] {
        let config = read(&format!("deploy/{folder}/config.toml"));
        let config: toml::Table = config.parse().expect("TOML");
        assert_eq!(
            config["server"]["listen"][0].as_str(),
            Some("0.0.0.0:8080"),
            "{folder}"
        );
        assert_eq!(config["upstream"][0]["url"].as_str(), Some(url), "{folder}");
    }

    let service = read("deploy/kubernetes/service.yaml");
    assert_eq!(values(&service, "targetPort"), ["8080"]);
    let policy = read("deploy/kubernetes/networkpolicy.yaml");
    assert_eq!(values(&policy, "port"), ["8080", "9901"]);
    let deployment = read("deploy/kubernetes/deployment.yaml");
    assert_eq!(values(&deployment, "containerPort"), ["8080", "9901"]);
    for (key, value) in [
        ("restartPolicy", "Always"),
        ("runAsNonRoot", "true"),
        ("runAsUser", "65532"),
        ("readOnlyRootFilesystem", "true"),
        ("allowPrivilegeEscalation", "false"),
        ("automountServiceAccountToken", "false"),
        ("replicas", "1"),
    ] {
        assert!(values(&deployment, key).contains(&value), "{key}: {value}");
    }
    let sidecar = deployment.find("- name: pkce-gate").expect("the gate");
    let containers = deployment
        .find("\n      containers:")
        .expect("the application");
    assert!(sidecar < containers, "the gate is among the initContainers");

    let compose = read("deploy/compose/compose.yaml");
    assert_eq!(
        values(&compose, "networks"),
        ["[behind]", "[front, behind]"]
    );
    assert_eq!(values(&compose, "behind"), ["{internal: true}"]);
    assert_eq!(compose.matches(":8080\"").count(), 1, "one published port");
    assert!(
        !compose.contains("9000:"),
        "the upstream's is not published"
    );
}

/// The values of all members of that name in a YAML file.
fn values<'t>(yaml: &'t str, key: &str) -> Vec<&'t str> {
    yaml.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("- ")
                .strip_prefix(key)?
                .strip_prefix(": ")
        })
        .collect()
}
