//! The four scenes: their texts, and the token requests after the browser has returned to the application.

use serde::Serialize;

use super::ledger::Party;
use super::stage::{ATTACKER, CLIENT};

#[derive(Debug, Serialize)]
pub(super) struct Scene {
    pub(super) number: usize,
    /// The scene's name in URLs.
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    lead: &'static str,
    /// Whether the application uses PKCE.
    pub(super) pkce: bool,
    #[serde(skip)]
    pub(super) attempts: &'static [Attempt],
}

/// A token request.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) who: Party,
    pub(super) to: Party,
    pub(super) client: &'static str,
    pub(super) verifier: Verifier,
    pub(super) expect: Expect,
    /// The beginning of the verdict's text.
    pub(super) what: &'static str,
    pub(super) note: &'static str,
}

#[derive(Debug)]
pub(super) enum Verifier {
    Right,
    MadeUp,
    Missing,
}

/// The expected outcome of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Token,
    Refused,
    /// A token for the attacker, with the code of a sign-in without the gate.
    Stolen,
}

const RIGHTFUL: Attempt = Attempt {
    who: Party::Application,
    to: Party::Gate,
    client: CLIENT,
    verifier: Verifier::Right,
    expect: Expect::Token,
    what: "",
    note: "",
};

const ATTACK: Attempt = Attempt {
    who: Party::Attacker,
    verifier: Verifier::Missing,
    expect: Expect::Refused,
    ..RIGHTFUL
};

pub(super) const SCENES: &[Scene] = &[
    Scene {
        number: 1,
        slug: "login",
        title: "Log in with PKCE",
        lead: "The application generates a secret, the code verifier, and sends its hash, the code challenge, with the \
               browser. The gate stores the challenge, lets alice log in at the legacy server, and gives the application \
               a handle in place of the server's code. With the verifier, the handle is redeemed for a token.",
        pkce: true,
        attempts: &[Attempt {
            what: "The application redeems it",
            note: "The application redeems the handle, with the verifier that only it knows.",
            ..RIGHTFUL
        }],
    },
    Scene {
        number: 2,
        slug: "without-pkce",
        title: "Log in without PKCE",
        lead: "The same application without PKCE: it sends no challenge. The gate refuses the request before it reaches \
               the legacy server, and names the missing parameter.",
        pkce: false,
        attempts: &[],
    },
    Scene {
        number: 3,
        slug: "steal",
        title: "Steal the code",
        lead: "Alice logs in as before, but an attacker reads the callback URL: in a log, in the browser's history, or \
               through a hijacked URI scheme. Client id and redirect URI are not secret. The attacker tries every way to \
               redeem the code; afterwards the application still redeems it.",
        pkce: true,
        attempts: &[
            Attempt {
                what: "The attacker, without a verifier",
                note: "The attacker redeems the stolen handle as the application, without a verifier.",
                ..ATTACK
            },
            Attempt {
                verifier: Verifier::MadeUp,
                what: "The attacker, with a made-up verifier",
                note: "The attacker invents a verifier.",
                ..ATTACK
            },
            Attempt {
                client: ATTACKER,
                verifier: Verifier::MadeUp,
                what: "The attacker, as another client",
                note: "The attacker uses another registered client and an invented verifier.",
                ..ATTACK
            },
            Attempt {
                to: Party::Upstream,
                what: "The attacker, around the gate",
                note: "The attacker bypasses the gate. The legacy server does not know this handle.",
                ..ATTACK
            },
            Attempt {
                what: "The application, after all that",
                note: "The application redeems its handle: the attempts have not invalidated it.",
                ..RIGHTFUL
            },
        ],
    },
    Scene {
        number: 4,
        slug: "replay",
        title: "Replay a code, and steal one without the gate",
        lead: "A code can be redeemed once, even with the right verifier. Then the same theft happens at the legacy \
               server without the gate: the application uses PKCE there too, but the server ignores it.",
        pkce: true,
        attempts: &[
            Attempt {
                what: "The application, once",
                note: "The application redeems the handle.",
                ..RIGHTFUL
            },
            Attempt {
                verifier: Verifier::Right,
                what: "The same request again",
                note: "The attacker has obtained the whole request, including the verifier, and sends it again.",
                ..ATTACK
            },
            Attempt {
                to: Party::Upstream,
                expect: Expect::Stolen,
                what: "The attacker, at the legacy server without the gate",
                note: "Without the gate: the attacker redeems the code from alice's browser. The application sent a \
                       challenge, but the server does not require the verifier.",
                ..ATTACK
            },
        ],
    },
];
