//! The readings of a path by lenient servers. They are only compared, never sent.
//!
//! A single normalisation does not cover all servers: one decodes before it removes dot segments, another one after that, a third
//! one does both twice. So a path is read once after each round of decoding, and a path whose meaning depends on the order is
//! ambiguous.

use std::borrow::Cow;

use crate::spelling::layers::without_percent;
use crate::spelling::shortcuts::is_plain_path;

/// How many rounds of escapes are decoded: each server in a chain may decode once.
const ROUNDS: usize = 3;

/// The readings of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readings<'p> {
    /// All servers read it alike. Without leading and trailing slashes.
    Plain(&'p str),
    /// Servers may read it as any of these.
    Several(Vec<String>),
    /// Servers may read it as any path.
    Ambiguous,
}

impl<'p> Readings<'p> {
    pub(crate) fn of(path: &'p str) -> Self {
        if is_plain_path(path) {
            return Self::Plain(path.trim_matches('/'));
        }
        Self::each(path)
    }

    /// The same without the quick test.
    pub(crate) fn each(path: &str) -> Self {
        let mut readings = Vec::new();
        let mut text = path.to_owned();
        for _ in 0..=ROUNDS {
            if is_ambiguous(&text) {
                return Self::Ambiguous;
            }
            // A `;` ends the path for some servers, and only the segment for others.
            let target = text.split(['?', '#']).next().unwrap_or_default();
            let head = target.split(';').next().unwrap_or_default();
            for part in [text.as_str(), target, head] {
                readings.extend([fold_segments(part), fold_path(part)]);
                readings.extend(
                    scripts(&fold_segments(part))
                        .flat_map(|script| [script.to_owned(), fold_path(script)]),
                );
            }
            let Cow::Owned(decoded) = without_percent(text.as_bytes()) else {
                break;
            };
            text = match String::from_utf8(decoded) {
                Ok(decoded) => decoded,
                // It may be an overlong form, which lenient servers decode as a letter.
                Err(_) => return Self::Ambiguous,
            };
        }
        Self::Several(readings)
    }

    /// Whether `is` holds for some reading.
    pub(crate) fn any(&self, is: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Plain(path) => is(path),
            Self::Several(readings) => readings.iter().any(|reading| is(reading)),
            Self::Ambiguous => true,
        }
    }
}

/// Whether a path, after some rounds of decoding, has dot segments, blank segments, control characters or `%uXXXX`. Its meaning
/// depends on the order in which a server normalises it.
fn is_ambiguous(text: &str) -> bool {
    text.chars().any(char::is_control)
        || has_wide_escape(text)
        || text.split(['/', '\\']).any(is_ambiguous_segment)
}

fn is_ambiguous_segment(segment: &str) -> bool {
    let name = segment.split([';', '?', '#']).next().unwrap_or_default();
    match name.trim() {
        "." | ".." => true,
        trimmed => trimmed.is_empty() && !name.is_empty(),
    }
}

