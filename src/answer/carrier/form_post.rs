//! OAuth 2.0 Form Post Response Mode: a page with a form that posts itself to the redirect URI.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::oauth::Edit;
use crate::spelling::shortcuts::may_have_form;

use super::beacon::{self, Credential, Kind};
use super::carried::{Carried, Carrier, Ours, Replacement, Rewritten};
use super::credentials::Credentials;
use super::html::{StartTag, Token, quoted, resolve_references, tokens};
use super::jarm;
use super::location::Location;

/// A form of a page, with the fields that carry something.
#[derive(Debug, Clone)]
pub struct FormPost<'p> {
    page: &'p [u8],
    /// Where it posts to; empty: to the page itself.
    action: String,
    fields: Vec<Field>,
    /// Others like it were left out, because there are too many.
    is_last_of_many: bool,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    value: String,
    /// In an `<input>` of the form's own. Only there it is written anew.
    written: Option<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    tag: Range<usize>,
    value: Option<Range<usize>>,
}

/// What a response is made of. Of a page's other fields nothing is kept, but for names that some client takes for one of these.
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

/// More fields of a response than any response has.
const MAX_FIELDS: usize = 32;

/// No value of a response is so long. Of one that is, it is only kept that it is there.
const MAX_VALUE: usize = 64 * 1024;

/// In place of such a value. It may have been that of a signed response, and has the dots of one.
const TOO_LONG: &str = "too.long.a";

/// No page that posts itself to a client has so many forms that say anything.
const MAX_FORMS: usize = 64;

/// More places than any form leads to beside its own.
const MAX_PLACES: usize = 4;

impl<'p> FormPost<'p> {
    /// The forms of a page that say something, in order. One that leads to several places is there for each of them.
    pub fn all(page: &'p [u8]) -> Vec<Self> {
        if may_have_form(page) {
            Self::each(page)
        } else {
            Vec::new()
        }
    }

    /// Without the short cut.
    pub(crate) fn each(page: &'p [u8]) -> Vec<Self> {
        let mut reader = Reader::default();
        tokens(page).for_each(|token| reader.take(page, page, token));
        reader.end(page)
    }

    fn says_something(&self) -> bool {
        self.fields.iter().any(|field| field.name != "state") || self.says_in_address()
    }

    /// Whether something like a code, a token or a signed response stands in the address that it posts to.
    fn says_in_address(&self) -> bool {
        let action = self.action.as_bytes();
        let has = |credential| beacon::carries(credential, action, Kind::Text, None);
        memchr(b'=', action).is_some()
            && (has(Credential::Code) || has(Credential::Token) || jarm::stands_in(action))
    }
}

/// What is known of a page's forms so far.
#[derive(Debug, Default)]
struct Reader<'p> {
    found: Vec<FormPost<'p>>,
    /// The form that is open.
    form: Option<FormPost<'p>>,
    /// Its `id`.
    id: Option<String>,
    /// Where else it leads: the `formaction` of its buttons.
    places: Vec<String>,
    /// The name of the list that is open.
    list: Option<String>,
    /// The `id`s of forms, and where these lead.
    ids: Vec<(String, String)>,
    /// Fields that say which form they belong to, wherever they stand.
    apart: Vec<(String, Field)>,
    /// Relative addresses begin here.
    base: Option<String>,
}

impl<'p> Reader<'p> {
    /// Takes a token of `text` in: of the page, or of a page inside of it.
    fn take(&mut self, page: &'p [u8], text: &[u8], token: Token) {
        match token {
            // A form inside a form is none: browsers ignore the tag.
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

    /// The forms of a page inside of the page are seen, and not written anew.
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
            self.keep_if_it_says(FormPost {
                action,
                ..form.clone()
            });
        }
        self.keep_if_it_says(form);
    }

    fn keep_if_it_says(&mut self, form: FormPost<'p>) {
        if form.says_something() {
            self.keep(form);
        }
    }

    /// Of very many forms only those are kept that may lead away.
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
            // More forms than are remembered may lead anywhere.
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

/// Where a form leads of which that is not known: away from every server.
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
        let value = tag.value("value").unwrap_or_default();
        let is_long = value.len() > MAX_VALUE;
        is_kept.then(|| Self {
            name: name.to_owned(),
            value: if is_long { TOO_LONG } else { value }.to_owned(),
            written: (!is_long).then(|| Span {
                tag: tag.span.clone(),
                value: tag
                    .attribute("value")
                    .map(|attribute| attribute.span.clone()),
            }),
        })
    }

    /// A button, a text or an item of a list: no response is made of these, and so they are of interest only with what looks like
    /// a code, a token or a handle.
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

impl Span {
    fn value(&self) -> Range<usize> {
        self.value.clone().unwrap_or(self.tag.end..self.tag.end)
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
            // What cannot be written anew is like a name that cannot.
            match (&field.written, &*field.name) {
                (None, "code") => carried.lookalike = true,
                (None, "state") => {
                    carried.take(ours, "state", &field.value);
                    carried.lookalike |= !carried.handles.is_empty();
                }
                _ => carried.take(ours, &field.name, &field.value),
            }
        }
        // The address is not written anew.
        if self.says_in_address() {
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
        // So many fields may hide what decides, and so many forms.
        let hides = self.fields.len() == MAX_FIELDS || self.is_last_of_many;
        carried.unread |= hides;
        carried
    }

    /// The page with the client's own state and our handle in this form's fields, the rest as it came.
    fn rewrite_without(&self, replacement: Replacement<'_>, without: &[&str]) -> Rewritten {
        let page = self.page;
        let mut out = Vec::with_capacity(page.len() + 64);
        let mut copied = 0;
        for field in &self.fields {
            let Some(span) = &field.written else {
                continue;
            };
            let (span, text) = match replacement.edit(&field.name, &field.value, without) {
                Edit::Keep => continue,
                Edit::Drop => (span.tag.clone(), String::new()),
                Edit::Bare => (span.value(), "value=\"\"".to_owned()),
                Edit::Value(value) => (span.value(), format!("value={}", quoted(&value))),
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
            .into_iter()
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

    #[test]
    fn a_response_that_is_too_long_to_be_kept_may_be_a_signed_one() {
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
