//! The harness of the reliability tests: clients run whole flows through one or several gates in front of an upstream that does
//! not check PKCE, while a script causes faults. What the clients, the upstream and the gates saw are three ledgers, joined by
//! the identifiers of flows and requests. [`Report::check`] finds the contradictions between them:
//!
//! | | holds |
//! |---|---|
//! | I1 | a token is issued only to the verifier of that code's challenge, and to the same client and redirect URI |
//! | I2 | a code is redeemed at most once, and the upstream receives each POST at most once |
//! | I3 | every request that a client sends is received by the upstream, answered by the gate, or fails for the client to see |
//! | I4 | what passes at other paths is equal, byte for byte, but for the header fields that the gate declares to set |
//! | I5 | a flow that no fault touched ends in a token, and any other in a token or in a well-formed OAuth error;
//! |    | faults of the store do not touch requests at other paths |
//! | I6 | the decision log, the metrics and the other ledgers agree |
//! | I7 | no secret is in any output |
//! | I8 | after the faults a gate has no more memory, descriptors and threads than before them |
//!
//! A flow's client identifier is `flow7`, or `flow7-other` for an impostor; so the gate's log names the flow. Each request has
//! a field `X-Send` with its number, which the gate forwards, and the upstream's answers repeat it.

mod check;
mod client;
mod gates;
pub(crate) mod harness;
mod secrets;
mod transparency;
mod upstream;
mod usage;

use super::client::Authorization;
use super::http::Response;
use super::params::Params;
pub(crate) use usage::Usage;

/// The field with the number of a request.
pub(crate) const SEND: &str = "X-Send";

/// A moment: the number of events before it. Nothing in the ledgers depends on clocks.
pub(crate) type Tick = usize;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Honest,
    /// Redeems the code again after success, with the right verifier.
    Replay,
    // These try to redeem the code before the rightful client does.
    WrongVerifier,
    NoVerifier,
    OtherClient,
    OtherRedirectUri,
    /// Begins without a challenge.
    NoChallenge,
    /// Redeems its code that many times at once.
    Race(usize),
}

impl Kind {
    /// `count` flows: every kind in turn; the 21st is a race of 200.
    pub(crate) fn mix(count: usize) -> Vec<Self> {
        let mut kinds = [
            Self::Honest,
            Self::Replay,
            Self::WrongVerifier,
            Self::Honest,
            Self::NoVerifier,
            Self::OtherClient,
            Self::Honest,
            Self::OtherRedirectUri,
            Self::NoChallenge,
        ]
        .into_iter()
        .cycle();
        let kind = |number| {
            if number == 20 {
                Some(Self::Race(200))
            } else {
                kinds.next()
            }
        };
        (0..count).filter_map(kind).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    /// Its request, with its verifier.
    pub(crate) authorization: Authorization,
    pub(crate) begun: Tick,
    pub(crate) ended: Tick,
    pub(crate) end: End,
}

impl Flow {
    pub(crate) fn client(&self) -> &str {
        self.authorization
            .params
            .get("client_id")
            .unwrap_or_default()
    }
}

/// How a flow ended for its rightful client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Token(String),
    /// A well-formed OAuth error, or a page of the gate with an error status.
    Error(String),
    Malformed(String),
    /// No gate accepted a connection, or it ended before an answer began.
    Broken,
    /// The connection ended in the middle of an answer.
    Truncated,
    /// No answer within the deadline.
    Hung,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Authorize,
    Token,
    /// At a path that the gate does not protect.
    Elsewhere,
}

impl Step {
    /// Its method and path.
    fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Authorize => ("GET", "/authorize"),
            Self::Token => ("POST", "/token"),
            Self::Elsewhere => ("POST", "/api/things"),
        }
    }
}

/// A request that a client tried to send.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: usize,
    pub(crate) flow: usize,
    pub(crate) step: Step,
    /// The query of an authorization request, or the form of a token request; empty for others.
    pub(crate) params: Params,
    /// All its bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answer(Response),
    /// The connection was not accepted, so that nothing was sent.
    NotSent,
    /// It ended before the answer was complete; these bytes had arrived.
    Broken(Vec<u8>),
    Hung,
}

impl Outcome {
    /// Every byte that the client received.
    pub(crate) fn received(&self) -> &[u8] {
        match self {
            Self::Answer(response) => &response.raw,
            Self::Broken(bytes) => bytes,
            Self::NotSent | Self::Hung => b"",
        }
    }

