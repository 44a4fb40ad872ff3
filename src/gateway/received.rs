//! A request as it was received ([`Received`]), and the parts of it that its answer is compared with ([`Sent`]).

use std::borrow::Cow;

use bytes::Bytes;
use http::header;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method};

use crate::flow::submission::MARK;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::oauth::media::names_foreign_charset;
use crate::oauth::params::Pair;
use crate::oauth::{Params, client, json, params, redirect};
use crate::spelling::shortcuts::may_hold_handle;
use crate::spelling::{Twins, says, without_nul};
use crate::suspicion::{self, Look, Suspicion};

use super::sign_in_cookies::SignInCookies;
use super::subject::About;
use crate::http::body::Body;
use crate::http::headers;
use crate::telemetry::Step;

/// A received request. Boxed so that passing it between handlers moves one pointer.
pub(super) type Received = Box<Parts>;

/// The parts of a request.
pub(super) struct Parts {
    pub(super) method: Method,
    /// Has runs of `/` merged. If that changed nothing, it shares the bytes of the received target.
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    /// Cookies with states. Not in `headers` any more.
    pub(super) states: SignInCookies,
    /// Cookies with handles. Not in `headers` any more.
    pub(super) flows: SignInCookies,
    pub(super) body: Body,
}

impl Parts {
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// The query, empty if there is none.
    pub(super) fn query(&self) -> &str {
        self.target.query().unwrap_or_default()
    }

    /// Replaces the query. `Err`: the result is not a valid request target.
    pub(super) fn set_query(&mut self, query: &[u8]) -> Result<(), InvalidUri> {
        let target = [self.path().as_bytes(), b"?", query].concat();
        self.target = PathAndQuery::from_maybe_shared(Bytes::from(target))?;
        Ok(())
    }

    /// The parts that the answer is compared with. Of the body, the bytes that were read so far.
    pub(super) fn sent(&self) -> Sent {
        let mut sent = Sent {
            is_post: self.method == Method::POST,
            states: self.states.clone(),
            flows: self.flows.clone(),
            target: Some(self.target.clone()),
            body: self.body.read(),
            is_all: self.body.is_all_read(),
            ..Sent::default()
        };
        for (name, value) in &self.headers {
            match *name {
                header::ACCEPT => {
                    sent.accept.get_or_insert_with(|| value.clone());
                }
                header::CONNECTION | header::CONTENT_LENGTH | header::HOST => {}
                header::REFERER => {
                    let earlier = sent.referer.replace(value.clone());
                    sent.has_two_referers |= earlier.is_some();
                    sent.fields.extend(earlier);
                }
                header::AUTHORIZATION => sent.authorization = Some(value.clone()),
                header::CONTENT_TYPE => sent.media_type = Some(value.clone()),
                header::CONTENT_ENCODING => sent.coding = Some(value.clone()),
                _ => sent.fields.push(value.clone()),
            }
        }
        sent
    }

    /// The client and redirect URI for the log, read loosely: the request may be malformed. Of the body, the bytes that were read
    /// so far.
    pub(super) fn names(&self) -> About<'static> {
        let body = self.body.read();
        let forms = [self.query().as_bytes(), &body];
        About {
            client: client::named_loosely(self.authorization(), forms).map(Cow::Owned),
            redirect_uri: redirect::named_loosely(forms).map(Cow::Owned),
            method: None,
            keeps_code: false,
            step: Step::Other,
            is_uncertain: false,
            hint: None,
        }
    }

    pub(super) fn authorization(&self) -> Option<&[u8]> {
        headers::value(&self.headers, header::AUTHORIZATION)
    }

    /// The Content-Type, empty if there is none that is ASCII.
    pub(super) fn media_type(&self) -> &str {
        headers::media_type(&self.headers)
    }

    /// Removes cookies whose names some server reads as one of these parameters: PHP and others can be configured to read
    /// cookies as parameters.
    pub(super) fn remove_cookies_like(&mut self, parameters: &[&str]) {
        headers::without_cookies(&mut self.headers, |cookie| {
            let decoded = params::decode(cookie.as_bytes());
            params::is_folding_of(decoded.as_deref().unwrap_or(cookie), parameters)
        });
    }

    /// A copy of the Accept header, for a page that may have to be shown later.
    pub(super) fn accept(&self) -> Option<HeaderValue> {
        self.headers.get(header::ACCEPT).cloned()
    }
}

