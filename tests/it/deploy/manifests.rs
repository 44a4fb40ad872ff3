//! `deploy/kubernetes` and `deploy/compose`, as kubectl and docker-compose read them, without a cluster or Docker.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::fixture::HINT;
use crate::support::gate::{Gate, scratch};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::Scripted;
use crate::support::tree::{read, root};

const COMPOSE: &str = "deploy/compose/compose.yaml";
const NAME: &str = "app.kubernetes.io/name";

pub(super) fn installed(program: &str) -> Command {
    let path = root().join("tests/servers/.venv/bin").join(program);
    assert!(path.exists(), "{program}; {HINT}");
    let mut command = Command::new(path);
    command.current_dir(root());
    command
}

/// Runs a program with this input, and returns its output.
#[track_caller]
pub(super) fn output(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success(), "{command:?}: {told}");
    told
}

/// What kubectl makes of a folder: the text, and the objects in it.
pub(super) fn objects(folder: &Path) -> (String, Vec<Value>) {
    let yaml = output(installed("kubectl").arg("kustomize").arg(folder), "");
    let to_json = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let list = output(installed("python").args(["-c", to_json]), &yaml);
    let objects = serde_json::from_str(&list).expect("JSON");
    (yaml, objects)
}

/// A copy of the folder in which the kustomization lists every manifest, including the optional ones.
struct Kubernetes {
    folder: PathBuf,
    yaml: String,
    objects: Vec<Value>,
}

impl Kubernetes {
    fn read() -> Self {
        let folder = scratch();
        for entry in fs::read_dir(root().join("deploy/kubernetes")).expect("the folder exists") {
            let entry = entry.expect("its entries can be read");
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
        }
        let list = read("deploy/kubernetes/kustomization.yaml").replace("  # - ", "  - ");
        fs::write(folder.join("kustomization.yaml"), list).expect("the list is written");
        let (yaml, objects) = objects(&folder);
        Self {
            folder,
            yaml,
            objects,
        }
    }

    #[track_caller]
    fn the(&self, kind: &str) -> &Value {
        let mut found = self.objects.iter().filter(|object| object["kind"] == kind);
        let only = found.next().unwrap_or_else(|| panic!("a {kind}"));
        assert!(found.next().is_none(), "one {kind}");
        only
    }

