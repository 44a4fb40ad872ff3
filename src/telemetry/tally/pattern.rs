//! The pattern of a path: what may be stored and shown of it.
//!
//! A segment may be a secret: the token of a password reset, a session, an invitation. So a segment is kept only if it reads like a
//! word that a programmer chose; from the first other one on, the path becomes a tree (`/reset/**`).

/// The most segments of a pattern, and the most bytes.
const DEPTH: usize = 8;
const LONGEST: usize = 100;

/// The most letters of a segment, and of a word in it.
const SEGMENT: usize = 32;
const WORD: usize = 14;

/// The most words of a segment: more may be a passphrase.
const WORDS: usize = 3;

/// The most digits of a segment, as in `oauth2` or `v1.0`.
const DIGITS: usize = 2;

/// The most consonants in a row.
const CONSONANTS: usize = 4;

/// Words without a vowel.
const SPELT: &str = "cgi css cdn dns ftp gtm gtag htm html http jpg js json jsp jwk jwks mfa mvc npm otp pdf php png rpc rss sms spa sql \
                     ssl sso svg tls ts txt ttf vpn wcf wp xml xsd";

/// A part of a path that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pattern<'p> {
    /// The path, or the part of it before the first segment that is no word. Without a `/` at its end in that case.
    pub(super) path: &'p str,
    /// Whether everything below `path` belongs to it.
    pub(super) is_tree: bool,
}

impl Pattern<'_> {
    /// As `[upstream.routes] allow` has it.
    pub(super) fn written(self) -> String {
        let below = if self.is_tree { "/**" } else { "" };
        format!("{}{below}", self.path)
    }
}

/// The pattern of a path that begins with `/`.
pub(super) fn pattern(path: &str) -> Pattern<'_> {
    let mut end = 0;
    for (number, segment) in path.split('/').skip(1).enumerate() {
        let is_last = end + 1 + segment.len() == path.len();
        // The path of a folder ends with a slash.
        let is_kept = is_word(segment) || segment.is_empty() && is_last;
        let is_long = number >= DEPTH || end + 1 + segment.len() > LONGEST;
        if !is_kept || is_long {
            let path = path.get(..end).unwrap_or_default();
            return Pattern {
                path,
                is_tree: true,
            };
        }
        end += 1 + segment.len();
    }
    Pattern {
        path,
        is_tree: false,
    }
}

/// Whether a segment reads like a word, or a few words, that a programmer chose.
fn is_word(segment: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if segment.len() > SEGMENT || !segment.bytes().all(is_name) {
        return false;
    }
    let words = segment
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .filter(|word| !word.is_empty());
    let number = words.clone().count();
    (1..=WORDS).contains(&number) && words.clone().all(reads_well) && has_few_digits(segment)
}

/// Whether each digit ends a word, or follows a dot, and there are few of them.
fn has_few_digits(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let is_in_place = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + 1);
        before.is_some_and(|before| before.is_ascii_alphanumeric() || *before == b'.')
            && after.is_none_or(|after| !after.is_ascii_alphabetic())
    };
    let digits = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_digit());
    digits.clone().count() <= DIGITS && digits.clone().all(|(at, _)| is_in_place(at))
}

/// Whether a run of letters can be spoken, or is a known abbreviation. Random letters of any length rarely can.
fn reads_well(word: &str) -> bool {
    if word.len() > WORD || !is_cased(word) {
        return false;
    }
    let is_vowel = |byte: u8| b"aeiouy".contains(&byte.to_ascii_lowercase());
    let has_vowel = word.bytes().any(is_vowel);
    let runs = word.as_bytes().split(|byte| is_vowel(*byte));
    let is_spoken = || has_vowel && runs.clone().all(|run| run.len() <= CONSONANTS);
    let is_spelt = || SPELT.split(' ').any(|known| known == word);
    word.len() < 3 || is_spoken() || is_spelt()
}

