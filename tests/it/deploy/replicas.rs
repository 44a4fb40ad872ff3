//! The examples with two gates, as kubectl, docker-compose, the balancer and systemd read them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::manifests::{compose, installed, objects, output};
use super::systemd::{directive, systemd_analyze, with_unit};
use crate::support::fixture::{HINT, free_port};
use crate::support::gate::{file, scratch};
use crate::support::raw::Connection;
use crate::support::rig::{Rig, request};
use crate::support::tree::{read, root};

/// How often to look whether a server listens, and how many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: usize = 1500;

fn toml(path: &str) -> toml::Table {
    read(path).parse().expect("TOML")
}

/// The configuration differs from the one for a single gate in these keys only.
#[track_caller]
fn differs_in(one: &str, two: &str, keys: &[(&str, &str)]) {
    let (mut one, mut two) = (toml(one), toml(two));
    for config in [&mut one, &mut two] {
        config.remove("store");
        for (section, key) in keys {
            let section = config[*section].as_table_mut().expect("a table");
            section.remove(*key).expect("the key is there");
        }
    }
    assert_eq!(one, two);
}

#[test]
fn two_replicas_in_kubernetes_share_their_sign_ins() {
    let (yaml, objects) = objects(&root().join("deploy/kubernetes-replicas"));
    for version in ["1.30.0", "1.37.0"] {
        let mut validate = installed("kubernetes-validate");
        output(validate.args(["--strict", "-k", version, "-"]), &yaml);
    }
    let the = |kind: &str| {
        let mut found = objects.iter().filter(|object| object["kind"] == kind);
        found.next().unwrap_or_else(|| panic!("a {kind}"))
    };
    for kind in ["Service", "NetworkPolicy"] {
        the(kind);
    }
    let deployment = &the("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 2);
    assert_eq!(
        deployment["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
    );
    let budget = &the("PodDisruptionBudget")["spec"];
    assert_eq!(budget["selector"], deployment["selector"]);

    // The configuration names files of the Secret.
    let config = the("ConfigMap")["data"]["config.toml"].as_str();
    let config = config.expect("a text");
    assert_eq!(config, read("deploy/kubernetes-replicas/config.toml"));
    let pod = &deployment["template"]["spec"];
    let mounts = pod["initContainers"][0]["volumeMounts"].as_array();
    let mounts = mounts.expect("a list");
    let at = |volume: &str| {
        let mount = mounts.iter().find(|mount| mount["name"] == volume);
        mount.unwrap_or_else(|| panic!("{volume}"))["mountPath"].clone()
    };
    assert_eq!(at("config"), "/etc/pkce-gate");
    let secrets = at("secrets");
    let config: toml::Table = config.parse().expect("TOML");
    let store = &config["store"];
    for file in [&store["password_file"], &store["keys"][0]["file"]] {
        let file = file.as_str().expect("a path");
        let (folder, name) = file.rsplit_once('/').expect("a file in a folder");
        assert_eq!(secrets, folder);
        let page = read("docs/src/kubernetes.md");
        assert!(page.contains(&format!("--from-file={name}")), "{name}");
    }
    differs_in(
        "deploy/kubernetes/config.toml",
        "deploy/kubernetes-replicas/config.toml",
        &[],
    );
}

#[test]
fn two_gates_in_compose_stand_behind_the_balancer() {
    let both = compose(&[
        "deploy/compose/compose.yaml",
        "deploy/compose/replicas.yaml",
    ]);
    let services = &both["services"];
    assert_eq!(services["gate"], services["gate-2"]);
    let mut one = compose(&["deploy/compose/compose.yaml"])["services"]["gate"].clone();
    let mut two = services["gate"].clone();
    for key in ["ports", "volumes", "secrets", "networks", "depends_on"] {
        one[key] = Value::Null;
        two[key] = Value::Null;
    }
    assert_eq!(one, two, "the gates are confined like a single one");

    let services = services.as_object().expect("services");
    for (name, service) in services {
        let publishes = !service["ports"].is_null();
        assert_eq!(publishes, name == "balancer", "{name}");
        let reaches = |network: &str| service["networks"].get(network).is_some();
        let is_gate = name.starts_with("gate");
        assert_eq!(reaches("behind"), is_gate || name == "upstream", "{name}");
        assert_eq!(reaches("store"), is_gate || name == "store", "{name}");
        assert_eq!(reaches("front"), is_gate || name == "balancer", "{name}");
    }
    for network in ["behind", "store"] {
        assert_eq!(both["networks"][network]["internal"], true, "{network}");
    }
    let balancer = &both["services"]["balancer"]["networks"]["front"]["ipv4_address"];
    let balancer = balancer.as_str().expect("an address");
    let config = toml("deploy/compose/replicas.toml");
    let trusted = config["server"]["trusted_proxies"].as_array();
    let trusted: Vec<_> = trusted.expect("a list").iter().collect();
    assert_eq!(trusted, [&toml::Value::from(format!("{balancer}/32"))]);
    let key = config["store"]["keys"][0]["file"].as_str();
    let secret = &both["services"]["gate"]["secrets"][0]["target"];
    assert_eq!(secret.as_str(), key);
    differs_in(
        "deploy/compose/config.toml",
        "deploy/compose/replicas.toml",
        &[("server", "trusted_proxies")],
    );
}

/// The balancer in front of two gates. It is killed with this process.
struct Balancer {
    process: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Balancer {
    /// With the file of the example, in front of these gates.
    fn between(gates: [SocketAddr; 2]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut config = read("deploy/compose/haproxy.cfg");
        for (from, to) in [
            ("bind :8080", format!("bind {address}")),
            ("server one gate:8080", format!("server one {}", gates[0])),
            ("server two gate-2:8080", format!("server two {}", gates[1])),
        ] {
            assert!(config.contains(from), "{from}");
            config = config.replace(from, &to);
        }
        let directory = scratch();
        let config = file(&directory, "haproxy.cfg", &config);
        let log = fs::File::create(directory.join("log")).expect("a file for its log");
        // The shell reads our pipe: however this process ends, the pipe closes, and the shell stops the proxy.
        let process = Command::new("sh")
            .args([
                "-c",
                "haproxy -db -f \"$0\" & cat >/dev/null; kill $!; wait",
            ])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .expect("a shell is there");
        Self {
            process,
            directory,
            address,
        }
    }

    /// The status of a page, on a connection of its own.
    fn page(&self) -> u16 {
        let mut connection = Connection::open(self.address);
        connection.send(&request("GET", "/page", &[], None));
        connection.response().status
    }

    fn wait(&self) {
        for _ in 0..LOOKS {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            sleep(LOOK);
        }
        panic!("HAProxy does not listen; {HINT}");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

#[test]
fn the_balancer_uses_both_gates_and_none_that_stops() {
    let mut gates = [Rig::new(), Rig::new()];
    let balancer = Balancer::between([gates[0].address(), gates[1].address()]);
    balancer.wait();
    let asked = |gates: &[Rig; 2]| gates.each_ref().map(|gate| gate.upstream.ledger().len());
    for _ in 0..10 {
        assert_eq!(balancer.page(), 200);
    }
    assert!(
        asked(&gates).iter().all(|asked| *asked > 1),
        "{:?}",
        asked(&gates)
    );
    gates[0].gate.stop();
    let before = asked(&gates);
    for _ in 0..10 {
        assert_eq!(balancer.page(), 200);
    }
    assert_eq!(asked(&gates), [before[0], before[1] + 10]);
}

#[test]
fn a_drop_in_hands_the_key_to_the_unit() {
    let drop_in = read("deploy/systemd/sealed.conf");
    let credential = drop_in
        .lines()
        .find_map(|line| line.strip_prefix("LoadCredential="))
        .expect("a credential");
    let (name, source) = credential.split_once(':').expect("a name and a file");
    let page = read("docs/src/systemd.md");
    for text in [
        format!("/run/credentials/pkce-gate.service/{name}\""),
        format!("keygen --output {source}\n"),
    ] {
        assert!(page.contains(&text), "{text}");
    }
    assert_eq!(directive("DynamicUser"), "yes");
    let (is_good, told) = with_unit(|unit| {
        let folder = format!("{unit}.d");
        fs::create_dir(&folder).expect("made");
        fs::write(format!("{folder}/sealed.conf"), &drop_in).expect("written");
        systemd_analyze(&["--recursive-errors=no", "verify", unit])
    });
    assert!(is_good && !told.contains("sealed.conf"), "{told}");
}
