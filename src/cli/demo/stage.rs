//! The parties, their addresses, and the configuration of the gate.

use super::ledger::{Ledger, Party};
use crate::oauth::redirect::Loopback;

pub(super) const USER: &str = "alice";
/// Not a secret: the login form shows it.
pub(super) const PASSWORD: &str = "pass";
pub(super) const AUTHORIZE: &str = "/oauth/authorize";
pub(super) const TOKEN: &str = "/oauth/token";
pub(super) const METADATA: &str = "/.well-known/oauth-authorization-server";
/// The `client_id` of the application.
pub(super) const CLIENT: &str = "demo-app";
/// A client registered by the attacker: a valid client does not help.
pub(super) const ATTACKER: &str = "attacker-app";
/// A native application: its callback is at a loopback port that it chooses itself (RFC 8252 section 7.3). Not part of any scene;
/// for visitors who try a client of their own, such as the conformance tests of MCP.
const NATIVE: &str = "demo-native";

#[derive(Debug)]
pub(super) struct Stage {
    /// The origins of the three servers, without a trailing slash.
    pub(super) application: String,
    pub(super) gate: String,
    pub(super) upstream: String,
    /// The redirect URIs of the two clients.
    pub(super) callback: String,
    pub(super) attacker_callback: String,
    pub(super) ledger: Ledger,
}

impl Stage {
    pub(super) fn new(application: String, gate: String, upstream: String) -> Self {
        Self {
            callback: format!("{application}/callback"),
            attacker_callback: format!("{application}/attacker"),
            application,
            gate,
            upstream,
            ledger: Ledger::default(),
        }
    }

    /// The party that a URL belongs to.
    pub(super) fn party(&self, url: &str) -> Party {
        if url.starts_with(&self.gate) {
            Party::Gate
        } else if url.starts_with(&self.upstream) {
            Party::Upstream
        } else {
            Party::Application
        }
    }

    /// The redirect URI of a registered client.
    pub(super) fn redirect_uri(&self, client: &str) -> Option<&str> {
        match client {
            CLIENT => Some(&self.callback),
            ATTACKER => Some(&self.attacker_callback),
            _ => None,
        }
    }

    /// Whether a redirect URI is registered for a client.
    pub(super) fn accepts(&self, client: &str, redirect_uri: &str) -> bool {
        let is_native = || {
            let own = Loopback::of("http://127.0.0.1/callback");
            client == NATIVE && own.is_some() && Loopback::of(redirect_uri) == own
        };
        self.redirect_uri(client) == Some(redirect_uri) || is_native()
    }

    /// The configuration file of the gate, with only the keys that an operator would set.
    pub(super) fn config(&self) -> String {
        let Self {
            gate,
            upstream,
            callback,
            ..
        } = self;
        let listen = gate.strip_prefix("http://").unwrap_or_default();
        format!(
            r#"[server]
listen = ["{listen}"]
workers = 1

[admin]
listen = "127.0.0.1:0"

[log]
level = "warn"
format = "text"

[[upstream]]
name = "legacy"
url = "{upstream}"
public_url = "{gate}"

[upstream.endpoints]
authorization = ["{AUTHORIZE}"]
token = ["{TOKEN}"]

[[upstream.client]]
id = "{CLIENT}"
redirect_uris = ["{callback}"]
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_are_exact_except_for_the_port_of_the_native_client() {
        let stage = Stage::new(
            "http://127.0.0.1:1".to_owned(),
            String::new(),
            String::new(),
        );
        for (client, uri, expected) in [
            (CLIENT, "http://127.0.0.1:1/callback", true),
            (CLIENT, "http://127.0.0.1:2/callback", false),
            (NATIVE, "http://127.0.0.1:2/callback", true),
            (NATIVE, "http://127.0.0.1:2/other", false),
            (NATIVE, "https://elsewhere.example/callback", false),
            ("unknown", "http://127.0.0.1:1/callback", false),
        ] {
            assert_eq!(stage.accepts(client, uri), expected, "{client} {uri}");
        }
    }

    #[test]
    fn the_shown_configuration_has_no_warnings() {
        let place = |port: u16| format!("http://127.0.0.1:{port}");
        let stage = Stage::new(place(1), place(2), place(3));
        let checked = crate::config::load(&stage.config(), "demo.toml", 0).unwrap();
        assert_eq!(checked.warnings.to_string(), "");
    }
}
