//! The texts of the four scenes.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scene {
    Login,
    Bare,
    Steal,
    Replay,
}

impl Scene {
    /// All scenes in their order on the page.
    pub(super) const ALL: [Self; 4] = [Self::Login, Self::Bare, Self::Steal, Self::Replay];

    /// The scene's name in URLs.
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
                "The application generates a secret, the code verifier, and sends its hash, the code challenge, with the \
                 browser. The gate stores the challenge, lets alice log in at the legacy server, and gives the \
                 application a handle in place of the server's code. With the verifier, the handle is redeemed for a \
                 token."
            }
            Self::Bare => {
                "The same application without PKCE: it sends no challenge. The gate refuses the request \
                 before it reaches the legacy server, and names the missing parameter."
            }
            Self::Steal => {
                "Alice logs in as before, but an attacker reads the callback URL: in a log, in the browser's \
                 history, or through a hijacked URI scheme. Client id and redirect URI are not secret. The attacker \
                 tries every way to redeem the code; afterwards the application still redeems it."
            }
            Self::Replay => {
                "A code can be redeemed once, even with the right verifier. Then the same theft happens at the legacy \
                 server without the gate: the application uses PKCE there too, but the server ignores it."
            }
        }
    }
}
