//! Compares what a framework read with what the gate judged.

use std::collections::BTreeMap;

use pkce_gate::parts::{PROTECTED_AT_AUTHORIZATION, PROTECTED_AT_TOKEN, Params, Purpose};

use super::Case;
use super::echo::Reading;
use crate::support::store::is_handle;

/// The gate's own limit.
const PAIRS: usize = 64;
/// Any of these together with a code makes a token request.
const COMPANIONS: [&str; 4] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "code_verifier",
];

/// Names with their non-empty values: a parameter without a value counts as omitted. Tornado trims blanks around values; around
/// a `client_id` they would make another client.
type Values = BTreeMap<String, Vec<String>>;

/// The difference between what a framework read and what the gate judged, for a request that passed the gate.
pub(super) fn judge(case: &Case, reading: &Reading) -> Result<(), String> {
    let path = routed(&case.draft.path).ok_or("no path at all")?;
    let route = match path.as_str() {
        "/token" => "token",
        "/authorize" => "authorize",
        _ => "",
    };
    if reading.route != route && !reading.route.is_empty() {
        return Err(format!("{path} led to the {} endpoint", reading.route));
    }
    match route {
        "token" => redemption(case, reading),
        "authorize" => authorization(case, reading),
        _ => elsewhere(case, reading),
    }
}

/// The path that the gate compares. An absolute target must name the gate.
fn routed(target: &str) -> Option<String> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.get(rest.find('/')?..)?,
        None => target,
    };
    let mut merged = String::new();
    for letter in path.chars() {
        if letter != '/' || !merged.ends_with('/') {
            merged.push(letter);
        }
    }
    merged.starts_with('/').then_some(merged)
}

fn redemption(case: &Case, reading: &Reading) -> Result<(), String> {
    let body = case.draft.body_bytes();
    if !["POST", "OPTIONS"].contains(&reading.method.as_str())
        || reading.method != case.draft.method
    {
        return Err(format!("a token request by {}", reading.method));
    }
    if reading.query.is_empty() && reading.form.is_empty() {
        return Ok(()); // the framework does not read a form here (or, if chunked, anything), so there is nothing to redeem
    }
    let sent = Params::parse(&body, PAIRS).map_err(|malformed| malformed.to_string())?;
    let mut expected = named(pairs(&sent), &PROTECTED_AT_TOKEN);
    if let Some(code) = expected.get_mut("code") {
        let sign_in = &case.sign_in;
        let whole = sign_in.authorization.redemption(&sign_in.code);
        let is_right = |name: &str| sent.one(name).ok().flatten() == whole.get(name);
        if let Some(wrong) = ["code", "code_verifier", "redirect_uri", "client_id"]
            .into_iter()
            .find(|name| !is_right(name))
        {
            return Err(format!("redeemed with another {wrong}"));
        }
        *code = vec![sign_in.raw.clone()];
    }
    same(&expected, &named(reading.params(), &PROTECTED_AT_TOKEN))
}

fn authorization(case: &Case, reading: &Reading) -> Result<(), String> {
    if !["GET", "POST"].contains(&reading.method.as_str()) {
        return Err(format!("an authorization request by {}", reading.method));
    }
    let (query, body) = (case.draft.query_bytes(), case.draft.body_bytes());
    let media_type = case.draft.media_type.as_deref().unwrap_or_default();
    // In a multipart continuation the gate reads only the query.
    let is_read = !media_type
        .to_ascii_lowercase()
        .starts_with("multipart/form-data");
    // Some frameworks do not read this as a form, or do not read chunked bodies.
    let is_nothing = reading.method == "POST" && reading.form.is_empty();
    let body = if is_read && !is_nothing {
        body
    } else {
        Vec::new()
    };
    let query = Params::survey(&query, PAIRS).map_err(|malformed| malformed.to_string())?;
    let form = Params::survey(&body, PAIRS).map_err(|malformed| malformed.to_string())?;
    let sent: Vec<_> = pairs(&query).chain(pairs(&form)).collect();
    let seen: Vec<_> = if is_read {
        reading.params().collect()
    } else {
        reading.query.iter().map(|(n, v)| (&**n, &**v)).collect()
    };
    let mut expected = named(sent.iter().copied(), &PROTECTED_AT_AUTHORIZATION);
    let seen = named(seen.into_iter(), &PROTECTED_AT_AUTHORIZATION);
    let has = |name: &str| sent.iter().any(|(known, _)| *known == name);
    let begins = ["response_type", "request", "request_uri"]
        .into_iter()
        .any(has);
    let names_client = reading.method == "GET" && query.contains("client_id");
    let goes_on = sent
        .iter()
        .any(|(_, value)| is_handle(Purpose::State, value));
    if case.handles && (begins || names_client || goes_on) {
        expected.remove("code_verifier");
        let states = seen.get("state").cloned().unwrap_or_default();
        let sent_states = sent.iter().filter(|(name, _)| *name == "state").count();
        if states.len() != sent_states.max(1)
            || !states.iter().all(|state| is_handle(Purpose::State, state))
        {
            return Err(format!("states other than the handle: {states:?}"));
        }
        expected.insert("state".to_owned(), states);
        // The entry restores the parameters of the sign-in.
        for name in ["code_challenge", "code_challenge_method"] {
            let ours = case.sign_in.authorization.params.get(name);
            expected.remove(name);
            if let Some(values) = seen.get(name) {
                if values.iter().any(|value| Some(value.as_str()) != ours) {
                    return Err(format!("another {name}: {values:?}"));
                }
                expected.insert(name.to_owned(), values.clone());
            }
        }
    }
    same(&expected, &seen)
}

/// Fails for a token request at another path, and for another spelling of a protected path.
fn elsewhere(case: &Case, reading: &Reading) -> Result<(), String> {
    // With handles, the gate reads only bodies with the media type of a form: elsewhere a handle is worthless.
    let readable = !case.handles || case.draft.is_form();
    let form = if readable { &reading.form[..] } else { &[] };
    let all: Vec<_> = reading.query.iter().chain(form).collect();
    let has = |name: &str| {
        all.iter()
            .any(|(known, value)| known == name && !value.is_empty())
    };
    let is_otp = |code: &str| code.len() <= 10 && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = all
        .iter()
        .any(|(name, value)| name == "code" && !is_otp(value));
    if has("grant_type") || code && COMPANIONS.into_iter().any(has) {
        return Err(format!("a token request at {}", reading.path));
    }
    Ok(())
}

fn pairs<'p>(params: &'p Params<'_>) -> impl Iterator<Item = (&'p str, &'p str)> {
    params.iter().map(|pair| (pair.name(), pair.value()))
}

fn named<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, names: &[&str]) -> Values {
    let mut values = Values::new();
    for (name, value) in pairs {
        let value = if name == "client_id" {
            value
        } else {
            value.trim()
        };
        if names.contains(&name) && !value.is_empty() {
            values
                .entry(name.to_owned())
                .or_default()
                .push(value.to_owned());
        }
    }
    values
}

fn same(judged: &Values, read: &Values) -> Result<(), String> {
    if judged == read {
        return Ok(());
    }
    Err(format!("judged {judged:?}\n  read   {read:?}"))
}
