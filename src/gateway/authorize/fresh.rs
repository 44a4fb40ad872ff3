//! Rule 3 of the walk: a fresh authorization request is judged in full and held.

use http::header::{self, HeaderValue};
use http::{Method, Response};

use crate::clock;
use crate::flow::submission::{Doubt, Part};
use crate::flow::{Handle, PendingAuthorization, Submission};
use crate::oauth::{
    AuthorizationRequest, ClientId, CodeChallenge, Digest, RedirectUri, ResponseType,
};
use crate::policy::{
    Cleared, Decision, Mode, Rule, Verdict, Violation, apply, authorize, nothing_to_judge,
};
use crate::store::{Held, Network, Pending, Place, StoreError};

use super::super::body::Body;
use super::super::browser::Tie;
use super::super::exchange::{Exchange, Named};
use super::super::received::Received;
use super::super::{BrowserBinding, Entry, bind, browser, reply};
use super::continuation::{SignIn, rewritten};
use super::refuse::refuse;
use super::{doubtful, pass, store_unavailable};

/// A fresh request with the rule that it is judged by.
#[derive(Debug)]
pub(super) struct Fresh<'s> {
    pub(super) submission: &'s Submission<'s>,
    pub(super) part: Part,
    pub(super) parsed: AuthorizationRequest<'s>,
    pub(super) client: Option<ClientId>,
    pub(super) rule: &'s Rule,
}

impl<'s> Fresh<'s> {
    pub(super) fn read(
        exchange: &Exchange<'s>,
        submission: &'s Submission<'s>,
        part: Part,
    ) -> Result<Self, Doubt> {
        let parsed = submission.request(part)?;
        let client = parsed.client_id.map(ClientId::new);
        let rule = exchange.rule_of(client.as_ref());
        // What is inside a request object may be about anybody.
        let rule = if parsed.request.is_some() || parsed.request_uri.is_some() {
            let rules = &exchange.site.settings.rules;
            rule.stricter(rules.strictest(clock::today()))
        } else {
            rule
        };
        Ok(Self {
            submission,
            part,
            parsed,
            client,
            rule,
        })
    }

    pub(super) fn judge(&self) -> Result<Option<CodeChallenge>, Violation> {
        authorize::judge(self.rule, &self.parsed)
    }

    pub(super) fn named(&self) -> Named<'_> {
        Named {
            client: self.client.as_ref(),
            redirect_uri: self.parsed.redirect_uri,
        }
    }

    /// The record of the request.
    pub(super) fn pending(
        &self,
        judged: &Result<Option<CodeChallenge>, Violation>,
        browser: Option<Digest>,
    ) -> PendingAuthorization {
        let parsed = &self.parsed;
        PendingAuthorization {
            challenge: match judged {
                Ok(accepted) => accepted.clone(),
                Err(_) => authorize::recorded(self.rule, parsed),
            },
            client: match &self.client {
                Some(client) => client.digest(),
                None => ClientId::new("").digest(),
            },
            redirect: parsed
                .redirect_uri
                .map(|uri| RedirectUri::new(uri).digest()),
            state: self.submission.client_state(self.part),
            response_type: parsed.response_type.map(Into::into),
            response_mode: parsed.response_mode.map(Into::into),
            browser,
        }
    }

    /// A sign-in of its client, with its redirect URI, begins.
    fn note(&self, exchange: &Exchange<'_>) {
        if let Some(client) = &self.client {
            exchange.site.note_client(client);
        }
        if let Some(uri) = self.parsed.redirect_uri {
            exchange.site.note_redirect(&RedirectUri::new(uri));
        }
    }

    pub(super) fn response_type(&self) -> ResponseType {
        ResponseType::parse(self.parsed.response_type.unwrap_or_default())
    }

    fn unavailable(
        &self,
        exchange: &Exchange<'_>,
        error: StoreError,
        request: &Received,
    ) -> Response<Body> {
        let accept = request.headers.get(header::ACCEPT);
        store_unavailable(exchange, error, self.named(), accept)
    }
}

