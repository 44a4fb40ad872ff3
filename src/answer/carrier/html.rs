//! The tags of an HTML page as a browser parses them, with their positions.
//!
//! The tokenizer is html5gum, which implements the HTML standard (section 13.2.5): comments and scripts contain no fields.
//! `Reader` keeps the tags and attributes that matter, with spans, so that a value can be replaced and the rest stays unchanged.
//! Unlike in a browser, an unfinished tag at the end counts, because only the beginning of a page may have been read. Works on
//! bytes: every encoding that a form_post page can have is a superset of ASCII.

use std::mem::take;
use std::ops::Range;

use html5gum::{Emitter, State, Tokenizer};
use memchr::{memchr, memchr_iter, memmem};

use crate::examined::looked_at;
use crate::oauth::params::text_of;
use crate::spelling::layers::without_references;

/// A start tag.
#[derive(Debug)]
pub(crate) struct StartTag {
    /// In lower case.
    pub name: String,
    /// The attributes that matter. Of several with one name only the first, as in browsers.
    pub attributes: Vec<Attribute>,
    /// From `<` to `>`.
    pub span: Range<usize>,
}

/// One attribute.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// In lower case.
    pub name: String,
    /// With character references resolved.
    pub value: String,
    /// From the name to the closing quote.
    pub span: Range<usize>,
}

impl StartTag {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .map(|attribute| attribute.value.as_str())
    }
}

/// A tag of a page.
#[derive(Debug)]
pub(crate) enum Token {
    /// `<name …>`
    Start(StartTag),
    /// `</name>`, in lower case.
    End(String),
}

/// The attributes that are kept, of all elements.
const ATTRIBUTES: [&str; 6] = ["name", "value", "content", "action", "formaction", "form"];

/// Whether an attribute of an element is kept.
fn is_kept(element: &str, attribute: &str) -> bool {
    const OF_ONE: [(&str, &str); 4] = [
        ("form", "id"),
        ("base", "href"),
        ("iframe", "srcdoc"),
        ("meta", "http-equiv"),
    ];
    ATTRIBUTES.contains(&attribute) || OF_ONE.contains(&(element, attribute))
}

/// The start and end tags of a page, in order.
pub(crate) fn tokens(page: &[u8]) -> impl Iterator<Item = Token> {
    Tokenizer::new_with_emitter(page, Reader::new(page)).flatten()
}

/// The same, parsed as XML: no element has raw text, and `/>` ends each. `None`: no browser parses any of the page so.
pub(super) fn tokens_as_xml(page: &[u8]) -> Option<impl Iterator<Item = Token>> {
    let reader = Reader {
        is_xml: true,
        ..Reader::new(page)
    };
    has_other_markup(page).then(|| Tokenizer::new_with_emitter(page, reader).flatten())
}

/// Whether the page is XML, or has SVG or `MathML` in it.
fn has_other_markup(page: &[u8]) -> bool {
    let mut is_first = true;
    memchr_iter(b'<', page).any(|at| {
        let tag = page.get(at + 1..).unwrap_or_default();
        let begins = |name: &[u8]| {
            let begin = tag.get(..name.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        };
        let is_xhtml = |tag: &[u8]| {
            let end = memchr(b'>', tag).unwrap_or(tag.len());
            memmem::find(tag.get(..end).unwrap_or_default(), b"xmlns").is_some()
        };
        // A page has one `<html>`: no other tag is searched.
        let is_root = is_first && begins(b"html");
        is_first &= !is_root;
        begins(b"svg") || begins(b"math") || begins(b"?xml") || is_root && is_xhtml(tag)
    })
}

/// Resolves the character references of a text. A value that is not UTF-8 is neither a handle nor a redirect URI, and is never
/// written back.
pub(super) fn resolve_references(raw: &[u8]) -> String {
    text_of(without_references(raw).into_owned())
}

/// Builds tags from the events of the tokenizer.
struct Reader<'p> {
    page: &'p [u8],
    /// The current position.
    at: usize,
    /// The position at which the current tag begins.
    start: usize,
    /// The kind of the current tag.
    tag: Option<Kind>,
    name: Vec<u8>,
    attributes: Vec<Attribute>,
    attribute: Option<Unfinished>,
    /// The name of the last start tag. Only its end tag ends a raw text element.
    last: Vec<u8>,
    /// A finished tag.
    token: Option<Token>,
    is_self_closing: bool,
    is_xml: bool,
    /// The open elements of SVG and `MathML` that decide how their content is parsed, the innermost last.
    foreign: Vec<&'static str>,
}

/// How deeply elements of SVG and `MathML` are followed.
const DEEPEST: usize = 64;

/// The elements with foreign content, and those in them that have HTML content again (HTML standard, section 13.2.6).
const FOREIGN: [&str; 2] = ["svg", "math"];
const IN_SVG: [&str; 3] = ["foreignobject", "desc", "title"];
const IN_MATH: [&str; 6] = ["mi", "mo", "mn", "ms", "mtext", "annotation-xml"];

/// The start tags that end foreign content (HTML standard, section 13.2.6.5).
const ENDS_FOREIGN: &str = "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i \
                            img li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt \
                            u ul var";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    End,
}

