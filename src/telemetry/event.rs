//! The closed list of events.

#![expect(clippy::ref_option_ref, reason = "serde passes fields so")]

mod fields;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::oauth::{CodeChallengeMethod, Endpoint};
use crate::policy::Violation;

use super::decided::Decided;
use super::settings::Level;
use super::step::Step;
use super::upstream::Upstream;

/// Identifies a request in the log and on error pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The client's connection has accepted all of it.
    Complete,
    Client,
    ClientTimeout,
    Upstream,
    /// The upstream sent nothing for too long during its response.
    UpstreamTimeout,
    /// The gate needed the connection's place, or was stopped.
    Gate,
}

/// Something that happened.
///
/// Serialized for the log as it is: the name of the variant is `event`, and the fields of the variant are the fields of
/// the line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A request or a response was judged.
    Decision {
        request: RequestId,
        upstream: &'a Upstream,
        #[serde(serialize_with = "fields::endpoint")]
        endpoint: Endpoint,
        /// Which step of a sign-in the decision is about.
        #[serde(skip_serializing_if = "Step::is_other")]
        step: Step,
        #[serde(rename = "decision")]
        decided: Decided,
        /// The violation, unless allowed. The log also contains its [`Violation::reason`].
        #[serde(flatten, serialize_with = "fields::why")]
        violation: Option<&'a Violation>,
        /// The `client_id` in the request.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::client"
        )]
        client: Option<&'a str>,
        /// The challenge method of the request or of its sign-in.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::method"
        )]
        method: Option<CodeChallengeMethod>,
        /// The origin of the redirect URI in the request ([`crate::oauth::redirect::origin`]).
        #[serde(skip_serializing_if = "Option::is_none")]
        redirect_origin: Option<&'a str>,
        /// `upstream`, if the client gets the upstream's own code although its rule has handles: the response hashes the code.
        #[serde(skip_serializing_if = "Option::is_none")]
        codes: Option<&'static str>,
        /// The gate cannot tell to which sign-in the code of the request belongs, so that enforcement could have decided otherwise.
        #[serde(rename = "uncertain", skip_serializing_if = "is_false")]
        is_uncertain: bool,
        /// The code of a [`crate::policy::Hint`].
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
        /// The address of the client; behind a trusted proxy, the forwarded one.
        peer: &'a str,
    },
    /// In report mode: the upstream accepted a code that belongs to no sign-in which the gate knows. Enforcement would have refused it,
    /// unless it would have found the sign-in by the handle that only enforcement gives it.
    UnknownCodeAccepted {
        request: RequestId,
        upstream: &'a Upstream,
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::client"
        )]
        client: Option<&'a str>,
    },
    /// The response to a request has ended, or there will be none. One line per request, at `debug`.
    Answered {
        request: RequestId,
        upstream: &'a Upstream,
        #[serde(serialize_with = "fields::endpoint")]
        endpoint: Endpoint,
        /// A method that HTTP defines, or `other`.
        method: &'static str,
        /// The path without the query, and with possible secrets replaced.
        path: &'a str,
        /// Status of the response. `None`: the request ended before there was a response.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Bytes of the body that the client's connection has accepted.
        bytes: u64,
        ended: Ended,
        /// From the head of the request to the end of the response.
        #[serde(rename = "micros", serialize_with = "fields::micros")]
        took: Duration,
        /// The `client_id` in the request, if it was judged.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::client"
        )]
        client: Option<&'a str>,
        /// The address of the client, as in [`Event::Decision`].
        peer: &'a str,
    },
    /// No configured upstream matches the request.
    Misdirected {
        request: RequestId,
        /// The `Host` of the request, if it is valid; truncated and escaped.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        reason: &'static str,
        status: u16,
    },
    /// The upstream gave no response.
    UpstreamFailed {
        request: RequestId,
        upstream: &'a Upstream,
        /// [`crate::upstream::UpstreamError::label`].
        fault: &'static str,
        /// The error message, with its cause.
        cause: &'a str,
    },
    /// `browser_binding = "soft"`: a sign-in is continued in a different browser.
    OtherBrowser {
        request: RequestId,
        upstream: &'a Upstream,
    },
    /// A page contains the upstream's own origin, so the browser would bypass the gate.
    UpstreamOriginInBody {
        request: RequestId,
        upstream: &'a Upstream,
    },
    /// Clients refuse the metadata of this upstream: its issuer is not the URL under which the document is served (RFC 8414 section
    /// 3.3), or not the configured one. Logged once.
    IssuerMismatch {
        request: RequestId,
        upstream: &'a Upstream,
        /// The issuer in the document, truncated.
        #[serde(serialize_with = "fields::text")]
        issuer: &'a str,
        /// The path at which the document is served.
        path: &'a str,
    },
    /// The maximum number of requests to this upstream is in flight.
    Overloaded {
        request: RequestId,
        upstream: &'a Upstream,
    },
    /// A handler panicked; the request was answered with 500.
    Panicked,
    /// Something panicked, in a handler or elsewhere. The message is not logged, because it may contain anything.
    Panic {
        place: &'a str,
    },
    /// A library logged a warning or an error. Its message is not logged, because it may contain anything.
    Library {
        #[serde(skip)]
        level: Level,
        /// The module of the library.
        target: &'static str,
        /// The line in its source.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u32>,
    },
    /// Log lines were lost, and lines can be written again.
    LogLinesLost {
        /// The number of lines lost since the last such event.
        lines: u64,
    },
    ConnectionTimedOut {
        peer: SocketAddr,
    },
    /// A connection was closed because its place was needed, or its peer's share is used up.
    ConnectionSpared {
        peer: SocketAddr,
    },
    /// hyper refused a malformed request head itself. No part of it is logged, because it may contain anything.
    MalformedHead {
        peer: SocketAddr,
        reason: &'static str,
    },
    Listening {
        /// `server` or `admin`.
        what: &'static str,
        address: SocketAddr,
    },
    /// The limit on open files is lower than the configuration needs; lower limits on connections and requests apply.
    FewDescriptors {
        limit: usize,
        /// The number of open files that the configuration needs.
        needed: usize,
        /// The limit that applies instead of the configured `connections`.
        connections: usize,
        /// The limit that applies instead of the configured `in_flight`.
        in_flight: usize,
    },
    /// The system clock shows an impossible date, which is not used for exceptions.
    ClockInDoubt {
        /// The dates as they are written.
        shows: String,
        /// The date that is used instead, if any is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        holds: Option<String>,
    },
    /// The store of an upstream does not answer any more.
    StoreLost {
        upstream: &'a Upstream,
        problem: String,
    },
    /// It answers again.
    StoreBack {
        upstream: &'a Upstream,
    },
    /// A full Redis would remove records that are still valid.
    StoreEvicts {
        upstream: &'a Upstream,
        policy: String,
    },
    /// The clocks of two gates differ, or that of this machine has stepped back.
    ClocksDiffer {
        upstream: &'a Upstream,
    },
    /// A signal without a meaning here was ignored; by default it would end the process.
    SignalIgnored {
        signal: &'static str,
    },
    /// A changed configuration is in force.
    Reloaded {
        /// SHA-256 of the file, in hexadecimal.
        sha256: &'a str,
        /// The changed keys that need a restart; comma-separated.
        #[serde(skip_serializing_if = "str::is_empty")]
        needs_restart: &'a str,
    },
    /// The changed or requested configuration could not be loaded; the previous one stays in force.
    ReloadFailed {
        /// The problem, with file, line and column.
        problem: &'a str,
    },
    /// An upstream is in report mode after the day by which that was to end, or for thirty days without such a day. Logged once a day; after
    /// ninety days as an error.
    ReportModeLasts {
        upstream: &'a Upstream,
        /// Days since its requests are counted.
        days: u64,
        /// Whether these are ninety days.
        #[serde(skip)]
        is_long: bool,
        /// The day by which it was to end.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<&'a str>,
    },
    /// A client has sent nothing but good requests for so many days: it could be enforced.
    PromotionProposed {
        upstream: &'a Upstream,
        client: &'a str,
        /// As in the configuration.
        promote: &'a str,
    },
    /// A client has sent nothing but good requests for so many days, and is enforced from now on.
    ClientPromoted {
        upstream: &'a Upstream,
        client: &'a str,
        promote: &'a str,
    },
    /// A promoted client, or one whose promotion is proposed, sent a bad request. Logged at most once a day for each client.
    ClientDowngraded {
        upstream: &'a Upstream,
        client: &'a str,
        /// Whether it is enforced, so that the request was refused. `false`: the proposal is withdrawn.
        enforced: bool,
        /// Since when it is promoted or proposed, in RFC 3339.
        since: String,
    },
    /// The file with the counts of the review cannot be read.
    ReviewSnapshotUnreadable {
        problem: &'a str,
    },
    /// It cannot be written.
    ReviewSnapshotUnwritten {
        problem: &'a str,
    },
    /// The counts of the review cannot be shared with other gates. Logged once until they are shared again.
    ReviewUnshared {
        upstream: &'a Upstream,
        problem: String,
    },
    Draining {
        /// Maximum time for the remaining requests.
        limit_seconds: u64,
    },
    /// All requests have ended or were cut off.
    Stopped {
        /// The number of connections that were still open.
        cut_off: usize,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What the sinks need to know about an event, besides its fields.
#[derive(Debug)]
pub(super) struct About<'e> {
    pub(super) level: Level,
    /// For an event that clients can cause at any rate: its name, the upstream, and what else distinguishes similar
    /// events. Such events are counted, and their log lines are sampled. Decisions have more labels, and none here.
    pub(super) incident: Option<[&'e str; 3]>,
    /// What the operator should do about it.
    pub(super) hint: Option<&'static str>,
}

const FEW_DESCRIPTORS: &str = "raise the limit on open files: LimitNOFILE= in systemd, ulimits in Compose, ulimit -n in a shell";
const CLOCK_IN_DOUBT: &str = "correct the system clock: ended exceptions stay ended, and while the date is unknown no exception applies";
const REPORT_MODE_LASTS: &str = "no request of a client in report mode is refused: look at the review, write exceptions for the clients that would break, and then mode = \"enforce\"";
const REPORT_MODE_STAYS: &str = "for ninety days clients in report mode have not been protected: write exceptions for the clients that would break, and mode = \"enforce\" today";
const UNKNOWN_CODE_ACCEPTED: &str =
    "the causes, and what to do, are in the manual: Review, section Uncertain";
const PROMOTION_PROPOSED: &str =
    "paste what the review shows, or write promote = \"after …\" to let the gate do it";
const CLIENT_PROMOTED: &str =
    "to take it back, write mode = \"report\" in the [[upstream.client]] of this client";
const CLIENT_DOWNGRADED: &str = "an old version of the client sent the request, or another sender used its name: show its owner the violations in the review";
const UNREADABLE_SNAPSHOT: &str = "the file stays as it is, and the review counts from this start on: correct the file, or remove it with its promotions, and restart";
const UNWRITTEN_SNAPSHOT: &str = "correct the folder or its permissions; the gate tries again every minute, and a restart before that loses the counts";
const REVIEW_UNSHARED: &str =
    "the review has the counts of this gate alone until Redis answers; an ACL user needs +hscan";
const SIGNAL_IGNORED: &str = "SIGHUP reloads the configuration, SIGTERM stops the gate";
const ISSUER_MISMATCH: &str = "public_url has to be the server's own public URL, and issuer, if it is written, the one in its metadata";

/// A warning about an upstream, for an event that clients can cause.
fn warning<'e>(kind: &'e str, upstream: &'e Upstream) -> About<'e> {
    About {
        level: Level::Warn,
        incident: Some([kind, upstream.name(), ""]),
        hint: None,
    }
}

impl Event<'_> {
    pub(super) fn about(&self) -> About<'_> {
        let about = |level, incident, hint| About {
            level,
            incident,
            hint,
        };
        let plain = |level| about(level, None, None);
        let incident = |level, labels| about(level, Some(labels), None);
        let hinted = |level, hint| about(level, None, Some(hint));
        match self {
            Self::Panic { .. } => plain(Level::Error),
            Self::Decision {
                decided: Decided::Reported | Decided::Refused,
                ..
            }
            | Self::LogLinesLost { .. } => plain(Level::Warn),
            Self::Decision {
                decided: Decided::Allowed,
                ..
            }
            | Self::Listening { .. }
            | Self::Reloaded { .. }
            | Self::StoreBack { .. }
            | Self::Draining { .. }
            | Self::Stopped { .. } => plain(Level::Info),
            Self::Answered { .. } => plain(Level::Debug),
            Self::Misdirected { reason, .. } => incident(Level::Warn, ["misdirected", "", reason]),
            Self::UpstreamFailed {
                upstream, fault, ..
            } => incident(Level::Error, ["upstream_failed", upstream.name(), fault]),
            Self::OtherBrowser { upstream, .. } => warning("other_browser", upstream),
            Self::UnknownCodeAccepted { upstream, .. } => About {
                hint: Some(UNKNOWN_CODE_ACCEPTED),
                ..warning("unknown_code_accepted", upstream)
            },
            Self::UpstreamOriginInBody { upstream, .. } => {
                warning("upstream_origin_in_body", upstream)
            }
            Self::IssuerMismatch { upstream, .. } => About {
                hint: Some(ISSUER_MISMATCH),
                ..warning("issuer_mismatch", upstream)
            },
            Self::Overloaded { upstream, .. } => warning("overloaded", upstream),
            Self::Panicked => incident(Level::Error, ["panicked", "", ""]),
            Self::Library { level, target, .. } => incident(*level, ["library", "", target]),
            Self::ConnectionTimedOut { .. } => {
                incident(Level::Debug, ["connection_timed_out", "", ""])
            }
            Self::ConnectionSpared { .. } => incident(Level::Debug, ["connection_spared", "", ""]),
            Self::MalformedHead { reason, .. } => {
                incident(Level::Warn, ["malformed_head", "", reason])
            }
            Self::FewDescriptors { .. } => hinted(Level::Warn, FEW_DESCRIPTORS),
            Self::ClockInDoubt { .. } => hinted(Level::Warn, CLOCK_IN_DOUBT),
            Self::StoreLost { .. } => hinted(
                Level::Error,
                "requests that need the store are refused with 503 until it answers",
            ),
            Self::StoreEvicts { .. } => hinted(
                Level::Warn,
                "set maxmemory-policy noeviction: a removed claim ends a sign-in, a removed sign-in cannot continue",
            ),
            Self::ClocksDiffer { .. } => hinted(
                Level::Warn,
                "synchronise the clocks of all gates: sign-ins from more than a minute ahead are refused",
            ),
            Self::SignalIgnored { .. } => hinted(Level::Warn, SIGNAL_IGNORED),
            Self::ReportModeLasts { is_long: true, .. } => hinted(Level::Error, REPORT_MODE_STAYS),
            Self::ReportModeLasts { is_long: false, .. } => hinted(Level::Warn, REPORT_MODE_LASTS),
            Self::PromotionProposed { .. } => hinted(Level::Info, PROMOTION_PROPOSED),
            Self::ClientPromoted { .. } => hinted(Level::Info, CLIENT_PROMOTED),
            Self::ClientDowngraded { .. } => hinted(Level::Warn, CLIENT_DOWNGRADED),
            Self::ReviewSnapshotUnreadable { .. } => hinted(Level::Error, UNREADABLE_SNAPSHOT),
            Self::ReviewUnshared { .. } => hinted(Level::Warn, REVIEW_UNSHARED),
            Self::ReviewSnapshotUnwritten { .. } => hinted(Level::Error, UNWRITTEN_SNAPSHOT),
            Self::ReloadFailed { .. } => hinted(
                Level::Error,
                "the previous configuration stays in force; pkce-gate check reports all problems",
            ),
        }
    }
}