/// Judges a fresh request, holds it, and sends it on its way.
pub(super) async fn fresh(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    part: Part,
) -> Response<Body> {
    let fresh = match Fresh::read(exchange, submission, part) {
        Ok(fresh) => fresh,
        Err(doubt) => return doubtful(exchange, request, &doubt).await,
    };
    let tie = if fresh.rule.may_change_requests() {
        browser::tie(exchange, &request.headers)
    } else {
        Ok(Tie::default())
    };
    let tie = match tie {
        Ok(tie) => tie,
        Err(error) => return fresh.unavailable(exchange, error, &request),
    };
    let judged = fresh.judge();
    let pending = fresh.pending(&judged, tie.digest);
    let correlated =
        (!fresh.rule.uses_handles()).then(|| Correlated::of(&pending, exchange.network()));
    if let Some(correlated) = &correlated
        && correlated.goes_on(exchange, &request.method, &fresh).await
    {
        return pass(
            exchange,
            nothing_to_judge(request),
            Some(correlated.key),
            None,
        )
        .await;
    }
    let verdict = Verdict {
        subject: request,
        violation: judged.err(),
    };
    let decision = match &correlated {
        None => exchange.decide(fresh.rule, verdict, fresh.named()),
        Some(correlated) => correlated.decide(exchange, &fresh, verdict).await,
    };
    let cleared = match decision {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => cleared,
        Decision::Refuse(request, violation) => {
            return refuse(exchange, &request, &fresh, &violation);
        }
    };
    if let Some(correlated) = correlated {
        let response = pass(exchange, cleared, Some(correlated.key), None).await;
        return with_cookie(response, tie.set_cookie);
    }
    if pending.challenge.is_none() && fresh.response_type().yields_nothing() {
        // Nothing will come back that is of any use to anybody.
        return pass(exchange, cleared, None, None).await;
    }
    enter(exchange, cleared, &fresh, &pending, tie).await
}

/// Holds the request under a handle, and puts the handle in place of the client's state.
async fn enter(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    pending: &PendingAuthorization,
    tie: Tie,
) -> Response<Body> {
    fresh.note(exchange);
    let request = cleared.get();
    let own = &exchange.site.settings.endpoints.query;
    let pure = fresh.submission.is_pure_request(own)
        && !request.headers.contains_key(header::AUTHORIZATION);
    let redirects = exchange.site.settings.entry == Entry::Redirect && pure;
    let place = if redirects {
        Place::Entry
    } else {
        Place::Handle
    };
    let network = exchange.network();
    let handle = match handle(exchange, place, pending, network).await {
        Ok(handle) => handle,
        Err(error) => return fresh.unavailable(exchange, error, request),
    };
    if redirects {
        let query = fresh.submission.entry_query(fresh.part, &handle);
        let location = [request.path().as_bytes(), b"?", &query].concat();
        // A form may be longer than any target that would be let in again, or have bytes that none has: it is rewritten in
        // place.
        let fits = location.len() <= exchange.shared.limits.uri_bytes && location.is_ascii();
        if fits && let Ok(location) = HeaderValue::from_bytes(&location) {
            return reply::entry(location, tie.set_cookie.as_deref());
        }
        // The browser is here already, and has nothing to follow.
        if let Err(error) = exchange.site.store.pending(handle.digest()).await {
            return fresh.unavailable(exchange, error, request);
        }
    }
    let with = SignIn {
        handle: &handle,
        record: pending,
        browser: exchange.browser(&request.headers),
    };
    let response = rewritten(exchange, cleared, fresh.submission, with, Some(fresh.part)).await;
    with_cookie(response, tie.set_cookie)
}

async fn handle(
    exchange: &Exchange<'_>,
    place: Place,
    pending: &PendingAuthorization,
    network: Option<Network>,
) -> Result<Handle, StoreError> {
    match exchange.site.store.hold(place, pending, network).await? {
        Held::Handle(handle) => Ok(handle),
        // None of these answers that question.
        Held::New | Held::Again | Held::Conflict => Err(StoreError::Unreachable),
    }
}

