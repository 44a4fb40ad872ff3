//! What newcomers and operators read is true: configurations in documents pass `check`, links lead somewhere, names in tables are
//! those of the program, and what `deploy/` holds says what the program needs.

mod manifests;
mod proxies;
mod systemd;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::fixture::free_port;
use crate::support::gate::Gate;
use crate::support::http::Request;
use crate::support::params::unguessable;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder, by their paths from the root.
fn below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("the folder exists") {
            let entry = entry.expect("its entries can be read");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(path);
            } else {
                found.push(path.to_str().expect("paths are UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<String> {
    let own = ["README.md", "ARCHITECTURE.md", "SECURITY.md"].map(str::to_owned);
    let deploy = below("deploy")
        .into_iter()
        .filter(|path| has_extension(path, "md"));
    own.into_iter().chain(deploy).collect()
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|its| its == extension)
}

/// The fenced blocks of a language, each with the line on which it begins.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut inside: Option<(&'t str, usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), inside.as_mut()) {
            (Some(info), None) => inside = Some((info, at + 2, String::new())),
            (Some(_), Some(_)) => {
                let (info, first, block) = inside.take().expect("a block is open");
                if info == language {
                    blocks.push((first, block));
                }
            }
            (None, Some((_, _, block))) => block.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(inside.is_none(), "a fence is not closed");
    blocks
}