/// The parts of a request that the upstream may repeat in its answer. Shares the bytes of the request. Contains secrets: not for
/// the log.
#[derive(Clone, Default)]
pub(super) struct Sent {
    pub(super) is_post: bool,
    pub(super) states: SignInCookies,
    pub(super) flows: SignInCookies,
    target: Option<PathAndQuery>,
    body: Bytes,
    /// Whether the body was read to its end.
    is_all: bool,
    fields: Vec<HeaderValue>,
    authorization: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    has_two_referers: bool,
    media_type: Option<HeaderValue>,
    coding: Option<HeaderValue>,
    pub(super) accept: Option<HeaderValue>,
}

impl Sent {
    /// The path, without the query.
    pub(super) fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    fn target(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::as_str)
    }

    /// Whether the request may contain a value, in any encoding. A body that was not read to its end may contain anything.
    pub(super) fn may_hold(&self, twins: &Twins) -> bool {
        !self.is_all
            || self.is_sealed()
            || self.texts().any(|text| twins.stand_in(text))
            || without_nul(&self.body).is_some_and(|body| twins.stand_in(&body))
    }

    /// Whether the body has an encoding that servers decode and the gate does not.
    fn is_sealed(&self) -> bool {
        let is_coded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
        let is_foreign = |kind: &HeaderValue| names_foreign_charset(kind.as_bytes());
        // Of multipart parts (RFC 2045 section 6).
        let has_encoded_part = || {
            let body: &[u8] = &self.body;
            says(body, b"content-transfer-encoding")
                && (says(body, b"base64") || says(body, b"quoted-printable"))
        };
        !self.body.is_empty()
            && (self.coding.as_ref().is_some_and(is_coded)
                || self.media_type.as_ref().is_some_and(is_foreign)
                || has_encoded_part())
    }

    /// The scan of the request, in every reading.
    pub(super) fn said(&self, key: &HandleKey) -> Suspicion {
        let (path, query) = self.target().split_once('?').unwrap_or((self.target(), ""));
        let request = suspicion::Request {
            path: path.as_bytes(),
            query: query.as_bytes(),
            body: match self.body.as_ref() {
                bytes if !self.is_all => suspicion::Body::Beginning(bytes),
                bytes if self.is_sealed() => suspicion::Body::Encoded(bytes),
                bytes => suspicion::Body::Whole {
                    bytes,
                    kind: suspicion::Kind::Form,
                },
            },
            authorization: self.authorization.as_ref().map(HeaderValue::as_bytes),
            cookies: &[],
        };
        suspicion::scan(&request, key, Look::Names)
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter();
        let known = [
            &self.authorization,
            &self.referer,
            &self.media_type,
            &self.accept,
        ];
        let fields = fields.chain(known.into_iter().flatten());
        let fields = fields.map(HeaderValue::as_bytes);
        [self.target().as_bytes(), &self.body]
            .into_iter()
            .chain(fields)
    }

    /// The mark in the URL of the page that made the request ([`MARK`]). `Ok(None)`: it has none, or is unknown.
    pub(super) fn mark(&self) -> Result<Option<String>, Unclear> {
        let Some(referer) = &self.referer else {
            return Ok(None);
        };
        let url = referer.as_bytes();
        let (url, _) = split(url, b'#');
        let (_, query) = split(url, b'?');
        let params = Params::survey(query, MOST_NAMED).map_err(|_| Unclear)?;
        let mut marks = params.all(MARK);
        let mark = marks.next();
        let is_unclear = |mark: &Pair<'_>| !mark.is_decoded() || marks.next().is_some();
        if self.has_two_referers || mark.is_some_and(is_unclear) {
            return Err(Unclear);
        }
        Ok(mark.map(|pair| pair.value().to_owned()))
    }

    /// The clients and redirect URIs in the query, and in the form or the JSON object of the body.
    pub(super) fn named(&self) -> Result<Named, Unclear> {
        let (_, query) = split(self.target().as_bytes(), b'?');
        let mut named = Named::default();
        named.add_form(query)?;
        let start = self.body.trim_ascii_start().first();
        match json::parse(&self.body) {
            Some(serde_json::Value::Object(members)) => {
                for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    named.add(name, value.as_str())?;
                }
            }
            // Duplicate members, or another syntax of JSON.
            None if matches!(start, Some(b'{' | b'[')) => return Err(Unclear),
            _ => named.add_form(&self.body)?,
        }
        Ok(named)
    }

    /// Whether it may contain the handle of a sign-in.
    pub(super) fn names_handle(&self) -> bool {
        self.texts().any(may_hold_handle)
    }

    /// The handles of sign-ins in its target and its body, and with `in_fields` in its header fields.
    pub(super) fn handles(&self, key: &HandleKey, in_fields: bool) -> Vec<Handle> {
        const MOST: usize = 64;
        let texts = self.texts().take(if in_fields { usize::MAX } else { 2 });
        let found = texts.filter_map(|text| key.find_all(Purpose::State, text, MOST));
        found.flatten().collect()
    }
}

