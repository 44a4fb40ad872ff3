//! Whose request it is, when that cannot be told for sure. What cannot be read may concern any client; what holds a code
//! concerns the client whose code it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, header};
use memchr::memchr_iter;

use crate::clock;
use crate::flow::{Purpose, handle};
use crate::oauth::params::folds_to;
use crate::oauth::{AuthorizationCode, ClientId, Digest, Params};
use crate::policy::{Decision, Rule, Verdict, Violation};
use crate::store::{Candidate, Pending, StoreError};

use super::endpoint::decode_lossy;
use super::exchange::{Exchange, Received};
use super::reading::{self, Look, Names, ONE_TIME_PASSWORD, Said, names, text};

/// More words than any request has that should pass.
const MAX_WORDS: usize = 4096;
/// Decoded so often, a word is found however deep it stands in another one.
const ROUNDS: usize = 3;
/// What stands around words, in forms, documents, cookies and URLs.
const AROUND: [char; 16] = [
    '/', '&', ';', ',', '"', '\'', '<', '>', '{', '}', '[', ']', ' ', '\r', '\n', '\t',
];

/// The rule for a request that belongs to no client for sure. Where nobody is judged more strictly than the upstream's own
/// rule says, that one. Else the strictest, unless everybody whom the request names in any reading has a laxer one.
pub(super) async fn rule<'g>(exchange: &Exchange<'g>, request: &mut Received) -> &'g Rule {
    let rules = &exchange.site.settings.rules;
    let (default, strictest) = (rules.default_rule(), rules.strictest(clock::today()));
    if default.mode >= strictest.mode {
        return default;
    }
    let Some(named) = named(exchange, request).await else {
        return strictest;
    };
    let of_all = named.into_iter().map(|client| exchange.rule(Some(client)));
    let strict = |a: &'g Rule, b: &'g Rule| if b.mode > a.mode { b } else { a };
    of_all.reduce(strict).unwrap_or(strictest)
}

/// Every client that the request names, or whose code or sign-in it names. `None`: there may be more.
async fn named(exchange: &Exchange<'_>, request: &mut Received) -> Option<Vec<Digest>> {
    let mut said: Names = names(request.query().as_bytes());
    match reading::body(exchange, request, Look::Thorough).await {
        Said::Nothing => {}
        Said::Broken | Said::Something => return None,
        Said::Names(read) => said.extend(read.into_iter().flatten()),
    }
    let ids = said.iter().filter(|(name, _)| name == "clientid");
    let mut clients: Vec<_> = ids.map(|(_, id)| ClientId::new(id).digest()).collect();
    if let Some(credentials) = request.headers.get(header::AUTHORIZATION) {
        let is_basic = credentials
            .as_bytes()
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"));
        if is_basic {
            clients.push(user(credentials.as_bytes())?);
        }
    }
    for word in words(request, true)? {
        clients.extend(owner(exchange, &word).await);
        for handle in exchange.site.key.find_all(Purpose::State, &word) {
            if let Ok(Pending::Live(record)) = exchange.site.store.pending(handle.digest()).await {
                clients.push(record.client);
            }
        }
    }
    Some(clients)
}

/// Who Basic credentials are for. `None`: they cannot be read.
fn user(credentials: &[u8]) -> Option<Digest> {
    let encoded = credentials.get(5..)?.strip_prefix(b" ")?;
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let user = text(&decode_lossy(decoded.get(..colon)?));
    Some(ClientId::new(&user).digest())
}

