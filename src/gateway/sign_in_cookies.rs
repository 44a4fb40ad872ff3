//! Cookies of one sign-in each, of two kinds ([`Kind`]). The gate takes them out of every request before anything else reads it,
//! so they never reach the upstream.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};

use crate::flow::Handle;
use crate::http::headers;

/// How long a cookie is kept after the answer, in seconds: a user may go Back, and the same sign-in yields another code.
const AFTER_ANSWER: u64 = 60;
/// The longest `Set-Cookie` value, in bytes. Browsers ignore a cookie that is longer (RFC 6265bis section 5.6, which does not
/// count the attributes).
const LONGEST: usize = 4096;
/// The most cookies of one kind that a browser keeps.
pub(crate) const MOST: usize = 8;
/// The most `Set-Cookie` values of one answer for sign-ins, for a request with many forged cookies.
pub(crate) const MOST_SET: usize = 2 * MOST;

/// The longest state, in bytes, that fits into a cookie, rounded down.
pub(super) const LONGEST_STATE: usize = 2900;

/// What a cookie has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client's state, encrypted for the sign-in, if it is too long for the handle of a sealed store
    /// ([`crate::store::Held::Spilled`]).
    #[default]
    State,
    /// The handle of the sign-in (`correlation = "cookie"`).
    Handle,
}

impl Kind {
    /// The beginning of their names. With `https` the browser accepts them from this very host only.
    pub(crate) const fn prefix(self, is_https: bool) -> &'static str {
        match (self, is_https) {
            (Self::State, true) => "__Host-pkce-gate-state-",
            (Self::State, false) => "pkce-gate-state-",
            (Self::Handle, true) => "__Host-pkce-gate-flow-",
            (Self::Handle, false) => "pkce-gate-flow-",
        }
    }

    /// The most bytes of all of them in a request. Many servers in front of a gate accept 8 KiB of cookies, and refuse every
    /// request with more.
    const fn most_bytes(self) -> usize {
        match self {
            Self::State => 6144,
            Self::Handle => 1792,
        }
    }

    /// A state goes cross-site as well: a server may end the sign-in in a POST that another site made (a login elsewhere, with
    /// form_post). Without TLS, browsers accept no such cookie. A handle does not: pages of other sites, and frames in them,
    /// neither begin a sign-in of this browser nor continue one.
    const fn site(self, is_https: bool) -> &'static str {
        match (self, is_https) {
            (Self::State, true) => "Secure; SameSite=None",
            (Self::Handle, true) => "Secure; SameSite=Lax",
            (Self::State | Self::Handle, false) => "SameSite=Lax",
        }
    }
}

/// The value of such a cookie: `ENDS.TEXT`, and `ENDS~TEXT` after the answer. Nothing but the text itself (an encrypted state, a
/// handle) proves that the gate wrote it; the rest only says how long this browser keeps it.
struct Value<'v> {
    /// When the sign-in ends, in seconds since 1970.
    ends: u64,
    is_answered: bool,
    text: &'v str,
}

impl<'v> Value<'v> {
    fn read(text: &'v str) -> Option<Self> {
        let (ends, rest) = text.split_at_checked(text.find(['.', '~'])?)?;
        Some(Self {
            ends: ends.parse().ok()?,
            is_answered: rest.starts_with('~'),
            text: rest.get(1..)?,
        })
    }

    fn write(&self) -> String {
        let answered = if self.is_answered { '~' } else { '.' };
        format!("{}{answered}{}", self.ends, self.text)
    }
}

/// The cookies of one kind in a request, in its order: browsers send the oldest one first (RFC 6265 section 5.4).
#[derive(Clone, Default)]
pub(crate) struct SignInCookies {
    kind: Kind,
    is_https: bool,
    /// Names and values.
    found: Vec<(Box<str>, Box<str>)>,
    /// Whether this browser had more sign-ins than cookies are kept for.
    has_lost: bool,
}

/// The end of the name of the cookie that says so.
const LOST: &str = "lost";

