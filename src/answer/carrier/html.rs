//! Just enough of an HTML tokenizer to see the forms of a page as a browser sees them.
//!
//! Own and small on purpose: the question is only where start tags and their attributes begin and end. Comments,
//! scripts and other raw text are skipped as the HTML standard (section 13.2.5) does it, so that a decoy in a comment
//! is no field. Works on bytes; every encoding that a form_post page can have is a superset of ASCII.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr_iter, memmem};

use crate::work::looked_at;

/// A start tag.
#[derive(Debug)]
pub struct StartTag {
    /// Lower case.
    pub name: String,
    /// Those that matter, the first of each name: browsers take that one.
    pub attributes: Vec<Attribute>,
    /// From `<` to `>`.
    pub span: Range<usize>,
}

/// One attribute.
#[derive(Debug)]
pub struct Attribute {
    /// Lower case.
    pub name: String,
    /// Character references resolved.
    pub value: String,
    /// The whole attribute, name to closing quote.
    pub span: Range<usize>,
}

impl StartTag {
    /// The attribute of that name that a browser goes by.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// Its value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .map(|attribute| attribute.value.as_str())
    }
}

/// What stands in a page, as far as it matters here.
#[derive(Debug)]
pub enum Token {
    /// `<name …>`
    Start(StartTag),
    /// `</name>`, lower case.
    End(String),
}

/// Elements whose content is text, not markup.
const RAW_TEXT: [&str; 8] = [
    "script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes",
];

/// The attributes that say what a form does, or where a page leads. Others are passed by.
const ATTRIBUTES: [&str; 6] = ["name", "value", "content", "action", "formaction", "form"];

/// Whether an attribute of an element matters.
fn is_kept(element: &str, attribute: &str) -> bool {
    const OF_ONE: [(&str, &str); 4] = [
        ("form", "id"),
        ("base", "href"),
        ("iframe", "srcdoc"),
        ("meta", "http-equiv"),
    ];
    ATTRIBUTES.contains(&attribute) || OF_ONE.contains(&(element, attribute))
}

/// The start and end tags of a page, in order. One is kept at a time.
pub fn tokens(page: &[u8]) -> Tokens<'_> {
    Tokens { page, at: 0 }
}

/// The tags of a page that are still to come.
#[derive(Debug)]
pub struct Tokens<'p> {
    page: &'p [u8],
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let page = self.page;
        loop {
            let open = find(page, self.at, b"<")?;
            match page.get(open + 1) {
                Some(b'!') => self.at = end_of_declaration(page, open),
                Some(b'/') if page.get(open + 2).is_some_and(u8::is_ascii_alphabetic) => {
                    let (name, end) = tag_name(page, open + 2);
                    self.at = after(page, end, b">");
                    return Some(Token::End(name));
                }
                Some(b'?' | b'/') => self.at = after(page, open, b">"),
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let tag = start_tag(page, open);
                    let end = tag.span.end;
                    let is_raw = RAW_TEXT.contains(&tag.name.as_str());
                    self.at = if is_raw {
                        end_of_raw_text(page, end, &tag.name)
                    } else {
                        end
                    };
                    return Some(Token::Start(tag));
                }
                Some(_) | None => self.at = open + 1,
            }
        }
    }
}

fn find(page: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let rest = page.get(from..)?;
    let found = memmem::find(rest, needle);
    looked_at(found.unwrap_or(rest.len()) + 1);
    found.map(|at| from + at)
}

fn after(page: &[u8], from: usize, needle: &[u8]) -> usize {
    find(page, from, needle).map_or(page.len(), |at| at + needle.len())
}

/// A comment ends at `-->` or `--!>`, and at once when it is `<!-->` or `<!--->`; anything else at the next `>`. Nothing is
/// looked for beyond the end: a page of comments would be read once for each of them.
fn end_of_declaration(page: &[u8], open: usize) -> usize {
    let rest = page.get(open..).unwrap_or_default();
    if !rest.starts_with(b"<!--") {
        return after(page, open, b">");
    }
    for empty in [b"<!-->".as_slice(), b"<!--->"] {
        if rest.starts_with(empty) {
            return open + empty.len();
        }
    }
    let mut at = open + 4;
    while let Some(dashes) = find(page, at, b"--") {
        match page.get(dashes + 2..).unwrap_or_default() {
            [b'>', ..] => return dashes + 3,
            [b'!', b'>', ..] => return dashes + 4,
            _ => at = dashes + 1,
        }
    }
    page.len()
}

fn end_of_raw_text(page: &[u8], from: usize, name: &str) -> usize {
    let mut at = from;
    while let Some(close) = find(page, at, b"</") {
        let candidate = page
            .get(close + 2..close + 2 + name.len())
            .unwrap_or_default();
        if candidate.eq_ignore_ascii_case(name.as_bytes()) {
            return close;
        }
        at = close + 2;
    }
    page.len()
}

