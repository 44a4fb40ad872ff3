//! The settings of the gateway for one upstream.

use std::fmt;

use crate::oauth::CodeKind;
use crate::policy::{Mode, Rule, Rules};
use crate::route::{CodeInJson, Endpoints, RoutePolicy, Territory};

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
    /// The day by which the upstream is to be enforced, in days since 1970-01-01 UTC (`report_until`).
    pub report_until: Option<u64>,
    pub promote: Promote,
    pub entry: Entry,
    pub correlation: Correlation,
    /// The JSON answers with codes.
    pub code_in_json: Vec<CodeInJson>,
    pub browser_binding: BrowserBinding,
    pub to_upstream: ToUpstream,
    /// Whether server metadata is rewritten to describe what the gate enforces.
    pub rewrite_metadata: bool,
    /// The configured issuer. `None`: it is learned from metadata and answers.
    pub issuer: Option<String>,
    /// How metadata is served if the upstream has none.
    pub synthesis: Option<Synthesis>,
}

/// The metadata of an upstream that has none (`synthesize`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthesis {
    /// The configured issuer, else the public origin.
    pub issuer: String,
    /// The paths of its document (RFC 8414).
    pub paths: Vec<String>,
    /// The paths at which the upstream may have a document from which this one is derived: the same at the other path, or `OpenID`
    /// metadata.
    pub sources: Vec<String>,
    /// How clients authenticate at the token endpoint.
    pub auth_methods: Vec<String>,
}

impl Settings {
    /// Whether the gate adds `iss` (RFC 9207) to every answer with a code or an error, so that metadata may promise it. This must
    /// not depend on what a process has learned, because its replicas and successors have to keep the promise. So the issuer has
    /// to be configured, and all answers have to be rewritten.
    pub fn adds_issuer(&self) -> bool {
        let is_off = |rule: &Rule| rule.mode == Mode::Off;
        let mut clients = self.rules.clients();
        self.synthesis.is_some()
            && self.issuer.is_some()
            && !self.rules.any_upstream_codes()
            && !is_off(self.rules.default_rule())
            && !clients.any(|client| is_off(&client.rule) || is_off(&client.afterwards))
    }

    /// Whether the gate enforces clients by itself.
    pub(crate) fn is_promoting(&self) -> bool {
        matches!(self.promote, Promote::Enforce { .. })
    }

    /// The kinds of codes that may be bound.
    pub(crate) fn code_kinds(&self) -> &'static [CodeKind] {
        if self.endpoints.device_authorization.is_empty() {
            &[CodeKind::Authorization]
        } else {
            &CodeKind::AT_TOKEN
        }
    }

    /// Whether the answers to requests for this path may have a code in JSON.
    pub(crate) fn has_code_in_json(&self, path: &str) -> bool {
        self.code_in_json.iter().any(|place| place.is_at(path))
    }

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

/// What happens to a client in report mode that has sent nothing but good requests for some days (`promote`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promote {
    Off,
    /// The review and the log propose to enforce it.
    Propose {
        days: u64,
    },
    /// It is enforced.
    Enforce {
        days: u64,
    },
}

/// As in the configuration.
impl fmt::Display for Promote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Propose { days } => write!(f, "propose after {days}d"),
            Self::Enforce { days } => write!(f, "after {days}d"),
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

/// How an answer of the upstream is recognised as that of a sign-in (`correlation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correlation {
    /// By its `state`.
    State,
    /// By a cookie of the browser: the client's `state` does not reach the server, or not unchanged.
    Cookie,
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
