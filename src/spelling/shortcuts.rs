//! Shortcuts: cheap checks that spare most requests, responses and words an expensive one.
//!
//! Each is a necessary condition for the expensive check that its documentation names: if it is false, the expensive
//! check would find nothing. It may be true for any reason. The fuzz target `shortcuts` (`src/fuzzing.rs`) compares
//! each with its expensive check. The savings are instructions of a unit of `benches/instructions`.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memchr2, memchr2_iter, memchr3, memchr3_iter};

use super::words::is_word;
use crate::examined::looked_at;
use crate::flow::Purpose;
use crate::oauth::params::{hex, letters, set::ByteSet};

/// For `HandleKey::candidates`: whether the text may contain the handle of a sign-in, unescaped.
pub(crate) fn may_hold_handle(text: &[u8]) -> bool {
    static PREFIX: LazyLock<Finder<'static>> =
        LazyLock::new(|| Finder::new(Purpose::State.prefix()));
    PREFIX.find(text).is_some()
}

/// For `HandleKey::candidates` in [`super::any_layer`]: whether the text may contain such a handle under any layers of
/// escapes. Saves 3 % of a flow with the upstream's codes.
pub(crate) fn may_hide_handle(text: &[u8]) -> bool {
    may_hold_handle(text) || may_hide_word(text)
}

/// For [`super::any_layer`]: whether decoding may reveal a word of letters and digits that the text itself does not
/// contain. That requires the escape of a letter, a digit, or a character that introduces another escape.
pub(crate) fn may_hide_word(text: &[u8]) -> bool {
    looked_at(text.len());
    let hides =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'\\' | b'&' | b'#');
    let percent = |at: usize| {
        let escaped = text.get(at + 1).zip(text.get(at + 2));
        let byte = escaped.and_then(|(high, low)| hex(*high, *low));
        byte.is_some_and(hides) || matches!(text.get(at + 1), Some(b'u' | b'U'))
    };
    let backslash = |at: usize| matches!(text.get(at + 1), Some(b'u' | b'x' | b'\\' | b'#'));
    let reference = |at: usize| {
        let mut rest = text.get(at + 1..).unwrap_or_default();
        // `&amp;` becomes `&` in the next layer.
        while let Some(behind) = rest.strip_prefix(b"amp") {
            rest = behind.strip_prefix(b";").unwrap_or(behind);
        }
        let begins = |word: &&[u8]| rest.starts_with(word);
        [b"#".as_slice(), b"num", b"percnt"].iter().any(begins)
    };
    memchr3_iter(b'%', b'\\', b'&', text).any(|at| match text.get(at) {
        Some(b'%') => percent(at),
        Some(b'\\') => backslash(at),
        _ => reference(at),
    })
}

/// Characters of names that all servers read in the same way.
static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"_-.");

/// For [`crate::suspicion::scan`]: whether a query or a body is such a simple form that it contains neither a token
/// request nor a handle beside a code. All names are plain, and none is decisive. Saves 18 % of a POST.
pub(crate) fn is_quiet(text: &[u8]) -> bool {
    !may_say_decisive(text) && !may_hide_handle(text)
}

