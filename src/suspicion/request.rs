//! A request as it is looked through, and what was found in it.

use std::fmt;

use crate::flow::{Candidate, CodeLengths};
use crate::oauth::Digest;

use super::names::Said;

/// The parts of a request that say something, as they came.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    /// Of the target.
    pub path: &'a [u8],
    /// Of the target, without `?`; empty when there is none.
    pub query: &'a [u8],
    /// As much as was read.
    pub body: Body<'a>,
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `Cookie` fields.
    pub cookies: &'a [&'a [u8]],
}

/// A body as far as it was read.
#[derive(Clone, Copy, Default)]
pub(crate) enum Body<'a> {
    /// There is none.
    #[default]
    Absent,
    /// All of it.
    Whole {
        /// What was read.
        bytes: &'a [u8],
        /// What the media type says that it is.
        kind: Kind,
    },
    /// It is longer than what is read of one. This is how it begins.
    Beginning(&'a [u8]),
    /// Compressed, or in a charset whose letters are other bytes than those of ASCII. As it came: some servers do not care.
    Encoded(&'a [u8]),
    /// It ends early.
    Broken,
}

/// What the media type of a body says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/x-www-form-urlencoded`
    Form,
    /// JSON of some kind.
    Json,
    /// Parts between boundaries.
    Multipart,
    /// Anything else, or nothing.
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

/// How far somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Which parameters it names, and which clients.
    Names,
    /// And whose codes and sign-ins may stand in it.
    Candidates {
        /// How long the codes are that matter.
        lengths: CodeLengths,
    },
    /// The latter alone: of a request that was read already.
    Words {
        /// How long the codes are that matter.
        lengths: CodeLengths,
    },
}

/// What a request says. There are names of clients in it, and digests; nothing that is secret.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    /// Parameters with a value, by query and body together: many servers do not tell where one stands.
    pub said: Said,
    /// Those of them that stand in the query.
    pub in_query: Said,
    /// Those of them that are there if the body is read as a form.
    pub in_form: Said,
    /// Those of them that are there if the body is read as JSON or multipart.
    pub in_document: Said,
    /// Every client that it names, in any reading.
    pub clients: Vec<String>,
    /// Every code and sign-in that may stand in it, each once.
    pub candidates: Vec<Candidate>,
    /// Sign-ins whose handle stands beside a code in one value, such as a URL to go on to.
    pub planted: Vec<Digest>,
    /// Why there may be more than was found. `None`: there is nothing more.
    pub unreadable: Option<&'static str>,
}

impl Suspicion {
    /// Whether the request is one for a token to any server. Each reads the query, and the body in one way.
    pub(crate) fn asks_for_token(&self) -> bool {
        let with_query = |body: Said| self.in_query.and(body).ask_for_token();
        with_query(self.in_form) || with_query(self.in_document)
    }
}

/// There are codes in it.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes().len())
    }
}
