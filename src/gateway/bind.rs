//! Answers of the upstream (step 3 of the crate documentation). Every answer goes through the same steps: find the carriers (the
//! places that hold a code), find the sign-in that each belongs to, judge ([`crate::answer`]), bind the code, replace it, and
//! check that the rewritten answer does not contain it any more.
//!
//! A code that is not recognised here fails closed later: it is not bound, so the token endpoint refuses it.

mod asked;
mod belongs;
mod by_cookie;
mod read;
mod sign_in;
mod unrecognised;

use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};

use crate::answer::carrier::detect::Credential;
use crate::answer::carrier::metadata::Issuer;
use crate::answer::carrier::{Carried, Carrier, Replacement, Rewritten, carriers};
use crate::answer::check::{Check, EXPLANATIONS, Written};
use crate::answer::{Facts, Leads, Plan, judge, unasked_tokens};
use crate::clock;
use crate::flow::{ClientState, Handle, PendingAuthorization};
use crate::oauth::{AuthorizationCode, ClientId, Digest};
use crate::policy::Violation;
use crate::spelling::Twins;
use crate::store::{Bound, Issued, Pending};
use crate::telemetry::tally::Neighbour;
use crate::telemetry::{Event, Step};
use crate::upstream::UpstreamError;

use super::browser::Seen;
use super::exchange::Exchange;
use super::registered;
use super::reply;
use super::settings::BrowserBinding;
use super::subject::About;
use crate::http::body::Body;
use crate::http::headers;

pub(super) use asked::Asked;
use asked::{Unsafe, Whose};
use belongs::Belongs;
use read::{Extent, Page};
pub(super) use sign_in::correlation;

/// Sends an answer that needs no judgement. Only the upstream's own origin in its header fields is replaced by the public one.
pub(super) fn pass_through(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    exchange.site.origins.make_public(response.headers_mut());
    response
}

/// Sends an answer to the client, with its codes bound and replaced. One that cannot be delivered safely becomes a 502. If all
/// clients are in mode off, nothing is read.
pub(super) async fn deliver(
    exchange: &Exchange<'_>,
    asked: Asked<'_>,
    sent: Result<Response<Body>, UpstreamError>,
) -> Response<Body> {
    let mut response = match sent {
        Ok(response) if exchange.rules().all_off() => return pass_through(exchange, response),
        Ok(response) => response,
        Err(failed) => return exchange.upstream_failed(failed),
    };
    // The reason phrase can contain anything, and clients ignore it.
    if !exchange.site.observes_only {
        response
            .extensions_mut()
            .remove::<hyper::ext::ReasonPhrase>();
    }
    let page = read::page(exchange, &asked, &mut response).await;
    read::tell_own_origin(exchange, &page.text);
    if read::says_nothing(exchange, &asked, &response, &page) {
        return pass_through(exchange, response);
    }
    let mut token = None;
    // The rare case is boxed, so that the future of the frequent case stays small.
    let (response, is_delivered) =
        match Box::pin(examine(exchange, &asked, &response, &page, &mut token)).await {
            Ok(None) => (pass_through(exchange, response), true),
            Ok(Some(rewritten)) => (rewritten.send(exchange, response), true),
            Err(found) => match Box::pin(refuse(exchange, &asked, response, found)).await {
                Ok(reported) => (reported, true),
                Err(refusal) => (refusal, false),
            },
        };
    if let Some(token) = token.filter(|_| is_delivered) {
        token.note(exchange);
    }
    response
}

/// An access token in an authorization response, for the review.
struct Implicit {
    /// The client whose sign-in it is, if known.
    client: Option<Digest>,
}

impl Implicit {
    fn of(found: &Belongs) -> Self {
        let record = found.record();
        Self {
            client: record.map(|record| record.application.client),
        }
    }

    #[cold]
    fn note(&self, exchange: &Exchange<'_>) {
        let state = &exchange.site.state;
        let client = self.client.and_then(|client| state.client_name(client));
        let client = client.as_ref().map(ClientId::as_str);
        let tally = state.telemetry.tally();
        tally.note(client, Neighbour::Implicit, clock::wall());
    }
}

