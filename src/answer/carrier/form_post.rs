//! OAuth 2.0 Form Post Response Mode: a page with a form that posts itself to the redirect URI.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::oauth::Edit;
use crate::spelling::shortcuts::may_have_form;

use super::carried::{Carried, Carrier, Ours, Replacement, Rewritten};
use super::credentials::Credentials;
use super::detect::{self, Credential, Kind};
use super::html::{StartTag, Token, quoted, resolve_references, tokens};
use super::jarm;
use super::location::Location;

/// A form of a page, with the fields that may belong to an authorization response.
#[derive(Debug, Clone)]
pub struct FormPost<'p> {
    page: &'p [u8],
    /// The URL that it posts to. Empty: the URL of the page.
    action: String,
    fields: Vec<Field>,
    /// More forms followed that were left out, because there are too many.
    is_last_of_many: bool,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    value: String,
    /// The position in the page, if the field is an `<input>` inside the form. Only these are rewritten.
    written: Option<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    tag: Range<usize>,
    /// The attribute `value`, or the end of the tag if there is none.
    value: Range<usize>,
}

/// The parameters of a response. Other fields are ignored, except those whose name some client takes for a credential.
const OF_A_RESPONSE: [&str; 11] = [
    "state",
    "code",
    "access_token",
    "id_token",
    "token_type",
    "expires_in",
    "response",
    "error",
    "error_description",
    "error_uri",
    "iss",
];

/// The most fields of a form that are kept. No response has so many.
const MAX_FIELDS: usize = 32;

/// The longest value that is kept, in bytes. No response has a longer one.
const MAX_VALUE: usize = 64 * 1024;

/// Replaces a longer value. It has the dots of a JWT, because the value may be a signed response.
const TOO_LONG: &str = "too.long.a";

/// The most forms of a page that are kept. No form_post page has so many.
const MAX_FORMS: usize = 64;

/// The most `formaction` URLs of a form that are kept.
const MAX_PLACES: usize = 4;

impl<'p> FormPost<'p> {
    /// The forms of a page that may be a response, in order. A form with several URLs (`formaction`) is listed once for each.
    pub fn all(page: &'p [u8]) -> Vec<Self> {
        if may_have_form(page) {
            Self::each(page)
        } else {
            Vec::new()
        }
    }

    /// The same without the quick test.
    pub(crate) fn each(page: &'p [u8]) -> Vec<Self> {
        let mut reader = Reader::default();
        tokens(page).for_each(|token| reader.take(page, page, token));
        reader.end(page)
    }

    fn may_be_response(&self) -> bool {
        self.fields.iter().any(|field| field.name != "state") || self.has_credential_in_action()
    }

    /// Whether the URL that it posts to contains a possible code, token or signed response.
    fn has_credential_in_action(&self) -> bool {
        let action = self.action.as_bytes();
        let has = |credential| detect::carries(credential, action, Kind::Text, None);
        memchr(b'=', action).is_some()
            && (has(Credential::Code) || has(Credential::Token) || jarm::stands_in(action))
    }
}

/// The state of reading the forms of a page.
#[derive(Debug, Default)]
struct Reader<'p> {
    found: Vec<FormPost<'p>>,
    /// The form that is open.
    form: Option<FormPost<'p>>,
    /// The `id` of the open form.
    id: Option<String>,
    /// The `formaction` URLs of its buttons.
    places: Vec<String>,
    /// The name of the open `<select>`.
    list: Option<String>,
    /// The `id` and the `action` of each form that has an `id`.
    ids: Vec<(String, String)>,
    /// Fields outside of their form, which they name in a `form` attribute.
    apart: Vec<(String, Field)>,
    /// The `<base>` URL.
    base: Option<String>,
}