/// Whether `check` takes a configuration, and what it says of it.
fn check(configuration: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("pkce-gate-{}.toml", unguessable()));
    fs::write(&file, configuration).expect("the configuration is written");
    let output = Command::new(env!("CARGO_BIN_EXE_pkce-gate"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .expect("the binary under test starts");
    fs::remove_file(&file).ok();
    let told = String::from_utf8(output.stderr).expect("messages are UTF-8");
    (output.status.success(), told)
}

/// Every configuration that somebody may copy, and where it stands.
fn configurations() -> Vec<(String, String)> {
    let mut configurations = vec![("config.toml".to_owned(), read("config.toml"))];
    for path in documents() {
        let text = read(&path);
        let found = blocks(&text, "toml");
        assert!(path != "README.md" || !found.is_empty());
        configurations.extend(
            found
                .into_iter()
                .map(|(line, block)| (format!("{path}:{line}"), block)),
        );
    }
    let files = below("deploy");
    let files = files.iter().filter(|path| has_extension(path, "toml"));
    configurations.extend(files.map(|path| (path.clone(), read(path))));
    assert!(configurations.len() >= 7, "some were not found");
    configurations
}

const PLAIN_HTTP: &str = "the upstream is reached over a network in plain http";

#[test]
fn every_configuration_in_documents_and_in_deploy_passes_check() {
    for (place, text) in configurations() {
        let (passes, told) = check(&text);
        assert!(passes, "{place}\n{told}");
        // A rollout begins with recording. Nothing else that one may copy has to be thought about.
        let warnings = told.lines().filter(|line| line.starts_with("warning: "));
        let unreasoned: Vec<&str> = warnings
            .filter(|line| !line.starts_with("warning: nothing is refused at "))
            // Its README says why that network is no other's.
            .filter(|line| place != "deploy/compose/config.toml" || !line.ends_with(PLAIN_HTTP))
            .collect();
        assert!(unreasoned.is_empty(), "{place}\n{told}");
    }
    assert!(
        !check("[[upstream]]\nurl = \"http://127.0.0.1:9000\"\n").0,
        "check refuses what is incomplete"
    );
}

#[test]
fn every_link_leads_to_something_that_exists() {
    let mut broken = Vec::new();
    for path in documents() {
        let text = read(&path);
        for target in links(&text) {
            if ["http://", "https://", "mailto:"]
                .iter()
                .any(|scheme| target.starts_with(scheme))
            {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let folder = Path::new(&path).parent().expect("files are in folders");
            let file = if file.is_empty() {
                root().join(&path)
            } else {
                root().join(folder).join(file)
            };
            let leads = file.exists()
                && (fragment.is_empty()
                    || headings(&fs::read_to_string(&file).expect("a document"))
                        .contains(fragment));
            if !leads {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The targets of inline links, outside of fenced blocks.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').expect("a link ends on its line");
            found.push(target.to_owned());
            rest = after;
        }
    }
    found
}

/// The fragments by which a document's headings are linked to.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter_map(|line| line.split_once("# "));
    titles
        .filter(|(marks, _)| marks.chars().all(|mark| mark == '#'))
        .map(|(_, title)| {
            let kept = title.to_lowercase().replace(' ', "-");
            kept.chars()
                .filter(|kept| kept.is_alphanumeric() || matches!(kept, '-' | '_'))
                .collect()
        })
        .collect()
}

/// Words in backquotes.
fn code_words(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_readme_explains_every_violation() {
    let source = read("src/policy/violation.rs");
    let labels = source
        .split("fn names(")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next())
        .expect("labels are made in one function");
    let labels: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
    assert!(labels.len() > 20, "{labels:?}");

    let readme = read("README.md");
    let section = section(&readme, "## What clients see");
    let explained = code_words(section);
    let missing: Vec<_> = labels
        .iter()
        .filter(|label| !explained.contains(**label))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let unknown: Vec<_> = rows
        .filter_map(|row| row.split('`').next())
        .filter(|label| !labels.contains(label))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// From one heading to the next of its rank.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let (_, rest) = text
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n## ").next().expect("something follows")
}

#[test]
fn the_readme_lists_the_metrics_that_there_are() {
    let (server, admin) = (free_port(), free_port());
    let mut gate = Gate::start(&format!(
        "[server]\nlisten = [\"127.0.0.1:{server}\"]\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
         [[upstream]]\nurl = \"http://127.0.0.1:9\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n"
    ));
    // Nobody is behind the gate, so that there is an error to count as well.
    for path in ["/", "/authorize?client_id=a"] {
        Request::get(&format!("http://127.0.0.1:{server}{path}")).send();
    }
    Request::get(&format!("http://127.0.0.1:{server}//"))
        .header("Authorization", "a")
        .header("Authorization", "b")
        .send();
    gate.signal("HUP");
    gate.log_until(|log| log.contains("\"reloaded\""));
    let metrics = Request::get(&format!("http://127.0.0.1:{admin}/metrics")).send();
    gate.stop();

    let told: BTreeSet<String> = metrics
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect();
    let readme = read("README.md");
    let section = section(&readme, "## Operations");
    let listed: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `pkce_gate_"))
        .filter_map(|row| row.split('`').next())
        .map(|name| format!("pkce_gate_{name}"))
        .collect();
    assert_eq!(listed, told);
}

/// Rows of its tables begin with the name of a package.
#[test]
fn the_readme_tells_the_versions_that_are_tested() {
    let node: serde_json::Value =
        serde_json::from_str(&read("tests/servers/package.json")).expect("JSON");
    let python = read("tests/servers/requirements.txt");
    let readme = read("README.md");
    let rows = section(&readme, "## What it is tested with").lines();
    let mut checked = 0;
    for row in rows.filter(|row| row.starts_with("| ") && row.contains('(')) {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().and_then(|cell| cell.split(' ').next());
        let (name, version) = (name.expect("a name"), cells.next().expect("a version"));
        let tested = node["dependencies"][name] == version
            // What Debian has is what Debian has.
            || row.contains("from Debian")
            || python.lines().any(|line| {
                let (package, pinned) = line.split_once("==").unwrap_or_default();
                package.split('[').next() == Some(name) && pinned == version
            });
        assert!(tested, "{name} {version}");
        checked += 1;
    }
    assert_eq!(checked, 14);
}

/// A promise without its test is a wish.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let sources = ["src", "tests/it"].into_iter().flat_map(below);
    let sources: String = sources
        .filter(|path| has_extension(path, "rs"))
        .map(|path| read(&path))
        .collect();
    let model = read("deploy/security/README.md");
    let named = code_words(section(&model, "## Promises"));
    let missing: Vec<_> = named
        .into_iter()
        .filter(|word| !word.contains('='))
        .filter(|word| {
            let name = word.rsplit("::").next().unwrap_or_default();
            !["fn", "mod"].iter().any(|item| {
                let item = format!("{item} {name}");
                let mut after = sources.split(item.as_str()).skip(1);
                after.any(|rest| rest.starts_with(['(', ';', ' ']))
            })
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_folder_in_deploy_explains_itself() {
    for entry in fs::read_dir(root().join("deploy")).expect("deploy exists") {
        let folder = entry.expect("its entries can be read").path();
        assert!(folder.join("README.md").is_file(), "{}", folder.display());
    }
}

/// `systemd-analyze security` is not on every machine, so that what its verdict stands on is asserted.
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
    // It is restarted with another status than those.
    assert!(!unit.contains("ExecStartPre"));
}

#[test]
fn the_image_runs_the_gate_as_nobody_in_particular() {
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
    // What the release is built with gets into the build's context.
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
fn manifests_lead_clients_to_the_gate_and_nowhere_else() {
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