impl SignInCookies {
    /// Takes them out of a request, and everything else whose name begins like theirs.
    pub(crate) fn take(headers: &mut HeaderMap, kind: Kind, is_https: bool) -> Self {
        let prefix = kind.prefix(is_https);
        let is_one = |name: &str| name.starts_with(prefix);
        let has_name = |name: &str| {
            let of_sign_in = name.strip_prefix(prefix).unwrap_or_default();
            URL_SAFE_NO_PAD
                .decode(of_sign_in)
                .is_ok_and(|digest| digest.len() == 16)
        };
        let is_lost = |name: &str| name.strip_prefix(prefix) == Some(LOST);
        let has_lost = headers::cookie_pairs(headers).any(|(name, _)| is_lost(name));
        let pairs = headers::cookie_pairs(headers).filter(|(name, _)| has_name(name));
        let found: Vec<_> = pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        headers::without_cookies(headers, is_one);
        Self {
            kind,
            is_https,
            found,
            has_lost,
        }
    }

    /// Removes the cookies of all kinds from a request to a server behind this host that has none of its own.
    pub(crate) fn remove_all(headers: &mut HeaderMap) {
        let kinds = [Kind::State, Kind::Handle];
        let all = kinds.map(|kind| [kind.prefix(true), kind.prefix(false)]);
        headers::without_cookies(headers, |name| {
            all.iter().flatten().any(|prefix| name.starts_with(prefix))
        });
    }

    /// The names of the sign-ins ([`name`]) that had their answer, or of the others, each with its text.
    pub(crate) fn all(&self, answered: bool) -> impl Iterator<Item = (&str, &str)> {
        let prefix = self.kind.prefix(self.is_https).len();
        self.found.iter().filter_map(move |(name, value)| {
            let value = Value::read(value).filter(|value| value.is_answered == answered)?;
            Some((name.get(prefix..)?, value.text))
        })
    }

    /// Whether the browser may have sign-ins whose cookies it did not send, because there were too many.
    pub(crate) fn are_incomplete(&self) -> bool {
        self.has_lost || self.found.len() > MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The text of the cookie of a sign-in. `None`: there is none, or more than one.
    pub(crate) fn of(&self, handle: &Handle) -> Option<&str> {
        Some(self.value(handle)?.text)
    }

    fn value(&self, handle: &Handle) -> Option<Value<'_>> {
        let name = self.name(handle);
        let mut found = self.found.iter().filter(|(known, _)| **known == *name);
        let (_, value) = found.next()?;
        let value = found.next().is_none().then_some(value)?;
        Value::read(value)
    }

    /// Adds the cookie of a new sign-in. Returns the `Set-Cookie` values: its own, and those that remove cookies if there are too
    /// many, first those of sign-ins that had their answer, then the oldest. `None`: it is too long. `now` is in seconds since
    /// 1970.
    pub(crate) fn add(
        &mut self,
        handle: &Handle,
        text: &str,
        lifetime: Duration,
        now: u64,
    ) -> Option<Vec<HeaderValue>> {
        let name = self.name(handle);
        let lifetime = lifetime.as_secs();
        let value = Value {
            ends: now.saturating_add(lifetime),
            is_answered: false,
            text,
        };
        let value = value.write();
        let own = self.set(&name, &value, lifetime);
        let mut set = vec![own.filter(|own| own.len() <= LONGEST)?];
        self.found.push((name.into(), value.into()));
        let size = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len() + "=; ".len();
        let mut bytes: usize = self.found.iter().map(size).sum();
        let mut kept = self.found.len();
        let is_live = |value: &str| Value::read(value).is_some_and(|value| !value.is_answered);
        let all = self.found.iter();
        let (live, idle): (Vec<_>, Vec<_>) = all.partition(|(_, value)| is_live(value));
        let dispensable = idle.iter().map(|cookie| (cookie, false));
        let dispensable = dispensable.chain(live.iter().map(|cookie| (cookie, true)));
        let mut loses = false;
        for (cookie, is_live) in dispensable {
            if kept <= MOST && bytes <= self.kind.most_bytes() || set.len() == MOST_SET {
                break;
            }
            set.extend(self.set(&cookie.0, "", 0));
            bytes -= size(cookie);
            kept -= 1;
            loses |= is_live;
        }
        if loses && self.kind == Kind::Handle {
            let name = [self.kind.prefix(self.is_https), LOST].concat();
            set.extend(self.set(&name, "1", lifetime));
            self.has_lost = true;
        }
        Some(set)
    }

