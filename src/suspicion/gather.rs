//! The state of a scan, and its bounds.

use crate::examined::looked_at;
use crate::flow::{Candidate, Handle, HandleKey, Purpose};
use crate::oauth::client::{basic_user, is_token_of_another_scheme, subject};
use crate::oauth::params::text_of;
use crate::oauth::token::is_one_time_password;
use crate::spelling::shortcuts::may_hide_handle;

use super::names::Said;
use super::request::{Body, Kind, Suspicion};
use super::{form, json, multipart, names};

/// The most clients that a request may name.
pub(super) const MAX_CLIENTS: usize = 16;

/// The most distinct words that may be codes. No legitimate request has so many.
pub(super) const MAX_CANDIDATES: usize = 4096;

/// The most words that are tested for being handles: each test costs a hash.
pub(super) const MAX_HANDLES: usize = 64;

/// A scan in progress.
pub(super) struct Scan<'k> {
    pub(super) found: Suspicion,
    pub(super) key: &'k HandleKey,
    /// How many words may still be tested for being handles.
    pub(super) handles: usize,
}

/// The part of the request, and the grammar, in which a parameter was found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    Query,
    Form,
    Document,
}

impl Scan<'_> {
    pub(super) fn query(&mut self, query: &[u8]) {
        let carries_handle = may_hide_handle(query);
        let mut has_code = false;
        let mut alone = Vec::new();
        form::read(query, |name, value| {
            let said = self.pair(Grammar::Query, name, value);
            has_code |= said.has(Said::LONG_CODE);
            if carries_handle {
                let value = form::decode(value);
                self.value(&value);
                let whole = str::from_utf8(&value).ok();
                alone.extend(whole.and_then(|value| self.key.recognise(Purpose::State, value)));
            }
        });
        // A code and a handle as separate parameters, as in an answer to a client. (A handle inside a return URL does not count:
        // links in mails have a code and such a URL.)
        for handle in alone.iter().filter(|_| has_code).take(MAX_HANDLES) {
            self.sign_in(handle, true);
        }
    }

    pub(super) fn body(&mut self, body: Body<'_>) {
        let mut kind = Kind::Other;
        match body {
            Body::Absent => return,
            Body::Whole { kind: said, .. } => kind = said,
            Body::Beginning(_) => self.cannot_read("the body is too long"),
            Body::Encoded(_) => self.cannot_read("the body is encoded"),
            Body::Broken => self.cannot_read("the body ends early"),
        }
        let bytes = body.bytes();
        // A NUL shows UTF-16, which some JSON parsers detect.
        if kind != Kind::Multipart && memchr::memchr(0, bytes).is_some() {
            self.cannot_read("it contains NUL characters");
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
        // Not in a plain form: it may have a handle in one field and a one-time password in another.
        if is_url && carries_handle {
            self.value(bytes);
        }
    }

    /// Adds an encoded parameter of a query or form.
    pub(super) fn pair(&mut self, grammar: Grammar, name: &[u8], value: &[u8]) -> Said {
        let said = names::read_as(name);
        if said.is_empty() {
            return said;
        }
        self.say(grammar, said, &form::decode(value))
    }

    pub(super) fn take(&mut self, grammar: Grammar, name: &[u8], value: &[u8]) {
        let said = names::read_as(name);
        if !said.is_empty() {
            self.say(grammar, said, value);
        }
    }

    /// Adds a parameter with a known name, and its decoded value.
    pub(super) fn say(&mut self, grammar: Grammar, mut said: Said, value: &[u8]) -> Said {
        if value.is_empty() {
            return Said::default();
        }
        if said.has(Said::CODE) && !is_one_time_password(value) {
            said = said.and(Said::LONG_CODE);
        }
        if said.has(Said::CLIENT_ID) {
            self.client(&text_of(value.to_vec()));
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

    /// Looks for a cookie named `grant_type`: PHP and others can be configured to read cookies as parameters. Other names are
    /// ignored, because cookies may be named `code` or `client_id` for other reasons.
    pub(super) fn cookies(&mut self, fields: &[&[u8]]) {
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

    pub(super) fn client(&mut self, id: &str) {
        if self.found.clients.iter().any(|known| known == id) {
            return;
        }
        if self.found.clients.len() == MAX_CLIENTS {
            return self.cannot_read("it names too many clients");
        }
        self.found.clients.push(id.to_owned());
    }

    /// The subject of a client assertion (RFC 7523 section 3).
    pub(super) fn assertion(&mut self, assertion: &[u8]) {
        match subject(assertion) {
            Some(subject) => self.client(&subject),
            None => self.cannot_read("the client assertion cannot be read"),
        }
    }

    /// Adds the client of Basic credentials, both form-decoded (RFC 6749 section 2.3.1) and not.
    pub(super) fn credentials(&mut self, credentials: &[u8]) {
        let scheme = credentials.get(..5).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"basic") {
            let is_other = is_token_of_another_scheme(credentials);
            if !is_other && crate::spelling::says(credentials, b"basic") {
                self.cannot_read("the credentials may be Basic");
            }
            return;
        }
        let encoded = credentials
            .get(5..)
            .and_then(|rest| rest.strip_prefix(b" "));
        match encoded.and_then(basic_user) {
            Some(user) => {
                let decoded = form::decode(&user).into_owned();
                self.client(&text_of(user));
                self.client(&text_of(decoded));
            }
            None => self.cannot_read("the Basic credentials cannot be read"),
        }
    }

    /// Looks for a handle next to a code in a value.
    pub(super) fn value(&mut self, value: &[u8]) {
        if !may_hide_handle(value) {
            return;
        }
        crate::spelling::any_layer(value, |layer| {
            if form::carries_code(layer) {
                self.sign_ins(layer, true);
            }
            false
        });
        if self.handles == 0 {
            self.cannot_read("it contains too many words that look like handles");
        }
    }

    /// Adds the handles of sign-ins in a text. Each word that is tested costs a hash.
    pub(super) fn sign_ins(&mut self, text: &[u8], is_planted: bool) {
        let key = self.key;
        for word in key.candidates(Purpose::State, text).take(self.handles) {
            self.handles -= 1;
            if let Some(handle) = key.recognise(Purpose::State, word) {
                self.sign_in(&handle, is_planted);
            }
        }
    }

    fn sign_in(&mut self, handle: &Handle, is_planted: bool) {
        if is_planted && !self.found.planted.contains(handle) {
            self.found.planted.push(handle.clone());
        }
        let candidate = Candidate::State(handle.into());
        if !self.found.candidates.contains(&candidate) {
            self.found.candidates.push(candidate);
        }
    }

    pub(super) fn cannot_read(&mut self, why: &'static str) {
        self.found.unreadable.get_or_insert(why);
    }
}
