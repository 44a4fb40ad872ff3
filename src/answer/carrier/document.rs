//! A JSON document with a code at a configured place (`code_in_json`): the code itself, or a URL that contains it.
//!
//! A page of the server that is an application gets its code so, and builds the redirect to the client itself. All bytes of the
//! document stay as they are, except the values that contain the code, or the handle in place of the client's state.

use std::borrow::Cow;
use std::ops::Range;

use crate::examined::looked_at;
use crate::flow::{ClientState, Purpose};
use crate::oauth::json;
use crate::oauth::json_text::{self as text, Pointer};

use super::carried::{Carried, Carrier, Ours, Replacement, Rewritten};
use super::location::Location;

/// A document whose value at the pointer is a string.
pub(crate) struct Document<'a> {
    text: &'a str,
    value: String,
    /// Whether the value is a URL. If not, it is a code.
    is_url: bool,
}

/// What a body is that should be such a document.
pub(crate) enum Found<'a> {
    Document(Document<'a>),
    /// It has no string there: a step of the login, or an error.
    Nothing,
    /// It may be JSON, but has duplicate members or is broken, so that clients may read another value in it.
    Unreadable,
}

impl<'a> Document<'a> {
    /// Looks at a body. `is_json`: by its Content-Type.
    pub(crate) fn find(body: &'a [u8], pointer: &Pointer, is_json: bool) -> Found<'a> {
        let parsed = json::parse(body).and_then(|_| str::from_utf8(body).ok());
        let Some(text) = parsed else {
            return if looks_like_json(body) || is_json && !body.trim_ascii().is_empty() {
                Found::Unreadable
            } else {
                Found::Nothing
            };
        };
        looked_at(text.len());
        let value = pointer
            .find(text)
            .and_then(|place| text::string(text.get(place)?));
        match value.filter(|value| !value.is_empty()) {
            Some(value) => Found::Document(Self {
                text,
                is_url: is_url(&value),
                value,
            }),
            None => Found::Nothing,
        }
    }

    /// The URL at the pointer. `None`: the value is a code.
    fn location(&self) -> Option<Location<'_>> {
        self.is_url.then(|| Location::new(self.value.as_bytes()))
    }

    fn strings(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        looked_at(self.text.len());
        let places = text::strings(self.text).into_iter();
        places.filter_map(|place| {
            let value = text::string(self.text.get(place.clone())?)?;
            Some((place, value))
        })
    }
}

/// Whether a client may read a body as JSON: also behind a byte-order mark, which browsers remove, and behind `)]}'`, with which
/// some servers keep a document from being a script.
fn looks_like_json(body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[' | b')'))
}

/// The parameters of authorization responses (RFC 6749 sections 4.1.2 and 4.2.2, JARM section 2.3), and the one by which the next
/// page of a sign-in is recognised.
const OF_RESPONSES: [&str; 7] = [
    "code",
    "error",
    "response",
    "state",
    "access_token",
    "id_token",
    "client_id",
];

