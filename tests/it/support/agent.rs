//! A user agent without a browser: keeps cookies, follows redirects, fills in the forms of pages, and stops when the
//! authorization response reaches the client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::html::{Form, forms};
use super::http::{Request, Response, origin, resolve};
use super::params::Params;

/// Every byte that clients and their users received, to be searched for secrets.
pub(crate) type Transcript = Arc<Mutex<Vec<u8>>>;

pub(crate) struct Agent {
    redirect_uri: String,
    /// By name and path: the tests use one host only.
    cookies: BTreeMap<(String, String), String>,
    transcript: Transcript,
}

/// Where a user is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Client(AuthorizationResponse),
    Page(Page),
}

#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: String,
    pub(crate) response: Response,
}

#[derive(Clone, Debug)]
pub(crate) struct AuthorizationResponse {
    pub(crate) carrier: Carrier,
    pub(crate) params: Params,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Query,
    Fragment,
    FormPost,
}

impl Agent {
    pub(crate) fn new(redirect_uri: &str, transcript: Transcript) -> Self {
        Self {
            redirect_uri: redirect_uri.to_owned(),
            cookies: BTreeMap::new(),
            transcript,
        }
    }

    pub(crate) fn open(&mut self, url: &str) -> Place {
        let response = self.send(Request::get(url));
        self.follow(url.to_owned(), response)
    }

    /// Answers a page as a user would who wants to sign in.
    pub(crate) fn answer(&mut self, page: &Page, password: &str) -> Place {
        let form = page
            .form()
            .unwrap_or_else(|| panic!("no form at {}: {}", page.url, page.response));
        self.submit(page, &form, &form.filled(password))
    }

    /// Declines the request on a page.
    pub(crate) fn decline(&mut self, page: &Page) -> Place {
        let form = forms(page.response.text())
            .into_iter()
            .find(Form::can_be_declined)
            .unwrap_or_else(|| panic!("nothing to decline at {}: {}", page.url, page.response));
        self.submit(page, &form, &form.declined())
    }

    /// Presses a button that stands outside of its form.
    pub(crate) fn press(&mut self, page: &Page, (name, value): (&str, &str)) -> Place {
        let form = page
            .form()
            .unwrap_or_else(|| panic!("no form at {}: {}", page.url, page.response));
        self.submit(page, &form, &form.declined().with(name, value))
    }

    fn submit(&mut self, page: &Page, form: &Form, fields: &Params) -> Place {
        let action = resolve(&page.url, &form.action);
        let request = Request::post(&action, fields.encoded());
        let response = self.send(
            request
                .header("Origin", origin(&action))
                .header("Referer", page.url.clone()),
        );
        self.follow(action, response)
    }

    /// Answers page after page until the client has its response.
    pub(crate) fn finish(&mut self, mut place: Place) -> Place {
        for _ in 0..10 {
            match &place {
                Place::Page(page) if page.form().is_some() => place = self.answer(page, "pass"),
                Place::Page(_) | Place::Client(_) => return place,
            }
        }
        panic!("ten pages and no authorization response; the last: {place:?}")
    }

    pub(crate) fn sign_in(&mut self, url: &str) -> Place {
        let place = self.open(url);
        self.finish(place)
    }

    fn follow(&mut self, mut url: String, mut response: Response) -> Place {
        for _ in 0..10 {
            if let Some(arrival) = self.form_post(&url, &response) {
                return Place::Client(arrival);
            }
            let Some(location) = response
                .header("location")
                .filter(|_| response.status / 100 == 3)
            else {
                return Place::Page(Page { url, response });
            };
            url = resolve(&url, location);
            if let Some(arrival) = self.redirect(&url) {
                return Place::Client(arrival);
            }
            response = self.send(Request::get(&url));
        }
        panic!("ten redirects in a row; the last: {url}")
    }

    fn redirect(&self, url: &str) -> Option<AuthorizationResponse> {
        let parameters = url.strip_prefix(&self.redirect_uri)?;
        let (carrier, query) = match parameters.split_once('#') {
            Some((_, fragment)) => (Carrier::Fragment, fragment),
            None => (Carrier::Query, parameters.strip_prefix('?')?),
        };
        Some(AuthorizationResponse {
            carrier,
            params: Params::from_query(query),
        })
    }

    fn form_post(&self, url: &str, response: &Response) -> Option<AuthorizationResponse> {
        let page = str::from_utf8(&response.body).ok()?;
        let form = forms(page)
            .into_iter()
            .find(|form| resolve(url, &form.action) == self.redirect_uri)?;
        let fields = form
            .controls
            .into_iter()
            .filter(|control| control.kind == "hidden");
        let params = fields
            .map(|control| (control.name, control.value))
            .collect();
        Some(AuthorizationResponse {
            carrier: Carrier::FormPost,
            params,
        })
    }

    fn send(&mut self, request: Request<'_>) -> Response {
        let path = request
            .url
            .splitn(4, '/')
            .nth(3)
            .map_or_else(|| "/".to_owned(), |path| format!("/{path}"));
        let matching = self
            .cookies
            .iter()
            .filter(|((_, scope), _)| path.starts_with(scope.as_str()));
        let cookies: Vec<_> = matching
            .map(|((name, _), value)| format!("{name}={value}"))
            .collect();
        let response = request.header("Cookie", cookies.join("; ")).send();
        self.transcript
            .lock()
            .expect("the transcript")
            .extend_from_slice(&response.raw);
        for (_, cookie) in response
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            self.keep(cookie);
        }
        response
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie
            .split(';')
            .map(|part| part.trim().split_once('=').unwrap_or((part.trim(), "")));
        let (name, value) = parts.next().expect("a cookie has a name");
        let path = parts
            .find(|(attribute, _)| attribute.eq_ignore_ascii_case("path"))
            .map_or("/", |(_, path)| path);
        let key = (name.to_owned(), path.to_owned());
        if value.is_empty() {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

impl Place {
    /// The authorization response. Panics if the user is not at the client.
    pub(crate) fn client(self) -> AuthorizationResponse {
        match self {
            Self::Client(response) => response,
            Self::Page(page) => panic!("not at the client but at {}: {}", page.url, page.response),
        }
    }

    pub(crate) fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Client(response) => panic!("at the client already: {response:?}"),
        }
    }
}

impl Page {
    fn form(&self) -> Option<Form> {
        let page = str::from_utf8(&self.response.body).ok()?;
        forms(page)
            .into_iter()
            .max_by_key(|form| (form.asks_for_a_password(), form.can_be_answered()))
    }
}

impl AuthorizationResponse {
    pub(crate) fn code(&self) -> &str {
        self.params
            .get("code")
            .unwrap_or_else(|| panic!("no code in {self:?}"))
    }
}
