//! The cookies of sign-ins.

use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::gateway::sign_in_cookies::{Kind, MOST, MOST_SET, SignInCookies, name};
use crate::http::headers;

use super::handles::handles;

/// The `Cookie` fields of a request, one in each line: the gate's own are taken out, the others stay as they are, and neither the
/// cookies that count nor those that are set exceed their limits.
pub fn cookies(input: &[u8]) {
    let mut request = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.append(COOKIE, value);
        }
    }
    let before = pairs(&request);
    for kind in [Kind::State, Kind::Handle] {
        for is_https in [true, false] {
            let mut request = request.clone();
            let taken = SignInCookies::take(&mut request, kind, is_https);
            let prefix = kind.prefix(is_https);
            let kept = before.iter().filter(|cookie| !is_own(cookie, prefix));
            assert_eq!(pairs(&request), kept.cloned().collect::<Vec<_>>());
            let counted = taken.all(true).count() + taken.all(false).count();
            assert!(taken.are_incomplete() || counted <= MOST);
            adds(taken, &before, prefix);
        }
    }
}

/// Some servers also split cookies at commas.
fn is_own((name, value): &(String, String), prefix: &str) -> bool {
    let cookie = format!("{name}={value}");
    cookie
        .split(',')
        .any(|part| part.trim().starts_with(prefix))
}

/// A cookie that is added is found again, unless the request has one with its name already.
fn adds(mut cookies: SignInCookies, before: &[(String, String)], prefix: &str) {
    let (handle, _) = handles();
    let own = [prefix, &name(&handle)].concat();
    let had = before.iter().any(|(name, _)| *name == own);
    let set = cookies.add(&handle, "text", Duration::from_mins(10), 1_900_000_000);
    let set = set.expect("a short text fits");
    assert!((1..=MOST_SET + 1).contains(&set.len()));
    assert_eq!(cookies.of(&handle), (!had).then_some("text"));
}

fn pairs(request: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers::cookie_pairs(request);
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