/// Whether upper case begins words of some length, as in `UserInfo` and `OAuth`.
fn is_cased(word: &str) -> bool {
    const CAPITALS: usize = 2;
    const SHORTEST: usize = 3;
    let mut rest = word;
    while !rest.is_empty() {
        let lower = rest
            .find(|letter: char| letter.is_ascii_lowercase())
            .unwrap_or(rest.len());
        let (capitals, behind) = rest.split_at(lower);
        let length = behind
            .find(|letter: char| letter.is_ascii_uppercase())
            .unwrap_or(behind.len());
        let is_short = capitals.len() + length < SHORTEST && rest.len() != word.len();
        let is_all_lower = capitals.is_empty();
        if capitals.len() > CAPITALS || is_short || !is_all_lower && length + 1 < SHORTEST {
            return false;
        }
        rest = behind.get(length..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_kept_and_everything_else_becomes_a_tree() {
        let folders = "/administrator-documentation-her".repeat(3);
        let long = format!("{folders}/x/y");
        for (path, expected) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/login/", "/login/"),
            ("/oauth2/v1.0/userinfo", "/oauth2/v1.0/userinfo"),
            (
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration",
            ),
            ("/OAuth/UserInfo", "/OAuth/UserInfo"),
            ("/auth/realms/master", "/auth/realms/master"),
            ("/static/css/main.css", "/static/css/main.css"),
            ("/js/app.min.js", "/js/app.min.js"),
            ("/forgot-password_page", "/forgot-password_page"),
            // Numbers, and identifiers of all kinds.
            ("/users/1/avatar", "/users/**"),
            ("/users/12345", "/users/**"),
            ("/static/main.4f3a9b1c.css", "/static/**"),
            ("/reset/eyJhbGciOiJIUzI1NiJ9", "/reset/**"),
            ("/reset/0b8e6e2e-7a3c-4a4c-9a57-1a5c9a4b9c11", "/reset/**"),
            ("/reset/ZGVhZGJlZWY", "/reset/**"),
            ("/reset/aGVsbG8td29ybGQ", "/reset/**"),
            ("/s/kxqz", "/s/**"),
            ("/s/k3jx9qab", "/s/**"),
            ("/s/WDJB-MJHT", "/s/**"),
            ("/magic/correct-horse-battery-staple", "/magic/**"),
            ("/magic/qwrtzpsdfg", "/magic/**"),
            ("/invite/abcdefghijklmnopq", "/invite/**"),
            ("/a%20b/c", "/**"),
            ("/login;jsessionid=1", "/**"),
            ("/login/..", "/login/**"),
            ("/user@example.com", "/**"),
            ("/a//b", "/a/**"),
            ("/a/a/a/a/a/a/a/a", "/a/a/a/a/a/a/a/a"),
            (&*long, &*format!("{folders}/x/y")),
            (&*format!("{long}/z"), &*format!("{long}/**")),
            ("/a/a/a/a/a/a/a/a/a", "/a/a/a/a/a/a/a/a/**"),
        ] {
            assert_eq!(pattern(path).written(), expected, "{path}");
        }
    }

    proptest! {
        /// Random values, as servers make them: they have at least 80 bits.
        #[test]
        fn no_token_is_kept(bytes in prop::array::uniform32(any::<u8>()), alphabet in 0..4_usize) {
            let letters: &[u8] = [
                &b"0123456789abcdef"[..],
                b"abcdefghijklmnopqrstuvwxyz234567",
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
                b"abcdefghijklmnopqrstuvwxyz",
            ][alphabet];
            let token: String = bytes[..20].iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect();
            let path = format!("/reset/{token}/confirm");
            let pattern = pattern(&path).written();
            prop_assert!(!pattern.contains(&token), "{pattern}");
        }

        #[test]
        fn a_pattern_begins_the_path(path in "(/[ -~]{0,12}){1,10}") {
            let pattern = pattern(&path);
            prop_assert!(path.starts_with(pattern.path));
            prop_assert!(pattern.is_tree || pattern.path == path);
        }
    }
}