impl<'p> Reader<'p> {
    /// Adds a token of `text`, which is the page or a page in an iframe of it.
    fn take(&mut self, page: &'p [u8], text: &[u8], token: Token) {
        match token {
            // Browsers ignore the tag of a form inside a form.
            Token::Start(tag) if tag.name == "form" && self.form.is_none() => {
                let action = tag.value("action").unwrap_or_default().trim().to_owned();
                self.id = tag.value("id").map(str::to_owned);
                if let Some(id) = self.id.as_ref().filter(|_| self.ids.len() < MAX_FORMS) {
                    self.ids.push((id.clone(), action.clone()));
                }
                self.form = Some(FormPost {
                    page,
                    action,
                    fields: Vec::new(),
                    is_last_of_many: false,
                });
            }
            Token::Start(tag) => match &*tag.name {
                "base" => self.base = self.base.take().or(tag.value("href").map(str::to_owned)),
                "select" => self.list = tag.value("name").map(str::to_owned),
                "input" | "button" | "textarea" | "option" => self.take_control(text, &tag),
                "iframe" => {
                    let inside = tag
                        .value("srcdoc")
                        .filter(|inside| may_have_form(inside.as_bytes()));
                    if let Some(inside) = inside {
                        self.take_inside(page, inside.as_bytes());
                    }
                }
                _ => {}
            },
            Token::End(name) if name == "form" => self.close(),
            Token::End(name) if name == "select" => self.list = None,
            Token::End(_) => {}
        }
    }

    /// Adds the forms of a page in an iframe. They cannot be rewritten.
    fn take_inside(&mut self, page: &'p [u8], inside: &[u8]) {
        let mut reader = Reader::default();
        tokens(inside)
            .filter(|token| !matches!(token, Token::Start(tag) if tag.name == "iframe"))
            .for_each(|token| reader.take(page, inside, token));
        for mut form in reader.end(page) {
            form.fields
                .iter_mut()
                .for_each(|field| field.written = None);
            self.keep(form);
        }
    }

    fn take_control(&mut self, text: &[u8], tag: &StartTag) {
        let place = tag
            .value("formaction")
            .filter(|_| self.places.len() < MAX_PLACES);
        self.places
            .extend(place.map(|place| place.trim().to_owned()));
        let field = match &*tag.name {
            "input" => Field::of_input(tag),
            "textarea" => {
                let text = text.get(tag.span.end..).unwrap_or_default();
                let end = memchr(b'<', text).unwrap_or(text.len());
                let text = resolve_references(text.get(..end).unwrap_or_default());
                Field::of_other(tag.value("name"), text.trim())
            }
            "option" => {
                Field::of_other(self.list.as_deref(), tag.value("value").unwrap_or_default())
            }
            _ => Field::of_other(tag.value("name"), tag.value("value").unwrap_or_default()),
        };
        let Some(mut field) = field else {
            return;
        };
        let is_own = |id: &&str| self.form.is_some() && self.id.as_deref() == Some(*id);
        match (tag.value("form").filter(|id| !is_own(id)), &mut self.form) {
            (Some(id), _) if self.apart.len() < MAX_FIELDS => {
                field.written = None;
                self.apart.push((id.to_owned(), field));
            }
            (None, Some(form)) if form.fields.len() < MAX_FIELDS => form.fields.push(field),
            _ => {}
        }
    }

    fn close(&mut self) {
        let places = std::mem::take(&mut self.places);
        let Some(form) = self.form.take() else {
            return;
        };
        for action in places {
            self.keep_response(FormPost {
                action,
                ..form.clone()
            });
        }
        self.keep_response(form);
    }

    fn keep_response(&mut self, form: FormPost<'p>) {
        if form.may_be_response() {
            self.keep(form);
        }
    }

    /// If there are too many forms, keeps only those that may lead away from the server.
    fn keep(&mut self, form: FormPost<'p>) {
        let is_kept = self.found.len() < MAX_FORMS || !is_plainly_relative(&form.action);
        if is_kept && self.found.len() < 2 * MAX_FORMS {
            self.found.push(form);
        } else if is_kept && let Some(last) = self.found.last_mut() {
            last.is_last_of_many = true;
        }
    }

