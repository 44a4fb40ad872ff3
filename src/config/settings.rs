//! What a configuration says, once it has been read.

use super::problem::Problems;
use crate::{admin, gateway, telemetry};

/// A configuration that was checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]` and the part of `[limits]` that concerns connections.
    pub server: crate::server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[limits]`.
    pub limits: gateway::Limits,
    /// `[store]`.
    pub store: crate::store::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[[upstream]]`, in order.
    pub upstreams: Vec<Upstream>,
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
