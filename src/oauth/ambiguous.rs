//! Why parameters are not one unambiguous request.

use super::client::ClientProblem;
use super::params::Duplicate;

/// Why parameters are not one unambiguous authorization request or token request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// A parameter occurs twice, with equal values or not (RFC 6749 section 3.1).
    #[error(transparent)]
    Duplicate(#[from] Duplicate),
    /// A name that some servers read as a protected parameter.
    #[error("the parameter {0:?} is read as a different one by some servers")]
    Folded(String),
    /// Some servers trim the value, which then identifies another client.
    #[error("the client_id begins or ends with white space")]
    PaddedClient,
    /// The parameters of an authorization request are partly in the query and partly in the body.
    #[error("parameters of the request are in the query and in the body")]
    Split,
    /// An unescaped `;`, or an unescaped `]=` in a value of a token request. Some servers read it as a boundary; form encoders
    /// never write one.
    #[error("an unescaped ; or ]= is read as a parameter boundary by some servers")]
    Separator,
    /// The body of a token request looks like JSON or XML: some servers go by the content, not by its media type.
    #[error("expected a form-encoded body, but it looks like JSON or XML")]
    Document,
    /// A token request with a `code` and a `device_code`.
    #[error("the request has a code and a device_code")]
    TwoCodes,
    /// The client of a token request.
    #[error(transparent)]
    Client(#[from] ClientProblem),
}
