//! pkce-gate stands in front of an OAuth 2.0 / OpenID Connect server that does not enforce PKCE (RFC 7636), and makes
//! it so: nobody who merely holds an authorization code can turn it into a token. This page is the walk of one
//! authorization; each step names the place where it lives.
//!
//! 1. **Authorization request** ([`gateway`], `authorize/fresh.rs`). Parsed strictly ([`oauth::params`]), judged by its
//!    client's rule ([`policy::authorize`]), held as a pending authorization ([`flow::PendingAuthorization`]) in a
//!    [`store`]. The browser is redirected to the same path with a *handle* ([`flow::handle`]) in place of `state` and
//!    without the challenge.
//! 2. **Login** (`authorize/continuation.rs`). The handle in `state` says which sign-in a request goes on with
//!    ([`flow::submission`]); it may repeat what the record says and nothing else. The upstream sees the challenge, if
//!    it is to see any of it.
//! 3. **Authorization response** (`gateway/bind.rs`). The upstream answers with a code, in a `Location` or in a
//!    form_post page ([`answer::carrier`]). The code is bound to the pending authorization; the client gets a handle in its
//!    place and its own `state` back. The upstream's code never leaves: an answer that is not recognised is worthless,
//!    never a way around.
//! 4. **Token request** (`gateway/token.rs`). The request is judged against what was bound ([`policy::redeem`]): same client,
//!    same redirect URI, and S256(verifier) = challenge. In the same step the handle is claimed, by exactly one caller that
//!    passed ([`store::Redeemed`]): whoever does not keeps nobody out. Only a request that passed, proved by
//!    [`policy::Cleared`], is forwarded, with the upstream's own code.
//! 5. **Settlement** ([`flow::Settlement`]). An answer burns the code; a request that provably was not sent, or that
//!    provably left the code untouched, releases it; one whose verifier was sent, ten times at most.
//!
//! [`policy::apply`] is the one function that reads whether a client is enforced, reported or off. [`app`] puts
//! everything together, [`cli`] is what people type.

mod admin;
mod answer;
mod app;
mod cli;
mod clock;
mod config;
mod files;
mod flow;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod gateway;
mod http;
mod network;
mod oauth;
mod pages;
mod policy;
mod route;
mod server;
mod socket;
mod spelling;
mod store;
mod suspicion;
mod telemetry;
mod upstream;
mod work;

/// What `benches/` measures and `tests/` compares with: not an interface for other crates.
pub mod parts {
    pub use crate::answer::carrier::{
        Carrier, Replacement, form_post::FormPost, location::Location,
    };
    pub use crate::app::sha256;
    pub use crate::clock::{Clock, ManualClock, date};
    pub use crate::config::{Problems, load};
    pub use crate::flow::{
        ClientState, HandleKey, PendingAuthorization, Presented, Purpose, Settlement, Submission,
    };
    pub use crate::oauth::authorize::PROTECTED as PROTECTED_AT_AUTHORIZATION;
    pub use crate::oauth::params::decode;
    pub use crate::oauth::token::PROTECTED as PROTECTED_AT_TOKEN;
    pub use crate::oauth::{
        AuthorizationCode, ClientId, CodeChallenge, CodeChallengeMethod, CodeVerifier, Digest,
        Params, RedirectUri, TokenRequest,
    };
    pub use crate::store::{
        Bound, Held, MemoryStore, Pending, Place, Redeemed, Settings, StoreError,
    };
}

pub use cli::main;

/// Here and not in `main`, so that tests and benches measure the memory that the program takes. (What fuzzes has its own, and
/// the model checker's tasks have stacks of 60 KB, which are too small for it.)
#[cfg(not(any(fuzzing, shuttle)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