/// Whether a value is a URL. Every other value is a code: it is replaced, so that a doubtful one is never delivered as it came.
///
/// - A web address (`https://…`) is always one.
/// - With any other scheme (RFC 8252 section 7.1: `com.example.app:/cb?code=…`), or as a path (`/cb?code=…`), it is one only with a
///   parameter of a response. Without, it may be a code: `abc:def` has the syntax of a URL (RFC 3986 section 3), and base64 may
///   begin with `/`.
fn is_url(value: &str) -> bool {
    let is_scheme = |scheme: &str| {
        let mut bytes = scheme.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let scheme = value.split_once(':').filter(|(it, _)| is_scheme(it));
    let is_web = |(scheme, rest): (&str, &str)| {
        let is_http = ["http", "https"].map(|http| scheme.eq_ignore_ascii_case(http));
        is_http.contains(&true) && rest.starts_with("//")
    };
    scheme.is_some_and(is_web)
        || (scheme.is_some() || value.starts_with('/'))
            && Location::new(value.as_bytes()).has_any(&OF_RESPONSES)
}

impl Carrier for Document<'_> {
    fn target(&self) -> Cow<'_, str> {
        self.location().map_or(Cow::Borrowed(""), |location| {
            location.target().into_owned().into()
        })
    }

    fn url(&self) -> Cow<'_, str> {
        match self.location() {
            Some(_) => Cow::Borrowed(&self.value),
            None => Cow::Borrowed(""),
        }
    }

    fn has_url(&self) -> bool {
        self.location().is_some()
    }

    fn read(&self, ours: Ours<'_>) -> Carried {
        match self.location() {
            Some(location) => location.read(ours),
            None => {
                let mut carried = Carried::default();
                carried.take(ours, "code", &self.value);
                // The document may repeat the `state` beside the code.
                for (_, value) in self.strings() {
                    if ours.key.recognise(Purpose::State, &value).is_some() {
                        carried.take(ours, "state", &value);
                    }
                }
                carried
            }
        }
    }

    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        let state = match replacement.state {
            ClientState::Value(state) => text::quoted(state),
            ClientState::Bare => text::quoted(""),
            ClientState::Absent | ClientState::InCookie => "null".to_owned(),
        };
        let rewritten = |value: &str| {
            if value == replacement.handle.expose() {
                return Some(state.clone());
            }
            if let Some((code, ours)) = replacement.code
                && value == code.expose()
            {
                return Some(text::quoted(ours.expose()));
            }
            // Other values may be URLs, too. Only those with a handle or the code change.
            if !value.contains(['?', '#']) {
                return None;
            }
            let url = Location::new(value.as_bytes()).rewrite(replacement);
            let url = str::from_utf8(url.bytes()).ok()?;
            (url != value).then(|| text::quoted(url))
        };
        let strings = self.strings();
        let edits = strings.filter_map(|(place, value)| Some((place, rewritten(&value)?)));
        let edits: Vec<_> = edits.collect();
        Rewritten::Document(text::replace(self.text, &edits).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Handle, HandleKey};
    use crate::oauth::AuthorizationCode;
    use proptest::prelude::*;

    const RAW: &str = "RAW4/0AbC+d==";

    fn key() -> HandleKey {
        HandleKey::for_upstream("t")
    }

    /// What is read in a document with this value, and the document with a handle in place of the code.
    fn delivered(value: &str) -> (bool, Vec<String>, String) {
        let text = serde_json::json!({ "result": value, "x": 1 }).to_string();
        let pointer = Pointer::to_member("result");
        let Found::Document(document) = Document::find(text.as_bytes(), &pointer, true) else {
            panic!("{text}")
        };
        let key = key();
        let carried = document.read((&key).into());
        let (state, ours) = (ours(Purpose::State), ours(Purpose::Code));
        let rewritten = document.rewrite(Replacement {
            handle: &state,
            state: &ClientState::Absent,
            code: carried.codes.first().map(|code| (code, &ours)),
            without: &[],
            issuer: None,
        });
        let codes = carried.codes.iter().map(AuthorizationCode::expose);
        (
            document.has_url(),
            codes.map(str::to_owned).collect(),
            str::from_utf8(rewritten.bytes()).unwrap().to_owned(),
        )
    }

    fn ours(purpose: Purpose) -> Handle {
        key().mint(purpose, 0..200)
    }

    #[test]
    fn a_value_is_a_code_unless_it_is_a_url_of_a_response() {
        for code in [
            RAW,
            "/bc+/def/0123456789+/==",
            "//x/y",
            "/bc?def=1",
            "ab?c/def",
            "ab?code=x",
            "abc:def",
            "abc:/def",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "abc://def",
            "abc:def?",
            "abc:def#x=1",
            "/bc?code",
            "/bc#state=",
            "https:x",
            "4http://c/cb?code=x",
            "eyJhbGciOi.J9-_.~",
        ] {
            let (is_url, codes, rewritten) = delivered(code);
            assert!(!is_url, "{code}");
            assert_eq!(codes, [code]);
            assert!(!rewritten.contains(code), "{rewritten}");
        }
        for url in [
            "https://c.test/cb?code=CODE",
            "HTTPS://c.test/cb#code=CODE&state=x",
            "https:/cb?code=CODE",
            "com.example.app:/cb?code=CODE",
            "com.example.app:cb?x=1&code=CODE",
            "myapp:/cb#code=CODE",
            "myapp://#/cb?state=x&code=CODE",
            "/cb?code=CODE",
            "/cb?x#c%6Fde=CODE",
            "//c.test/cb?code=CODE",
        ] {
            let url = url.replace("CODE", "4%2F0AbC");
            let (is_url, codes, rewritten) = delivered(&url);
            assert!(is_url, "{url}");
            assert_eq!(codes, ["4/0AbC"], "{url}");
            assert!(!rewritten.contains("0AbC"), "{rewritten}");
        }
        for step in [
            "https://server.test/consent",
            "http://server.test/?x=y",
            "/consent?consent_code=c&client_id=app",
            "/error?error=access_denied",
            "myapp:/cb?error=access_denied",
        ] {
            let (is_url, codes, rewritten) = delivered(step);
            assert!(is_url && codes.is_empty(), "{step}");
            assert!(rewritten.contains(step), "{rewritten}");
        }
    }

    #[test]
    fn a_document_that_only_some_clients_read_is_unreadable() {
        let find = |body: &str, is_json| {
            let pointer = Pointer::to_member("result");
            match Document::find(body.as_bytes(), &pointer, is_json) {
                Found::Document(_) => "document",
                Found::Nothing => "nothing",
                Found::Unreadable => "unreadable",
            }
        };
        for body in [
            "\u{feff}{\"result\":\"c\"}",
            ")]}',\n{\"result\":\"c\"}",
            " {\"result\":\"c\"",
            "{\"result\":\"c\"} {}",
            "[\"result\"",
        ] {
            for is_json in [false, true] {
                assert_eq!(find(body, is_json), "unreadable", "{body}");
            }
        }
        assert_eq!(find("for(;;);{\"result\":\"c\"}", true), "unreadable");
        for (body, found) in [
            ("{\"result\":\"c\"}", "document"),
            ("<p>", "nothing"),
            ("", "nothing"),
            ("{\"result\":\"\"}", "nothing"),
            ("{\"result\":null}", "nothing"),
        ] {
            assert_eq!(find(body, false), found, "{body}");
        }
    }

    proptest! {
        /// Of any code that has no syntax of a response in it, nothing is left.
        #[test]
        fn a_code_is_replaced_whatever_its_characters(
            code in prop_oneof![
                "[/?:#]?[A-Za-z0-9+/=]{1,60}={0,2}",
                "[a-z+.-]{1,8}:/{0,2}[ -~]{1,30}",
                "/[ -~]{1,30}",
                "[ -~]{1,30}",
            ]
        ) {
            let is_web = ["http://", "https://"].iter().any(|web| {
                code.get(..web.len()).is_some_and(|start| start.eq_ignore_ascii_case(web))
            });
            let named = Location::new(code.as_bytes()).has_any(&OF_RESPONSES);
            prop_assume!(!is_web && !named);
            let (is_url, codes, rewritten) = delivered(&code);
            prop_assert!(!is_url);
            prop_assert_eq!(codes, [code]);
            let handle = rewritten.strip_prefix("{\"result\":\"");
            let handle = handle.and_then(|rest| rest.strip_suffix("\",\"x\":1}"));
            let handle = handle.and_then(|handle| key().recognise(Purpose::Code, handle));
            prop_assert!(handle.is_some(), "{}", rewritten);
        }

        /// The code in a URL is found and replaced, and the rest of the URL stays.
        #[test]
        fn a_code_in_a_url_is_replaced(
            start in prop_oneof![
                "https?://[a-z.]{1,10}",
                "[a-z][a-z0-9+.-]{0,8}:/{0,3}[a-z/]{0,8}",
                "/{1,2}[a-z]{0,8}",
            ],
            before in "[?#](x=[a-z]{0,3}&)?",
            code in "[A-Za-z0-9+/=.~:?-]{1,40}",
            after in "(&state=[a-z]{0,3})?",
        ) {
            let code = format!("RAW{code}");
            let encoded: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
            let (is_url, codes, rewritten) = delivered(&format!("{start}{before}code={encoded}{after}"));
            prop_assert!(is_url);
            prop_assert_eq!(codes, [code]);
            prop_assert!(!rewritten.contains(&encoded), "{}", rewritten);
            prop_assert!(rewritten.contains(&format!("{start}{before}code=pgc")), "{}", rewritten);
        }
    }
}
