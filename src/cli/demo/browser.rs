//! An automated browser: follows redirects, keeps cookies, and logs alice in.

use std::mem;

use http::{Request, Response, header};
use url::Url;

use super::ledger::Party;
use super::stage::{PASSWORD, Stage, USER};
use super::wire::{FORM, Failed, encoded, field, send};

/// Maximum number of requests for one sign-in.
const MAX_STEPS: usize = 12;

/// Opens `url` and follows it to a URL that begins with `end`, which is returned but not opened.
pub(super) async fn sign_in(stage: &Stage, url: &str, end: &str) -> Result<Url, Failed> {
    let mut url = Url::parse(url)?;
    let (mut cookies, mut form) = (Vec::new(), String::new());
    for _ in 0..MAX_STEPS {
        if url.as_str().starts_with(end) {
            return Ok(url);
        }
        let is_login = !form.is_empty();
        let mut request = Request::get(url.as_str()).header(header::ACCEPT, "text/html");
        if is_login {
            request = request.method("POST").header(header::CONTENT_TYPE, FORM);
        }
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let request = request.body(mem::take(&mut form))?;
        let to = stage.party(url.as_str());
        let mut exchange = stage.ledger.begin(Party::Browser, to, &request);
        let answer = send(request).await?;
        exchange.note = note(to, is_login, &answer);
        // Requests to the application are recorded by the application itself.
        if to != Party::Application {
            stage.ledger.end(exchange, &answer).await;
        }
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            cookies.extend(cookie.to_str()?.split(';').next().map(str::to_owned));
        }
        let location = field(answer.headers(), header::LOCATION);
        if !location.is_empty() {
            url = url.join(location)?;
        } else if answer.body().contains("name=\"password\"") {
            form = encoded([("username", USER), ("password", PASSWORD)]);
        } else {
            return Err(format!("{}, without a login form", answer.status()).into());
        }
    }
    Err("the sign-in does not end".into())
}

fn note(to: Party, is_login: bool, answer: &Response<String>) -> &'static str {
    let location = field(answer.headers(), header::LOCATION);
    match (to, is_login) {
        (Party::Gate, true) => {
            "Alice logs in. The gate replaces the code with its handle, and restores the application's state."
        }
        (Party::Gate, false) if location.contains("error=") => {
            "The gate refuses the request, because it has no challenge. The upstream is not involved."
        }
        (Party::Gate, false) if !location.is_empty() => {
            "The gate accepts the request, and replaces the state with a handle."
        }
        (Party::Gate, false) => "The browser follows the redirect with the handle.",
        (Party::Upstream, true) => {
            "Without the gate: alice logs in, and the code itself passes through her browser."
        }
        (Party::Upstream, false) => {
            "Without the gate: the browser opens the legacy server's login form."
        }
        (_, _) => "",
    }
}
