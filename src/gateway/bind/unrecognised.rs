//! Checks the parts of an answer in which no carrier was found.

use std::borrow::Cow;

use http::{Response, header};

use crate::answer::carrier::detect::{Credential, Kind, carries, is_parameter_of};
use crate::answer::carrier::location::{Location, address, as_url, is_token_response};
use crate::answer::carrier::{Carrier, refresh};
use crate::answer::unasked_tokens;
use crate::flow::{Candidate, Handle, Key, Purpose};
use crate::oauth::Digest;
use crate::policy::Violation;
use crate::spelling::shortcuts::{may_name_token, may_refresh};
use crate::spelling::{any_layer, says, without_nul};
use crate::store::Pending;

use super::asked::{Asked, Unsafe, pending};
use super::read::{Extent, Page, is_document, leads, may_hold};
use crate::gateway::exchange::Exchange;
use crate::http::body::Body;
use crate::http::headers;

/// The most words of one text that are tested for being handles: each test costs a hash. No real answer has so many.
const MAX_HANDLES: usize = 64;

/// The part of the answer that a text comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Field,
    Cookie,
    Page,
}

/// A part of an answer in which no carrier was found.
struct Text<'r> {
    bytes: Cow<'r, [u8]>,
    kind: Kind,
    why: &'static str,
    place: Place,
    /// Whether a browser may follow a URL in it.
    leads: bool,
    /// Whether a browser follows it without a click, as a `Location`.
    is_redirect: bool,
    /// The handles in it, live or dead. `None`: more than [`MAX_HANDLES`].
    handles: Option<Vec<Handle>>,
}

impl Text<'_> {
    fn holds(&self, credential: Credential) -> bool {
        let bytes: &[u8] = &self.bytes;
        // The server's own cookie may be named like a credential, so the name is skipped unless there is a handle.
        let own_name =
            if self.place == Place::Cookie && self.handles.as_ref().is_some_and(Vec::is_empty) {
                memchr::memchr(b'=', bytes).map_or(bytes.len(), |at| at + 1)
            } else {
                0
            };
        let bytes = bytes.get(own_name..).unwrap_or_default();
        carries(credential, bytes, self.kind, None)
    }

    /// The credential that it seems to contain; the code, if it seems to contain both.
    fn suspected(&self) -> Option<(&Self, Credential)> {
        let kinds = [Credential::Code, Credential::Token];
        let found = kinds.into_iter().find(|kind| self.holds(*kind));
        found.map(|found| (self, found))
    }

    fn has_handle(&self) -> bool {
        self.handles
            .as_ref()
            .is_none_or(|handles| !handles.is_empty())
    }
}

/// The parts of an answer, with the handles in them.
fn texts<'r>(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &'r Response<Body>,
    page: &'r [u8],
) -> Vec<Text<'r>> {
    let handles = |text: &[u8]| {
        let mut found: Vec<Handle> = Vec::new();
        let key = &exchange.site.state.key;
        let are_too_many = may_hold(asked, text)
            && any_layer(text, |layer| {
                match key.find_all(Purpose::State, layer, MAX_HANDLES) {
                    Some(more) => {
                        found.extend(more);
                        false
                    }
                    None => true,
                }
            });
        (!are_too_many).then_some(found)
    };
    let is_redirect = response.status().is_redirection();
    let fields = response.headers().iter().map(|(name, value)| Text {
        bytes: Cow::Borrowed(value.as_bytes()),
        kind: Kind::Text,
        why: if is_redirect && *name == header::LOCATION {
            "a code in a Location of an unknown shape"
        } else {
            "a code in a header field other than Location"
        },
        place: if *name == header::SET_COOKIE {
            Place::Cookie
        } else {
            Place::Field
        },
        leads: leads(name),
        is_redirect: *name == header::REFRESH,
        handles: handles(value.as_bytes()),
    });
    let kind = headers::value(response.headers(), header::CONTENT_TYPE);
    let is_html = kind.is_none_or(|kind| says(kind, b"html"));
    let page = without_nul(page).map_or(Cow::Borrowed(page), Cow::Owned);
    let page = Text {
        kind: if is_html { Kind::Html } else { Kind::Text },
        why: "a code in a page of an unknown shape",
        place: Place::Page,
        leads: true,
        is_redirect: false,
        handles: handles(&page),
        bytes: page,
    };
    fields.chain([page]).collect()
}

