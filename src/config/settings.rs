//! What a configuration says, once it has been read.

use super::problem::Problems;
use crate::{admin, gateway, http, telemetry};

/// A configuration that was checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]` and the part of `[limits]` that concerns connections.
    pub server: crate::server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[limits]`.
    pub limits: http::Limits,
    /// `[store]`.
    pub store: crate::store::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[[upstream]]`, in order.
    pub upstreams: Vec<Upstream>,
}

impl Config {
    /// What cannot change while the gate runs: the name of each key, and its value.
    pub fn fixed(&self) -> [(&'static str, String); 4] {
        let listen: Vec<String> = self.server.listen.iter().map(ToString::to_string).collect();
        [
            ("server.listen", listen.join(", ")),
            ("server.workers", self.server.workers.to_string()),
            ("admin.listen", self.admin.listen.to_string()),
            // There is no other kind yet.
            ("store.kind", "memory".to_owned()),
        ]
    }
}

/// One `[[upstream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub connection: crate::upstream::Settings,
    /// What happens to its requests.
    pub gateway: gateway::Settings,
}

/// A configuration to start with.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What it says.
    pub config: Config,
    /// What somebody should know about it.
    pub warnings: Problems,
}