    /// The `Set-Cookie` value that goes with the answer of a sign-in: from now on the browser keeps the cookie only for a short
    /// time, and not longer than the sign-in lasts. `now` is in seconds since 1970.
    pub(super) fn answered(&self, handle: &Handle, now: u64) -> Option<HeaderValue> {
        let mut value = self.value(handle)?;
        value.is_answered = true;
        let left = value.ends.saturating_sub(now);
        let value = if left == 0 {
            String::new()
        } else {
            value.write()
        };
        self.set(&self.name(handle), &value, left.min(AFTER_ANSWER))
    }

    fn name(&self, handle: &Handle) -> String {
        [self.kind.prefix(self.is_https), &name(handle)].concat()
    }

    fn set(&self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let site = self.kind.site(self.is_https);
        let set = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; {site}");
        HeaderValue::try_from(set).ok()
    }
}

/// The name of a sign-in in the name of its cookie. The handle cannot be computed from it.
pub(crate) fn name(handle: &Handle) -> String {
    URL_SAFE_NO_PAD.encode(handle.digest().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::{HandleKey, Purpose};
    use crate::store::Spilled;

    fn spilled(number: u8, length: usize) -> Spilled {
        let key = HandleKey::for_upstream("a");
        Spilled {
            handle: key.mint(Purpose::State, (number..).take(60)),
            sealed: "s".repeat(length),
            lifetime: Duration::from_mins(15),
        }
    }

    /// Seconds since 1970.
    const NOW: u64 = 1_900_000_000;

    impl SignInCookies {
        fn add_state(&mut self, spilled: &Spilled) -> Option<Vec<HeaderValue>> {
            self.add(&spilled.handle, &spilled.sealed, spilled.lifetime, NOW)
        }
    }

    fn requested(list: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("cookie", HeaderValue::from_str(list).unwrap());
        map
    }

    /// The cookies of a browser after these fields. A cookie that is set again keeps its place (RFC 6265 section 5.3).
    fn kept(before: &str, set: &[HeaderValue]) -> String {
        let mut jar: Vec<String> = before.split("; ").map(str::to_owned).collect();
        for field in set {
            let pair = field.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let is_it = |cookie: &String| cookie.starts_with(&format!("{name}="));
            match jar.iter().position(is_it) {
                Some(at) if value.is_empty() => drop(jar.remove(at)),
                Some(at) => jar[at] = pair.to_owned(),
                None if value.is_empty() => {}
                None => jar.push(pair.to_owned()),
            }
        }
        jar.join("; ")
    }

    #[test]
    fn a_cookie_is_found_by_its_own_sign_in_and_taken_out_of_the_request() {
        for is_https in [true, false] {
            let (one, other) = (spilled(1, 30), spilled(2, 40));
            let mut cookies = SignInCookies::take(&mut HeaderMap::new(), Kind::State, is_https);
            let set = cookies.add_state(&one).unwrap();
            assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
            let mut request = requested(&format!("{}; theme=dark", kept("sid=1", &set)));
            let cookies = SignInCookies::take(&mut request, Kind::State, is_https);
            assert_eq!(request["cookie"], "sid=1; theme=dark");
            assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
            assert_eq!(cookies.of(&other.handle), None);
            // Of two with one name, neither counts.
            let mut request = requested(&kept("", &[&set[..], &set[..]].concat()));
            let pair = request["cookie"].to_str().unwrap().to_owned();
            request.append("cookie", HeaderValue::from_str(&pair).unwrap());
            let cookies = SignInCookies::take(&mut request, Kind::State, is_https);
            assert_eq!(cookies.of(&one.handle), None);
        }
    }

    #[test]
    fn a_cookie_has_the_attributes_of_its_scheme_and_a_lifetime() {
        for (is_https, expected) in [
            (true, "Path=/; Max-Age=900; HttpOnly; Secure; SameSite=None"),
            (false, "Path=/; Max-Age=900; HttpOnly; SameSite=Lax"),
        ] {
            let mut cookies = SignInCookies::take(&mut HeaderMap::new(), Kind::State, is_https);
            let one = spilled(1, 30);
            let set = cookies.add_state(&one).unwrap().remove(0);
            let set = set.to_str().unwrap().to_owned();
            assert!(
                set.starts_with(Kind::State.prefix(is_https)) && set.ends_with(expected),
                "{set}"
            );
            let (pair, _) = set.split_once("; ").unwrap();
            for (left, kept) in [(900, 60), (60, 60), (59, 59), (1, 1), (0, 0)] {
                let answered = cookies.answered(&one.handle, NOW + 900 - left).unwrap();
                let (again, attributes) = answered.to_str().unwrap().split_once("; ").unwrap();
                assert_eq!(attributes, expected.replace("900", &kept.to_string()));
                let (name, value) = again.split_once('=').unwrap();
                assert!(pair.starts_with(&format!("{name}=")), "{again}");
                assert_eq!(value.is_empty(), left == 0, "{again}");
            }
            assert!(cookies.answered(&spilled(2, 30).handle, NOW).is_none());
        }
    }

    #[test]
    fn a_cookie_is_read_after_each_answer_until_its_sign_in_ends() {
        let one = spilled(1, 30);
        let mut jar = String::new();
        jar = kept(&jar, &SignInCookies::default().add_state(&one).unwrap());
        for later in [0, 10, 200, 899] {
            let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
            assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
            let answered = cookies.answered(&one.handle, NOW + later).unwrap();
            jar = kept(&jar, &[answered]);
        }
        let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
        jar = kept(&jar, &[cookies.answered(&one.handle, NOW + 900).unwrap()]);
        assert_eq!(jar, "");
    }

    #[test]
    fn a_value_without_its_parts_is_not_read() {
        for value in [
            "",
            "s",
            "900",
            ".s",
            "~s",
            "x.s",
            "-1.s",
            "9 .s",
            "99999999999999999999.s",
        ] {
            assert!(Value::read(value).is_none(), "{value}");
        }
    }

    #[test]
    fn a_cookie_is_no_longer_than_browsers_keep() {
        let mut cookies = SignInCookies::take(&mut HeaderMap::new(), Kind::State, true);
        assert!(cookies.add_state(&spilled(1, 4096)).is_none());
        // The header, nonce and tag of the encryption, and the three bytes of the record.
        let longest = (LONGEST_STATE + 5 + 12 + 16 + 3).div_ceil(3) * 4;
        assert!(cookies.add_state(&spilled(1, longest)).is_some());
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
            let mut cookies = SignInCookies::take(&mut request, Kind::State, is_https);
            for (name, _) in headers::cookie_pairs(&request) {
                prop_assert!(!name.starts_with(Kind::State.prefix(is_https)));
            }
            let is_other = |name: &str| !name.starts_with(Kind::State.prefix(is_https));
            let others = list.iter().filter(|(name, _)| is_other(name));
            prop_assert_eq!(headers::cookie_pairs(&request).count(), others.count());
            let one = spilled(1, 2700);
            let set = cookies.add_state(&one).unwrap();
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
                let mut cookies = SignInCookies::take(&mut requested(&jar), Kind::State, true);
                jar = kept(&jar, &cookies.add_state(&one).unwrap());
                let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, true);
                assert_eq!(cookies.of(&one.handle), Some(&*one.sealed));
                assert!(cookies.found.len() <= MOST);
            }
            let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, true);
            assert_eq!(cookies.found.len(), left, "{length}");
        }
        assert!(jar.len() < 8192);
        assert!(jar.starts_with("sid=1; "));
    }

    /// Also if their cookies are newer.
    #[test]
    fn the_cookies_of_answered_sign_ins_make_room_before_those_of_live_ones() {
        let live = spilled(0, 2000);
        let mut jar = kept("", &SignInCookies::default().add_state(&live).unwrap());
        for number in 1..20 {
            let next = spilled(number, 2000);
            let mut cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
            jar = kept(&jar, &cookies.add_state(&next).unwrap());
            let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
            assert_eq!(cookies.of(&live.handle), Some(&*live.sealed), "{number}");
            assert_eq!(cookies.of(&next.handle), Some(&*next.sealed), "{number}");
            assert!(cookies.found.len() <= MOST && jar.len() <= Kind::State.most_bytes() + 100);
            jar = kept(&jar, &[cookies.answered(&next.handle, NOW).unwrap()]);
        }
        // If there are live ones only, the oldest goes.
        for number in 20..22 {
            let mut cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
            jar = kept(&jar, &cookies.add_state(&spilled(number, 2000)).unwrap());
        }
        let cookies = SignInCookies::take(&mut requested(&jar), Kind::State, false);
        let found: Vec<_> = (0..22)
            .filter(|&number| cookies.of(&spilled(number, 0).handle).is_some())
            .collect();
        assert_eq!(found, [20, 21]);
    }
}