fn tag_name(page: &[u8], from: usize) -> (String, usize) {
    let rest = page.get(from..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|&byte| is_space(byte) || matches!(byte, b'/' | b'>'))
        .unwrap_or(rest.len());
    (
        ascii_lower(rest.get(..length).unwrap_or_default()),
        from + length,
    )
}

fn start_tag(page: &[u8], open: usize) -> StartTag {
    let (name, mut at) = tag_name(page, open + 1);
    let mut attributes = Vec::new();
    loop {
        let skipped = page.get(at..).unwrap_or_default();
        at += skipped
            .iter()
            .position(|&byte| !is_space(byte) && byte != b'/')
            .unwrap_or(skipped.len());
        match page.get(at) {
            None => {
                return StartTag {
                    name,
                    attributes,
                    span: open..page.len(),
                };
            }
            Some(b'>') => {
                return StartTag {
                    name,
                    attributes,
                    span: open..at + 1,
                };
            }
            Some(_) => {
                let attribute = attribute(page, at, &name);
                at = attribute.span.end;
                let known = |other: &Attribute| other.name == attribute.name;
                if is_kept(&name, &attribute.name) && !attributes.iter().any(known) {
                    attributes.push(attribute);
                }
            }
        }
    }
}

fn attribute(page: &[u8], start: usize, element: &str) -> Attribute {
    let rest = page.get(start..).unwrap_or_default();
    // A `=` in first place belongs to the name (HTML standard, "before attribute name state").
    let name_length = rest
        .iter()
        .enumerate()
        .position(|(index, &byte)| {
            is_space(byte) || matches!(byte, b'/' | b'>') || (byte == b'=' && index > 0)
        })
        .unwrap_or(rest.len());
    looked_at(name_length + 1);
    let name = ascii_lower(rest.get(..name_length).unwrap_or_default());
    let space = |from: usize| {
        let rest = page.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .position(|&byte| !is_space(byte))
            .unwrap_or(rest.len())
    };
    let equals = space(start + name_length);
    if page.get(equals) != Some(&b'=') {
        return Attribute {
            name,
            value: String::new(),
            span: start..start + name_length,
        };
    }
    let value_start = space(equals + 1);
    let (value, end) = match page.get(value_start) {
        Some(&quote) if matches!(quote, b'"' | b'\'') => {
            let end = find(page, value_start + 1, &[quote]).unwrap_or(page.len());
            (value_start + 1..end, (end + 1).min(page.len()))
        }
        _ => {
            let rest = page.get(value_start..).unwrap_or_default();
            let length = rest
                .iter()
                .position(|&byte| is_space(byte) || byte == b'>')
                .unwrap_or(rest.len());
            (value_start..value_start + length, value_start + length)
        }
    };
    looked_at(value.len());
    // What is passed by is not copied.
    let value = if is_kept(element, &name) {
        resolve_references(page.get(value).unwrap_or_default())
    } else {
        String::new()
    };
    Attribute {
        name,
        value,
        span: start..end,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn ascii_lower(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// Named references that encoders use for the characters of URLs, codes and states.
const NAMED: [(&str, char); 19] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("equals", '='),
    ("plus", '+'),
    ("sol", '/'),
    ("lowbar", '_'),
    ("period", '.'),
    ("colon", ':'),
    ("comma", ','),
    ("quest", '?'),
    ("num", '#'),
    ("percnt", '%'),
    ("semi", ';'),
    // Browsers drop the first two from a URL, and take the third for a `/`.
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("bsol", '\\'),
];

/// Resolves character references. Bytes that are not UTF-8 stay what they are, one character a byte: such a value is
/// no handle and no URL of ours, and is never written back.
pub(super) fn resolve_references(raw: &[u8]) -> String {
    let text: Cow<'_, str> = match std::str::from_utf8(raw) {
        Ok(text) => text.into(),
        Err(_) => raw.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for at in memchr_iter(b'&', text.as_bytes()) {
        let behind = text.get(at + 1..).unwrap_or_default();
        let Some((character, tail)) = reference(behind) else {
            continue;
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        out.push(character);
        copied = text.len() - tail.len();
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

fn reference(behind: &str) -> Option<(char, &str)> {
    // Most of what is escaped in vain is seen by the next letter.
    if !behind.starts_with(|c: char| c == '#' || c.is_ascii_alphabetic()) {
        return None;
    }
    let (digits, radix) = match behind.strip_prefix('#') {
        Some(numeric) => match numeric.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => (hexadecimal, 16),
            None => (numeric, 10),
        },
        // Name by name, not by the next `;`: that may be anywhere behind a page of `&`.
        None => {
            return NAMED.iter().find_map(|&(name, character)| {
                let tail = behind.strip_prefix(name)?.strip_prefix(';')?;
                Some((character, tail))
            });
        }
    };
    let length = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, tail) = digits.split_at_checked(length)?;
    let character = char::from_u32(u32::from_str_radix(number, radix).ok()?)?;
    Some((character, tail.strip_prefix(';').unwrap_or(tail)))
}

/// A double-quoted attribute value in ASCII: everything but letters and digits as a numeric character reference, so
/// that it means the same in every encoding and can end nothing.
pub fn quoted(value: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for character in value.chars() {
        if character.is_ascii_alphanumeric() {
            out.push(character);
        } else {
            let _ = write!(out, "&#{};", u32::from(character));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work;
    use proptest::prelude::*;

    fn inputs(page: &str) -> Vec<(String, String)> {
        let text = |tag: &StartTag, name| tag.value(name).unwrap_or("-").to_owned();
        tokens(page.as_bytes())
            .filter_map(|token| match token {
                Token::Start(tag) if tag.name == "input" => {
                    Some((text(&tag, "name"), text(&tag, "value")))
                }
                Token::Start(_) | Token::End(_) => None,
            })
            .collect()
    }

    fn check(page: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(inputs(page), expected, "{page}");
    }

    #[test]
    fn attributes_are_read_in_every_spelling() {
        check("<input name=code value=a>", &[("code", "a")]);
        check(
            "<INPUT VALUE='a b' TYPE=hidden NAME = \"code\"/>",
            &[("code", "a b")],
        );
        check(
            "<input\n\tvalue=\"a&#x3D;&amp;&equals;&#61\" name=code>",
            &[("code", "a=&==")],
        );
        check(
            "<input name=code value=a/b?c=d&e>",
            &[("code", "a/b?c=d&e")],
        );
        check(
            "<input name=code name=other value=1 value=2>",
            &[("code", "1")],
        );
        check("<input name=code value>", &[("code", "")]);
        check("<input name=code value=a", &[("code", "a")]);
    }

    #[test]
    fn comments_and_raw_text_hold_no_fields() {
        check("<!-- <input name=x> --><input name=a>", &[("a", "-")]);
        check("<!--><input name=a>", &[("a", "-")]);
        check("<!-- x --!><input name=a>", &[("a", "-")]);
        check(
            "<script>'<input name=x>'</scripty></SCRIPT ><input name=a>",
            &[("a", "-")],
        );
        check(
            "<textarea><input name=x></textarea><title><input></title><input name=a>",
            &[("a", "-")],
        );
        check(
            "<!doctype html><?x <input name=x>?><input name=a>",
            &[("a", "-")],
        );
        check("a < b <1 </ > <input name=a>", &[("a", "-")]);
    }

    #[test]
    fn a_page_is_read_once_whatever_is_in_it() {
        for part in [
            "<!-- -->",
            "<!---->",
            "<!--x--!>",
            "<!-- --",
            "<!-- - ",
            "-",
            "<!x>",
            "<!>",
            "<",
            "</",
            "</a>",
            "<?",
            "<a",
            "<a b='",
            "<script>",
            "<script></",
            "<title></x>",
            "<input value='&'>",
            "&",
        ] {
            let page = part.repeat(64 * 1024 / part.len());
            for page in [
                page.clone(),
                format!("<!--{page}"),
                format!("<input value=\"{page}\">"),
            ] {
                let looked_at = work::during(|| {
                    let _ = tokens(page.as_bytes()).count();
                });
                assert!(
                    looked_at <= 4 * page.len(),
                    "{part}: {looked_at} of {}",
                    page.len()
                );
            }
        }
    }

    /// Where a comment ends, by looking for both ends in all of the rest.
    fn end_of_comment(page: &[u8], open: usize) -> usize {
        after(page, open + 4, b"-->").min(after(page, open + 4, b"--!>"))
    }

    proptest! {
        #[test]
        fn a_comment_ends_at_the_first_of_its_ends(inside in "[-!> a]{0,24}") {
            let page = format!("<!--{inside}").into_bytes();
            if !inside.starts_with('>') && !inside.starts_with("->") {
                prop_assert_eq!(end_of_declaration(&page, 0), end_of_comment(&page, 0));
            }
        }

        #[test]
        fn a_named_reference_is_what_stands_before_a_semicolon(behind in "(amp|am|lt|period|percnt|x)?[;a&]{0,3}[a-z;]{0,4}") {
            let split = behind.split_once(';');
            let known = split.and_then(|(name, tail)| {
                NAMED.iter().find(|(known, _)| *known == name).map(|(_, character)| (*character, tail))
            });
            prop_assert_eq!(reference(&behind), known);
        }

        #[test]
        fn any_bytes_are_tokenized_and_spans_lie_inside(page in prop::collection::vec(any::<u8>(), 0..200)) {
            for token in tokens(&page) {
                if let Token::Start(tag) = token {
                    prop_assert!(page.get(tag.span.clone()).is_some());
                    for attribute in tag.attributes {
                        prop_assert!(page.get(attribute.span).is_some());
                    }
                }
            }
        }

        #[test]
        fn a_quoted_value_reads_back(value in "[^\0]{0,40}") {
            let page = format!("<input name=a value={}>", quoted(&value));
            prop_assert!(page.is_ascii());
            prop_assert_eq!(inputs(&page), vec![("a".to_owned(), value)]);
        }
    }
}
