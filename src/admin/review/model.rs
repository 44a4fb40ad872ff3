//! The document of the review.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The document `/review.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Review {
    /// When it was made, in RFC 3339.
    pub(crate) generated: String,
    /// The version of pkce-gate.
    pub(crate) version: String,
    pub(crate) upstreams: Vec<Upstream>,
}

/// The review of one upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// The mode of clients without an exception.
    pub(crate) mode: String,
    /// Whose counts these are. `None`: this gate's; no store is shared.
    pub(crate) gates: Option<Gates>,
    pub(crate) control: Control,
    /// Controls beside this one, observed only.
    pub(crate) also_seen: Vec<AlsoSeen>,
    pub(crate) headline: Headline,
    /// The last 30 days, the oldest first.
    pub(crate) days: Vec<Daily>,
    pub(crate) promotion: Ratchet,
    pub(crate) routes: Routes,
    /// The clients that need attention first.
    pub(crate) clients: Vec<Reviewed>,
}

/// The gates that share a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gates {
    /// Those with counts, now or in the last month.
    pub(crate) counted: usize,
    /// `false`: Redis does not answer, so these are the counts of one gate; or some counts are `unreadable`.
    pub(crate) is_complete: bool,
    /// Counts that were sealed with a key that this gate does not have, or for another public URL.
    pub(crate) unreadable: usize,
}

impl Gates {
    /// In one sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Self { unreadable, .. } if *unreadable > 0 => format!(
                "{} of other gates cannot be read: sealed with another key, or for another public_url",
                counted(*unreadable, "count")
            ),
            Self {
                is_complete: false, ..
            } => "Counts of this gate alone: the store in Redis does not answer".to_owned(),
            Self { counted: 1, .. } => {
                "Counts of one gate; no other gate with its store has counts".to_owned()
            }
            Self { counted, .. } => {
                format!("Counts of {counted} gates, the others' up to a minute old")
            }
        }
    }
}

/// A number of things, such as `1 client` or `2 clients`.
pub(super) fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(
    number: N,
    thing: &str,
) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// What the page says first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Headline {
    /// In one sentence.
    pub(crate) text: String,
    /// Rows with a sign-in, and configured clients.
    pub(crate) clients: usize,
    /// Clients that cannot be judged for certain.
    pub(crate) uncertain: usize,
    /// Origins to which the server sends codes without a request.
    pub(crate) server_initiated: usize,
    pub(crate) ready: usize,
    pub(crate) would_break: usize,
    pub(crate) could_be_required: usize,
    pub(crate) not_seen: usize,
    pub(crate) exempt: usize,
    /// In the last seven days.
    pub(crate) sign_ins: u32,
    /// Those that were refused.
    pub(crate) failed: u32,
    /// Those that fail if every client is enforced.
    pub(crate) failing: u32,
}

/// The sign-ins of one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Daily {
    /// As in `2026-11-29`, in UTC.
    pub(crate) day: String,
    pub(crate) sign_ins: u32,
    pub(crate) failing: u32,
}

/// The promotion of clients from report to enforce.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratchet {
    /// As in the configuration.
    pub(crate) promote: String,
    pub(crate) proposed: usize,
    pub(crate) enforced: usize,
    /// The TOML that enforces the proposed clients.
    pub(crate) to_paste: Option<String>,
    /// Clients whose requests are refused as soon as one client is enforced, because they may be of any client. The first ones.
    pub(crate) waits_for: Vec<String>,
}

impl Ratchet {
    /// Why no client is promoted, in one sentence. `None`: nothing is in the way.
    pub(crate) fn waiting(&self) -> Option<String> {
        let is_proposal = self.promote.starts_with("propose");
        let effect = if is_proposal {
            "enforcing any client refuses them"
        } else {
            "no client is promoted until they are gone"
        };
        (!self.waits_for.is_empty()).then(|| {
            format!("Some requests have a request object, or a request_uri that was not pushed, so they may be of any client: {effect}")
        })
    }
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Client,
    /// Requests that name no client.
    None,
    /// Further clients with one redirect origin.
    Origin,
    /// Codes that the server sends to this origin without a request.
    Unrequested,
    /// All others.
    Others,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reviewed {
    /// The `client_id`, or the redirect origin of several clients.
    pub(crate) client_id: String,
    pub(crate) kind: Kind,
    pub(crate) verdict: Verdict,
    /// Why, in one sentence.
    pub(crate) why: String,
    pub(crate) mode: String,
    pub(crate) exception: Option<Exception>,
    pub(crate) promotion: Option<Promotion>,
    /// Times in RFC 3339.
    pub(crate) first_seen: Option<String>,
    pub(crate) last_seen: Option<String>,
    pub(crate) last_good: Option<String>,
    pub(crate) last_bad: Option<String>,
    /// The first good sign-in after the last bad one.
    pub(crate) mended_since: Option<String>,
    /// When a client that would break is ready, because good sign-ins follow.
    pub(crate) waits_until: Option<String>,
    /// The origin of the redirect URI with which it was first seen.
    pub(crate) redirect_origin: Option<String>,
    pub(crate) authorization: Authorization,
    pub(crate) redemption: Redemption,
    /// The hints that fit to its requests, the latest first. Those from before it was mended are left out.
    pub(crate) hints: Vec<String>,
    /// In the last seven days.
    pub(crate) sign_ins: u32,
    pub(crate) failed: u32,
    pub(crate) failing: u32,
}

impl Reviewed {
    /// Whether it is enforced before its upstream is.
    pub(crate) fn is_promoted(&self) -> bool {
        let promotion = self.promotion.as_ref();
        promotion.is_some_and(|promotion| promotion.state == Promoted::Enforced)
    }
}

/// Authorization requests of the last 30 days by their challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) s256: u32,
    pub(crate) plain: u32,
    pub(crate) malformed: u32,
    pub(crate) none: u32,
}

