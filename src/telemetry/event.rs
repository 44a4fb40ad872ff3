//! The closed list of what can happen.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::calendar::Doubt;
use crate::oauth::{CodeChallengeMethod, Endpoint as EndpointKind};
use crate::policy::Violation;

use super::Upstream;

/// Names one request in the log and on error pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: it is on every line, and fmt's padding costs as much as the rest of the line.
        let mut text = [0; 16];
        let nibbles = (0..u64::BITS).step_by(4).rev();
        for (digit, shift) in text.iter_mut().zip(nibbles) {
            let nibble = u8::try_from(self.0 >> shift & 0xf).unwrap_or_default();
            *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decided {
    /// Nothing is wrong.
    Allowed,
    /// It would have been refused.
    Reported,
    /// Refused.
    Refused,
}

impl Decided {
    /// For logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Reported => "reported",
            Self::Refused => "refused",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A request or an answer was judged.
    Decision {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
        /// Which part of the walk.
        endpoint: EndpointKind,
        /// The outcome.
        decided: Decided,
        /// Why, unless allowed. The log tells its [`Violation::reason`], too.
        violation: Option<&'a Violation>,
        /// As the request names it.
        client: Option<&'a str>,
        /// How its challenge is made, or that of its sign-in.
        method: Option<CodeChallengeMethod>,
        /// Of the redirect URI that the request names ([`crate::oauth::redirect::origin`]).
        redirect_origin: Option<&'a str>,
        /// The address that the request came from; behind a trusted proxy, the one that it was forwarded for.
        peer: &'a str,
    },
    /// A request was answered.
    Answered {
        /// Which request.
        request: RequestId,
        /// To whom.
        upstream: &'a Upstream,
        /// Which part of the walk.
        endpoint: EndpointKind,
        /// Status of the response.
        status: u16,
        /// From the request's head to the response's.
        took: Duration,
    },
    /// A request met no upstream at all.
    Misdirected {
        /// Which request.
        request: RequestId,
        /// The `Host` that it names, if that is one; cut and escaped.
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
    ClockInDoubt(Doubt),
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
        limit: Duration,
    },
    /// All requests have ended, or were cut off.
    Stopped {
        /// Connections that were still open at the end.
        cut_off: usize,
    },
}