/// Refuses an answer, or reports it, by the rule of the client that it concerns. If it belongs to no sign-in, the strictest rule
/// of the clients that the request names applies; if the request names none, the default rule. `Ok`: it is only reported.
async fn refuse(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: Response<Body>,
    found: Unsafe<'_>,
) -> Result<Response<Body>, Response<Body>> {
    let said = || asked.sent.said(&exchange.site.state.key);
    let named = || exchange.strictest_of_names(&said().clients);
    let default = exchange.rules().default_rule();
    let rule = found.rule.or_else(named).unwrap_or(default);
    let about = about(exchange, asked, found.whose).await;
    match exchange.decide(rule, response, Some(found.violation), &about) {
        Ok(cleared) => Ok(pass_through(exchange, cleared.into_inner())),
        Err((_, violation)) => {
            if let Some(pending) = found.pending {
                // If the store fails here, the record expires instead.
                let _ = exchange.store().discard(&pending).await;
            }
            let accept = asked.sent.accept.as_ref();
            // The server's answer was good: the browser lacks the state.
            let status = if violation == Violation::StateLost {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::BAD_GATEWAY
            };
            Err(exchange.page(status, &violation, accept))
        }
    }
}

/// The subject of the decision about an answer. One that fits no sign-in is that of the sign-in that its request began or continued, if
/// there is one.
async fn about(exchange: &Exchange<'_>, asked: &Asked<'_>, whose: Whose) -> About<'static> {
    let client = match (whose, asked.own()) {
        (Whose::Unrequested(url), _) => {
            return About {
                step: Step::Unrequested,
                redirect_uri: Some(Cow::Owned(url.into())),
                ..About::default()
            };
        }
        (Whose::Client(client), _) => Some(client),
        (Whose::Unknown, Some(own)) => match exchange.store().pending(&own).await {
            Ok(Pending::Live(record)) => Some(record.application.client),
            Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) | Err(_) => None,
        },
        (Whose::Unknown, None) => None,
    };
    let client = client.and_then(|client| exchange.site.state.client_name(client));
    About {
        client: client.map(Cow::Owned),
        ..About::default()
    }
}

/// Finds and judges the codes, tokens and handles of an answer, and binds a code that may leave.
async fn examine<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    response: &Response<Body>,
    page: &Page,
    token: &mut Option<Implicit>,
) -> Result<Option<Changed>, Unsafe<'g>> {
    // An answer with two Location fields could belong to any client.
    let (location, is_followed) = read::location(response).map_err(|why| Unsafe {
        rule: Some(exchange.strictest()),
        ..Unsafe::stray(why)
    })?;
    let mut carriers = carriers(location, is_followed, &page.text);
    carriers.extend(read::documents(exchange, asked, response, page)?);
    let ours = asked.ours(exchange);
    let carried: Vec<(&dyn Carrier, Carried)> = carriers
        .iter()
        .map(|carrier| (carrier.as_ref(), carrier.read(ours)))
        .filter(|(_, carried)| carried.is_response() || !carried.handles.is_empty())
        .collect();
    let with_credentials = carried
        .iter()
        .filter(|(_, carried)| carried.has_credential());
    // Only one carrier can be rewritten.
    let several = with_credentials.count() > 0 && carried.len() > 1;
    for (carrier, carried) in &carried {
        let found = sign_in::find(exchange, asked, *carrier, carried).await?;
        if carried.access_token && found.leads != Leads::Home {
            *token = Some(Implicit::of(&found));
        }
        // Made once: needed to search both the request and the rewritten answer for the code.
        let twins = match carried.codes.as_slice() {
            [code] => Some(Twins::of(code.expose())),
            _ => None,
        };
        let other_browser = other_browser(exchange, asked, &found);
        let facts = Facts {
            carried,
            sign_in: &found.whose,
            leads: found.leads,
            came_along: twins
                .as_ref()
                .is_some_and(|twins| asked.sent.may_hold(twins)),
            is_other_browser: other_browser == Some(BrowserBinding::Hard),
            is_of_other_client: found.is_of_other_client(exchange, asked),
            stays: found.handle.is_none(),
            rule: found.rule(exchange, asked),
        };
        let plan = match judge(&facts) {
            Ok(Plan::Bind) if several => Err("codes in two places of one answer"),
            plan => plan,
        };
        let plan =
            plan.map_err(|why| found.unsafe_code(exchange, asked, *carrier, carried, why))?;
        match plan {
            Plan::Pass => {}
            Plan::Bind => {
                if other_browser == Some(BrowserBinding::Soft) && !carried.codes.is_empty() {
                    found.foretell(exchange, asked);
                }
                let code = Placed {
                    place: *carrier,
                    carried,
                    twins,
                };
                return bind(exchange, asked, code, &found, response, page).await;
            }
            Plan::Note => {
                let codes = carried.codes.iter().map(AuthorizationCode::digest);
                codes.for_each(|code| exchange.site.state.note_uncertain(code));
            }
        }
    }
    unrecognised::leftovers(exchange, asked, response, page).await?;
    Ok(None)
}