impl Authorization {
    /// Whether there was one.
    pub(super) fn any(&self) -> bool {
        [self.s256, self.plain, self.malformed, self.none] != [0; 4]
    }
}

/// Token requests with a code that were allowed, and all violations by their code; of the last 30 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Redemption {
    pub(crate) verified: u32,
    pub(crate) unverified: u32,
    /// Codes of which the gate cannot tell to which sign-in they belong.
    pub(crate) uncertain: u32,
    pub(crate) violations: BTreeMap<String, u32>,
}

/// The exception in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exception {
    /// Its last day.
    pub(crate) until: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) reason: Option<String>,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
}

/// A client that has sent nothing but good requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Promotion {
    pub(crate) state: Promoted,
    /// In RFC 3339.
    pub(crate) since: String,
    /// Whether it sent a bad request in the last day.
    pub(crate) is_downgraded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promoted {
    Proposed,
    Enforced,
}

/// The state of the control for one upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) name: String,
    pub(crate) recommended: String,
    pub(crate) state: State,
    pub(crate) risk: String,
    pub(crate) cvss: Cvss,
    pub(crate) why: String,
    /// What the state follows from, one sentence each.
    pub(crate) evidence: Vec<String>,
    pub(crate) remediation: String,
    pub(crate) clauses: Vec<Clause>,
}

/// The paths beside the endpoints that were requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Routes {
    /// Patterns for `[upstream.routes] allow`, with those that are configured.
    pub(crate) allow: Vec<String>,
    /// Whether nothing was left out: there were too many, or only a pattern of all paths would fit.
    pub(crate) is_complete: bool,
    /// Whether other paths are refused already.
    pub(crate) denies: bool,
    /// The table to paste; empty if there is no path.
    pub(crate) toml: String,
}

/// Something that the same traffic shows beside PKCE, and that the gate does not control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlsoSeen {
    pub(crate) code: String,
    pub(crate) name: String,
    /// The section that advises against it.
    pub(crate) section: String,
    /// Since the counts began.
    pub(crate) number: u32,
    /// Times in RFC 3339.
    pub(crate) first_seen: Option<String>,
    pub(crate) last_seen: Option<String>,
    /// Those with most requests.
    pub(crate) clients: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Met,
    /// For most clients: there are exceptions.
    Partly,
    NotMet,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Partly => "partly met",
            Self::NotMet => "not met",
        })
    }
}

/// The range of base scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cvss {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// A requirement of a specification that the control answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clause {
    pub(crate) name: String,
    pub(crate) is_met: bool,
}

/// The verdict on a client, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    WouldBreak,
    /// The gate cannot tell whether enforcement would refuse its sign-ins.
    Uncertain,
    /// The server sends codes without a request, which enforcement refuses.
    ServerInitiated,
    /// It has an exception.
    Exempt,
    /// It sends PKCE always, and its rule does not require that.
    CouldBeRequired,
    Ready,
    NotSeen,
}

impl Verdict {
    pub(crate) const ALL: [Self; 7] = [
        Self::WouldBreak,
        Self::Uncertain,
        Self::ServerInitiated,
        Self::Exempt,
        Self::CouldBeRequired,
        Self::Ready,
        Self::NotSeen,
    ];

    /// As in the document.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::WouldBreak => "would_break",
            Self::Uncertain => "uncertain",
            Self::ServerInitiated => "server_initiated",
            Self::Exempt => "exempt",
            Self::CouldBeRequired => "could_be_required",
            Self::Ready => "ready",
            Self::NotSeen => "not_seen",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBreak => "would break",
            Self::Uncertain => "uncertain",
            Self::ServerInitiated => "server-initiated",
            Self::Exempt => "exempt",
            Self::CouldBeRequired => "could be required",
            Self::Ready => "ready",
            Self::NotSeen => "not seen",
        })
    }
}
