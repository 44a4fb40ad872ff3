//! The `Location` of a redirect: an authorization response in the query or in the fragment.
//!
//! Handled as bytes, because some servers write ISO-8859-1. Codes and states are ASCII; the rest stays unchanged.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use crate::flow::Purpose;
use crate::oauth::Params;
use crate::oauth::params::append_pair;

use super::carried::{Carried, Carrier, Ours, Replacement, Rewritten, SEVERAL};
use super::detect::{self, Credential, Kind, carries};
use super::jarm;

/// The most parameters in a query or fragment. One with more is not parsed, and not delivered if it may contain a credential.
const MAX_PAIRS: usize = 128;

/// A parsed `Location`.
#[derive(Debug)]
pub struct Location<'a> {
    raw: &'a [u8],
    /// Scheme, authority and path.
    target: &'a [u8],
    query: Option<Part<'a>>,
    /// The part of the fragment before its parameters: `/cb` in `#/cb?code=…`, `cb` in `#cb?code=…`. Applications put their own
    /// paths there.
    route: Option<&'a [u8]>,
    fragment: Option<Part<'a>>,
}

/// Query or fragment.
#[derive(Debug)]
struct Part<'a> {
    text: &'a [u8],
    /// `None`: it cannot be parsed, and is never changed.
    params: Option<Params<'a>>,
}

impl<'a> Part<'a> {
    fn new(text: &'a [u8]) -> Self {
        let params = Params::survey(text, MAX_PAIRS).ok();
        Self { text, params }
    }

    /// Searches a part that cannot be parsed.
    fn read_loosely(&self, ours: Ours<'_>, carried: &mut Carried) {
        let seen = |credential| carries(credential, self.text, Kind::Text, None);
        carried.unread |= seen(Credential::Code) || seen(Credential::Token);
        let handles = ours.key.find_all(Purpose::State, self.text, SEVERAL);
        for handle in handles.unwrap_or_default() {
            if !carried.handles.contains(&handle) {
                carried.handles.push(handle);
            }
        }
        carried.handles.truncate(SEVERAL);
    }

    fn rewrite_into(&self, out: &mut Vec<u8>, separator: u8, replacement: Replacement<'_>) {
        let edited = self
            .params
            .as_ref()
            .map(|params| params.edit(|pair| replacement.edit(pair.name(), pair.value())));
        let edited = self.with_issuer(edited, replacement);
        let edited = edited.as_deref().unwrap_or(self.text);
        // A part that is empty after the rewrite loses its separator; one that was empty before keeps it.
        if edited.is_empty() && !self.text.is_empty() {
            return;
        }
        out.push(separator);
        out.extend_from_slice(edited);
    }
}

impl Part<'_> {
    /// Adds the issuer to the edited text, if this part is the response.
    fn with_issuer(
        &self,
        edited: Option<Vec<u8>>,
        replacement: Replacement<'_>,
    ) -> Option<Vec<u8>> {
        let mut edited = edited?;
        let mut pairs = self.params.iter().flat_map(Params::iter);
        let issuer = pairs.find_map(|pair| replacement.issuer_beside(pair.name(), pair.value()));
        if let Some(issuer) = issuer {
            append_pair(&mut edited, "iss", issuer);
        }
        Some(edited)
    }
}

impl<'a> Location<'a> {
    /// Splits at the first `#` and the first `?` before it (RFC 3986 section 3).
    pub fn new(raw: &'a [u8]) -> Self {
        let (head, fragment) = split(raw, b'#');
        let (target, query) = split(head, b'?');
        let (route, fragment) = fragment.map_or((None, None), |fragment| {
            let is_route = |route: &&[u8]| memchr2(b'=', b'&', route).is_none();
            match split(fragment, b'?') {
                (route, Some(rest)) if is_route(&route) => (Some(route), Some(rest)),
                _ => (None, Some(fragment)),
            }
        });
        Self {
            raw,
            target,
            query: query.map(Part::new),
            route,
            fragment: fragment.map(Part::new),
        }
    }

