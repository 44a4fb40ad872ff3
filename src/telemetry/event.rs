//! The closed list of what can happen.

#![expect(clippy::ref_option_ref, reason = "serde passes fields so")]

mod fields;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clock::calendar::Doubt;
use crate::oauth::{CodeChallengeMethod, Endpoint};
use crate::policy::Violation;

use super::decided::Decided;
use super::settings::Level;
use super::upstream::Upstream;

/// Names one request in the log and on error pages.
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

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The client's connection has all of it.
    Complete,
    /// The client went away.
    Client,
    /// The client was too slow.
    ClientTimeout,
    /// The upstream broke off its answer.
    Upstream,
    /// The upstream was silent for too long in the middle of its answer.
    UpstreamTimeout,
    /// The gate needed the connection's place, or was stopped.
    Gate,
}

/// One thing that happened.
///
/// The log writes it as it stands here: the name of the variant is `event`, and the names of the fields are those of the line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A request or an answer was judged.
    Decision {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
        /// Which part of the walk.
        #[serde(serialize_with = "fields::endpoint")]
        endpoint: Endpoint,
        /// The outcome.
        #[serde(rename = "decision")]
        decided: Decided,
        /// Why, unless allowed. The log tells its [`Violation::reason`], too.
        #[serde(flatten, serialize_with = "fields::why")]
        violation: Option<&'a Violation>,
        /// As the request names it.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::client"
        )]
        client: Option<&'a str>,
        /// How its challenge is made, or that of its sign-in.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::method"
        )]
        method: Option<CodeChallengeMethod>,
        /// Of the redirect URI that the request names ([`crate::oauth::redirect::origin`]).
        #[serde(skip_serializing_if = "Option::is_none")]
        redirect_origin: Option<&'a str>,
        /// The address that the request came from; behind a trusted proxy, the one that it was forwarded for.
        peer: &'a str,
    },
    /// The response to a request has ended, or there will be none: a line for each request, at `debug`.
    Answered {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
        /// Which part of the walk.
        #[serde(serialize_with = "fields::endpoint")]
        endpoint: Endpoint,
        /// One of those that HTTP defines, or `other`.
        method: &'static str,
        /// Without the query, and without what may be a secret.
        path: &'a str,
        /// Status of the response. `None`: the request ended before there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Bytes of the body that the client's connection has taken.
        bytes: u64,
        /// How.
        ended: Ended,
        /// From the request's head to that end.
        #[serde(rename = "micros", serialize_with = "fields::micros")]
        took: Duration,
        /// As the request names it, where it was judged.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "fields::client"
        )]
        client: Option<&'a str>,
        /// As in [`Event::Decision`].
        peer: &'a str,
    },
    /// A request met no upstream at all.
    Misdirected {
        /// Which request.
        request: RequestId,
        /// The `Host` that it names, if that is one; cut and escaped.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        /// Why.
        reason: &'static str,
        /// Status of the response.
        status: u16,
    },
    /// The upstream gave no answer.
    UpstreamFailed {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
        /// [`crate::upstream::UpstreamError::label`].
        fault: &'static str,
        /// The same in words, and why.
        cause: &'a str,
    },
    /// `browser_binding = "soft"`: a sign-in is continued in another browser.
    OtherBrowser {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
    },
    /// A page names the upstream's own origin: the browser would leave the gate.
    UpstreamOriginInBody {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
    },
    /// The gate has no more places for requests to this upstream.
    Overloaded {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
    },
    /// A handler panicked; the request got a 500.
    Panicked,
    /// Something panicked, in a handler or elsewhere. Its words are not told: they may hold anything.
    Panic {
        /// File and line.
        place: &'a str,
    },
    /// A library warns of something. Its words are not told either.
    Library {
        /// What it says how bad it is.
        #[serde(skip)]
        level: Level,
        /// Which part of which library.
        target: &'static str,
        /// Where in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u32>,
    },
    /// The log can be written again.
    LogLinesLost {
        /// How many lines are missing since the last such line.
        lines: u64,
    },
    /// A connection ran out of time.
    ConnectionTimedOut {
        /// The peer.
        peer: SocketAddr,
    },
    /// A connection was closed because its place was needed, or because its peer has its share of them.
    ConnectionSpared {
        /// The peer.
        peer: SocketAddr,
    },
    /// A head that hyper answers by itself: nobody has seen a request. Nothing of it is told: it may be anything.
    MalformedHead {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// A listener is open.
    Listening {
        /// `server` or `admin`.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// Fewer files may be open than the limits need; fewer connections and requests are let in.
    FewDescriptors {
        /// How many there are.
        limit: usize,
        /// How many the limits need.
        needed: usize,
        /// In place of the configured `connections`.
        connections: usize,
        /// In place of the configured `in_flight`.
        in_flight: usize,
    },
    /// The machine's clock shows a day that cannot be; exceptions do not end or begin by it.
    ClockInDoubt(#[serde(serialize_with = "fields::days")] Doubt),
    /// A signal came that means nothing here, and would end a process that does not expect it.
    SignalIgnored {
        /// Its name.
        signal: &'static str,
    },
    /// Another configuration is in force.
    Reloaded {
        /// SHA-256 of the file, in hex.
        sha256: &'a str,
        /// Keys that were changed, and need a restart; comma-separated.
        #[serde(skip_serializing_if = "str::is_empty")]
        needs_restart: &'a str,
    },
    /// The file has changed, or a reload was asked for, and what is in force stays so.
    ReloadFailed {
        /// What is wrong, with file, line and column.
        problem: &'a str,
    },
    /// SIGTERM came.
    Draining {
        /// How long requests may still take.
        #[serde(rename = "limit_seconds", serialize_with = "fields::seconds")]
        limit: Duration,
    },
    /// All requests have ended, or were cut off.
    Stopped {
        /// Connections that were still open at the end.
        cut_off: usize,
    },
}

impl Event<'_> {
    /// From which level on it is written.
    pub(super) fn level(&self) -> Level {
        match self {
            Self::UpstreamFailed { .. }
            | Self::Panicked
            | Self::Panic { .. }
            | Self::ReloadFailed { .. } => Level::Error,
            Self::Decision {
                decided: Decided::Allowed,
                ..
            }
            | Self::Listening { .. }
            | Self::Reloaded { .. }
            | Self::Draining { .. }
            | Self::Stopped { .. } => Level::Info,
            Self::Answered { .. }
            | Self::ConnectionTimedOut { .. }
            | Self::ConnectionSpared { .. } => Level::Debug,
            Self::Library { level, .. } => *level,
            Self::Decision {
                decided: Decided::Reported | Decided::Refused,
                ..
            }
            | Self::Misdirected { .. }
            | Self::OtherBrowser { .. }
            | Self::UpstreamOriginInBody { .. }
            | Self::Overloaded { .. }
            | Self::MalformedHead { .. }
            | Self::LogLinesLost { .. }
            | Self::FewDescriptors { .. }
            | Self::ClockInDoubt(_)
            | Self::SignalIgnored { .. } => Level::Warn,
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        if let Self::FewDescriptors { .. } = self {
            return Some(
                "raise the limit of open files: LimitNOFILE= of systemd, ulimits of compose, ulimit -n of a shell",
            );
        }
        if let Self::ClockInDoubt(_) = self {
            return Some(
                "set the clock of this machine right: an exception that has ended stays so, and while no day is known none holds",
            );
        }
        if let Self::ReloadFailed { .. } = self {
            return Some(
                "the configuration that was in force stays in force; pkce-gate check shows all that is wrong",
            );
        }
        matches!(self, Self::SignalIgnored { .. })
            .then_some("SIGHUP reloads the configuration, SIGTERM ends the gate")
    }
}
