//! The input and the result of a scan.

use crate::flow::{Candidate, CodeLengths, Handle};
use crate::oauth::CodeKind;

use super::names::Said;

/// The parts of a request that are scanned, not decoded.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub path: &'a [u8],
    /// Without `?`; empty if there is no query.
    pub query: &'a [u8],
    pub body: Body<'a>,
    /// The `Authorization` field.
    pub authorization: Option<&'a [u8]>,
    /// The `Cookie` fields.
    pub cookies: &'a [&'a [u8]],
}

/// The part of a body that was read.
#[derive(Clone, Copy, Default)]
pub(crate) enum Body<'a> {
    /// The request has no body.
    #[default]
    Absent,
    /// The whole body.
    Whole { bytes: &'a [u8], kind: Kind },
    /// The beginning of a body that is longer than the limit.
    Beginning(&'a [u8]),
    /// A body that is compressed, or in a charset that is not a superset of ASCII. Not decoded: some servers ignore both.
    Encoded(&'a [u8]),
    /// The body broke off.
    Broken,
}

/// The kind of a body by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/x-www-form-urlencoded`
    Form,
    /// A media type with `json` in its name.
    Json,
    /// `multipart/…`
    Multipart,
    /// Another media type, or none.
    Other,
}

impl<'a> Body<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Whole { bytes, .. } | Self::Beginning(bytes) | Self::Encoded(bytes) => bytes,
            Self::Absent | Self::Broken => b"",
        }
    }
}

/// What to scan for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Parameters and clients.
    Names,
    /// Parameters, clients, and words that may be codes or handles.
    Candidates {
        /// The lengths of codes.
        lengths: CodeLengths,
        /// The kinds of codes.
        kinds: &'static [CodeKind],
    },
    /// Only words that may be codes or handles.
    Words {
        /// The lengths of codes.
        lengths: CodeLengths,
        /// The kinds of codes.
        kinds: &'static [CodeKind],
    },
}

/// The result of a scan. It contains client names and digests, but no secrets.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    /// The parameters in the query and the body together: many servers do not distinguish the two.
    pub said: Said,
    /// The parameters in the query.
    pub in_query: Said,
    /// The parameters in the body, read as a form.
    pub in_form: Said,
    /// The parameters in the body, read as JSON or multipart.
    pub in_document: Said,
    /// Every client that the request names, in any reading.
    pub clients: Vec<String>,
    /// Every possible code and handle, without duplicates.
    pub candidates: Vec<Candidate>,
    /// Sign-ins whose handle is next to a code: in one value, such as a return URL, or in the query.
    pub planted: Vec<Handle>,
    /// Why the scan is incomplete. `None`: it is complete.
    pub unreadable: Option<&'static str>,
}

impl Suspicion {
    /// Whether some server reads the request as a token request. A server reads the query, and the body in one grammar.
    pub(crate) fn asks_for_token(&self) -> bool {
        let with_query = |body: Said| self.in_query.and(body).ask_for_token();
        with_query(self.in_form) || with_query(self.in_document)
    }
}