/// The `browser_binding` in force, if the sign-in ends in another browser than it began in, else `None`. Under `soft` a different
/// cookie is logged here.
fn other_browser(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    found: &Belongs,
) -> Option<BrowserBinding> {
    let record = found.record()?;
    let seen = Seen::of(record.browser, asked.browser);
    if seen == Seen::Same || asked.begun.as_ref() == Some(&found.key) {
        return None;
    }
    let binding = exchange.site.settings.browser_binding;
    if binding == BrowserBinding::Soft && seen == Seen::Other {
        let upstream = &exchange.site.state.telemetry;
        exchange.shared.telemetry.tell(&Event::OtherBrowser {
            request: exchange.id,
            upstream,
        });
    }
    Some(binding)
}

/// A code in an answer.
struct Placed<'p> {
    place: &'p dyn Carrier,
    carried: &'p Carried,
    /// The spellings of the code, if there is exactly one.
    twins: Option<Twins>,
}

/// Binds the code, replaces it, and checks that the rewritten answer does not contain it. No other function does so.
async fn bind<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    placed: Placed<'_>,
    found: &Belongs,
    response: &Response<Body>,
    page: &Page,
) -> Result<Option<Changed>, Unsafe<'g>> {
    let carried = placed.carried;
    let Some(record) = found.record() else {
        return Err(Unsafe::stray("a code without a live sign-in"));
    };
    let state = found.state(exchange, asked, record)?;
    let code = carried.codes.first();
    let bound = match code {
        Some(code) => Some(keep(exchange, asked, found, code).await?),
        None => None,
    };
    if code.is_some() {
        learn(exchange, asked, record, carried);
    }
    let Some(handle) = &found.handle else {
        // Without a handle the answer is sent unchanged, so the rest of it is checked here. Not if the sign-in may have tokens:
        // the check would take the token that was asked for as one without a sign-in.
        let unasked = unasked_tokens(record, asked.rule_of(exchange, record.application.client));
        if unasked == Some(Credential::Token) {
            unrecognised::leftovers(exchange, asked, response, page).await?;
        }
        return Ok(None);
    };
    let ours = match &bound {
        Some(Bound::Handle(ours)) => Some(ours),
        Some(_) | None => None,
    };
    // Never a second one.
    let lacks_issuer = carried.issuer.is_none() && carried.is_response();
    let issuer = lacks_issuer
        .then(|| exchange.site.response_issuer())
        .flatten();
    let written = |state, without: &[&str]| {
        placed.place.rewrite(Replacement {
            handle,
            state,
            code: code.zip(ours),
            without,
            issuer: issuer.as_deref(),
        })
    };
    let rewritten = written(&state, &[]);
    if page.extent == Extent::Beginning && !matches!(rewritten, Rewritten::Location(_)) {
        return Err(found.unsafe_because(exchange, asked, "the page is too long to be rewritten"));
    }
    // Checked without the state: the client's own state may look like a code.
    let without_state = written(&ClientState::Absent, &[]);
    let is_explained = carried.error && code.is_none();
    let unexplained = is_explained.then(|| written(&ClientState::Absent, &EXPLANATIONS));
    let check = Check {
        twins: placed.twins,
        ours: ours.map(Handle::expose),
        unasked: unasked_tokens(record, asked.rule_of(exchange, record.application.client)),
    };
    let written = Written {
        whole: &rewritten,
        without_state: &without_state,
        unexplained: unexplained.as_ref().unwrap_or(&without_state),
    };
    check
        .nothing_is_left(&written, response.headers())
        .map_err(|why| found.unsafe_because(exchange, asked, why))?;
    let cookies = [&asked.sent.states, &asked.sent.flows];
    let sent = cookies.iter().filter(|cookies| !cookies.is_empty());
    let answered = sent.filter_map(|cookies| cookies.answered(handle, clock::wall()));
    Ok(Some(Changed {
        rewritten,
        cookies: answered.collect(),
    }))
}

