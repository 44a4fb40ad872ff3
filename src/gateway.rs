//! What happens to a request.

use crate::policy::Rules;

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

/// Exact paths, prefix included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// RFC 6749 section 3.1.
    pub authorization: Vec<String>,
    /// Further pages that carry the same authorization request on.
    pub continuation: Vec<String>,
    /// RFC 6749 section 3.2.
    pub token: Vec<String>,
    /// RFC 8414 and OpenID Connect Discovery documents.
    pub metadata: Vec<String>,
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

/// Bounds on what is read of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a body at an intercepted endpoint.
    pub form_bytes: usize,
    /// Pairs in a query or body there.
    pub form_pairs: usize,
    /// Bytes of an upstream page that are read for a code.
    pub response_scan_bytes: usize,
    /// Requests at once per upstream.
    pub in_flight: usize,
}