/// The current attribute.
struct Unfinished {
    start: usize,
    name: Vec<u8>,
    /// The position at which the value begins, after its quote.
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
            is_self_closing: false,
            is_xml: false,
            foreign: Vec::new(),
        }
    }

    fn is_foreign(&self) -> bool {
        self.is_xml || self.foreign.last().is_some_and(|top| FOREIGN.contains(top))
    }

    /// Follows a start tag into SVG, `MathML` and out again. Returns whether its element is foreign.
    fn enter(&mut self, is_self_closing: bool) -> bool {
        let is = |known: &str| known.as_bytes() == self.name;
        if self.is_foreign() && ENDS_FOREIGN.split(' ').any(is) {
            let html = |top: &&str| !FOREIGN.contains(top);
            let end = self.foreign.iter().rposition(html);
            self.foreign.truncate(end.map_or(0, |end| end + 1));
        }
        let is_foreign = self.is_foreign();
        let inner: &[&str] = match self.foreign.last() {
            Some(&"svg") => &IN_SVG,
            Some(&"math") => &IN_MATH,
            Some(_) | None => &[],
        };
        let opens = FOREIGN.iter().chain(inner).find(|known| is(known));
        if let Some(opened) = opens
            && !is_self_closing
            && self.foreign.len() < DEEPEST
        {
            self.foreign.push(opened);
        }
        is_foreign
    }

    fn begin_tag(&mut self, tag: Kind) {
        self.tag = Some(tag);
        self.is_self_closing = false;
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
            // The tokenizer replaces carriage returns by line feeds. A submitted form sends both as carriage return and line
            // feed.
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

/// The end of an attribute whose value begins at `at`: after the closing quote, if there is one.
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
        let is_self_closing = take(&mut self.is_self_closing);
        self.end_tag();
        if !is_start {
            let is_it = |open: &&str| open.as_bytes() == self.name;
            if let Some(place) = self.foreign.iter().rposition(is_it) {
                self.foreign.truncate(place);
            }
            return None;
        }
        self.last.clone_from(&self.name);
        if self.enter(is_self_closing) {
            return None;
        }
        // Not `noscript`: a browser without scripts parses its content.
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

    // These events are ignored.
    fn set_last_start_tag(&mut self, _: Option<&[u8]>) {}
    fn emit_error(&mut self, _: html5gum::Error) {}
    fn emit_string(&mut self, _: &[u8]) {}
    fn init_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn emit_current_comment(&mut self) {}
    fn set_self_closing(&mut self) {
        self.is_self_closing = true;
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.is_foreign()
    }

    fn init_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn emit_current_doctype(&mut self) {}
}

/// A double-quoted attribute value. Everything except ASCII letters and digits becomes a numeric character reference, so that the
/// value is the same in every encoding and cannot end the attribute. The control characters U+0080 to U+009F cannot be written
/// so: browsers read `&#130;` as the windows-1252 character (HTML standard, section 13.2.5.80).
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
    use crate::examined;
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
    fn in_svg_and_mathml_no_element_hides_what_follows_it() {
        let names = |page: &str| -> Vec<String> {
            let start = |token| match token {
                Token::Start(tag) => Some(tag.name),
                Token::End(_) => None,
            };
            tokens(page.as_bytes()).filter_map(start).collect()
        };
        for hidden in [
            "<svg><title/></svg>",
            "<svg><style/><path/></svg>",
            "<svg><script/></svg>",
            "<svg><defs><style>a > b <i></i></style></defs></svg>",
            "<SVG><desc><title>x</title></desc><noembed/></SVG>",
            "<math><mi>x</mi><xmp/></math>",
            "<svg><![CDATA[ a > <script> ]]></svg>",
            "<svg><foreignObject><script>\"<!--\"</script></foreignObject><style/></svg>",
            "<svg><style><p>",
        ] {
            let names = names(&format!("{hidden}<form><input>"));
            assert!(
                names.ends_with(&["form".to_owned(), "input".to_owned()]),
                "{hidden}: {names:?}"
            );
        }
        for (text, seen) in [
            ("<title/><form>", 1),
            ("<svg></svg><style/><form>", 2),
            ("<svg><foreignObject><script/><form>", 3),
            ("<svg><p><script/><form>", 3),
        ] {
            assert_eq!(names(text).len(), seen, "{text}");
        }
        // Deeper nesting is not followed, and costs nothing more.
        assert!(names(&"<svg><desc>".repeat(10_000)).len() == 20_000);
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
    fn a_script_ends_where_browsers_end_it() {
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
    fn character_references_are_resolved_as_in_html() {
        check(
            "<input name=a value='&amp b&lt;&ZeroWidthSpace;&CounterClockwiseContourIntegral;'>",
            &[("a", "& b<\u{200b}\u{2233}")],
        );
        // A reference without `;` before a `=` is not resolved.
        check(
            "<input name=a value='?b&amp=c&copy=d&copy'>",
            &[("a", "?b&amp=c&copy=d\u{a9}")],
        );
        // A carriage return is kept.
        check("<input name=a value='b\r\nc&amp;'>", &[("a", "b\r\nc&")]);
        assert_eq!(
            resolve_references(b"a&amp;b&#x3D;&lt&nope; <c \xff"),
            "a&b=<&nope; <c \u{ff}"
        );
    }

    #[test]
    fn reading_any_page_takes_linear_time() {
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
                let looked_at = examined::during(|| {
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
        /// Rewriting a page replaces these spans.
        #[test]
        fn the_span_of_an_attribute_covers_its_text(
            before in "[ -;=?-~\r\n\u{e9}]{0,20}",
            attributes in prop::collection::vec(
                "(name|VALUE|content|action)([ \r\n]{0,2}=[ \r\n]{0,2}(\"[^\"\0]{0,12}\"|'[^'\0]{0,12}'|[a-z&#;/?\u{e9}]{1,8}))?",
                0..4,
            ),
            separator in "[ \n\r/]|\r\n",
            is_whole in any::<bool>(),
        ) {
            // A `/` directly after an unquoted value would belong to the value.
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
