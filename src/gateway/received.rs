//! A request as it was received ([`Received`]), and the parts of it that its answer is compared with ([`Sent`]).

use std::borrow::Cow;

use bytes::Bytes;
use http::header;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method};

use crate::flow::submission::MARK;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::oauth::media::names_foreign_charset;
use crate::oauth::{Params, client, json, params, redirect};
use crate::spelling::shortcuts::may_hold_handle;
use crate::spelling::{Twins, says, without_nul};
use crate::suspicion::{self, Look, Suspicion};

use super::sign_in_cookies::SignInCookies;
use super::subject::About;
use crate::http::body::Body;
use crate::http::headers;

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
                header::REFERER => sent.referer = Some(value.clone()),
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
            hint: None,
        }
    }

    pub(super) fn authorization(&self) -> Option<&[u8]> {
        headers::value(&self.headers, header::AUTHORIZATION)
    }

    /// The Content-Type, empty if there is none that is ASCII.
    pub(super) fn media_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
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

    /// The mark in the URL of the page that made the request ([`MARK`]).
    pub(super) fn mark(&self) -> Option<String> {
        let url = self.referer.as_ref()?.as_bytes();
        let query = memchr::memchr(b'?', url).and_then(|at| url.get(at + 1..))?;
        let end = memchr::memchr(b'#', query).unwrap_or(query.len());
        let params = Params::survey(query.get(..end)?, MOST_NAMED).ok()?;
        params.all(MARK).next().map(|pair| pair.value().to_owned())
    }

    /// The clients and redirect URIs in the query, and in the form or the JSON object of the body.
    pub(super) fn named(&self) -> Named {
        let (_, query) = self.target().split_once('?').unwrap_or_default();
        let mut named = Named::default();
        if let Some(serde_json::Value::Object(members)) = json::parse(&self.body) {
            for (name, value) in &members {
                named.add(name, value.as_str().unwrap_or_default());
            }
        } else if let Ok(form) = Params::survey(&self.body, MOST_NAMED) {
            form.iter()
                .for_each(|pair| named.add(pair.name(), pair.value()));
        }
        if let Ok(query) = Params::survey(query.as_bytes(), MOST_NAMED) {
            query
                .iter()
                .for_each(|pair| named.add(pair.name(), pair.value()));
        }
        named
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

/// The clients and redirect URIs that a request names.
#[derive(Default)]
pub(super) struct Named {
    pub(super) clients: Vec<String>,
    pub(super) redirects: Vec<String>,
}

impl Named {
    fn add(&mut self, name: &str, value: &str) {
        match name {
            _ if value.is_empty() => {}
            "client_id" => self.clients.push(value.to_owned()),
            "redirect_uri" => self.redirects.push(value.to_owned()),
            _ => {}
        }
    }
}