    /// Whether a parameter with one of these names has a value.
    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        let parts = [&self.query, &self.fragment].into_iter().flatten();
        let mut pairs = parts.flat_map(|part| part.params.iter().flat_map(Params::iter));
        pairs.any(|pair| names.contains(&pair.name()) && !pair.value().is_empty())
    }
}

fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(at, text) {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            Some(text.get(at + 1..).unwrap_or_default()),
        ),
        None => (text, None),
    }
}

impl Carrier for Location<'_> {
    fn target(&self) -> Cow<'_, str> {
        as_url(self.target)
    }

    fn url(&self) -> Cow<'_, str> {
        as_url(self.raw)
    }

    fn read(&self, ours: Ours<'_>) -> Carried {
        let mut carried = Carried::default();
        for part in [&self.query, &self.fragment].into_iter().flatten() {
            let in_fragment = self
                .fragment
                .as_ref()
                .is_some_and(|it| std::ptr::eq(it, part));
            for pair in part.params.iter().flat_map(Params::iter) {
                carried.take(ours, pair.name(), pair.value());
            }
            // After a route, an `access_token` may belong to the application itself, unless there is an `id_token`.
            let is_own = self.route.is_some() && !carried.id_token;
            carried.in_fragment |= in_fragment && carried.has_tokens() && !is_own;
            if part.params.is_none() {
                part.read_loosely(ours, &mut carried);
            }
        }
        // After separators other than the first `?`, `&` and `#`: a path parameter, a second `?`, a path in the fragment.
        if carried.codes.is_empty() {
            carried.lookalike |= detect::is_parameter_of(Credential::Code, self.raw);
        }
        if !carried.has_tokens() {
            carried.access_token = detect::is_parameter_of(Credential::Token, self.raw);
        }
        if !carried.signed && jarm::stands_in(self.raw) {
            carried.signed = true;
            carried.signed_credential = true;
        }
        carried
    }

    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        let mut out = Vec::with_capacity(self.raw.len() + 64);
        out.extend_from_slice(self.target);
        if let Some(query) = &self.query {
            query.rewrite_into(&mut out, b'?', replacement);
        }
        let mut separator = b'#';
        if let Some(route) = self.route {
            out.push(b'#');
            out.extend_from_slice(route);
            separator = b'?';
        }
        if let Some(fragment) = &self.fragment {
            fragment.rewrite_into(&mut out, separator, replacement);
        }
        Rewritten::Location(out)
    }
}

/// Whether a URL has a token and a parameter that accompanies one in a response.
pub(crate) fn is_token_response(url: &[u8], like: Credential) -> bool {
    const COMPANY: [&[u8]; 3] = [b"token_type=", b"expires_in=", b"state="];
    detect::is_parameter_like(Credential::Token, url, like)
        && COMPANY.iter().any(|name| memmem::find(url, name).is_some())
}

/// The URL in a word that may have a prefix, such as `0;url=`. It begins at the scheme, or at the two slashes.
pub(crate) fn address(word: &[u8]) -> &[u8] {
    let end = memchr2(b'?', b'#', word).unwrap_or(word.len());
    let head = word.get(..end).unwrap_or_default();
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let slashes = head.windows(2).position(|two| two.iter().all(is_slash));
    let colon = memchr::memrchr(b':', head.get(..slashes.unwrap_or(end)).unwrap_or_default());
    let scheme = |colon: usize| {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let before = head.get(..colon).unwrap_or_default();
        before
            .iter()
            .rposition(|byte| !is_part(byte))
            .map_or(0, |at| at + 1)
    };
    let start = match (colon, slashes) {
        (Some(colon), Some(slashes)) if colon + 1 < slashes => slashes,
        (Some(colon), _) => scheme(colon),
        (None, Some(slashes)) => slashes,
        (None, None) => 0,
    };
    word.get(start..).unwrap_or_default()
}

