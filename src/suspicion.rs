//! What a request says to the most forgiving server there is: one scan of its query, its fields and its body, whatever the
//! media type says, into a value.
//!
//! The gate judges what it reads strictly ([`crate::oauth::Params`]). This is about everything else: a token request at a path
//! that is no token endpoint, a name in a spelling that only some framework reads, a code of another person's. The scan is
//! pure. Whose the candidates are is one question to the store, and which rule holds then is one choice of
//! `policy::Rules::concerned`.
//!
//! **Bounds.** Each byte is looked at a bounded number of times: each grammar goes over the text once, and takes at most
//! [`crate::spelling::layers::ROUNDS`] layers of escapes off a piece. What is kept is bounded by `MAX_CLIENTS`,
//! `MAX_CANDIDATES` and `MAX_HANDLES`; past them the request cannot be read, and is judged as such.

mod form;
mod json;
mod multipart;
pub(crate) mod names;
pub(crate) mod words;

use std::fmt;

use crate::flow::{Candidate, CodeLengths, Handle, HandleKey};
use crate::oauth::Digest;
use crate::oauth::client::is_token_of_another_scheme;
use crate::spelling::shortcuts::may_hide_handle;
use crate::work::looked_at;

pub use form::{ONE_TIME_PASSWORD, is_one_time_password};
pub use names::Said;

/// Clients that one request may name before it cannot be read.
const MAX_CLIENTS: usize = 16;
/// Words that may be codes. No request that should pass has so many different ones.
const MAX_CANDIDATES: usize = 4096;
/// Words that look like a handle; telling each costs a hash.
const MAX_HANDLES: usize = 64;

/// The parts of a request that say something, as they came.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
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
pub enum Body<'a> {
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
pub enum Kind {
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
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Whole { bytes, .. } | Self::Beginning(bytes) | Self::Encoded(bytes) => bytes,
            Self::Absent | Self::Broken => b"",
        }
    }
}

/// How far somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
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
pub struct Suspicion {
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
    pub fn asks_for_token(&self) -> bool {
        let with_query = |body: Said| self.in_query.and(body).ask_for_token();
        with_query(self.in_form) || with_query(self.in_document)
    }
}

/// Reads a request in every way at once. `key` recognises the handles of its upstream.
pub fn scan(request: &Request<'_>, key: &HandleKey, look: Look) -> Suspicion {
    let mut scan = Scan {
        found: Suspicion::default(),
        key,
        handles: MAX_HANDLES,
    };
    if !matches!(look, Look::Words { .. }) {
        scan.query(request.query);
        scan.body(request.body);
        if let Some(credentials) = request.authorization {
            scan.credentials(credentials);
        }
    }
    match look {
        Look::Names => {}
        Look::Candidates { lengths } => {
            scan.cookies(request.cookies);
            words::scan(&mut scan, request, lengths);
        }
        Look::Words { lengths } => words::scan(&mut scan, request, lengths),
    }
    scan.found
}

/// A scan that is going on.
struct Scan<'k> {
    found: Suspicion,
    key: &'k HandleKey,
    /// So many words that look like handles may still come.
    handles: usize,
}

/// What a piece of text was found in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    Query,
    Form,
    Document,
}

