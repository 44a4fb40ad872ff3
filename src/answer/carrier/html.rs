//! The tags of a page as a browser sees them, and where they stand.
//!
//! html5gum is the tokenizer of the HTML standard (section 13.2.5): what is in a comment or a script is no field. `Reader` keeps
//! what matters of what it emits, with spans, so that a value can be written anew and the rest stays as it came. A tag that the
//! page breaks off in counts, unlike in a browser: what was read may be the beginning of a page. Works on bytes; every encoding
//! that a form_post page can have is a superset of ASCII.

use std::mem::take;
use std::ops::Range;

use html5gum::{Emitter, State, Tokenizer};
use memchr::memchr;

use crate::spelling::layers::without_references;
use crate::work::looked_at;

/// A start tag.
#[derive(Debug)]
pub(crate) struct StartTag {
    /// Lower case.
    pub name: String,
    /// Those that matter, the first of each name: browsers take that one.
    pub attributes: Vec<Attribute>,
    /// From `<` to `>`.
    pub span: Range<usize>,
}

/// One attribute.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Lower case.
    pub name: String,
    /// Character references resolved.
    pub value: String,
    /// The whole attribute, name to closing quote.
    pub span: Range<usize>,
}

impl StartTag {
    /// The attribute of that name that a browser goes by.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// Its value.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .map(|attribute| attribute.value.as_str())
    }
}

/// What stands in a page, as far as it matters here.
#[derive(Debug)]
pub(crate) enum Token {
    /// `<name …>`
    Start(StartTag),
    /// `</name>`, lower case.
    End(String),
}

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
pub(crate) fn tokens(page: &[u8]) -> impl Iterator<Item = Token> {
    Tokenizer::new_with_emitter(page, Reader::new(page)).flatten()
}

/// A text with its character references resolved.
pub(super) fn resolve_references(raw: &[u8]) -> String {
    text_of(without_references(raw).into_owned())
}

/// Bytes that are not UTF-8 stay what they are, one character a byte: such a value is no handle and no URL of ours, and is never
/// written back.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|other| other.as_bytes().iter().copied().map(char::from).collect())
}

/// Puts tags together from what the tokenizer emits.
struct Reader<'p> {
    page: &'p [u8],
    /// How far it was read.
    at: usize,
    /// Where the tag begins.
    start: usize,
    /// The tag that is being read.
    tag: Option<Kind>,
    name: Vec<u8>,
    attributes: Vec<Attribute>,
    attribute: Option<Unfinished>,
    /// The last start tag: its end tag ends a text that has no other tags in it.
    last: Vec<u8>,
    /// A tag that was read.
    token: Option<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    End,
}

/// An attribute that is being read.
struct Unfinished {
    start: usize,
    name: Vec<u8>,
    /// Where the value begins, behind its quote.
    value_start: Option<usize>,
    value: Vec<u8>,
}

impl<'p> Reader<'p> {
    fn new(page: &'p [u8]) -> Self {
        Self {
            page,
            at: 0,
            start: 0,
            tag: None,
            name: Vec::new(),
            attributes: Vec::new(),
            attribute: None,
            last: Vec::new(),
            token: None,
        }
    }

    fn begin_tag(&mut self, tag: Kind) {
        self.tag = Some(tag);
        self.name.clear();
    }

    fn end_tag(&mut self) {
        self.end_attribute();
        let name = text_of(self.name.clone());
        self.token = self.tag.take().map(|kind| match kind {
            Kind::End => Token::End(name),
            Kind::Start => Token::Start(StartTag {
                name,
                attributes: take(&mut self.attributes),
                span: self.start..self.at,
            }),
        });
    }

