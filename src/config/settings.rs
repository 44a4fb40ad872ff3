//! The settings that result from a valid configuration.

use super::problem::Problems;
use crate::{admin, gateway, http, telemetry};

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]` and the part of `[limits]` that concerns connections.
    pub server: crate::server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// The other files that it names (CA certificates, keys, a password), as they were read.
    pub(crate) files: Vec<super::NamedFile>,
    /// `[limits]`.
    pub limits: http::Limits,
    /// `[store]`.
    pub store: crate::store::Settings,
    /// `store.kind`, and what depends on it.
    pub(crate) kind: crate::store::Kind,
    /// `[review]`.
    pub review: telemetry::tally::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[[upstream]]`, in order.
    pub upstreams: Vec<Upstream>,
}

impl Config {
    /// The name and value of each key that cannot change while the gate runs.
    pub fn fixed(&self) -> [(&'static str, String); 4] {
        let listen: Vec<String> = self.server.listen.iter().map(ToString::to_string).collect();
        [
            ("server.listen", listen.join(", ")),
            ("server.workers", self.server.workers.to_string()),
            ("admin.listen", self.admin.listen.to_string()),
            (
                "review.snapshot",
                match &self.review.snapshot {
                    Some(file) => file.display().to_string(),
                    None => "none".to_owned(),
                },
            ),
        ]
    }
}

/// One `[[upstream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// How to connect to it.
    pub connection: crate::upstream::Settings,
    /// How its requests are processed.
    pub gateway: gateway::Settings,
}

/// A valid configuration with its warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The settings.
    pub config: Config,
    /// The warnings, for the operator.
    pub warnings: Problems,
}
