//! From `config.toml` to the settings of every component.

use crate::{admin, gateway, server, store, telemetry, upstream};

/// A configuration that was checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]` and the part of `[limits]` that concerns connections.
    pub server: server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[limits]`.
    pub limits: gateway::Limits,
    /// `[store]`.
    pub store: store::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[[upstream]]`, in order.
    pub upstreams: Vec<Upstream>,
}

/// One `[[upstream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub connection: upstream::Settings,
    /// What happens to its requests.
    pub gateway: gateway::Settings,
}