/// The most parameters in which names are looked for.
const MOST_NAMED: usize = 128;

/// The request may name a sign-in, a client or a redirect URI in a way that servers read differently.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear;

fn split(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    let (head, tail) = text.split_at(memchr::memchr(at, text).unwrap_or(text.len()));
    (head, tail.get(1..).unwrap_or_default())
}

/// The clients and redirect URIs that a request names.
#[derive(Default)]
pub(super) struct Named {
    pub(super) clients: Vec<String>,
    pub(super) redirects: Vec<String>,
}

impl Named {
    fn add_form(&mut self, form: &[u8]) -> Result<(), Unclear> {
        let form = Params::survey(form, MOST_NAMED).map_err(|_| Unclear)?;
        let mut pairs = form.iter();
        pairs.try_for_each(|pair| {
            let value = Some(pair.value()).filter(|_| pair.is_decoded());
            self.add(pair.name(), value)
        })
    }

    /// `value`: `None` if it is not a text.
    fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), Unclear> {
        let names = match name {
            "client_id" => &mut self.clients,
            "redirect_uri" => &mut self.redirects,
            _ => return Ok(()),
        };
        let value = value.ok_or(Unclear)?;
        names.extend((!value.is_empty()).then(|| value.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(referers: &[&str], target: &str, body: &str) -> Sent {
        let mut headers = HeaderMap::new();
        for referer in referers {
            headers.append(header::REFERER, HeaderValue::from_str(referer).unwrap());
        }
        let mut sent = Parts {
            method: Method::POST,
            target: PathAndQuery::try_from(target).unwrap(),
            headers,
            states: SignInCookies::default(),
            flows: SignInCookies::default(),
            body: Body::empty(),
        }
        .sent();
        sent.body = Bytes::copy_from_slice(body.as_bytes());
        sent
    }

    #[test]
    fn a_referer_that_cannot_be_read_without_doubt_is_not_one_without_a_mark() {
        let mark = |referers: &[&str]| sent(referers, "/", "").mark();
        let many = format!("https://g/a?{}{MARK}=x", "a&".repeat(MOST_NAMED));
        for unclear in [
            &[many.as_str()][..],
            &["https://g/a?%zz=1&pkce_gate=x"],
            &["https://g/a?%ff&pkce_gate=x"],
            &["https://g/a?pkce_gate=%zz"],
            &["https://g/a?pkce_gate=x&pkce_gate=y"],
            &["https://g/a?pkce_gate=x", "https://g/b"],
        ] {
            assert_eq!(mark(unclear), Err(Unclear), "{unclear:?}");
        }
        for (clear, expected) in [
            (&[][..], None),
            (&["https://g/a"], None),
            (&["https://g/a?x=%zz"], None),
            (&["https://g/a#?pkce_gate=x"], None),
            (&["https://g/a?b=c&pkce_gate=x#d"], Some("x")),
        ] {
            assert_eq!(mark(clear), Ok(expected.map(str::to_owned)), "{clear:?}");
        }
    }

    #[test]
    fn names_that_cannot_be_read_without_doubt_are_not_absent() {
        let named = |target: &str, body: &str| sent(&[], target, body).named();
        let many = format!("{}client_id=x", "a=b&".repeat(MOST_NAMED));
        for (target, body) in [
            ("/", r#"{"client_id":"a","client_id":"b"}"#),
            ("/", r#"{"client_id":"a","x":1,"x":2}"#),
            ("/", r#" {"client_id":"a",}"#),
            ("/", r#"{"client_id":["a"]}"#),
            ("/", r#"{"redirect_uri":{"a":1}}"#),
            ("/", "client_id=%zz"),
            ("/", "%zz=1&client_id=a"),
            ("/", many.as_str()),
            ("/?client_id=%ff", ""),
            ("/?%zz&client_id=a", ""),
        ] {
            assert!(named(target, body).is_err(), "{target} {body}");
        }
        for (target, body) in [
            ("/", r#"{"client_id":"a","redirect_uri":null,"x":[1]}"#),
            ("/?client_id=a", ""),
            ("/?x=%zz", "client_id=a&y=%ff"),
            ("/?client_id=a", "[1]"),
        ] {
            let Ok(named) = named(target, body) else {
                panic!("{target} {body}")
            };
            assert_eq!(named.clients, ["a"], "{target} {body}");
            assert!(named.redirects.is_empty());
        }
    }
}
