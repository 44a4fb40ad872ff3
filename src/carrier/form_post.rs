//! OAuth 2.0 Form Post Response Mode: a page with a form that posts itself to the redirect URI.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr_iter;

use crate::oauth::Edit;

use super::html::{StartTag, Token, quoted, tokens};
use super::{Carried, Carrier, Ours, Replacement, Rewritten};

/// A form of a page, with the fields that carry something.
#[derive(Debug)]
pub struct FormPost<'p> {
    page: &'p [u8],
    /// Where it posts to; empty: to the page itself.
    action: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    value: String,
    tag: Range<usize>,
    value_attribute: Option<Range<usize>>,
}

/// What a response is made of. Of a page's other fields nothing is kept.
const OF_A_RESPONSE: [&str; 9] = [
    "state",
    "code",
    "access_token",
    "id_token",
    "token_type",
    "expires_in",
    "response",
    "error",
    "iss",
];

/// More fields of a response than any response has.
const MAX_FIELDS: usize = 32;

impl<'p> FormPost<'p> {
    /// The forms of a page that say something, in order, one at a time.
    pub fn all(page: &'p [u8]) -> impl Iterator<Item = Self> + 'p {
        let mut tokens = has_form(page).then(|| tokens(page)).into_iter().flatten();
        let forms = std::iter::from_fn(move || Self::next(page, &mut tokens));
        forms.filter(|form| form.fields.iter().any(|field| field.name != "state"))
    }

    /// The next one. A form inside a form is none: browsers ignore the tag.
    fn next(page: &'p [u8], tokens: &mut impl Iterator<Item = Token>) -> Option<Self> {
        let mut form: Option<Self> = None;
        for token in tokens {
            match (token, &mut form) {
                (Token::Start(tag), none @ None) if tag.name == "form" => {
                    let action = tag.value("action").unwrap_or_default().trim().to_owned();
                    *none = Some(Self {
                        page,
                        action,
                        fields: Vec::new(),
                    });
                }
                (Token::Start(tag), Some(form))
                    if tag.name == "input" && form.fields.len() < MAX_FIELDS =>
                {
                    form.fields.extend(Field::of(&tag));
                }
                (Token::End(name), Some(_)) if name == "form" => break,
                _ => {}
            }
        }
        form
    }
}

/// Whether there is a form at all: most pages are told from carriers by looking for one word.
pub fn has_form(page: &[u8]) -> bool {
    memchr_iter(b'<', page).any(|at| {
        let tag = page.get(at + 1..at + 5);
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(b"form"))
    })
}

impl Field {
    fn of(tag: &StartTag) -> Option<Self> {
        let name = tag.value("name")?;
        OF_A_RESPONSE.contains(&name).then(|| Self {
            name: name.to_owned(),
            value: tag.value("value").unwrap_or_default().to_owned(),
            tag: tag.span.clone(),
            value_attribute: tag
                .attribute("value")
                .map(|attribute| attribute.span.clone()),
        })
    }

    fn value_span(&self) -> Range<usize> {
        self.value_attribute
            .clone()
            .unwrap_or(self.tag.end..self.tag.end)
    }
}

impl Carrier for FormPost<'_> {
    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.action)
    }

    fn url(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.action)
    }

    fn read(&self, ours: Ours<'_>) -> Carried {
        let mut carried = Carried::default();
        for field in &self.fields {
            carried.take(ours, &field.name, &field.value);
        }
        // So many fields may hide what decides.
        carried.signed |= self.fields.len() == MAX_FIELDS;
        carried
    }

    /// The page with the client's own state and our handle in this form's fields, the rest as it came.
    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        let page = self.page;
        let mut out = Vec::with_capacity(page.len() + 64);
        let mut copied = 0;
        for field in &self.fields {
            let (span, text) = match replacement.edit(&field.name, &field.value) {
                Edit::Keep => continue,
                Edit::Drop => (field.tag.clone(), String::new()),
                Edit::Bare => (field.value_span(), "value=\"\"".to_owned()),
                Edit::Value(value) => (field.value_span(), format!("value={}", quoted(&value))),
            };
            out.extend_from_slice(page.get(copied..span.start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            copied = span.end;
        }
        out.extend_from_slice(page.get(copied..).unwrap_or_default());
        Rewritten::Body(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ClientState, HandleKey, Purpose};
    use crate::oauth::AuthorizationCode;

    fn raw() -> AuthorizationCode {
        AuthorizationCode::new("RAW").unwrap()
    }

    fn check(page: &str, state: &ClientState, expected: &str) {
        let key = HandleKey::for_upstream("t");
        let (handle, code) = (
            key.mint(Purpose::State, 0..200),
            key.mint(Purpose::Code, 0..200),
        );
        let page = page.replace("HANDLE", handle.expose());
        let read = |form: &FormPost<'_>| form.read((&key).into());
        let form = FormPost::all(page.as_bytes())
            .find(|form| !read(form).codes.is_empty())
            .unwrap();
        assert_eq!(read(&form).handles, std::slice::from_ref(&handle));
        let replacement = Replacement {
            handle: &handle,
            state,
            code: Some((&raw(), &code)),
        };
        let expected = expected.replace("CODE", code.expose());
        assert_eq!(
            form.rewrite(replacement),
            Rewritten::Body(expected.into_bytes())
        );
    }

    #[test]
    fn fields_are_replaced_and_everything_else_stays() {
        check(
            "<body onload=go()><form method=post action='https://c/cb'>\n<input type=hidden name=code value=RAW />\
             <input value=HANDLE name=\"state\"><input name=iss value=x></form>",
            &ClientState::Value("\"><script>é".into()),
            "<body onload=go()><form method=post action='https://c/cb'>\n<input type=hidden name=code value=\"CODE\" />\
             <input value=\"&#34;&#62;&#60;script&#62;&#233;\" name=\"state\"><input name=iss value=x></form>",
        );
    }

    #[test]
    fn a_state_that_the_client_did_not_send_goes_with_its_whole_field() {
        check(
            "<form action=x><input name=code value=RAW><input name=state value=HANDLE /><b></form>",
            &ClientState::Absent,
            "<form action=x><input name=code value=\"CODE\"><b></form>",
        );
    }
}
