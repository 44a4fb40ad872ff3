//! The settings of the gateway for one upstream.

use crate::policy::{Mode, Rules};
use crate::route::{Endpoints, RoutePolicy, Territory};

/// The settings of the gateway for one upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The name in events and metrics. It is also the key of the handles.
    pub name: String,
    /// Host values (`name` or `name:port`, lower case); empty: any.
    pub hosts: Vec<String>,
    /// Paths that belong to this upstream; `/` or `/something` without a trailing slash.
    pub prefix: String,
    /// The origin that clients use: `scheme://authority`, without a path.
    pub public_origin: String,
    /// Whether to forward the client's Host instead of the upstream's own.
    pub preserve_host: bool,
    /// The paths of the endpoints, exact, with the prefix.
    pub endpoints: Endpoints,
    /// The treatment of paths that are not endpoints.
    pub routes: RoutePolicy,
    /// The rules of the clients.
    pub rules: Rules,
    pub entry: Entry,
    pub browser_binding: BrowserBinding,
    pub to_upstream: ToUpstream,
    /// Whether server metadata is rewritten to describe what the gate enforces.
    pub rewrite_metadata: bool,
    /// The configured issuer. `None`: it is learned from metadata and answers.
    pub issuer: Option<String>,
}

impl Settings {
    /// The hosts and paths that the router needs.
    pub fn territory(&self) -> Territory {
        Territory {
            hosts: self.hosts.clone(),
            prefix: self.prefix.clone(),
            endpoints: self.endpoints.clone(),
            enforces: self.rules.default_rule().mode == Mode::Enforce,
        }
    }
}

/// The answer to a fresh authorization request (`entry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// 303 to the same path, with the handle as `state`.
    Redirect,
    /// No redirect: the request is rewritten and forwarded.
    Rewrite,
}

/// The treatment of a sign-in that continues in another browser (`browser_binding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserBinding {
    /// No cookie is set.
    Off,
    /// Another browser is logged.
    Soft,
    /// Another browser is refused.
    Hard,
}

/// The PKCE parameters that the upstream gets (`to_upstream`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToUpstream {
    /// Challenge and verifier.
    Forward,
    /// None.
    Strip,
    /// A pair of the gate's own for each sign-in, whatever the client sends.
    Replace,
}