impl Scan<'_> {
    fn query(&mut self, query: &[u8]) {
        let carries_handle = may_hide_handle(query);
        let mut has_code = false;
        let mut alone = Vec::new();
        form::read(query, |name, value| {
            let said = self.pair(Grammar::Query, name, value);
            has_code |= said.has(Said::LONG_CODE);
            if carries_handle {
                let value = form::decode(value);
                self.value(&value);
                alone.extend(words::whole_handle(self.key, &value));
            }
        });
        // As in an answer to a client. (A handle inside of a URL to go on to is another matter: mails have both.)
        for handle in alone.iter().filter(|_| has_code).take(MAX_HANDLES) {
            self.sign_in(handle, true);
        }
    }

    fn body(&mut self, body: Body<'_>) {
        let mut kind = Kind::Other;
        match body {
            Body::Absent => return,
            Body::Whole { kind: said, .. } => kind = said,
            Body::Beginning(_) => self.cannot_read("the body is too long"),
            Body::Encoded(_) => self.cannot_read("the body is encoded"),
            Body::Broken => self.cannot_read("the body ends early"),
        }
        let bytes = body.bytes();
        // UTF-16, which some readers of JSON find out by themselves.
        if kind != Kind::Multipart && memchr::memchr(0, bytes).is_some() {
            self.cannot_read("it has characters that are NUL");
        }
        let carries_handle = may_hide_handle(bytes);
        let mut is_url = kind == Kind::Other;
        form::read(bytes, |name, value| {
            is_url |= kind == Kind::Form && name.contains(&b'?');
            if carries_handle {
                self.value(&form::decode(value));
            }
            self.pair(Grammar::Form, name, value);
        });
        json::read(bytes, |name, value| {
            if carries_handle {
                self.value(value);
            }
            if let Some(name) = name {
                self.take(Grammar::Document, name, value);
            }
        });
        let in_parts = multipart::read(bytes, |name, value| {
            if carries_handle {
                self.value(value);
            }
            self.take(Grammar::Document, name, value);
        });
        if in_parts.is_err() {
            self.cannot_read("a field of the body cannot be read");
        }
        // A form has a handle in one field and a one-time password in another.
        if is_url && carries_handle {
            self.value(bytes);
        }
    }

    /// A pair of a form, as it came.
    fn pair(&mut self, grammar: Grammar, name: &[u8], value: &[u8]) -> Said {
        let said = names::read_as(name);
        if said.is_empty() {
            return said;
        }
        self.say(grammar, said, &form::decode(value))
    }

    fn take(&mut self, grammar: Grammar, name: &[u8], value: &[u8]) {
        let said = names::read_as(name);
        if !said.is_empty() {
            self.say(grammar, said, value);
        }
    }

    /// A parameter that matters, and its value.
    fn say(&mut self, grammar: Grammar, mut said: Said, value: &[u8]) -> Said {
        if value.is_empty() {
            return Said::default();
        }
        if said.has(Said::CODE) && !is_one_time_password(value) {
            said = said.and(Said::LONG_CODE);
        }
        if said.has(Said::CLIENT_ID) {
            self.client(&text(value));
        }
        if said.has(Said::CLIENT_ASSERTION) {
            self.assertion(value);
        }
        self.found.said = self.found.said.and(said);
        let part = match grammar {
            Grammar::Query => &mut self.found.in_query,
            Grammar::Form => &mut self.found.in_form,
            Grammar::Document => &mut self.found.in_document,
        };
        *part = part.and(said);
        said
    }

    /// PHP and others can be told to read cookies like parameters. A cookie may be called `code` or `client_id` for any reason; what
    /// alone makes a token request is called so for none.
    fn cookies(&mut self, fields: &[&[u8]]) {
        for field in fields {
            looked_at(field.len());
            for cookie in field.split(|byte| matches!(byte, b';' | b',')) {
                let equals = memchr::memchr(b'=', cookie).unwrap_or(cookie.len());
                let (name, value) = cookie.split_at_checked(equals).unwrap_or_default();
                if names::read_as(name.trim_ascii()).has(Said::GRANT_TYPE) && value.len() > 1 {
                    self.found.in_query = self.found.in_query.and(Said::GRANT_TYPE);
                }
            }
        }
    }

    fn client(&mut self, id: &str) {
        if self.found.clients.iter().any(|known| known == id) {
            return;
        }
        if self.found.clients.len() == MAX_CLIENTS {
            return self.cannot_read("it names too many clients");
        }
        self.found.clients.push(id.to_owned());
    }

    /// The subject of a client assertion (RFC 7523 section 3).
    fn assertion(&mut self, assertion: &[u8]) {
        match names::subject(assertion) {
            Some(subject) => self.client(&subject),
            None => self.cannot_read("the client assertion cannot be read"),
        }
    }

    /// Who Basic credentials are for, form-encoded or not (RFC 6749 section 2.3.1).
    fn credentials(&mut self, credentials: &[u8]) {
        let scheme = credentials.get(..5).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"basic") {
            let is_other = is_token_of_another_scheme(credentials);
            if !is_other && crate::spelling::says(credentials, b"basic") {
                self.cannot_read("the credentials may be Basic");
            }
            return;
        }
        match names::user(credentials) {
            Some(user) => {
                self.client(&text(&user));
                self.client(&text(&form::decode(&user)));
            }
            None => self.cannot_read("the Basic credentials cannot be read"),
        }
    }

    /// A value, in which a handle may stand beside a code.
    fn value(&mut self, value: &[u8]) {
        if !may_hide_handle(value) {
            return;
        }
        let mut beside = Vec::new();
        let mut handles = self.handles;
        let key = self.key;
        crate::spelling::any_layer(value, |layer| {
            if form::carries_code(layer) {
                beside.extend(words::handles(key, layer, &mut handles));
            }
            false
        });
        self.handles = handles;
        if handles == 0 {
            self.cannot_read("it holds too many words that look like handles");
        }
        for handle in beside {
            self.sign_in(&handle, true);
        }
    }

    fn sign_in(&mut self, handle: &Handle, is_planted: bool) {
        let digest = handle.digest();
        if is_planted && !self.found.planted.contains(&digest) {
            self.found.planted.push(digest);
        }
        let candidate = Candidate::State(digest);
        if !self.found.candidates.contains(&candidate) {
            self.found.candidates.push(candidate);
        }
    }

    fn cannot_read(&mut self, why: &'static str) {
        self.found.unreadable.get_or_insert(why);
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

/// As UTF-8, or as Latin-1 where it is none.
fn text(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests;