    fn end_attribute(&mut self) {
        let Some(read) = self.attribute.take() else {
            return;
        };
        let name = text_of(read.name);
        let is_known = self.attributes.iter().any(|known| known.name == name);
        let is_kept = str::from_utf8(&self.name).is_ok_and(|element| is_kept(element, &name));
        if self.tag == Some(Kind::Start) && is_kept && !is_known {
            let end = match read.value_start {
                None => read.start + name.len(),
                Some(at) => end_of_value(self.page, at),
            };
            let written = self.page.get(read.value_start.unwrap_or(end)..end);
            let written = written.unwrap_or_default();
            // The tokenizer makes line feeds of carriage returns, and a form that is sent makes these of both.
            let value = if memchr(b'\r', written).is_some() {
                resolve_references(
                    written
                        .strip_suffix(b"\"")
                        .or(written.strip_suffix(b"'"))
                        .unwrap_or(written),
                )
            } else {
                text_of(read.value)
            };
            self.attributes.push(Attribute {
                name,
                value,
                span: read.start..end,
            });
        }
    }
}

/// Where the attribute ends whose value begins there: behind the quote, if it has one.
fn end_of_value(page: &[u8], at: usize) -> usize {
    let rest = page.get(at..).unwrap_or_default();
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'>');
    let length = match at.checked_sub(1).and_then(|before| page.get(before)) {
        Some(quote @ (b'"' | b'\'')) => memchr(*quote, rest).map(|length| length + 1),
        _ => rest.iter().position(is_end),
    };
    let length = length.unwrap_or(rest.len());
    looked_at(length);
    at + length
}

