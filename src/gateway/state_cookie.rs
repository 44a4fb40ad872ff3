//! Cookies with the states of clients that are too long for the handles of a sealed store ([`crate::store::Spilled`]): one for
//! each sign-in, encrypted for that sign-in. The gate takes them out of every request before anything else reads it, so they
//! never reach the upstream.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};

use crate::flow::Handle;
use crate::http::headers;
use crate::store::Spilled;

/// The longest `Set-Cookie` value, in bytes. Browsers ignore a cookie that is longer (RFC 6265bis section 5.6, which does not
/// count the attributes).
const LONGEST: usize = 4096;
/// The most cookies of this kind that a browser keeps, and the bytes of all of them in a request. Many servers in front of a
/// gate accept 8 KiB of cookies, and refuse every request with more.
const MOST: usize = 8;
const MOST_BYTES: usize = 6144;
/// The most `Set-Cookie` values of one answer, for a request with many forged cookies.
const MOST_SET: usize = 2 * MOST;

/// The longest state, in bytes, that fits into such a cookie, rounded down.
pub(super) const LONGEST_STATE: usize = 2900;

/// The beginning of their names. With `https` the browser accepts them from this very host only.
const fn prefix(is_https: bool) -> &'static str {
    if is_https {
        "__Host-pkce-gate-state-"
    } else {
        "pkce-gate-state-"
    }
}

/// The cookies of this kind in a request, in its order: browsers send the oldest one first (RFC 6265 section 5.4).
#[derive(Clone, Default)]
pub(super) struct StateCookies {
    is_https: bool,
    found: Vec<(Box<str>, Box<str>)>,
}

impl StateCookies {
    /// Takes them out of a request, and everything else whose name begins like theirs.
    pub(super) fn take(headers: &mut HeaderMap, is_https: bool) -> Self {
        let is_one = |name: &str| name.starts_with(prefix(is_https));
        let has_name = |name: &str| {
            let of_sign_in = name.strip_prefix(prefix(is_https)).unwrap_or_default();
            URL_SAFE_NO_PAD
                .decode(of_sign_in)
                .is_ok_and(|digest| digest.len() == 16)
        };
        let pairs = headers::cookie_pairs(headers).filter(|(name, _)| has_name(name));
        let found: Vec<_> = pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        headers::without_cookies(headers, is_one);
        Self { is_https, found }
    }

    /// The cookie of a sign-in. `None`: there is none, or more than one.
    pub(super) fn of(&self, handle: &Handle) -> Option<&str> {
        let name = self.name(handle);
        let mut found = self.found.iter().filter(|(known, _)| **known == *name);
        let (_, sealed) = found.next()?;
        found.next().is_none().then_some(&**sealed)
    }

    /// Adds the cookie of a new sign-in. Returns the `Set-Cookie` values: its own, and those that remove the oldest cookies if
    /// there are too many. `None`: it is too long.
    pub(super) fn add(&mut self, spilled: &Spilled) -> Option<Vec<HeaderValue>> {
        let name = self.name(&spilled.handle);
        let own = self.set(&name, &spilled.sealed, spilled.lifetime.as_secs());
        let mut set = vec![own.filter(|own| own.len() <= LONGEST)?];
        self.found
            .push((name.into(), spilled.sealed.as_str().into()));
        let size = |(name, sealed): &(Box<str>, Box<str>)| name.len() + sealed.len() + "=; ".len();
        let mut bytes: usize = self.found.iter().map(size).sum();
        let mut kept = self.found.len();
        for oldest in &self.found {
            if kept <= MOST && bytes <= MOST_BYTES || set.len() == MOST_SET {
                break;
            }
            set.extend(self.set(&oldest.0, "", 0));
            bytes -= size(oldest);
            kept -= 1;
        }
        Some(set)
    }

    /// The `Set-Cookie` value that removes the cookie of a sign-in.
    pub(super) fn removal(&self, handle: &Handle) -> Option<HeaderValue> {
        self.set(&self.name(handle), "", 0)
    }

    fn name(&self, handle: &Handle) -> String {
        let of_sign_in = URL_SAFE_NO_PAD.encode(handle.digest().as_bytes());
        [prefix(self.is_https), &of_sign_in].concat()
    }