    /// The gate's container.
    fn gate(&self) -> &Value {
        &self.the("Deployment")["spec"]["template"]["spec"]["initContainers"][0]
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn kubectl_accepts_every_manifest() {
    let kubernetes = Kubernetes::read();
    let files = fs::read_dir(&kubernetes.folder).expect("it exists").count();
    // Every file except the README, the kustomization and the configuration, which becomes a ConfigMap.
    assert_eq!(kubernetes.objects.len(), files - 2);
    // The PodMonitor is a kind of the Prometheus operator, which kubectl does not know.
    let known = kubernetes.yaml.split("---\n");
    let known: Vec<&str> = known
        .filter(|object| !object.contains("kind: PodMonitor"))
        .collect();
    assert_eq!(known.len(), kubernetes.objects.len() - 1);
    for version in ["1.30.0", "1.37.0"] {
        let mut validate = installed("kubernetes-validate");
        output(
            validate.args(["--strict", "-k", version, "-"]),
            &known.join("---\n"),
        );
    }
}

#[test]
fn the_manifests_route_clients_and_prometheus_to_the_gate() {
    let kubernetes = Kubernetes::read();
    let pod = &kubernetes.the("Deployment")["spec"]["template"];
    let name = &pod["metadata"]["labels"][NAME];
    assert!(name.is_string());
    let gate = kubernetes.gate();
    let port = |name: &str| {
        let ports = gate["ports"].as_array().expect("a list");
        let port = ports.iter().find(|port| port["name"] == name);
        port.unwrap_or_else(|| panic!("{name}"))["containerPort"].clone()
    };
    let config = read("deploy/kubernetes/config.toml");
    let config: toml::Table = config.parse().expect("TOML");

    let (service, policy) = (kubernetes.the("Service"), kubernetes.the("NetworkPolicy"));
    assert_eq!(service["spec"]["selector"], json!({NAME: name}));
    let (clients, metrics) = (&policy["spec"]["ingress"][0], &policy["spec"]["ingress"][1]);
    let to_service = &service["spec"]["ports"][0];
    assert_eq!(to_service["targetPort"], port("gate"));
    assert_eq!(clients["ports"][0]["port"], port("gate"));

    let monitor = &kubernetes.the("PodMonitor")["spec"];
    assert_eq!(monitor["selector"]["matchLabels"], json!({NAME: name}));
    let endpoint = &monitor["podMetricsEndpoints"][0];
    let asked = port(endpoint["port"].as_str().expect("a port by its name"));
    assert_eq!(endpoint["path"], "/metrics");
    assert_eq!(metrics["ports"][0]["port"], asked);
    let listens = config["admin"]["listen"].as_str().expect("an address");
    assert_eq!(listens, format!("0.0.0.0:{asked}"));
    for (probe, path) in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
    ] {
        assert_eq!(gate[probe]["httpGet"]["path"], path);
        assert_eq!(gate[probe]["httpGet"]["port"], asked);
    }

    let ingress = kubernetes.the("Ingress");
    let rule = &ingress["spec"]["rules"][0];
    let backend = &rule["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    assert_eq!(backend["port"]["name"], to_service["name"]);
    let host = rule["host"].as_str().expect("a host");
    assert_eq!(ingress["spec"]["tls"][0]["hosts"], json!([host]));
    let public = config["upstream"][0]["public_url"].as_str();
    assert_eq!(public, Some(format!("https://{host}").as_str()));
}

/// `proxies.rs` tests these rules in a real proxy.
#[test]
fn the_ingress_has_the_rules_of_the_proxy() {
    let file = read("deploy/proxies/haproxy.cfg");
    let rules: Vec<&str> = file
        .lines()
        .map(str::trim)
        .filter(|line| {
            let begins = |start| line.starts_with(start);
            begins("http-request del-header ") || begins("http-request set-header ")
        })
        .collect();
    assert!(rules.len() > 50);
    let kubernetes = Kubernetes::read();
    let annotations = &kubernetes.the("Ingress")["metadata"]["annotations"];
    let snippet = &annotations["haproxy.org/backend-config-snippet"];
    let snippet: Vec<&str> = snippet.as_str().expect("lines").lines().collect();
    assert_eq!(snippet, rules);
    assert_eq!(annotations["haproxy.org/forwarded-for"], "false");
    assert_eq!(annotations["haproxy.org/set-host"], Value::Null);
}

/// What docker-compose makes of these files.
pub(super) fn compose(files: &[&str]) -> Value {
    let mut command = installed("docker-compose");
    let home = scratch();
    command
        .args(files.iter().flat_map(|file| ["-f", file]))
        .args(["config", "--format", "json"])
        .env("HOME", &home);
    let told = output(&mut command, "");
    fs::remove_dir_all(&home).ok();
    serde_json::from_str(&told).expect("JSON")
}

#[test]
fn compose_confines_the_gate_and_hides_the_upstream() {
    let compose = compose(&[COMPOSE]);
    let (gate, upstream) = (
        &compose["services"]["gate"],
        &compose["services"]["upstream"],
    );
    assert_eq!(gate["read_only"], true);
    assert_eq!(gate["user"], "65532:65532");
    assert_eq!(gate["cap_drop"], json!(["ALL"]));
    assert_eq!(gate["security_opt"], json!(["no-new-privileges:true"]));
    assert_eq!(gate["restart"], "on-failure:5");
    let (front, behind) = (
        &compose["networks"]["front"],
        &compose["networks"]["behind"],
    );
    assert_eq!(behind["internal"], true);
    assert_eq!(upstream["networks"], json!({"behind": null}));
    assert_eq!(upstream["ports"], Value::Null);
    for service in [gate, upstream] {
        for shared in ["network_mode", "pid", "ipc", "privileged"] {
            assert_eq!(service[shared], Value::Null, "{shared}");
        }
        let logging = &service["logging"];
        assert_eq!(logging["driver"], "json-file");
        for option in ["max-size", "max-file"] {
            assert!(logging["options"][option].is_string(), "{option}");
        }
    }
    let published = &gate["ports"][0];
    assert_eq!(published["host_ip"], "127.0.0.1");
    assert_eq!(published["target"], 8080);
    assert_eq!(gate["ports"].as_array().map(Vec::len), Some(1));

    // Requests from this machine come from the gateway's address; the upstream's container has another one.
    let config = read("deploy/compose/config.toml");
    let config: toml::Table = config.parse().expect("TOML");
    let gateway = front["ipam"]["config"][0]["gateway"].as_str();
    let trusted = config["server"]["trusted_proxies"].as_array();
    let trusted: Vec<_> = trusted.expect("a list").iter().collect();
    let gateway = format!("{}/32", gateway.expect("an address"));
    assert_eq!(trusted, [&toml::Value::from(gateway)]);
}

/// A size as systemd, Kubernetes or docker-compose writes it.
fn bytes(size: &str) -> u64 {
    let (number, unit) = size
        .find(|letter: char| !letter.is_ascii_digit())
        .map_or((size, ""), |end| size.split_at(end));
    let unit = match unit {
        "" => 1,
        "G" | "Gi" => 1 << 30,
        _ => panic!("{size}"),
    };
    number.parse::<u64>().expect("a number") * unit
}

/// The defaults in `config.toml` need the memory that the manual states ("Sizing").
#[test]
fn every_deployment_has_room_for_the_default_limits() {
    let page = read("docs/src/operations.md");
    let taken = |around: &str| -> f64 {
        let (before, after) = around.split_once('#').expect("a number stands between");
        let (_, rest) = page
            .split_once(before)
            .unwrap_or_else(|| panic!("{before}"));
        let (number, _) = rest.split_once(after).unwrap_or_else(|| panic!("{after}"));
        number
            .parse()
            .unwrap_or_else(|error| panic!("{number}: {error}"))
    };
    let store = taken("With the defaults, the store takes # GB");
    let process = taken("| together | | # GB");
    let unit = read("deploy/systemd/pkce-gate.service");
    let directive = |name: &str| {
        let mut values = unit.lines().filter_map(|line| line.strip_prefix(name));
        values.next().unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    let (kubernetes, compose) = (Kubernetes::read(), compose(&[COMPOSE]));
    let compose = &compose["services"]["gate"];
    let of_pod = kubernetes.gate()["resources"]["limits"]["memory"].as_str();
    let of_container = compose["mem_limit"].as_str();
    for (place, limit) in [
        ("systemd", directive("MemoryMax=").as_str()),
        ("kubernetes", of_pod.expect("a limit")),
        ("compose", of_container.expect("a limit")),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "whole gigabytes")]
        let room = bytes(limit) as f64 / 1e9;
        assert!(store + process < room, "{place}: {room}");
    }

    let defaults: toml::Table = read("config.toml").parse().expect("TOML");
    let seconds = |value: &str| -> u64 {
        let seconds = value.strip_suffix('s').unwrap_or(value);
        seconds.parse().unwrap_or_else(|_| panic!("{value}"))
    };
    let drain = seconds(defaults["server"]["drain"].as_str().expect("a duration"));
    let of_container = compose["stop_grace_period"].as_str().expect("a duration");
    assert!(seconds(&directive("TimeoutStopSec=")) > drain);
    assert!(seconds(of_container) > drain);
    let of_pod = read("deploy/kubernetes/config.toml");
    let of_pod: toml::Table = of_pod.parse().expect("TOML");
    let drain = seconds(of_pod["server"]["drain"].as_str().expect("a duration"));
    let pod = &kubernetes.the("Deployment")["spec"]["template"]["spec"];
    let before = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let whole = pod["terminationGracePeriodSeconds"].as_u64();
    assert!(whole > before.as_u64().map(|before| before + drain));

    // With the limit of open files in each deployment, the gate applies the configured limits unchanged.
    let nofile = &compose["ulimits"]["nofile"];
    assert_eq!(nofile["soft"], nofile["hard"]);
    for files in [nofile["soft"].to_string(), directive("LimitNOFILE=")] {
        let upstream = Scripted::start();
        let config = Config::default().render(&upstream);
        let files = files.parse().expect("a number");
        let rig = Rig::of(Gate::start_with_descriptors(&config, files), upstream);
        rig.get("/page");
        assert!(!rig.gate.log().contains("few_descriptors"), "{files}");
    }
}

/// The health checks of the image and of Compose, with this gate's admin address.
#[test]
fn the_health_check_follows_the_state_of_the_gate() {
    let dockerfile = read("deploy/docker/Dockerfile");
    let (_, check) = dockerfile.split_once("HEALTHCHECK").expect("a check");
    let (_, check) = check.split_once("CMD ").expect("a command");
    let of_image: Vec<String> =
        serde_json::from_str(check.lines().next().unwrap_or_default()).expect("JSON");
    let compose = compose(&[COMPOSE]);
    let of_compose = compose["services"]["gate"]["healthcheck"]["test"].as_array();
    let of_compose: Vec<&str> = of_compose
        .expect("a check")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let (kind, of_compose) = of_compose.split_first().expect("words");
    assert_eq!(*kind, "CMD");
    assert_eq!(of_compose, of_image);
    // The checks use the default address, so the configurations must not change it.
    for folder in ["docker", "compose"] {
        let config = read(&format!("deploy/{folder}/config.toml"));
        let config: toml::Table = config.parse().expect("TOML");
        assert!(!config.contains_key("admin"), "{folder}");
    }

    let mut rig = Rig::new();
    let admin = rig.gate.address("admin").to_string();
    let (program, words) = of_compose.split_first().expect("a program");
    assert_eq!(*program, "/usr/local/bin/pkce-gate");
    let words: Vec<&str> = words.iter().copied().chain(["--admin", &admin]).collect();
    let healthy = || crate::support::gate::run(&words).status.success();
    assert!(healthy());
    // The state of the upstream does not matter: a restart of the gate would lose its sign-ins.
    rig.upstream.refuse();
    assert!(healthy());
    rig.upstream.heal();
    // The gate stops, and answers for a fifth of the drain time.
    rig.gate.signal("TERM");
    rig.gate.log_until(|log| log.contains("draining"));
    assert!(!healthy());
    rig.gate.wait_for_end();
    assert!(!healthy());
}