impl Emitter for Reader<'_> {
    type Token = Token;

    fn move_position(&mut self, by: isize) {
        looked_at(usize::try_from(by).unwrap_or_default());
        self.at = self.at.saturating_add_signed(by);
    }

    fn pop_token(&mut self) -> Option<Token> {
        self.token.take()
    }

    fn start_open_tag(&mut self) {
        self.start = self.at.saturating_sub(1);
    }

    fn init_start_tag(&mut self) {
        self.begin_tag(Kind::Start);
    }

    fn init_end_tag(&mut self) {
        self.begin_tag(Kind::End);
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.name.extend_from_slice(name);
    }

    fn init_attribute(&mut self) {
        self.end_attribute();
        self.attribute = Some(Unfinished {
            start: self.at.saturating_sub(1),
            name: Vec::new(),
            value_start: None,
            value: Vec::new(),
        });
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        if let Some(attribute) = &mut self.attribute {
            attribute.name.extend_from_slice(name);
        }
    }

    fn init_attribute_value(&mut self) {
        if let Some(attribute) = &mut self.attribute {
            attribute.value_start = Some(self.at);
        }
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        if let Some(attribute) = &mut self.attribute {
            attribute.value.extend_from_slice(value);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let is_start = self.tag == Some(Kind::Start);
        self.end_tag();
        if !is_start {
            return None;
        }
        self.last.clone_from(&self.name);
        // Not `noscript`: a browser without scripts shows what is in it.
        match self.name.as_slice() {
            b"script" => Some(State::ScriptData),
            b"textarea" | b"title" => Some(State::RcData),
            b"style" | b"xmp" | b"iframe" | b"noembed" | b"noframes" => Some(State::RawText),
            _ => None,
        }
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.tag == Some(Kind::End) && self.last == self.name
    }

    fn emit_eof(&mut self) {
        if self.tag == Some(Kind::Start) {
            self.end_tag();
        }
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    // Nothing of these is kept.
    fn set_last_start_tag(&mut self, _: Option<&[u8]>) {}
    fn emit_error(&mut self, _: html5gum::Error) {}
    fn emit_string(&mut self, _: &[u8]) {}
    fn init_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn emit_current_comment(&mut self) {}
    fn set_self_closing(&mut self) {}
    fn init_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn emit_current_doctype(&mut self) {}
}

/// A double-quoted attribute value in ASCII: everything but letters and digits as a numeric character reference, so
/// that it means the same in every encoding and can end nothing. Only of the control characters from U+0080 to U+009F there is none:
/// browsers take `&#130;` for what windows-1252 has there (HTML standard, section 13.2.5.80).
pub(crate) fn quoted(value: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for character in value.chars() {
        if character.is_ascii_alphanumeric() || ('\u{80}'..='\u{9f}').contains(&character) {
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
    fn a_script_ends_where_it_ends_for_a_browser() {
        for script in [
            "'</scripty><input name=x>'",
            "<!--<script></script><input name=x>-->",
            "<!-- <input name=x> ",
        ] {
            let page = format!("<script>{script}</script><input name=a>");
            check(&page, &[("a", "-")]);
        }
    }

    #[test]
    fn references_are_those_of_html() {
        check(
            "<input name=a value='&amp b&lt;&ZeroWidthSpace;&CounterClockwiseContourIntegral;'>",
            &[("a", "& b<\u{200b}\u{2233}")],
        );
        // A `=` behind it says that it is a parameter.
        check(
            "<input name=a value='?b&amp=c&copy=d&copy'>",
            &[("a", "?b&amp=c&copy=d\u{a9}")],
        );
        // A carriage return of the client's own comes back.
        check("<input name=a value='b\r\nc&amp;'>", &[("a", "b\r\nc&")]);
        assert_eq!(
            resolve_references(b"a&amp;b&#x3D;&lt&nope; <c \xff"),
            "a&b=<&nope; <c \u{ff}"
        );
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

    proptest! {
        /// They are what is cut out of a page where a value is written anew.
        #[test]
        fn the_span_of_an_attribute_is_what_was_written(
            before in "[ -;=?-~\r\n\u{e9}]{0,20}",
            attributes in prop::collection::vec(
                "(name|VALUE|content|action)([ \r\n]{0,2}=[ \r\n]{0,2}(\"[^\"\0]{0,12}\"|'[^'\0]{0,12}'|[a-z&#;/?\u{e9}]{1,8}))?",
                0..4,
            ),
            separator in "[ \n\r/]|\r\n",
            is_whole in any::<bool>(),
        ) {
            // A `/` behind a value without quotes would be a part of it.
            let between = format!(" {separator} ");
            let inside = attributes.join(&between);
            let tag = format!("<input {inside}{}", if is_whole { " >" } else { "" });
            let page = format!("{before}{tag}");
            let found: Vec<_> = tokens(page.as_bytes()).collect();
            let [Token::Start(found)] = found.as_slice() else {
                return Err(TestCaseError::fail(format!("{page:?}: {found:?}")));
            };
            prop_assert_eq!(page.get(found.span.clone()), Some(&*tag));
            let mut names = std::collections::HashSet::new();
            let name_of = |text: &str| text.split(['=', ' ', '\r', '\n']).next().unwrap().to_lowercase();
            let first = attributes.iter().filter(|text| names.insert(name_of(text)));
            let written = found.attributes.iter().map(|attribute| page.get(attribute.span.clone()).unwrap());
            prop_assert!(written.eq(first), "{:?}", page);
        }

        #[test]
        fn any_bytes_are_tokenized_and_spans_lie_inside(page in prop::collection::vec(any::<u8>(), 0..200)) {
            for token in tokens(&page) {
                if let Token::Start(tag) = token {
                    prop_assert_eq!(page.get(tag.span.start), Some(&b'<'));
                    prop_assert!(page.get(tag.span.clone()).is_some());
                    for attribute in tag.attributes {
                        prop_assert!(page.get(attribute.span).is_some());
                    }
                }
            }
        }

        #[test]
        fn a_quoted_value_reads_back(value in "[^\0]{0,40}|[\u{7e}-\u{a0}]{0,8}") {
            let page = format!("<input name=a value={}>", quoted(&value));
            let has_reference = |c: char| !('\u{80}'..='\u{9f}').contains(&c);
            prop_assert!(page.is_ascii() || !value.chars().all(has_reference));
            prop_assert_eq!(inputs(&page), vec![("a".to_owned(), value)]);
        }
    }
}