/// Where codes travel as the upstream issued them: the rule of the client whose code stands in a request that is none for a
/// token. Only a client that lives behind the gate too gets one there, as `code` beside `state` in a query.
pub(super) async fn misplaced_code<'g>(
    exchange: &Exchange<'g>,
    request: &mut Received,
) -> Option<&'g Rule> {
    let rules = &exchange.site.settings.rules;
    if !rules.any_enforced_upstream_codes() {
        return None;
    }
    let query = names(request.query().as_bytes());
    let is_callback = request.method == Method::GET
        && query.iter().any(|(name, _)| name == "state")
        && !request.headers.contains_key(header::AUTHORIZATION);
    let Some(words) = words(request, !is_callback) else {
        return Some(rules.strictest(clock::today()));
    };
    for word in words {
        if let Some(client) = owner(exchange, &word).await {
            return Some(exchange.rule(Some(client)));
        }
    }
    None
}

/// Where codes travel as the upstream issued them: one that stands in a token request under another name than `code`. Some
/// servers know a code by what it is, not by what it is called. It is judged by the rule of the client that it belongs to.
pub(super) async fn misnamed_code(
    exchange: &Exchange<'_>,
    params: &Params<'_>,
) -> Option<Decision<()>> {
    let rules = &exchange.site.settings.rules;
    if !rules.any_upstream_codes() {
        return None;
    }
    for pair in params.iter().filter(|pair| pair.name() != "code") {
        let Some(code) = AuthorizationCode::new(pair.value()) else {
            continue;
        };
        let (rule, violation) = match owner_of(exchange, code.digest()).await {
            Ok(None) => continue,
            Ok(owner) => {
                let text = "a code under another name".to_owned();
                (exchange.rule(owner), Violation::MalformedRequest(text))
            }
            Err(_) => (rules.strictest(clock::today()), Violation::StoreUnavailable),
        };
        let verdict = Verdict {
            subject: (),
            violation: Some(violation),
        };
        return Some(exchange.decide(rule, verdict, None));
    }
    None
}

/// Whose code a word is.
async fn owner(exchange: &Exchange<'_>, word: &str) -> Option<Digest> {
    let handle = exchange.site.key.recognise(Purpose::Code, word);
    let key = match handle {
        Some(handle) => handle.digest(),
        None => AuthorizationCode::new(word)?.digest(),
    };
    // A store that cannot be asked redeems nothing either.
    owner_of(exchange, key).await.ok().flatten()
}

async fn owner_of(exchange: &Exchange<'_>, key: Digest) -> Result<Option<Digest>, StoreError> {
    let owners = exchange.site.store.owners(&[Candidate::Code(key)]).await?;
    let owner = owners.into_iter().next().flatten();
    Ok(owner.map(|owner| owner.client))
}

/// A code beside the handle of a live sign-in, in one query or in one value of it (a URL to go on to): what the server repeats of
/// it would look like its answer to that sign-in. No form of a login brings both in one value, and no code comes to a client
/// beside a handle.
pub(super) async fn is_planted(exchange: &Exchange<'_>, request: &mut Received) -> bool {
    // A handle has only letters and digits: where there is none as it stands, it is escaped.
    let may_hold = |text: &[u8]| handle::may_stand_in(text) || hides_word(text);
    if !may_hold(request.query().as_bytes()) && !may_hold(&request.body.read()) {
        return false;
    }
    let query = request.query().as_bytes().to_vec();
    let body = request.body.read();
    let body = if may_hold(&body) { body } else { Bytes::new() };
    let values = names(&body)
        .into_iter()
        .map(|(_, value)| value.into_bytes());
    for raw in std::iter::once(query).chain(values) {
        let mut raw = raw;
        for _ in 0..ROUNDS {
            let there = handle::may_stand_in(&raw);
            if let Some(there) = there.then(|| text(&raw)).filter(|text| carries_code(text)) {
                for handle in exchange.site.key.find_all(Purpose::State, &there) {
                    let found = exchange.site.store.pending(handle.digest()).await;
                    if matches!(found, Ok(Pending::Live(_))) {
                        return true;
                    }
                }
            }
            if !raw.contains(&b'%') {
                break;
            }
            raw = decode_lossy(&raw);
        }
    }
    false
}