    fn end(mut self, page: &'p [u8]) -> Vec<FormPost<'p>> {
        self.close();
        let ids = std::mem::take(&mut self.ids);
        for (id, field) in std::mem::take(&mut self.apart) {
            // The form may be one whose `id` was not kept.
            let known = ids.iter().find(|(known, _)| *known == id);
            let action = match known {
                Some((_, action)) => action.clone(),
                None if ids.len() == MAX_FORMS => ANYWHERE.to_owned(),
                None => continue,
            };
            self.keep(FormPost {
                page,
                action,
                fields: vec![field],
                is_last_of_many: false,
            });
        }
        let base = self.base.as_deref().unwrap_or_default();
        for form in &mut self.found {
            if is_plainly_relative(&form.action) {
                form.action.insert_str(0, base);
            }
        }
        self.found
    }
}

/// The URL of a form whose URL is not known. It counts as leading away from every server.
const ANYWHERE: &str = "anywhere:";

fn is_plainly_relative(action: &str) -> bool {
    let is_plain = |byte: u8| !matches!(byte, 0..=b' ' | b':' | b'\\') && byte.is_ascii();
    action.bytes().all(is_plain) && !action.contains("//")
}

impl Field {
    fn of_input(tag: &StartTag) -> Option<Self> {
        let name = tag.value("name")?;
        let is_kept =
            OF_A_RESPONSE.contains(&name) || Credentials::of(name).any() || jarm::is_name(name);
        let attribute = tag.attribute("value");
        let (value, end) = (tag.value("value").unwrap_or_default(), tag.span.end);
        let is_long = value.len() > MAX_VALUE;
        is_kept.then(|| Self {
            name: name.to_owned(),
            value: if is_long { TOO_LONG } else { value }.to_owned(),
            written: (!is_long).then_some(Span {
                tag: tag.span.clone(),
                value: attribute.map_or(end..end, |attribute| attribute.span.clone()),
            }),
        })
    }

