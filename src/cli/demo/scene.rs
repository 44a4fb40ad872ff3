//! The four scenes, in words.

/// What can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scene {
    Login,
    Bare,
    Steal,
    Replay,
}

impl Scene {
    /// In the order in which they make sense.
    pub(super) const ALL: [Self; 4] = [Self::Login, Self::Bare, Self::Steal, Self::Replay];

    /// In URLs.
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Bare => "without-pkce",
            Self::Steal => "steal",
            Self::Replay => "replay",
        }
    }

    pub(super) fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scene| scene.slug() == slug)
    }

    /// Whether the application does PKCE in it.
    pub(super) const fn pkce(self) -> bool {
        match self {
            Self::Login | Self::Steal | Self::Replay => true,
            Self::Bare => false,
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Login => "Log in with PKCE",
            Self::Bare => "Log in without PKCE",
            Self::Steal => "Steal the code",
            Self::Replay => "Replay a code, and steal one without the gate",
        }
    }

    pub(super) const fn lead(self) -> &'static str {
        match self {
            Self::Login => {
                "The application makes a secret, the code verifier, and sends its hash, the code challenge, with the \
                 browser. The gate remembers the challenge, lets alice log in at the legacy server, and gives the \
                 application a handle in place of the server's code. Redeemed with the verifier, the handle yields a \
                 token."
            }
            Self::Bare => {
                "The same application before anybody told it about PKCE: it sends no challenge. The gate refuses \
                 before the legacy server hears of it, and says what is missing."
            }
            Self::Steal => {
                "Alice logs in as before, but an attacker reads the URL of the callback: in a log, in the browser's \
                 history, through a hijacked URI scheme. Client id and redirect URI are no secrets. The attacker \
                 tries every way there is; after that the application redeems its code, as if nothing had happened."
            }
            Self::Replay => {
                "A code is good once, even with everything right. And then the same theft as before, at the legacy \
                 server itself, without the gate: the application does PKCE there too, but the server does not look."
            }
        }
    }
}
