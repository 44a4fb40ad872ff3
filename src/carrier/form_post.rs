//! OAuth 2.0 Form Post Response Mode: a page with a form that posts itself to the redirect URI.

use std::ops::Range;

use crate::oauth::Edit;

use super::html::{StartTag, Token, quoted, tokens};
use super::{Carried, Ours, Replacement};

/// A form of a page, with the fields that carry something.
#[derive(Debug)]
pub struct Form {
    /// Where it posts to; empty: to the page itself.
    pub action: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    value: String,
    tag: Range<usize>,
    value_attribute: Option<Range<usize>>,
}

/// The forms of a page, in order.
pub fn forms(page: &[u8]) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for token in tokens(page) {
        match token {
            // A form inside a form is no form: browsers ignore the tag.
            Token::Start(tag) if tag.name == "form" && !open => {
                open = true;
                let action = tag.value("action").unwrap_or_default().trim().to_owned();
                forms.push(Form {
                    action,
                    fields: Vec::new(),
                });
            }
            Token::Start(tag) if open && tag.name == "input" => {
                if let Some(form) = forms.last_mut() {
                    form.fields.extend(Field::of(&tag));
                }
            }
            Token::End(name) if name == "form" => open = false,
            Token::Start(_) | Token::End(_) => {}
        }
    }
    forms
}

impl Field {
    fn of(tag: &StartTag) -> Option<Self> {
        Some(Self {
            name: tag.value("name")?.to_owned(),
            value: tag.value("value").unwrap_or_default().to_owned(),
            tag: tag.span.clone(),
            value_attribute: tag
                .attribute("value")
                .map(|attribute| attribute.span.clone()),
        })
    }
}

impl Form {
    /// What its fields carry.
    pub fn read<'o>(&self, ours: impl Into<Ours<'o>>) -> Carried {
        let ours = ours.into();
        let mut carried = Carried::default();
        for field in &self.fields {
            carried.take(ours, &field.name, &field.value);
        }
        carried
    }

    /// The page with the client's own state and our handle in this form's fields, the rest as it came.
    pub fn rewrite(&self, page: &[u8], replacement: Replacement<'_>) -> Vec<u8> {
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
        out
    }
}

impl Field {
    fn value_span(&self) -> Range<usize> {
        self.value_attribute
            .clone()
            .unwrap_or(self.tag.end..self.tag.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ClientState, HandleKey, Purpose};

    fn check(page: &str, state: &ClientState, expected: &str) {
        let key = HandleKey::for_upstream("t");
        let (handle, code) = (
            key.mint(Purpose::State, 0..200),
            key.mint(Purpose::Code, 0..200),
        );
        let page = page.replace("HANDLE", handle.expose());
        let forms = forms(page.as_bytes());
        let form = forms
            .iter()
            .find(|form| !form.read(&key).codes.is_empty())
            .unwrap();
        assert_eq!(form.read(&key).handles, std::slice::from_ref(&handle));
        let replacement = Replacement {
            handle: &handle,
            state,
            code: Some(&code),
        };
        let out = String::from_utf8(form.rewrite(page.as_bytes(), replacement)).unwrap();
        assert_eq!(out, expected.replace("CODE", code.expose()));
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