    /// Cross-site as well: a server may end the sign-in in a POST that another site made (a login elsewhere, with form_post).
    /// Without TLS, browsers accept no such cookie.
    fn set(&self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let site = if self.is_https {
            "Secure; SameSite=None"
        } else {
            "SameSite=Lax"
        };
        let set = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; {site}");
        HeaderValue::try_from(set).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::flow::{HandleKey, Purpose};

    fn spilled(number: u8, length: usize) -> Spilled {
        let key = HandleKey::for_upstream("a");
        Spilled {
            handle: key.mint(Purpose::State, (number..).take(60)),
            sealed: "s".repeat(length),
            lifetime: Duration::from_mins(15),
        }
    }

    fn requested(list: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("cookie", HeaderValue::from_str(list).unwrap());
        map
    }

    /// The cookies of a browser after these fields.
    fn kept(before: &str, set: &[HeaderValue]) -> String {
        let mut jar: Vec<String> = before.split("; ").map(str::to_owned).collect();
        for field in set {
            let pair = field.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            jar.retain(|cookie| !cookie.starts_with(&format!("{name}=")));
            if !value.is_empty() {
                jar.push(pair.to_owned());
            }
        }
        jar.join("; ")
    }

    #[test]
    fn a_cookie_is_found_by_its_own_sign_in_and_taken_out_of_the_request() {
        for is_https in [true, false] {
            let (one, other) = (spilled(1, 30), spilled(2, 40));
            let mut cookies = StateCookies::take(&mut HeaderMap::new(), is_https);
            let set = cookies.add(&one).unwrap();
            assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
            let mut request = requested(&format!("{}; theme=dark", kept("sid=1", &set)));
            let cookies = StateCookies::take(&mut request, is_https);
            assert_eq!(request["cookie"], "sid=1; theme=dark");
            assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
            assert_eq!(cookies.of(&other.handle), None);
            // Of two with one name, neither counts.
            let mut request = requested(&kept("", &[&set[..], &set[..]].concat()));
            let pair = request["cookie"].to_str().unwrap().to_owned();
            request.append("cookie", HeaderValue::from_str(&pair).unwrap());
            let cookies = StateCookies::take(&mut request, is_https);
            assert_eq!(cookies.of(&one.handle), None);
        }
    }

    #[test]
    fn a_cookie_has_the_attributes_of_its_scheme_and_a_lifetime() {
        for (is_https, expected) in [
            (true, "Path=/; Max-Age=900; HttpOnly; Secure; SameSite=None"),
            (false, "Path=/; Max-Age=900; HttpOnly; SameSite=Lax"),
        ] {
            let mut cookies = StateCookies::take(&mut HeaderMap::new(), is_https);
            let one = spilled(1, 30);
            let set = cookies.add(&one).unwrap().remove(0);
            let set = set.to_str().unwrap().to_owned();
            assert!(
                set.starts_with(prefix(is_https)) && set.ends_with(expected),
                "{set}"
            );
            let removal = cookies.removal(&one.handle).unwrap();
            let (pair, attributes) = removal.to_str().unwrap().split_once("; ").unwrap();
            assert_eq!(set.split_once('=').unwrap().0, pair.trim_end_matches('='));
            assert_eq!(attributes, expected.replace("900", "0"));
        }
    }

    #[test]
    fn a_cookie_is_no_longer_than_browsers_keep() {
        let mut cookies = StateCookies::take(&mut HeaderMap::new(), true);
        assert!(cookies.add(&spilled(1, 4096)).is_none());
        // The header, nonce and tag of the encryption, and the three bytes of the record.
        let longest = (LONGEST_STATE + 5 + 12 + 16 + 3).div_ceil(3) * 4;
        assert!(cookies.add(&spilled(1, longest)).is_some());
    }

    proptest! {
        #[test]
        fn any_cookies_are_divided_into_these_and_the_rest(
            list in prop::collection::vec(
                ("(__Host-pkce-gate-state-|pkce-gate-state-|sid|)[A-Za-z0-9_-]{0,23}", "[ -+./0-:<-~]{0,9}"),
                0..40,
            ),
            is_https: bool,
        ) {
            let pairs: Vec<_> = list.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut request = requested(&pairs.join("; "));
            let mut cookies = StateCookies::take(&mut request, is_https);
            for (name, _) in headers::cookie_pairs(&request) {
                prop_assert!(!name.starts_with(prefix(is_https)));
            }
            let is_other = |name: &str| !name.starts_with(prefix(is_https));
            let others = list.iter().filter(|(name, _)| is_other(name));
            prop_assert_eq!(headers::cookie_pairs(&request).count(), others.count());
            let one = spilled(1, 2700);
            let set = cookies.add(&one).unwrap();
            prop_assert!(set.len() <= MOST_SET);
            prop_assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
        }
    }

    #[test]
    fn the_oldest_cookies_make_room() {
        let mut jar = "sid=1".to_owned();
        for (length, left) in [(100, MOST), (2700, 2), (3900, 1)] {
            for number in 0..20 {
                let one = spilled(number, length);
                let mut cookies = StateCookies::take(&mut requested(&jar), true);
                jar = kept(&jar, &cookies.add(&one).unwrap());
                let cookies = StateCookies::take(&mut requested(&jar), true);
                assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
                assert!(cookies.found.len() <= MOST);
            }
            let cookies = StateCookies::take(&mut requested(&jar), true);
            assert_eq!(cookies.found.len(), left, "{length}");
        }
        assert!(jar.len() < 8192);
        assert!(jar.starts_with("sid=1; "));
    }
}