/// The text for a URL parser. If it is not UTF-8, bytes beyond ASCII are percent-encoded, as browsers do.
pub(crate) fn as_url(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let escape = |byte: &u8| match byte {
                0..=0x7f => char::from(*byte).to_string(),
                other => format!("%{other:02X}"),
            };
            Cow::Owned(bytes.iter().map(escape).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ClientState, Handle, HandleKey, Purpose};
    use crate::oauth::AuthorizationCode;
    use proptest::prelude::*;

    fn key() -> HandleKey {
        HandleKey::for_upstream("t")
    }

    fn handles() -> (Handle, Handle) {
        (
            key().mint(Purpose::State, 0..200),
            key().mint(Purpose::Code, 0..200),
        )
    }

    fn raw() -> AuthorizationCode {
        AuthorizationCode::new("RAW").unwrap()
    }

    fn text(rewritten: &Rewritten) -> &str {
        let Rewritten::Location(bytes) = rewritten else {
            panic!()
        };
        str::from_utf8(bytes).unwrap()
    }

    fn read(location: &str, ours: Ours<'_>) -> Carried {
        Location::new(location.as_bytes()).read(ours)
    }

    fn check(location: &str, state: &ClientState, expected: &str) {
        let (handle, code) = handles();
        let location = location.replace("HANDLE", handle.expose());
        let parsed = Location::new(location.as_bytes());
        let rewritten = parsed.rewrite(Replacement {
            handle: &handle,
            state,
            code: Some((&raw(), &code)),
            without: &[],
            issuer: None,
        });
        let expected = expected.replace("CODE", code.expose());
        assert_eq!(text(&rewritten), expected, "{location}");
    }

    #[test]
    fn state_and_code_are_replaced_in_query_and_fragment() {
        let xyz = ClientState::value("x&y=é");
        let encoded = "x%26y%3D%C3%A9";
        check(
            "https://c/cb?a=%7E&code=RAW&state=HANDLE",
            &xyz,
            &format!("https://c/cb?a=%7E&code=CODE&state={encoded}"),
        );
        check(
            "https://c/cb#state=HANDLE&code=RAW&token_type=x",
            &xyz,
            &format!("https://c/cb#state={encoded}&code=CODE&token_type=x"),
        );
        check(
            "https://c/cb?code=RAW&state=HANDLE",
            &ClientState::Absent,
            "https://c/cb?code=CODE",
        );
        check(
            "https://c/cb?state=HANDLE&code=RAW",
            &ClientState::Absent,
            "https://c/cb?code=CODE",
        );
        check(
            "https://c/cb?state=HANDLE&code=RAW&session_code=R%41W#c=RAW&d=RAWX",
            &ClientState::Absent,
            "https://c/cb?code=CODE&session_code=CODE#c=CODE&d=RAWX",
        );
        check(
            "https://c/cb?state=HANDLE&code=RAW",
            &ClientState::Bare,
            "https://c/cb?state&code=CODE",
        );
        check(
            "https://c/cb?error=x&state=HANDLE#f",
            &ClientState::Absent,
            "https://c/cb?error=x#f",
        );
        check(
            "https://c/cb?state=HANDLE",
            &ClientState::Absent,
            "https://c/cb",
        );
        check(
            "https://c/?a=b#/cb?code=RAW&state=HANDLE",
            &xyz,
            &format!("https://c/?a=b#/cb?code=CODE&state={encoded}"),
        );
        check(
            "https://c/#cb?code=RAW&state=HANDLE",
            &xyz,
            &format!("https://c/#cb?code=CODE&state={encoded}"),
        );
        check(
            "https://c/#?state=HANDLE&code=RAW",
            &ClientState::Absent,
            "https://c/#?code=CODE",
        );
        check(
            "https://c/#!/cb?state=HANDLE",
            &ClientState::Absent,
            "https://c/#!/cb",
        );
        check(
            "https://c/#/cb&code=RAW&state=HANDLE",
            &ClientState::Absent,
            "https://c/#/cb&code=CODE",
        );
        check(
            "app:/cb?code=RAW&&x=%zz&state=HANDLE",
            &ClientState::value(""),
            "app:/cb?code=CODE&&x=%zz&state=",
        );
    }

    #[test]
    fn parameters_are_read_from_query_and_fragment() {
        let (handle, _) = handles();
        let text = format!(
            "https://c/cb?code=a&code=b&state={}#id_token=x&iss=i",
            handle.expose()
        );
        let carried = read(&text, (&key()).into());
        assert_eq!(carried.handles, [handle]);
        assert_eq!(
            (
                carried.codes.len(),
                carried.id_token,
                carried.issuer.as_deref()
            ),
            (2, true, Some("i"))
        );
        assert!(!read("/login?next=%2Fauthorize%3Fcode%3Dx", (&key()).into()).is_response());
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_unchanged() {
        let (handle, code) = handles();
        let location = [
            b"https://c/cb?code=RAW&state=",
            handle.expose().as_bytes(),
            b"&user=J\xfcrgen",
        ]
        .concat();
        let parsed = Location::new(&location);
        let carried = parsed.read((&key()).into());
        assert_eq!((carried.codes.len(), carried.handles.len()), (1, 1));
        let replacement = Replacement {
            handle: &handle,
            state: &ClientState::Absent,
            code: Some((&raw(), &code)),
            without: &[],
            issuer: None,
        };
        let Rewritten::Location(out) = parsed.rewrite(replacement) else {
            panic!()
        };
        let expected = [
            b"https://c/cb?code=",
            code.expose().as_bytes(),
            b"&user=J\xfcrgen",
        ]
        .concat();
        assert_eq!(out, expected);
        assert_eq!(Location::new(b"https://c/\xfc?x").target(), "https://c/%FC");
    }

    #[test]
    fn an_issuer_is_added_to_the_part_that_is_the_response() {
        let (handle, _) = handles();
        for (location, expected) in [
            (
                "https://c/cb?code=x&state=HANDLE",
                "https://c/cb?code=x&state=s&iss=https%3A%2F%2Fi%2Ft",
            ),
            (
                "https://c/cb?a=b#state=HANDLE",
                "https://c/cb?a=b#state=s&iss=https%3A%2F%2Fi%2Ft",
            ),
            (
                "https://c/#/cb?state=HANDLE",
                "https://c/#/cb?state=s&iss=https%3A%2F%2Fi%2Ft",
            ),
            (
                "https://c/cb?code=x&state=other#y",
                "https://c/cb?code=x&state=other#y",
            ),
        ] {
            let location = location.replace("HANDLE", handle.expose());
            let rewritten = Location::new(location.as_bytes()).rewrite(Replacement {
                handle: &handle,
                state: &ClientState::value("s"),
                code: None,
                without: &[],
                issuer: Some("https://i/t"),
            });
            assert_eq!(text(&rewritten), expected);
        }
        let location = format!("https://c/cb?state={}&error=x", handle.expose());
        let without_state = Location::new(location.as_bytes()).rewrite(Replacement {
            handle: &handle,
            state: &ClientState::Absent,
            code: None,
            without: &[],
            issuer: Some("i"),
        });
        assert_eq!(text(&without_state), "https://c/cb?error=x&iss=i");
    }

    proptest! {
        #[test]
        fn the_handle_of_the_request_is_read_like_any_other(
            location in "https://c/cb[?](state=(HANDLE|CODE|[a-z]{0,3})|code=[a-z]{0,2}|&|#){0,6}",
            same: bool,
        ) {
            let (handle, code) = handles();
            let text = location.replace("CODE", code.expose()).replace("HANDLE", handle.expose());
            let sent = if same { &handle } else { &code };
            let (key, parsed) = (key(), Location::new(text.as_bytes()));
            let expecting = parsed.read(Ours { key: &key, sent: Some(sent) });
            let unexpecting = parsed.read((&key).into());
            prop_assert_eq!(format!("{unexpecting:?}"), format!("{expecting:?}"));
            prop_assert_eq!(unexpecting.handles, expecting.handles);
        }

        #[test]
        fn a_location_without_a_handle_stays_unchanged(location in "[a-z:/?#&=%.]{0,60}") {
            let (handle, _) = handles();
            let replacement = Replacement { handle: &handle, state: &ClientState::Absent, code: None, without: &[], issuer: None };
            let rewritten = Location::new(location.as_bytes()).rewrite(replacement);
            prop_assert_eq!(text(&rewritten), location);
        }
    }
}