async fn keep<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    found: &Belongs,
    code: &AuthorizationCode,
) -> Result<Bound, Unsafe<'g>> {
    let issued = match found.handle {
        Some(_) => Issued::Handle,
        None => Issued::Raw,
    };
    let bound = match found.record() {
        Some(record) => {
            let store = exchange.store();
            let bound = store.bind(&found.key, record, issued, code.clone()).await;
            bound.map_err(|error| Unsafe::in_doubt(exchange, error))?
        }
        None => Bound::Unknown,
    };
    let why = match bound {
        Bound::Handle(_) | Bound::Raw => return Ok(bound),
        Bound::TooMany => "more codes than one sign-in may yield",
        // The sign-in that bound the code first keeps it; this one is discarded.
        Bound::Elsewhere => "a code that belongs to another sign-in or has expired",
        Bound::Unknown => "a code that could not be bound",
    };
    let mut found = found.unsafe_because(exchange, asked, why);
    if matches!(bound, Bound::TooMany) {
        // The codes that are already bound stay valid, so the sign-in is not discarded.
        found.pending = None;
    }
    Err(found)
}

/// Learns from an answer with a code: the client's redirect URI, to which errors may be sent, and the issuer of the server.
fn learn(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    record: &PendingAuthorization,
    carried: &Carried,
) {
    registered::learn(exchange, record);
    // Only from an answer with a code, and only if the request did not contain the value: an error may repeat parts of the
    // request.
    let is_own = |issuer: &&String| !asked.sent.may_hold(&Twins::of(issuer));
    if let Some(issuer) = carried.issuer.as_ref().filter(is_own) {
        exchange.site.state.learn_issuer(Issuer {
            issuer: Some(issuer.clone()),
            in_responses: true,
        });
    }
}

/// An answer that was rewritten.
struct Changed {
    rewritten: Rewritten,
    /// `Set-Cookie` values, after which the browser keeps the cookies of the sign-in for a short time only.
    cookies: Vec<HeaderValue>,
}

impl Changed {
    /// The answer with its carrier rewritten.
    fn send(self, exchange: &Exchange<'_>, mut response: Response<Body>) -> Response<Body> {
        let body = match self.rewritten {
            Rewritten::Location(location) => {
                let Ok(location) = HeaderValue::from_bytes(&location) else {
                    let why = "a Location that cannot be written";
                    let violation = Violation::UnboundCodeInResponse(why);
                    return exchange.page(StatusCode::BAD_GATEWAY, &violation, None);
                };
                response.headers_mut().insert(header::LOCATION, location);
                // Express, Koa and others repeat the redirect URL, code included, in the body.
                response.headers_mut().remove(header::CONTENT_TYPE);
                Vec::new()
            }
            Rewritten::Body(page) | Rewritten::Document(page) => page,
        };
        for cookie in self.cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        headers::forget_body(response.headers_mut());
        reply::not_to_be_stored(response.headers_mut());
        response.body_mut().replace(body);
        pass_through(exchange, response)
    }
}
