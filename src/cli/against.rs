//! `check --against`: a file compared with what a running gate has in force.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use super::ask;
use crate::app::sha256;
use crate::config::Config;

/// Why a file cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum Incomparable {
    /// There is no answer.
    #[error("cannot ask {0}: {1}\nhelp: write the address of [admin] listen of the gate that runs")]
    Silent(SocketAddr, std::io::Error),
    /// Something else than a gate that can reload.
    #[error(
        "{0} answers, but does not say which configuration is in force: another program, or another version of pkce-gate\n\
         help: write the address of [admin] listen of the gate that runs, and compare with its own version of this program"
    )]
    Other(SocketAddr),
}

/// Says whether a good file is in force at the gate whose admin listener that is, and which of its keys need a restart.
pub(super) fn compare(
    admin: SocketAddr,
    text: &str,
    config: &Config,
) -> Result<String, Incomparable> {
    let answer = ask::get(admin, "/config");
    let (status, body) = answer.map_err(|error| Incomparable::Silent(admin, error))?;
    let said = (status == 200).then(|| said(&body, text, config)).flatten();
    said.map(|said| format!("{admin}: {said}"))
        .ok_or(Incomparable::Other(admin))
}

/// `None`: the document is not one that tells of a configuration.
fn said(document: &str, text: &str, config: &Config) -> Option<String> {
    let document: Value = serde_json::from_str(document).ok()?;
    let text_of = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let since = text_of(&document, "since")?;
    let mut said = if text_of(&document, "sha256")? == sha256(text) {
        format!("this file is in force since {since}\n")
    } else {
        format!("another file is in force since {since}\n")
    };
    for (key, here) in config.fixed() {
        let there = text_of(document.get("fixed")?, key)?;
        if here != there {
            // A string takes everything.
            let _ = writeln!(said, "  {key} needs a restart: {there} there, {here} here");
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
    fn a_file_is_in_force_or_not_and_keys_that_need_a_restart_are_named() {
        let in_force = InForce::new(&sha256(TEXT), config(TEXT).fixed());
        let [only] = &lines(&in_force, TEXT)[..] else {
            panic!("one line")
        };
        assert!(only.starts_with("this file is in force since 20"), "{only}");
        let more = TEXT.replace("workers = 2", "workers = 3");
        in_force.failed("config.toml:1:1: wrong");
        let said = lines(&in_force, &more);
        assert!(said[0].starts_with("another file is in force since 20"));
        assert_eq!(said[1], "  server.workers needs a restart: 2 there, 3 here");
        assert!(
            said[2].ends_with(" failed: config.toml:1:1: wrong"),
            "{said:?}"
        );
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn what_is_not_such_a_document_is_not_guessed_at() {
        let in_force = InForce::new(&sha256(TEXT), config(TEXT).fixed());
        let without_key = in_force
            .document()
            .replace("server.workers", "server.threads");
        for document in ["", "ready", "{}", "[]", "{\"sha256\": 1}", &without_key] {
            assert_eq!(said(document, TEXT, &config(TEXT)), None, "{document}");
        }
    }
}