/// Refuses an answer in which no carrier was found if it still may deliver a credential:
///
/// - a handle, live or dead, and a possible code or token in the same text: `Refresh`, `Link` and vendors' ways to redirect, a
///   `Location` of an unknown shape, a page. A live handle counts for all texts of the answer.
/// - a token without a sign-in, in a URL that leads away from the server.
pub(super) async fn leftovers<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    response: &Response<Body>,
    page: &Page,
) -> Result<(), Unsafe<'g>> {
    if page.extent == Extent::Sealed {
        sealed(exchange, asked, response).await?;
    }
    let texts = texts(exchange, asked, response, &page.text);
    // Most answers contain no handle.
    if texts.iter().any(Text::has_handle) && beside_handles(exchange, asked, &texts).await? {
        return Ok(());
    }
    let strayed = |text: &Text<'_>| text.leads && strays(exchange, asked, text);
    if texts.iter().any(strayed) || is_unasked(exchange, asked, &texts).await? {
        return Err(Unsafe::stray("a code or token without a live sign-in"));
    }
    Ok(())
}

/// Whether the answer to an authorization request is a document with a token, and its sign-in may not have tokens. (HTML pages
/// are not checked: they contain image links with tokens. Other paths and POSTs are not checked: login pages fetch their own
/// tokens there.)
async fn is_unasked<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    texts: &[Text<'_>],
) -> Result<bool, Unsafe<'g>> {
    let is_document = |text: &&Text<'_>| text.place == Place::Page && text.kind == Kind::Text;
    let mut documents = texts.iter().filter(is_document);
    match asked.authorization() {
        Some(pending) if documents.any(|text| text.holds(Credential::Token)) => {
            let mut documents = texts.iter().filter(is_document);
            let unasked = unasked(exchange, asked, &pending).await?;
            Ok(unasked.is_some_and(|unasked| documents.any(|text| text.holds(unasked))))
        }
        Some(_) | None => Ok(false),
    }
}

const TOKEN: &str = "a token that was not asked for, in a page or a field";

/// Looks for codes and tokens in an answer with handles. `true`: it contains a token that its sign-in asked for.
async fn beside_handles<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    texts: &[Text<'_>],
) -> Result<bool, Unsafe<'g>> {
    let mut may_have_tokens = false;
    let suspects: Vec<(&Text<'_>, Credential)> = texts.iter().filter_map(Text::suspected).collect();
    // A login page contains the handle, but no code or token.
    if suspects.is_empty() {
        return Ok(false);
    }
    let handles: Vec<&Handle> = texts
        .iter()
        .flat_map(|text| text.handles.iter().flatten())
        .collect();
    let live = live(exchange, &handles).await?;
    for (text, credential) in suspects {
        let own = text.handles.as_deref().unwrap_or_default();
        let is_own = |sign_in: &&SignIn| own.iter().any(|own| own == &sign_in.handle);
        let sign_in = if text.has_handle() {
            live.iter().find(is_own)
        } else {
            live.first()
        };
        match (sign_in, credential) {
            // It does not belong to a sign-in, as far as known.
            (None, _) if !text.has_handle() => {}
            // A page may contain the token that its sign-in asked for.
            (Some(sign_in), Credential::Token) => {
                let unasked = unasked(exchange, asked, &Key::from(&sign_in.handle)).await?;
                if unasked.is_some_and(|unasked| text.holds(unasked)) {
                    return Err(suspicious(exchange, asked, Some(sign_in), TOKEN));
                }
                may_have_tokens = true;
            }
            (sign_in, Credential::Token) => {
                return Err(suspicious(exchange, asked, sign_in, TOKEN));
            }
            (sign_in, _) => return Err(suspicious(exchange, asked, sign_in, text.why)),
        }
    }
    Ok(may_have_tokens)
}

