//! Constants of the demonstration: the user, the clients, the paths, and the addresses.

use super::ledger::Party;

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

/// The addresses of all parties: origins without a trailing slash.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) page: String,
    pub(super) gate: String,
    pub(super) upstream: String,
    pub(super) callback: String,
    pub(super) attacker_callback: String,
}

impl Places {
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

    /// Whether the `Host` field is the gate's, which forwards the `Host` of the client.
    pub(super) fn is_gate(&self, host: &str) -> bool {
        self.gate.strip_prefix("http://") == Some(host)
    }
}
