//! pkce-gate is a reverse proxy in front of an OAuth 2.0 / OpenID Connect server (the *upstream*) that does not enforce PKCE
//! (RFC 7636). The gate enforces it: an authorization code alone can no longer be exchanged for a token.
//!
//! On the wire the gate replaces two values by a *handle* ([`flow::handle`]), a random string under which it stores a record:
//! towards the upstream, the client's `state`; towards the client, the upstream's code. This page follows one authorization
//! through the code; each step names the file that implements it.
//!
//! 1. **Authorization request** (`gateway/authorize/fresh.rs`). The gate parses the request strictly ([`oauth::params`]) and
//!    checks it against the rule of its client ([`policy::authorize`]). It stores the request as a [`flow::PendingAuthorization`]
//!    in the [`store`], and redirects the browser to the same path, with a handle as `state` and without the challenge.
//! 2. **Login** (`gateway/authorize/continuation.rs`). The browser follows that redirect, and later posts the forms for login and
//!    consent. The handle in `state` identifies the pending authorization. These requests may repeat its parameters, but not
//!    change them ([`flow::submission`]). The gate forwards them, with the stored challenge or without any (`to_upstream`).
//! 3. **Authorization response** (`gateway/bind.rs`). The upstream answers with a code, in a `Location` or in a form_post page
//!    ([`answer::carrier`]). The gate *binds* the code: it stores the code together with the challenge, the client and the
//!    redirect URI. The client gets a new handle in place of the code, and its own `state`. The upstream's code does not leave
//!    the gate. If the gate fails to recognise a response, its code was never bound, and step 4 refuses it.
//! 4. **Token request** (`gateway/token.rs`). The gate finds the bound code by its handle and checks the request against it
//!    ([`policy::redeem`]): same client, same redirect URI, and S256(verifier) = challenge. The same store operation claims the
//!    code ([`store::Redeemed`]), so only one request can redeem it; a request that fails the check claims nothing and blocks no
//!    other request. Only a request that passed is forwarded, with the upstream's own code; a [`policy::Cleared`] is the proof.
//! 5. **Settlement** ([`flow::Settlement`], `gateway/token/settle.rs`). The upstream's answer normally burns the code. The gate
//!    releases the code for another attempt if the request was certainly not sent, or if the answer shows that the upstream did
//!    not redeem it (a missing DPoP nonce, for example). After a correct verifier it does so ten times at most.
//!
//! Two endpoints give a code to the client itself, in JSON, so that steps 1 and 3 are one exchange (`gateway/direct.rs`): for
//! devices (`gateway/device.rs`), whose code is of another kind ([`oauth::CodeKind`]), and for first-party apps
//! (`gateway/challenge.rs`).
//!
//! With `codes = "upstream"` the gate replaces nothing. It then finds its records by digests of the state and of the code
//! (`gateway/authorize/correlated.rs`).
//!
//! [`policy::apply`] is the only function that decides by the mode of a client's rule (enforce, report, off). [`app`] connects
//! the components, [`cli`] implements the commands.

mod admin;
mod answer;
mod app;
mod cli;
mod clock;
mod config;
mod examined;
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
mod roots;
mod route;
mod server;
#[cfg(test)]
mod simulation;
mod socket;
mod spelling;
mod store;
mod suspicion;
mod telemetry;
mod upstream;

/// Items that `benches/` and `tests/` use. Not an interface for other crates.
pub mod parts {
    pub use crate::answer::carrier::{
        Carrier, Replacement, form_post::FormPost, location::Location,
    };
    pub use crate::app::sha256;
    pub use crate::clock::{Clock, ManualClock, date};
    pub use crate::config::{Problems, load};
    pub use crate::flow::{
        Application, ClientState, HandleKey, Key, PendingAuthorization, Presented, Purpose,
        Settlement, Submission,
    };
    pub use crate::oauth::authorize::PROTECTED as PROTECTED_AT_AUTHORIZATION;
    pub use crate::oauth::params::decode;
    pub use crate::oauth::token::PROTECTED as PROTECTED_AT_TOKEN;
    pub use crate::oauth::{
        AuthorizationCode, ClientId, CodeChallenge, CodeChallengeMethod, CodeVerifier, Digest,
        Params, RedirectUri, TokenRequest,
    };
    pub use crate::store::{
        Bound, Held, Issued, MemoryStore, Pending, Place, Redeemed, Settings, StoreError,
    };
}

pub use cli::main;

/// Declared here and not in `main.rs`, so that tests and benches measure the memory use of the real program. Fuzz targets have
/// their own allocator; the model checker's tasks have stacks of 60 KB, which are too small for this one.
#[cfg(not(any(fuzzing, shuttle)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
