//! The `Location` of a redirect: an authorization response in the query or in the fragment.

use crate::oauth::Params;

use super::{Carried, Ours, Replacement};

/// More pairs than any response has; past it a part is not read, and so not delivered with a code.
const MAX_PAIRS: usize = 128;

/// A `Location` in its parts.
#[derive(Debug)]
pub struct Location<'a> {
    raw: &'a str,
    /// Scheme, authority and path.
    target: &'a str,
    query: Option<Part<'a>>,
    fragment: Option<Part<'a>>,
}

/// Query or fragment.
#[derive(Debug)]
struct Part<'a> {
    text: &'a str,
    /// `None`: it cannot be read. Then it carries nothing, and is never touched.
    params: Option<Params<'a>>,
}

impl<'a> Part<'a> {
    fn new(text: &'a str) -> Self {
        let params = Params::survey(text.as_bytes(), MAX_PAIRS).ok();
        Self { text, params }
    }

    fn rewrite_into(&self, out: &mut String, separator: char, replacement: Replacement<'_>) {
        let edited = self
            .params
            .as_ref()
            .map(|params| params.edit(|pair| replacement.edit(pair.name(), pair.value())))
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let edited = edited.as_deref().unwrap_or(self.text);
        // A part that our removal emptied goes; an empty `?` of the client's own stays.
        if edited.is_empty() && !self.text.is_empty() {
            return;
        }
        out.push(separator);
        out.push_str(edited);
    }
}

impl<'a> Location<'a> {
    /// Splits at the first `#` and the first `?` before it (RFC 3986 section 3).
    pub fn new(raw: &'a str) -> Self {
        let (head, fragment) = match raw.split_once('#') {
            Some((head, fragment)) => (head, Some(fragment)),
            None => (raw, None),
        };
        let (target, query) = match head.split_once('?') {
            Some((target, query)) => (target, Some(query)),
            None => (head, None),
        };
        Self {
            raw,
            target,
            query: query.map(Part::new),
            fragment: fragment.map(Part::new),
        }
    }

    /// Scheme, authority and path.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// What stands in query and fragment.
    pub fn read<'o>(&self, ours: impl Into<Ours<'o>>) -> Carried {
        let ours = ours.into();
        let mut carried = Carried::default();
        let parts = self.query.iter().chain(&self.fragment);
        for params in parts.filter_map(|part| part.params.as_ref()) {
            for pair in params.iter() {
                carried.take(ours, pair.name(), pair.value());
            }
        }
        carried
    }

    /// The same place with the client's own state, and our handle in place of the code.
    pub fn rewrite(&self, replacement: Replacement<'_>) -> String {
        let mut out = String::with_capacity(self.raw.len() + 64);
        out.push_str(self.target);
        if let Some(query) = &self.query {
            query.rewrite_into(&mut out, '?', replacement);
        }
        if let Some(fragment) = &self.fragment {
            fragment.rewrite_into(&mut out, '#', replacement);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ClientState, Handle, HandleKey, Purpose};
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

    fn check(location: &str, state: &ClientState, expected: &str) {
        let (handle, code) = handles();
        let location = location.replace("HANDLE", handle.expose());
        let parsed = Location::new(&location);
        let rewritten = parsed.rewrite(Replacement {
            handle: &handle,
            state,
            code: Some(&code),
        });
        assert_eq!(
            rewritten,
            expected.replace("CODE", code.expose()),
            "{location}"
        );
    }

    #[test]
    fn state_is_restored_and_the_code_replaced_wherever_they_stand() {
        let xyz = ClientState::Value("x&y=é".into());
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
            "app:/cb?code=RAW&&x=%zz&state=HANDLE",
            &ClientState::Value("".into()),
            "app:/cb?code=CODE&&x=%zz&state=",
        );
    }

    #[test]
    fn what_an_answer_carries_is_found_in_query_and_fragment() {
        let (handle, _) = handles();
        let text = format!(
            "https://c/cb?code=a&code=b&state={}#id_token=x&iss=i",
            handle.expose()
        );
        let carried = Location::new(&text).read(&key());
        assert_eq!(carried.handles, [handle]);
        assert_eq!(
            (
                carried.codes.len(),
                carried.id_token,
                carried.issuer.as_deref()
            ),
            (2, true, Some("i"))
        );
        assert!(
            !Location::new("/login?next=%2Fauthorize%3Fcode%3Dx")
                .read(&key())
                .is_response()
        );
    }

    proptest! {
        #[test]
        fn a_handle_that_is_expected_is_read_like_any_other(
            location in "https://c/cb[?](state=(HANDLE|CODE|[a-z]{0,3})|code=[a-z]{0,2}|&|#){0,6}",
            same: bool,
        ) {
            let (handle, code) = handles();
            let text = location.replace("HANDLE", handle.expose()).replace("CODE", code.expose());
            let sent = if same { &handle } else { &code };
            let (key, parsed) = (key(), Location::new(&text));
            let expecting = parsed.read(Ours { key: &key, sent: Some(sent) });
            prop_assert_eq!(format!("{:?}", parsed.read(&key)), format!("{expecting:?}"));
            prop_assert_eq!(parsed.read(&key).handles, expecting.handles);
        }

        #[test]
        fn a_location_without_ours_is_left_as_it_is(location in "[a-z:/?#&=%.]{0,60}") {
            let (handle, _) = handles();
            let replacement = Replacement { handle: &handle, state: &ClientState::Absent, code: None };
            prop_assert_eq!(Location::new(&location).rewrite(replacement), location);
        }
    }
}
