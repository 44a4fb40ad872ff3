//! An automated browser: follows redirects, keeps cookies, and logs alice in when asked.

use http::{HeaderValue, Method, Request, Response, header};
use url::Url;

use super::facts::{PASSWORD, USER};
use super::ledger::{Exchange, Message, Party};
use super::stage::Stage;
use super::wire::{self, Asked, Failed, Pairs, failed};

/// Maximum number of requests for one sign-in.
const MAX_STEPS: usize = 12;

/// A browser session; its cookies are dropped with it.
#[derive(Debug)]
pub(super) struct Agent<'a> {
    stage: &'a Stage,
    cookies: Pairs,
}

impl<'a> Agent<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            cookies: Pairs::new(),
        }
    }

    /// Opens `url` and follows it to a page without a login form, or to a redirect to `until`, which is not followed.
    /// Returns the last URL.
    pub(super) async fn open(&mut self, url: &str, until: Option<&str>) -> Result<Url, Failed> {
        let mut url = Url::parse(url).map_err(failed)?;
        let mut form = None;
        for _ in 0..MAX_STEPS {
            let without_query = url.as_str().split('?').next();
            if until.is_some() && without_query == until {
                return Ok(url);
            }
            let answer = self.send(&url, form.take()).await?;
            let location = answer.headers().get(header::LOCATION);
            if let Some(location) = location.and_then(|location| location.to_str().ok()) {
                url = url.join(location).map_err(failed)?;
            } else if answer.body().contains("name=\"password\"") {
                form = Some([("username", USER), ("password", PASSWORD)]);
            } else {
                return Ok(url);
            }
        }
        Err(failed("the sign-in does not end"))
    }

    async fn send(
        &mut self,
        url: &Url,
        form: Option<[(&str, &str); 2]>,
    ) -> Result<Response<String>, Failed> {
        let method = if form.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let form = form.map(wire::encoded).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::ACCEPT, "text/html");
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.cookie());
        }
        if !form.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(form).map_err(failed)?;
        let answer = exchange(self.stage, Party::Browser, request).await?.1;
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            self.keep(cookie);
        }
        Ok(answer)
    }

    fn cookie(&self) -> String {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, cookie: &HeaderValue) {
        let pair = cookie
            .to_str()
            .ok()
            .and_then(|text| text.split(';').next()?.split_once('='));
        if let Some((name, value)) = pair {
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// Sends a request and records the exchange. Returns its number. Requests to the application are recorded by the
/// application itself.
pub(super) async fn exchange(
    stage: &Stage,
    from: Party,
    request: Request<String>,
) -> Result<(usize, Response<String>), Failed> {
    let uri = request.uri();
    let to = stage.places.party(&uri.to_string());
    let asked = Asked {
        method: request.method().clone(),
        host: String::new(),
        path: uri.path().to_owned(),
        query: wire::pairs(uri.query().unwrap_or_default().as_bytes())?,
        form: wire::pairs(request.body().as_bytes())?,
    };
    let number = stage.ledger.number();
    let answer = wire::send(request).await?;
    if to != Party::Application {
        stage.ledger.record(Exchange {
            number,
            from,
            to,
            request: Message::request(&asked),
            status: answer.status().as_u16(),
            answer: Message::answer(&answer),
        });
    }
    Ok((number, answer))
}
