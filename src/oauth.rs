//! The vocabulary of RFC 6749, RFC 7636, RFC 9700 and OpenID Connect, as types.
//!
//! Pure: no HTTP library, no tokio, no tracing, no clock, no randomness, and nothing that is specific to this gate.
//! Each type checks its input when it is constructed.

mod ambiguous;
pub(crate) mod authorize;
pub(crate) mod client;
pub(crate) mod code;
mod digest;
mod digest_cache;
pub(crate) mod direct;
pub(crate) mod endpoint;
pub(crate) mod endpoint_query;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod json_form;
pub(crate) mod json_text;
pub(crate) mod media;
pub(crate) mod params;
pub(crate) mod pkce;
pub(crate) mod redirect;
pub(crate) mod request_object;
pub(crate) mod response;
pub(crate) mod token;
pub(crate) mod well_known;

pub(crate) use ambiguous::Ambiguous;
pub(crate) use authorize::AuthorizationRequest;
pub use client::ClientId;
pub(crate) use client::ClientIdentity;
pub use code::AuthorizationCode;
pub(crate) use code::CodeKind;
pub use digest::Digest;
pub(crate) use direct::DirectRequest;
pub(crate) use endpoint::Endpoint;
pub(crate) use error::ErrorCode;
pub(crate) use params::Edit;
pub use params::Params;
pub use pkce::{CodeChallenge, CodeChallengeMethod, CodeVerifier};
pub use redirect::RedirectUri;
pub(crate) use redirect::{RedirectDigest, RegisteredRedirectUri};
pub(crate) use response::{ResponseMode, ResponseType};
pub(crate) use token::Redemption;
pub use token::TokenRequest;