fn with_cookie(mut response: Response<Body>, cookie: Option<String>) -> Response<Body> {
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A request whose values travel unchanged, and under what it is found again.
pub(super) struct Correlated<'p> {
    pending: &'p PendingAuthorization,
    key: Digest,
    network: Option<Network>,
}

impl<'p> Correlated<'p> {
    pub(super) fn of(pending: &'p PendingAuthorization, network: Option<Network>) -> Self {
        Self {
            pending,
            key: correlation(pending, pending.browser),
            network,
        }
    }

    /// Decides about the request, and holds it. The same request once more (a login that comes back to the authorization path) is no
    /// second decision.
    pub(super) async fn decide<T>(
        &self,
        exchange: &Exchange<'_>,
        fresh: &Fresh<'_>,
        verdict: Verdict<T>,
    ) -> Decision<T> {
        let (rule, named) = (fresh.rule, fresh.named());
        if rule.mode == Mode::Enforce && verdict.violation.is_some() {
            return exchange.decide(rule, verdict, named);
        }
        fresh.note(exchange);
        match self.hold(exchange).await {
            Ok(Held::Again) => apply(rule.mode, verdict),
            Ok(Held::New | Held::Conflict | Held::Handle(_)) => {
                exchange.decide(rule, verdict, named)
            }
            Err(error) => {
                let violation = Some(error.into());
                let subject = verdict.subject;
                exchange.decide(rule, Verdict { subject, violation }, named)
            }
        }
    }

    /// Whether it is a form of the server's own that goes on with a sign-in: a server that knows nothing of PKCE writes a consent with
    /// all parameters but those. The form says what the sign-in began with, and brings no challenge; what comes of it is bound to
    /// the one that is there.
    pub(super) async fn goes_on(
        &self,
        exchange: &Exchange<'_>,
        method: &Method,
        fresh: &Fresh<'_>,
    ) -> bool {
        let parsed = &fresh.parsed;
        let is_silent = parsed.code_challenge.is_none() && parsed.code_challenge_method.is_none();
        // An object may say anything.
        let has_object = parsed.request.is_some() || parsed.request_uri.is_some();
        if *method != Method::POST || !is_silent || has_object {
            return false;
        }
        let Ok(Pending::Live(record)) = exchange.site.store.pending(self.key).await else {
            return false;
        };
        let pending = self.pending;
        record.challenge.is_some()
            && (record.client, record.redirect) == (pending.client, pending.redirect)
            && record.state == pending.state
            && record.response_type == pending.response_type
            && parsed
                .response_mode
                .is_none_or(|mode| record.has_mode(mode))
    }

    /// Under the browser's cookie, where it has one: a stranger who knows the state cannot get in between. Under `soft` a sign-in is
    /// found without the cookie, too, unless there is a stranger's: it may end in another browser (a link in a mail), and a browser
    /// may keep no cookies. Not under a state that can be guessed, or none: a stranger's own code would be taken for the answer.
    async fn hold(&self, exchange: &Exchange<'_>) -> Result<Held, StoreError> {
        /// Bytes of a state that is not guessed: 96 bits in base64url.
        const UNGUESSABLE: usize = 16;
        let (store, pending) = (&exchange.site.store, self.pending);
        let held = store
            .hold(Place::Digest(self.key), pending, self.network)
            .await?;
        let is_soft = exchange.site.settings.browser_binding == BrowserBinding::Soft;
        let state = pending.state.as_str().unwrap_or_default();
        let is_elsewhere = is_soft && pending.browser.is_some() && state.len() >= UNGUESSABLE;
        if is_elsewhere && !matches!(held, Held::Again) {
            let place = Place::Digest(correlation(pending, None));
            store.hold(place, pending, self.network).await?;
        }
        Ok(held)
    }
}

fn correlation(pending: &PendingAuthorization, browser: Option<Digest>) -> Digest {
    let target = pending.redirect.map(|redirect| redirect.target());
    bind::correlation(target, pending.state.as_str().unwrap_or_default(), browser)
}