/// Refuses a compressed body, which cannot be read, if the request carried the handle of a sign-in.
async fn sealed<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    response: &Response<Body>,
) -> Result<(), Unsafe<'g>> {
    let handles = match asked.handle {
        Some(handle) => vec![handle.clone()],
        // A request from a script has the page's URL, and so the handle, in its Referer. Files that servers store compressed
        // (translations, for example) contain no code.
        None => asked.sent.handles(
            &exchange.site.state.key,
            is_document(response) && !is_file(asked, response),
        ),
    };
    if handles.is_empty() {
        return Ok(());
    }
    let handles: Vec<&Handle> = handles.iter().collect();
    let live = live(exchange, &handles).await?;
    let why = "the body has a content coding that the gate did not accept";
    let found = suspicious(exchange, asked, live.first(), why);
    // The answer to a script's request does not end the sign-in.
    let is_answer = asked.handle.is_some() || asked.sent.is_post;
    Err(Unsafe {
        pending: found.pending.filter(|_| is_answer),
        ..found
    })
}

/// Whether an answer looks like a static file: it has Last-Modified, and sets no cookie.
fn is_file(asked: &Asked<'_>, response: &Response<Body>) -> bool {
    let has = |name| response.headers().contains_key(name);
    !asked.sent.is_post && has(header::LAST_MODIFIED) && !has(header::SET_COOKIE)
}

/// A live sign-in.
struct SignIn {
    handle: Handle,
    client: Digest,
}

async fn live<'g>(exchange: &Exchange<'g>, handles: &[&Handle]) -> Result<Vec<SignIn>, Unsafe<'g>> {
    let keys = handles.iter().map(|handle| Key::from(*handle));
    let candidates: Vec<Candidate> = keys.map(Candidate::State).collect();
    let asked = exchange.store().owners(&candidates).await;
    let owners = asked.map_err(|error| Unsafe::in_doubt(exchange, error))?;
    let owned = handles.iter().zip(owners);
    let live = owned.filter_map(|(handle, owner)| {
        let client = owner.filter(|owner| owner.alive)?.client;
        let handle = Handle::clone(handle);
        Some(SignIn { handle, client })
    });
    Ok(live.collect())
}

/// The kind of token that a sign-in may not have.
async fn unasked<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    key: &Key,
) -> Result<Option<Credential>, Unsafe<'g>> {
    let Pending::Live(record) = pending(exchange, key).await? else {
        return Ok(Some(Credential::Token));
    };
    let rule = asked.rule_of(exchange, record.application.client);
    Ok(unasked_tokens(&record, rule))
}

fn suspicious<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    sign_in: Option<&SignIn>,
    why: &'static str,
) -> Unsafe<'g> {
    Unsafe {
        violation: Violation::UnboundCodeInResponse(why),
        pending: sign_in.map(|sign_in| Key::from(&sign_in.handle)),
        // A dead handle may have belonged to any client.
        rule: Some(match sign_in {
            Some(sign_in) => asked.rule_of(exchange, sign_in.client),
            None => exchange.strictest(),
        }),
        whose: sign_in.map(|sign_in| sign_in.client).into(),
    }
}

/// Whether a text has a URL that leads away with a token like an authorization response, or redirects with a code.
fn strays(exchange: &Exchange<'_>, asked: &Asked<'_>, text: &Text<'_>) -> bool {
    let bytes: &[u8] = &text.bytes;
    let is_page = text.place == Place::Page;
    if text.is_redirect && redirects(exchange, asked, bytes)
        || is_page
            && text.kind == Kind::Html
            && may_refresh(bytes)
            && refresh::in_page(bytes).any(|value| redirects(exchange, asked, value.as_bytes()))
    {
        return true;
    }
    // Documentation pages show such responses, with a placeholder for the token.
    let like = if is_page && !asked.at_authorization {
        Credential::Code
    } else {
        Credential::Token
    };
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte);
    let strays = |word: &[u8]| {
        is_token_response(word, like) && exchange.site.origins.is_foreign(&as_url(address(word)))
    };
    may_name_token(bytes) && any_layer(bytes, |layer| layer.split(is_end).any(strays))
}

/// Whether a `Refresh` redirects in a way that a `Location` may not: away from the server with a code or a token, to the server
/// with a token in the fragment, or anywhere with a signed response.
fn redirects(exchange: &Exchange<'_>, asked: &Asked<'_>, value: &[u8]) -> bool {
    refresh::addresses(value).any(|url| {
        let has = |credential| is_parameter_of(credential, url);
        let (has_code, has_token) = (has(Credential::Code), has(Credential::Token));
        let carried = Location::new(url).read(asked.ours(exchange));
        carried.signed_credential
            || carried.in_fragment
            || (has_code || has_token) && exchange.site.origins.is_foreign(&as_url(url))
    })
}
