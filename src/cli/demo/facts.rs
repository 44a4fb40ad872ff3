//! What everybody in the demonstration knows beforehand: the one user, the clients, the paths, and who is where.

use super::ledger::Party;

/// The one user.
pub(super) const USER: &str = "alice";
/// No secret: the login form says it.
pub(super) const PASSWORD: &str = "pass";
pub(super) const AUTHORIZE: &str = "/oauth/authorize";
pub(super) const TOKEN: &str = "/oauth/token";
pub(super) const METADATA: &str = "/.well-known/oauth-authorization-server";
/// The application.
pub(super) const CLIENT: &str = "demo-app";
/// A client that the attacker has registered: to be some client does not protect.
pub(super) const ATTACKER: &str = "attacker-app";

/// Who is where: origins without a slash at their end.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) page: String,
    pub(super) gate: String,
    pub(super) upstream: String,
    pub(super) callback: String,
    pub(super) attacker_callback: String,
}

impl Places {
    /// Whose URL it is.
    pub(super) fn party(&self, url: &str) -> Party {
        if url.starts_with(&self.gate) {
            Party::Gate
        } else if url.starts_with(&self.upstream) {
            Party::Upstream
        } else {
            Party::Application
        }
    }

    /// Whether this `Host` is the gate's: it hands on the one that the client asked for.
    pub(super) fn is_gate(&self, host: &str) -> bool {
        self.gate.strip_prefix("http://") == Some(host)
    }
}