    /// A button, a text area or an option. Responses do not use these, so they are kept only with a plausible credential.
    fn of_other(name: Option<&str>, value: &str) -> Option<Self> {
        let name = name?;
        let is_kept = name == "state" || jarm::is_name(name) || Credentials::of(name).any();
        let credential = if Credentials::of(name).is_token() {
            Credential::Token
        } else {
            Credential::Code
        };
        (is_kept && credential.may_be(value.as_bytes())).then(|| Self {
            name: name.to_owned(),
            value: value.to_owned(),
            written: None,
        })
    }
}

impl Carrier for FormPost<'_> {
    fn target(&self) -> Cow<'_, str> {
        self.url()
    }

    fn url(&self) -> Cow<'_, str> {
        if self.is_last_of_many {
            return Cow::Borrowed(ANYWHERE);
        }
        Cow::Borrowed(&self.action)
    }

    fn read(&self, ours: Ours<'_>) -> Carried {
        let mut carried = Carried::default();
        for field in &self.fields {
            // A field that cannot be rewritten counts as a lookalike, which is never delivered.
            match (&field.written, &*field.name) {
                (None, "code") => carried.lookalike = true,
                (None, "state") => {
                    carried.take(ours, "state", &field.value);
                    carried.lookalike |= !carried.handles.is_empty();
                }
                _ => carried.take(ours, &field.name, &field.value),
            }
        }
        // Parameters in the URL cannot be rewritten either.
        if self.has_credential_in_action() {
            let address = Location::new(self.action.as_bytes()).read(ours);
            carried.lookalike |= address.lookalike || !address.codes.is_empty();
            carried.access_token |= address.access_token;
            carried.id_token |= address.id_token;
            carried.in_fragment |= address.in_fragment;
            carried.token_company |= address.token_company;
            carried.unread |= address.unread;
            carried.signed |= address.signed;
            carried.signed_credential |= address.signed_credential;
        }
        // Fields or forms that were left out may contain a credential.
        let hides = self.fields.len() == MAX_FIELDS || self.is_last_of_many;
        carried.unread |= hides;
        carried
    }

    /// Rewrites the fields of this form. The rest of the page stays unchanged.
    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        let page = self.page;
        let mut out = Vec::with_capacity(page.len() + 64);
        let (mut copied, mut has_issuer) = (0, false);
        for field in &self.fields {
            let Some(span) = &field.written else {
                continue;
            };
            let (edited, text) = match replacement.edit(&field.name, &field.value) {
                Edit::Keep => continue,
                Edit::Drop => (span.tag.clone(), String::new()),
                Edit::Bare => (span.value.clone(), "value=\"\"".to_owned()),
                Edit::Value(value) => (span.value.clone(), format!("value={}", quoted(&value))),
            };
            out.extend_from_slice(page.get(copied..edited.start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            copied = edited.end;
            let issuer = replacement.issuer_beside(&field.name, &field.value);
            if let Some(issuer) = issuer.filter(|_| !has_issuer) {
                has_issuer = true;
                out.extend_from_slice(page.get(copied..span.tag.end).unwrap_or_default());
                let field = format!(
                    "<input type=\"hidden\" name=\"iss\" value={}>",
                    quoted(issuer)
                );
                out.extend_from_slice(field.as_bytes());
                copied = span.tag.end;
            }
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
            .into_iter()
            .find(|form| !read(form).codes.is_empty())
            .unwrap();
        assert_eq!(read(&form).handles, std::slice::from_ref(&handle));
        let replacement = Replacement {
            handle: &handle,
            state,
            code: Some((&raw(), &code)),
            without: &[],
            issuer: None,
        };
        let expected = expected.replace("CODE", code.expose());
        assert_eq!(
            form.rewrite(replacement),
            Rewritten::Body(expected.into_bytes())
        );
    }

    #[test]
    fn only_the_fields_of_the_response_are_rewritten() {
        check(
            "<body onload=go()><form method=post action='https://c/cb'>\n<input type=hidden name=code value=RAW />\
             <input value=HANDLE name=\"state\"><input name=iss value=x></form>",
            &ClientState::value("\"><script>é"),
            "<body onload=go()><form method=post action='https://c/cb'>\n<input type=hidden name=code value=\"CODE\" />\
             <input value=\"&#34;&#62;&#60;script&#62;&#233;\" name=\"state\"><input name=iss value=x></form>",
        );
    }

    #[test]
    fn the_state_field_is_removed_if_the_client_sent_no_state() {
        check(
            "<form action=x><input name=code value=RAW><input name=state value=HANDLE /><b></form>",
            &ClientState::Absent,
            "<form action=x><input name=code value=\"CODE\"><b></form>",
        );
    }

    #[test]
    fn an_issuer_is_added_behind_the_state_field() {
        let key = HandleKey::for_upstream("t");
        let handle = key.mint(Purpose::State, 0..200);
        let iss = "<input type=\"hidden\" name=\"iss\" value=\"https&#58;&#47;&#47;i\">";
        for (page, state, expected) in [
            (
                "<form action=x><input name=state value=HANDLE /><input name=error value=y></form>",
                ClientState::value("s"),
                format!(
                    "<form action=x><input name=state value=\"s\" />{iss}<input name=error value=y></form>"
                ),
            ),
            (
                "<form action=x><input name=error value=y><input value=HANDLE name=state></form>",
                ClientState::Absent,
                format!("<form action=x><input name=error value=y>{iss}</form>"),
            ),
        ] {
            let page = page.replace("HANDLE", handle.expose());
            let form = FormPost::all(page.as_bytes()).remove(0);
            let rewritten = form.rewrite(Replacement {
                handle: &handle,
                state: &state,
                code: None,
                without: &[],
                issuer: Some("https://i"),
            });
            assert_eq!(rewritten, Rewritten::Body(expected.clone().into_bytes()));
            let again = FormPost::all(expected.as_bytes()).remove(0);
            assert_eq!(
                again.read((&key).into()).issuer.as_deref(),
                Some("https://i")
            );
        }
    }

    #[test]
    fn a_response_parameter_that_is_too_long_counts_as_signed() {
        for (length, signed) in [(MAX_VALUE + 1, true), (MAX_VALUE, false)] {
            let value = "x".repeat(length);
            let page = format!("<form action=x><input name=Response value={value}></form>");
            let forms = FormPost::all(page.as_bytes());
            let carried = forms
                .first()
                .unwrap()
                .read((&HandleKey::for_upstream("t")).into());
            assert_eq!((carried.signed, carried.signed_credential), (signed, false));
        }
    }
}