/// Whether a text has an escape such as `%u0074`, which ASP and others decode.
fn has_wide_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(6)
        .any(|six| matches!(six, [b'%', b'u' | b'U', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Normalises a decoded path like the most lenient server: folds case, reads `\` as `/`, and removes path parameters, double
/// slashes, blanks around names, and the extension.
pub(crate) fn fold_path(text: &str) -> String {
    let mut folded = fold_segments(text);
    let last = folded.rfind('/').map_or(0, |at| at + 1);
    if let Some(dot) = folded.get(last..).and_then(|name| name.find(['.', ':'])) {
        folded.truncate(last + dot);
        folded.truncate(folded.trim_end().trim_end_matches('/').len());
    }
    folded
}

/// The beginnings of a path that may be a script, which gets the rest as `PATH_INFO` (CGI): PHP runs `/token.php/x` as
/// `/token.php`.
fn scripts(folded: &str) -> impl Iterator<Item = &str> {
    /// The most segments of an endpoint's path.
    const DEPTH: usize = 16;
    let ends = memchr::memchr_iter(b'/', folded.as_bytes()).take(DEPTH);
    let before = ends.filter_map(|end| folded.get(..end));
    before.filter(|path| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| name.contains('.'))
    })
}

/// The same as [`fold_path`], but keeps the extension.
pub(crate) fn fold_segments(text: &str) -> String {
    // To upper case first: `ſ` and the Kelvin sign become ASCII letters.
    let text: String = text
        .chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    let name = |segment: &'_ str| -> String {
        let name = segment.split(';').next().unwrap_or_default();
        name.trim().to_owned()
    };
    let names = text.split(['/', '\\']).map(name);
    names
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// Whether a path is `above`, or below it. Everything is below the empty path.
pub(super) fn is_below(above: &str, path: &str) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Merges runs of slashes: `//a///b` becomes `/a/b`.
pub(crate) fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if !(character == '/' && merged.ends_with('/')) {
            merged.push(character);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_whose_meaning_depends_on_the_order_of_decoding_is_ambiguous() {
        for path in [
            "/oauth2/%09/../token",
            "/oauth2/%5c/../token",
            "/oauth2/%3b/../token",
            "/a/%252e/../b",
            "/a%252fb/../c",
            "/a/%2520/../b",
            "/a/..;x/../b",
            "/x%2fy/../z",
            "/.",
            "/..",
            "/a/.",
            "/a/..;b",
            "/a/.;b/c",
            "/a\\..\\b",
            "/a/..\\b",
            "/a/%2e%2e/b",
            "/a/%2e./b",
            "/a/%252e%252e/b",
            "/a/%25252e%25252e/b",
            "/a/..%2fb",
            "/a/..%255cb",
            "/a/..%253bx/b",
            "/a/..%20/b",
            "/a/%20../b",
            "/a/%c2%a0./b",
            "/a/..%3fx",
            "/a/..%23x",
            "/a/%20/b",
            "/a/%2520",
            "/a/%20;x/b",
            "/a/%e3%80%80/b",
            "/a%00",
            "/a%2500b",
            "/a%0d%0ab",
            "/a%7f",
            "/a%c2%85b",
            "/a%252509b",
            "/%c1%b4oken",
            "/%25c1%25b4oken",
            "/a%c0%afb",
            "/caf%e9",
            "/%ff",
            "/%u0074oken",
            "/%U0074oken",
            "/%25u0074oken",
            "/a%u002e%u002e/b",
        ] {
            assert_eq!(Readings::of(path), Readings::Ambiguous, "{path}");
        }
    }

    #[test]
    fn ordinary_paths_are_not_ambiguous() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/my%20file.pdf",
            "/my%2520file.pdf",
            "/a%20",
            "/a%2Fb",
            "/https%3A%2F%2Fclient.test%2Fcb",
            "/caf%C3%A9/%E2%82%AC",
            "/caf%25C3%25A9",
            "/a;b=c/d:e@f!$&'()*+,",
            "/;a/b",
            "/.hidden/...",
            "/.well-known/openid-configuration",
            "/a..b/c.",
            "/100%/x",
            "/%zz",
            "/%u12/x",
            "/a%3Fb",
            "/%7e/~",
            "/a%5cb",
        ] {
            assert_ne!(Readings::of(path), Readings::Ambiguous, "{path}");
        }
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        assert_eq!(
            Readings::of("/oauth2/token"),
            Readings::Plain("oauth2/token")
        );
        assert_eq!(Readings::of("/a/"), Readings::Plain("a"));
        assert!(matches!(Readings::of("/A"), Readings::Several(_)));
    }

    #[test]
    fn readings_include_those_of_lenient_servers() {
        for (path, reading) in [
            ("/oauth2/token%3Fa", "oauth2/token"),
            ("/oauth2/token%23a", "oauth2/token"),
            ("/oauth2/token%253Fa/b", "oauth2/token"),
            ("/oauth2/token;a/b", "oauth2/token"),
            ("/oauth2/token;a/b", "oauth2/token/b"),
            ("/x;a%2foauth2", "x"),
            ("/to%E2%84%AAen", "token"),
            ("/%252574oken", "token"),
            ("/token/.json", "token"),
            ("/token::$DATA", "token"),
            ("/Token.json", "token.json"),
            ("/oauth2;a=b/token%3f", "oauth2/token"),
            ("/oauth2;a=b/token%2523x", "oauth2/token"),
            ("/oauth2/token.php/x", "oauth2/token.php"),
            ("/oauth2/Token.php/x/y.css", "oauth2/token"),
            ("/v1.2/token.php%2fx", "v1.2/token"),
        ] {
            assert!(
                Readings::of(path).any(|read| read == reading),
                "{path}: {:?}",
                Readings::of(path)
            );
        }
    }

    proptest! {
        #[test]
        fn an_escaped_dot_segment_is_found_at_any_depth_of_escaping(
            before in "[a-z]{0,3}", dots in "[.]{1,2}", after in "[a-z]{0,3}", rounds in 0_usize..=3, slash in "[/\\\\]",
            tail in "(;[a-z]{0,3})?[ \t]{0,2}",
        ) {
            let mut path = format!("/{before}{slash}{dots}{tail}{slash}{after}");
            for _ in 0..rounds {
                let escaped: Vec<_> = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
                path = format!("/{}", escaped.concat());
            }
            prop_assert_eq!(Readings::of(&path), Readings::Ambiguous, "{}", path);
        }

        #[test]
        fn a_plain_path_is_read_like_its_folding(path in "(/[a-z0-9_~-]{1,4}){1,4}/?") {
            prop_assert_eq!(Readings::of(&path), Readings::Plain(&fold_path(&path)));
        }
    }
}