/// Whether a form may contain a name that every token request needs.
fn may_say_decisive(input: &[u8]) -> bool {
    let is_decisive = |name: &[u8]| letters(name).eq(*b"code") || letters(name).eq(*b"granttype");
    looked_at(input.len());
    let mut rest = input;
    loop {
        let end = rest.iter().position(|byte| !PLAIN.has(*byte));
        let (name, behind) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let ends = matches!(behind, [] | [b'=' | b'&' | b';', ..]);
        // Some servers parse a document inside a value.
        let is_document = matches!(behind, [b'=', b'{' | b'[' | b'"', ..]);
        if !ends || is_document || is_decisive(name) {
            return true;
        }
        match memchr2(b'&', b';', behind).and_then(|at| behind.get(at + 1..)) {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

/// For the names that `suspicion` reads in several ways: whether there is only one reading, because the name has only
/// letters, digits and characters that frameworks ignore. Saves 4 % of a flow with the upstream's codes.
pub(crate) fn is_plain_name(name: &[u8]) -> bool {
    name.iter().all(|byte| PLAIN.has(*byte))
}

/// For the readings of a path by servers (`route/fold.rs`): whether the path itself is the only one. It is in lower
/// case and has no character with a special meaning in some server. Saves 90 % of a GET.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-_~!$&'()*+,=@".contains(&byte)
    };
    path.bytes().all(plain) && !path.contains("//")
}

/// For everything except handles that is searched in a response without a redirect (`gateway/bind`): whether its body
/// may contain a form, a token or a `Refresh`. A NUL indicates UTF-16. Saves 7 % of a GET.
pub(crate) fn may_be_answer(page: &[u8]) -> bool {
    may_have_form(page) || memchr(0, page).is_some() || may_name_token(page) || may_refresh(page)
}

/// For `FormPost::all`: whether a page may contain a form, directly or in an embedded page.
pub(crate) fn may_have_form(page: &[u8]) -> bool {
    memchr_iter(b'<', page).any(|at| match page.get(at + 1) {
        Some(b'f' | b'F') => is_word(page, at + 1, b"form"),
        Some(b'i' | b'I') => is_word(page, at + 1, b"iframe"),
        _ => false,
    })
}

/// For `detect::carries` and `location::is_token_response`, for tokens: whether the text contains `token`, or may hide
/// it.
pub(crate) fn may_name_token(text: &[u8]) -> bool {
    names_token(text) || may_hide_word(text)
}

/// For the search of `detect` in one layer of a text: whether it contains `token`. Searches for its rarest letter.
pub(crate) fn names_token(text: &[u8]) -> bool {
    looked_at(text.len());
    memchr2_iter(b'k', b'K', text).any(|at| at >= 2 && is_word(text, at - 2, b"token"))
}

/// Whether the text contains `code`, likewise. Saves 1 % of a flow, and more for long pages.
pub(crate) fn names_code(text: &[u8]) -> bool {
    looked_at(text.len());
    memchr2_iter(b'd', b'D', text).any(|at| at >= 2 && is_word(text, at - 2, b"code"))
}

/// For `jarm::stands_among`: whether a text may contain a JWT. Its parts are separated by dots, which may be escaped.
/// Saves 1 % of a flow.
pub(crate) fn may_hold_jwt(text: &[u8]) -> bool {
    memchr2(b'.', b'%', text).is_some()
}

/// For `refresh::in_page`: whether the page itself may contain a `Refresh`. Searches for the rarest letter of
/// `http-equiv`.
pub(crate) fn may_refresh(page: &[u8]) -> bool {
    looked_at(page.len());
    memchr2_iter(b'q', b'Q', page).any(|at| at >= 6 && is_word(page, at - 6, b"http-equiv"))
}

/// For splitting a text at these bytes: whether it contains any of them. Saves 4 % of a flow with the upstream's codes.
pub(crate) fn has_any(text: &[u8], bytes: &[u8]) -> bool {
    looked_at(text.len());
    bytes.chunks(3).any(|bytes| {
        let found = match bytes {
            [a, b, c] => memchr3(*a, *b, *c, text),
            [a, b] => memchr2(*a, *b, text),
            [a] => memchr(*a, text),
            _ => None,
        };
        found.is_some()
    })
}

/// For codes in base64 ([`super::Twins`]): whether the text contains `length` consecutive bytes of the set.
pub(crate) fn has_run(text: &[u8], set: &ByteSet, length: usize) -> bool {
    looked_at(text.len());
    let mut start = 0;
    // Searches each window from its end, which saves 2 % of a flow: nothing before another byte can be part of a run.
    while let Some(window) = text.get(start..start + length) {
        match window.iter().rposition(|byte| !set.has(*byte)) {
            None => return true,
            Some(at) => start += at + 1,
        }
    }
    false
}

/// The possible first, second and third characters of a base64 group that encodes three ASCII bytes: the highest bit of
/// each byte is a bit of one of them.
static ASCII: [ByteSet; 3] = [
    ByteSet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"),
    ByteSet::of(b"ABCDEFGHQRSTUVWXghijklmnwxyz0123"),
    ByteSet::of(b"ABEFIJMNQRUVYZcdghklopstwx014589"),
];

/// For decoding base64 from here: whether the result may contain `length` consecutive bytes of ASCII. Saves 5 % of a
/// flow.
pub(crate) fn may_be_ascii(run: &[u8], length: usize) -> bool {
    // The first and the last group of a word may also contain other bytes.
    let groups = length.saturating_sub(2) / 3;
    let is_ascii = |group: &[u8]| {
        let mut places = group.iter().zip(&ASCII);
        places.all(|(byte, set)| set.has(*byte))
    };
    let mut start = 0;
    while let Some(window) = run.get(start..start + 4 * groups) {
        // From its end, as in `has_run`.
        match window.chunks_exact(4).rposition(|group| !is_ascii(group)) {
            None => return true,
            Some(at) => start += 4 * (at + 1),
        }
    }
    false
}

/// For parsing a URL: its host, if it is written so simply that there is only one reading: without user, escapes, IP
/// address, international names, or blanks to trim. Saves 3 % of a flow.
pub(crate) fn plain_host(url: &str) -> Option<&str> {
    static HOST: ByteSet = ByteSet::of(b"abcdefghijklmnopqrstuvwxyz0123456789-.");
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let end = rest
        .bytes()
        .position(|byte| !HOST.has(byte))
        .unwrap_or(rest.len());
    let (host, behind) = rest.split_at_checked(end)?;
    let behind = behind.strip_prefix(':').map_or(behind, |port| {
        port.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let ends = behind.is_empty() || behind.starts_with(['/', '?', '#']);
    let last = host.rsplit('.').next().unwrap_or_default();
    let has_name = last.starts_with(|c: char| c.is_ascii_lowercase());
    // As in `xn--`.
    let is_encoded = host.as_bytes().windows(2).any(|two| two == b"--");
    let is_name = has_name && !is_encoded;
    (ends && is_name).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_requests_and_hidden_handles_are_not_quiet() {
        for text in [
            "a=b&code=x",
            "c_o.d-e=x",
            "a=b;GRANT_TYPE=x",
            "%63ode=x",
            "grant[type=x",
            "c\0ode=x",
            "+code=x",
            r#"{"code":"x"}"#,
            r#"a={"code":"x"}"#,
            "--b\r\n",
            "a=pgs",
            "a=%70gs",
            "a=\\u0070gs",
            "a=&#112;gs",
        ] {
            assert!(!is_quiet(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "a=b&username=c",
            "xcode=code&code_x=grant_type",
            "client_id=a&redirect_uri=https%3A%2F%2Fa",
        ] {
            assert!(is_quiet(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn only_hosts_that_all_parsers_read_alike_are_plain() {
        for (url, host) in [
            ("https://app.example/cb?x=1", Some("app.example")),
            ("http://localhost:8080", Some("localhost")),
            ("https://a-1.example#x", Some("a-1.example")),
            ("https://user@app.example/", None),
            ("https://user:1@app.example/", None),
            ("https://app.example\\x", None),
            ("https://App.example/", None),
            ("https://127.0.0.1/", None),
            ("https://0x7f.1/", None),
            ("https://xn--a.example/", None),
            ("https://app.example./", None),
            ("https://a%41.example/", None),
            ("https:///app.example", None),
            ("//app.example", None),
            (" https://app.example/", None),
        ] {
            assert_eq!(plain_host(url), host, "{url}");
        }
    }
}
