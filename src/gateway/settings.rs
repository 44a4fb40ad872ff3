//! What can be configured of one upstream, as far as the gateway goes.

use crate::policy::{Mode, Rules};
use crate::route::{Endpoints, RoutePolicy, Territory};

/// Everything about one upstream that the gateway has to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// For events, metrics and handles.
    pub name: String,
    /// Host values (`name` or `name:port`, lower case); empty: any.
    pub hosts: Vec<String>,
    /// Paths that belong to this upstream; `/` or `/something` without a trailing slash.
    pub prefix: String,
    /// How clients reach it: `scheme://authority`, without a path.
    pub public_origin: String,
    /// Send the client's Host on, or the upstream's own.
    pub preserve_host: bool,
    /// Exact paths, prefix included.
    pub endpoints: Endpoints,
    /// What happens to paths that are no endpoint.
    pub routes: RoutePolicy,
    /// Who is judged how.
    pub rules: Rules,
    /// What a fresh authorization request is answered with.
    pub entry: Entry,
    /// What is done about a sign-in that is continued in another browser.
    pub browser_binding: BrowserBinding,
    /// What the upstream sees of PKCE.
    pub to_upstream: ToUpstream,
    /// Whether metadata is made to tell the truth.
    pub rewrite_metadata: bool,
    /// The issuer, when the operator states it; else it is learned from metadata.
    pub issuer: Option<String>,
}

impl Settings {
    /// Where it is.
    pub fn territory(&self) -> Territory<'_> {
        Territory {
            hosts: &self.hosts,
            prefix: &self.prefix,
            endpoints: &self.endpoints,
            enforces: self.rules.default_rule().mode == Mode::Enforce,
        }
    }
}

/// `entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// 303 to the same path with the handle as `state`.
    Redirect,
    /// Forwarded in place.
    Rewrite,
}

/// `browser_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserBinding {
    /// No cookie.
    Off,
    /// Another browser is an event.
    Soft,
    /// Another browser is refused.
    Hard,
}

/// `to_upstream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToUpstream {
    /// Challenge and verifier go on.
    Forward,
    /// The upstream sees nothing of PKCE.
    Strip,
}
