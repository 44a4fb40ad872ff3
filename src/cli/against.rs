//! `check --against`: compares a file with the configuration that is in force in a running gate.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use super::admin_client;
use crate::app::sha256;
use crate::config::Config;

#[derive(Debug, thiserror::Error)]
pub(super) enum Incomparable {
    #[error("cannot query {0}: {1}\nhelp: use the [admin] listen address of the running gate")]
    Silent(SocketAddr, std::io::Error),
    #[error(
        "{0} responded, but not with its configuration: it is another program, or another version of pkce-gate\n\
         help: use the [admin] listen address of the running gate, and the same version of pkce-gate as there"
    )]
    Other(SocketAddr),
}

/// Reports whether a valid file is in force in the gate with this admin address, and which of its keys need a restart.
pub(super) fn compare(
    admin: SocketAddr,
    text: &str,
    config: &Config,
) -> Result<String, Incomparable> {
    let answer = admin_client::get(admin, "/config");
    let (status, body) = answer.map_err(|error| Incomparable::Silent(admin, error))?;
    let said = (status == 200).then(|| said(&body, text, config)).flatten();
    said.map(|said| format!("{admin}: {said}"))
        .ok_or(Incomparable::Other(admin))
}

/// `None`: the document does not describe a configuration.
fn said(document: &str, text: &str, config: &Config) -> Option<String> {
    let document: Value = serde_json::from_str(document).ok()?;
    let text_of = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let since = text_of(&document, "since")?;
    let mut said = if text_of(&document, "sha256")? == sha256(text) {
        format!("this file has been in force since {since}\n")
    } else {
        format!("another file has been in force since {since}\n")
    };
    for (key, here) in config.fixed() {
        let there = text_of(document.get("fixed")?, key)?;
        if here != there {
            // Writing to a string cannot fail.
            let _ = writeln!(
                said,
                "  {key} needs a restart: {there} in the gate, {here} in the file"
            );
        }
    }
    let failure = document.get("last_failure")?;
    if let (Some(at), Some(problem)) = (text_of(failure, "at"), text_of(failure, "problem")) {
        let _ = writeln!(said, "  the reload of {at} failed: {problem}");
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::InForce;

    const TEXT: &str = "[server]\nworkers = 2\n[[upstream]]\nurl = \"http://127.0.0.1:9000\"\n\
                        [upstream.endpoints]\nauthorization = [\"/a\"]\ntoken = [\"/t\"]\n";

    fn config(text: &str) -> Config {
        crate::config::load(text, "config.toml", 0).unwrap().config
    }

    fn lines(in_force: &InForce, text: &str) -> Vec<String> {
        let said = said(&in_force.document(), text, &config(text)).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_comparison_names_keys_that_need_a_restart() {
        let in_force = InForce::new(&sha256(TEXT), config(TEXT).fixed());
        let [only] = &lines(&in_force, TEXT)[..] else {
            panic!("one line")
        };
        assert!(
            only.starts_with("this file has been in force since 20"),
            "{only}"
        );
        let more = TEXT.replace("workers = 2", "workers = 3");
        in_force.failed("config.toml:1:1: wrong");
        let said = lines(&in_force, &more);
        assert!(said[0].starts_with("another file has been in force since 20"));
        assert_eq!(
            said[1],
            "  server.workers needs a restart: 2 in the gate, 3 in the file"
        );
        assert!(
            said[2].ends_with(" failed: config.toml:1:1: wrong"),
            "{said:?}"
        );
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn other_documents_are_not_compared() {
        let in_force = InForce::new(&sha256(TEXT), config(TEXT).fixed());
        let without_key = in_force
            .document()
            .replace("server.workers", "server.threads");
        for document in ["", "ready", "{}", "[]", "{\"sha256\": 1}", &without_key] {
            assert_eq!(said(document, TEXT, &config(TEXT)), None, "{document}");
        }
    }
}