    /// The number that the upstream's answer repeats; `None` if the gate answered.
    pub(crate) fn upstream_answered(&self) -> Option<usize> {
        match self {
            Self::Answer(response) => response.header("x-send")?.parse().ok(),
            Self::Broken(_) | Self::NotSent | Self::Hung => None,
        }
    }
}

/// A request that the upstream received. Without a number, it was not sent by a client of the harness.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) send: Option<usize>,
    pub(crate) method: String,
    pub(crate) path: String,
}

/// A request at another path that the upstream received, and its answer, byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) send: usize,
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// A code that the upstream issued in its answer to that request.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) code: String,
    pub(crate) send: usize,
}

/// A token that the upstream issued for that code, in its answer to that request.
#[derive(Clone, Debug)]
pub(crate) struct Redeemed {
    pub(crate) code: String,
    pub(crate) send: usize,
    pub(crate) token: String,
}

/// One run of a gate process.
#[derive(Clone, Debug, Default)]
pub(crate) struct GateRun {
    pub(crate) log: String,
    /// At the end. `None`: the process was stopped or killed before.
    pub(crate) metrics: Option<String>,
    /// It was killed, and its last log lines with it.
    pub(crate) was_killed: bool,
    /// Before the first fault, and at the end. `None` if it did not run all that time.
    pub(crate) usage: Option<[Usage; 2]>,
}

/// Where a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the store, or on the way to it: only requests that need a record are touched, and get well-formed answers.
    Store,
    /// At the upstream, or on the way to it: clients still get well-formed answers.
    Behind,
    /// At the upstream, whose answers break off after they have begun: so may those of the gate, even before their first byte.
    Answers,
    /// At a gate itself: clients may lose their connections.
    Gate,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Disturbance {
    pub(crate) place: Place,
    pub(crate) from: Tick,
    pub(crate) until: Tick,
}

/// Bytes that left the trusted side, or that others can read.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// In the order of their numbers.
    pub(crate) flows: Vec<Flow>,
    /// In the order of their numbers, which begin at 0.
    pub(crate) sends: Vec<Sent>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) issued: Vec<Issued>,
    pub(crate) redeemed: Vec<Redeemed>,
    pub(crate) passed: Vec<Passed>,
    pub(crate) gates: Vec<GateRun>,
    pub(crate) disturbances: Vec<Disturbance>,
    /// More outputs to search for secrets, such as everything that Redis stores.
    pub(crate) outputs: Vec<Output>,
}

/// A contradiction between the ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// `I1`, `I2`, …
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl Report {
    /// Every violation that the ledgers show. A test asserts that there is none.
    pub(crate) fn check(&self) -> Vec<Violation> {
        let found = [
            ("I1", check::safety(self)),
            ("I2", check::single_use(self)),
            ("I3", check::conservation(self)),
            ("I4", transparency::transparency(self)),
            ("I5", check::liveness(self)),
            ("I6", gates::honesty(self)),
            ("I7", secrets::secrecy(self)),
            ("I8", usage::bounds(self)),
        ];
        let violations = found.into_iter().flat_map(|(invariant, found)| {
            let violation = move |what| Violation { invariant, what };
            found.into_iter().map(violation)
        });
        violations.collect()
    }

    pub(crate) fn tokens(&self) -> usize {
        let is_token = |flow: &&Flow| matches!(flow.end, End::Token(_));
        self.flows.iter().filter(is_token).count()
    }

    /// Whether a fault was in force at some moment of the flow.
    fn is_disturbed(&self, flow: &Flow, by: impl Fn(Place) -> bool) -> bool {
        let overlaps = |it: &Disturbance| it.from <= flow.ended && flow.begun <= it.until;
        let mut disturbances = self.disturbances.iter().filter(|it| by(it.place));
        disturbances.any(overlaps)
    }

    /// The flow of a request.
    fn flow_of(&self, send: usize) -> Option<&Flow> {
        let id = self.sends.get(send)?.flow;
        let found = self.flows.binary_search_by_key(&id, |flow| flow.id);
        self.flows.get(found.ok()?)
    }

    /// The number of times that the upstream received each request.
    fn receipts(&self) -> Vec<usize> {
        let mut receipts = vec![0; self.sends.len()];
        for send in self.seen.iter().filter_map(|seen| seen.send) {
            if let Some(count) = receipts.get_mut(send) {
                *count += 1;
            }
        }
        receipts
    }
}