/// Whether decoding a text, however often, may yield a word of letters and digits that does not stand in it: only if it
/// has the escape of a letter or digit, or of another escape's `%`.
fn hides_word(text: &[u8]) -> bool {
    memchr_iter(b'%', text).any(|at| {
        let digit = |at: usize| char::from(text.get(at).copied().unwrap_or_default()).to_digit(16);
        let escaped = digit(at + 1).zip(digit(at + 2));
        let byte = escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'%')
    })
}

/// Whether a text has a parameter `code` of a value that is no one-time password.
fn carries_code(text: &str) -> bool {
    // Every sign-in that goes on is looked at: by bytes it takes a fifth. (Cut at an ASCII character, UTF-8 stays UTF-8.)
    let ends = |byte: &u8| matches!(byte, b'?' | b'&' | b'#' | b';');
    let pairs = text.as_bytes().split(ends);
    pairs.flat_map(str::from_utf8).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
        folds_to(name, "code") && !(is_digits && value.len() <= ONE_TIME_PASSWORD)
    })
}

/// Everything in the request that could be a code; of the body what was read of it. `None`: too much.
fn words(request: &Received, with_query: bool) -> Option<Vec<String>> {
    let body = request.body.read();
    let said = [header::COOKIE, header::AUTHORIZATION];
    let fields = said.iter().flat_map(|name| request.headers.get_all(name));
    let query = request.query().as_bytes();
    let texts = [
        if with_query { query } else { b"" },
        &body,
        request.path().as_bytes(),
    ];
    let mut words: Vec<String> = Vec::new();
    for raw in texts
        .into_iter()
        .chain(fields.map(http::HeaderValue::as_bytes))
    {
        let mut raw = raw.to_vec();
        for _ in 0..ROUNDS {
            for word in text(&raw).split(AROUND).filter(|word| !word.is_empty()) {
                let value = word.split_once('=').map(|(_, value)| value.to_owned());
                words.extend(value.into_iter().chain([word.to_owned()]));
                if words.len() > MAX_WORDS {
                    return None;
                }
            }
            let decoded = decode_lossy(&raw);
            if decoded == raw {
                break;
            }
            raw = decoded;
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_hides_no_word_yields_none(input in "[pgs%0-9aA-F+/]{0,12}|(p|g|s|%70|%67|%73|%25|%2F|%%|%3|7|3|0){0,9}") {
            let mut text = input.clone().into_bytes();
            if !handle::may_stand_in(&text) && !hides_word(&text) {
                for _ in 0..2 * ROUNDS {
                    text = decode_lossy(&text);
                    prop_assert!(!handle::may_stand_in(&text), "{}", input);
                }
            }
        }

        #[test]
        fn cut_by_bytes_or_by_characters_it_carries_the_same(text in "([?&#;=]|code|c\\.o|CODE|Co[Dd]e|ſ|é|1|123456789012|a){0,12}") {
            let slowly = text.split(['?', '&', '#', ';']).any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or_default();
                let is_one_time = value.len() <= ONE_TIME_PASSWORD && value.bytes().all(|byte| byte.is_ascii_digit());
                folds_to(name, "code") && !is_one_time
            });
            prop_assert_eq!(carries_code(&text), slowly, "{}", text);
        }

        #[test]
        fn a_word_is_found_however_it_is_escaped(
            around in "[a/%?]{0,2}",
            escaped in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.3), 8), 1..=ROUNDS),
        ) {
            let mut text = format!("{around}{}", Purpose::State.prefix());
            for escaped in escaped {
                let bytes = text.bytes().zip(escaped.iter().cycle());
                text = bytes
                    .map(|(byte, escaped)| if *escaped { format!("%{byte:02X}") } else { char::from(byte).to_string() })
                    .collect();
            }
            prop_assert!(handle::may_stand_in(text.as_bytes()) || hides_word(text.as_bytes()), "{}", text);
        }
    }
}
