//! The `Location` of a redirect: an authorization response in the query or in the fragment.

use std::ops::Range;

use crate::flow::HandleKey;
use crate::oauth::Params;

use super::{Carried, Replacement};

/// More pairs than any response has; past it a part is not read, and so not delivered with a code.
const MAX_PAIRS: usize = 128;

/// A `Location` in its parts.
#[derive(Debug)]
pub struct Location<'a> {
    raw: &'a str,
    query: Option<Range<usize>>,
    fragment: Option<Range<usize>>,
}

impl<'a> Location<'a> {
    /// Splits at the first `#` and the first `?` before it (RFC 3986 section 3).
    pub fn new(raw: &'a str) -> Self {
        let hash = raw.find('#');
        let head_end = hash.unwrap_or(raw.len());
        let question = raw.get(..head_end).and_then(|head| head.find('?'));
        Self {
            raw,
            query: question.map(|at| at + 1..head_end),
            fragment: hash.map(|at| at + 1..raw.len()),
        }
    }

    /// Scheme, authority and path.
    pub fn target(&self) -> &'a str {
        let end = self.raw.find(['?', '#']).unwrap_or(self.raw.len());
        self.raw.get(..end).unwrap_or_default()
    }

    fn text(&self, part: Option<&Range<usize>>) -> Option<&'a str> {
        self.raw.get(part?.clone())
    }

    /// What stands in query and fragment. A part that cannot be read carries nothing, and is never touched.
    pub fn read(&self, key: &HandleKey) -> Carried {
        let mut carried = Carried::default();
        for text in [&self.query, &self.fragment]
            .into_iter()
            .filter_map(|part| self.text(part.as_ref()))
        {
            let Ok(params) = Params::survey(text.as_bytes(), MAX_PAIRS) else {
                continue;
            };
            for pair in params.iter() {
                carried.take(key, pair.name(), pair.value());
            }
        }
        carried
    }

    /// The same place with the client's own state, and our handle in place of the code.
    pub fn rewrite(&self, replacement: Replacement<'_>) -> String {
        let edited = |part: Option<&Range<usize>>, separator: char| {
            let Some(text) = self.text(part) else {
                return String::new();
            };
            let edited = Params::survey(text.as_bytes(), MAX_PAIRS)
                .ok()
                .map(|params| params.edit(|pair| replacement.edit(pair.name(), pair.value())))
                .and_then(|bytes| String::from_utf8(bytes).ok());
            match edited {
                // A part that our removal emptied goes; an empty `?` of the client's own stays.
                Some(edited) if edited.is_empty() && !text.is_empty() => String::new(),
                Some(edited) => format!("{separator}{edited}"),
                None => format!("{separator}{text}"),
            }
        };
        let query = edited(self.query.as_ref(), '?');
        format!(
            "{}{query}{}",
            self.target(),
            edited(self.fragment.as_ref(), '#')
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ClientState, Handle, Purpose};
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
        fn a_location_without_ours_is_left_as_it_is(location in "[a-z:/?#&=%.]{0,60}") {
            let (handle, _) = handles();
            let replacement = Replacement { handle: &handle, state: &ClientState::Absent, code: None };
            prop_assert_eq!(Location::new(&location).rewrite(replacement), location);
        }
    }
}
