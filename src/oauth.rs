//! The vocabulary of RFC 6749, RFC 7636, RFC 9700 and OpenID Connect, as types.
//!
//! What is absent here: no HTTP library, no tokio, no tracing, no clock, no randomness, and nothing of
//! this product. Bytes go in, values that keep their promises come out.

pub mod authorize;
pub mod client;
pub mod code;
pub mod digest;
pub mod endpoint;
pub mod endpoint_query;
pub mod error;
pub mod json;
pub mod media;
pub mod params;
pub mod pkce;
pub mod redirect;
pub mod response;
pub mod token;

pub use authorize::{AuthorizationRequest, PROTECTED};
pub use client::{ClientId, ClientIdentity};
pub use code::AuthorizationCode;
pub use digest::Digest;
pub use endpoint::Endpoint;
pub use error::ErrorCode;
pub use params::{Edit, Malformed, Params};
pub use pkce::{CodeChallenge, CodeChallengeMethod, CodeVerifier};
pub use redirect::{RedirectDigest, RedirectUri, RegisteredRedirectUri};
pub use response::{ResponseMode, ResponseType};
pub use token::{Redemption, TokenRequest};
