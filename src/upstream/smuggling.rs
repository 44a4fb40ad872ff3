//! Detects request bodies that could be read as an HTTP request.
//!
//! Some servers respond without reading the body, or after reading a part of it, and then parse the unread rest as the
//! next request (request smuggling). The response to that, or to the next user's request appended to it, would reach
//! another user. So a request whose body contains anything that could begin a request, at any position, gets its own
//! connection, which is not reused.
//!
//! A request begins with a word, a blank, and the beginning of a target; or has a version after a blank; or begins with
//! a known method and a blank. A form contains no blanks, and JSON has them only beside quotes, so both are not
//! affected. A false positive only costs a connection.

/// Number of bytes that are remembered: the longest method and the byte before it.
const REMEMBERED: u32 = 8;
/// A body is searched in blocks of this size, each in a few instructions: byte by byte, a form would take 7 % of a
/// POST.
const STRIDE: usize = 64;
/// The byte 1 in each of eight positions, to compare eight bytes at once.
const EACH: u64 = u64::from_ne_bytes([1; 8]);

/// The methods of RFC 9110 and RFC 5789, in lower case. Other methods are recognised by the target or version that
/// follows.
const METHODS: [&[u8]; 9] = [
    b"get", b"put", b"head", b"post", b"patch", b"trace", b"delete", b"options", b"connect",
];
/// The beginning of an HTTP version, in lower case.
const VERSION: &[u8] = b"http/";

/// The state of the search in one body.
#[derive(Debug, Clone)]
pub(crate) struct Lookalike {
    /// The last eight bytes, the latest in the lowest position. Initially line feeds, because a body begins a line.
    last: u64,
    after: After,
    is_one: bool,
}

/// The context of the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// No context that matters.
    Anything,
    Blank,
    /// The beginning of a word after a blank.
    Word {
        /// How many bytes of [`VERSION`] the word matches; 0 if it is not a version.
        version: usize,
        scheme: Scheme,
    },
}

/// Whether the word may be an absolute target (`scheme:/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    No,
    Name,
    Colon,
}

impl Default for Lookalike {
    fn default() -> Self {
        Self {
            last: u64::from_be_bytes([b'\n'; REMEMBERED as usize]),
            after: After::Anything,
            is_one: false,
        }
    }
}

impl Lookalike {
    /// Examines the next bytes of the body. Returns whether the body so far could be read as a request.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !self.is_one {
            if self.after == After::Anything {
                let skipped = first_blank(bytes).unwrap_or(bytes.len());
                let (before, from) = bytes.split_at(skipped);
                self.remember(before);
                bytes = from;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                break;
            };
            self.step(byte);
            self.remember(&[byte]);
            bytes = rest;
        }
        self.is_one
    }

    /// Whether the body so far could be read as a request.
    pub(crate) fn is_one(&self) -> bool {
        self.is_one
    }

    fn remember(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.last = u64::from_be_bytes(*last);
            return;
        }
        for &byte in bytes {
            self.last = self.last << u8::BITS | u64::from(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if is_blank(byte) {
            self.is_one = self.is_after_method();
            self.after = After::Blank;
            return;
        }
        self.after = match self.after {
            After::Anything => After::Anything,
            After::Blank if matches!(byte, b'/' | b'*') => {
                self.is_one = true;
                After::Anything
            }
            After::Blank => word(
                usize::from(byte.eq_ignore_ascii_case(&b'h')),
                if byte.is_ascii_alphabetic() {
                    Scheme::Name
                } else {
                    Scheme::No
                },
            ),
            After::Word { version, scheme } => {
                let goes_on = VERSION.get(version) == Some(&byte.to_ascii_lowercase());
                let version = if version > 0 && goes_on {
                    version + 1
                } else {
                    0
                };
                self.is_one = version == VERSION.len() || (scheme == Scheme::Colon && byte == b'/');
                word(version, scheme.then(byte))
            }
        };
    }

    /// Whether the last word is a method: in capitals at any position, or in any case at the beginning of a line.
    fn is_after_method(&self) -> bool {
        let lower = self.last | u64::from_be_bytes([0x20; REMEMBERED as usize]);
        METHODS.iter().any(|method| {
            let bits = u8::BITS * u32::try_from(method.len()).unwrap_or(REMEMBERED);
            let mask = (1 << bits) - 1;
            let value = method
                .iter()
                .fold(0, |value, &byte| value << u8::BITS | u64::from(byte));
            // In capitals the bits are clear that `lower` sets.
            let capitals = value & !u64::from_be_bytes([0x20; REMEMBERED as usize]);
            let begins_line = matches!(
                self.last.to_be_bytes().get(7 - method.len()),
                Some(b'\n' | b'\r')
            );
            self.last & mask == capitals || (lower & mask == value && begins_line)
        })
    }
}

impl Scheme {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Name, b':') => Self::Colon,
            (Self::Name, b'+' | b'-' | b'.') => Self::Name,
            (Self::Name, _) if byte.is_ascii_alphanumeric() => Self::Name,
            (Self::No | Self::Name | Self::Colon, _) => Self::No,
        }
    }
}

fn word(version: usize, scheme: Scheme) -> After {
    if version == 0 && scheme == Scheme::No {
        After::Anything
    } else {
        After::Word { version, scheme }
    }
}

/// Whether some server accepts the byte as the end of a word in a request line: all control characters except the line
/// feed, and the blanks of Latin-1.
const fn is_blank(byte: u8) -> bool {
    (byte <= b' ' && byte != b'\n') || byte == 0x85 || byte == 0xa0
}

fn first_blank(bytes: &[u8]) -> Option<usize> {
    let mut before = 0;
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    for stride in strides {
        if may_hold_blank(stride)
            && let Some(at) = stride.iter().position(|&byte| is_blank(byte))
        {
            return Some(before + at);
        }
        before += STRIDE;
    }
    // Examines the last block together with the bytes before it, at once.
    if bytes.last_chunk().is_some_and(|end| !may_hold_blank(end)) {
        return None;
    }
    let at = rest.iter().position(|&byte| is_blank(byte))?;
    Some(before + at)
}

/// Whether the block contains a byte that is not printable ASCII.
fn may_hold_blank(stride: &[u8; STRIDE]) -> bool {
    let (eights, _none) = stride.as_chunks::<8>();
    let seen = eights.iter().fold(0, |seen, eight| {
        let eight = u64::from_ne_bytes(*eight);
        // A byte below `!` borrows from the highest bit; in a byte that is not ASCII that bit is already set.
        seen | eight | eight.wrapping_sub(EACH * u64::from(b'!'))
    });
    seen & (EACH << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_one(body: &[u8]) -> bool {
        Lookalike::default().feed(body)
    }

    /// Bodies that do not look like a request.
    const ORDINARY: &[&str] = &[
        "",
        "a",
        "a=b",
        "grant_type=authorization_code&code=x&redirect_uri=https%3A%2F%2Fa%2Fcb&scope=a+b",
        "username=me&password=GET+/x+HTTP/1.1&next=/account",
        "url=http://a/b&x=*/*",
        "q=HTTP/1.1",
        r#"{"a":1}"#,
        r#"{"a": "b", "n": [1, 2, {"c": null}], "url": "https://a/b", "path": "/x", "all": "*"}"#,
        "{\n  \"scope\": \"openid profile\",\n  \"redirect_uris\": [\n    \"https://a/cb\"\n  ],\r\n\t\"x\": true\n}\n",
        r#"{"name": "Getting started: head of post", "get": "it"}"#,
        "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n",
    ];

    /// Bodies that could be read as a request.
    const REQUESTS: &[&str] = &[
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: ",
        "GET /x HTTP/1.1",
        "GET /x?",
        "GET /",
        "GET ",
        "POST /token HTTP/1.1\nHost: a\n\n",
        "get /x http/1.1\r\n\r\n",
        "get x\r\n",
        "Post x\n",
        "MADE-UP /x HTTP/1.1\r\n\r\n",
        "{} /x",
        "x /",
        " /x",
        "GET x HTTP/1.1\r\n\r\n",
        "any thing hTtP/1.1\r\n",
        "any thing\x0bhttp/",
        "GET\t/x",
        "GET\r/x",
        "x \t /x",
        "x\x0c/x",
        "x\x1f/x",
        "OPTIONS * HTTP/1.1\r\n",
        "x *",
        "CONNECT a:80 HTTP/1.1\r\n\r\n",
        "x http://a/b",
        "x coap+tcp://a",
        "\r\n\r\nGET /x",
        "\n\nOPTIONS x",
        // If the upstream reads only a part of these.
        "a=b&c=GET /x",
        "name=value&GET x\r\n",
        r#"{"a": "b"}PUT x"#,
        r#"{"a": "see DELETE /x"}"#,
        "0\r\n\r\nGET /x",
    ];

    #[test]
    fn requests_in_bodies_are_found_but_forms_and_json_are_accepted() {
        for body in ORDINARY {
            assert!(!is_one(body.as_bytes()), "{body:?}");
        }
        for body in REQUESTS {
            assert!(is_one(body.as_bytes()), "{body:?}");
        }
        for body in [&b"x\xa0/x"[..], b"x\x85/x", b"\xff /x", b"x\0/x"] {
            assert!(is_one(body), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_request_is_found_at_any_position_and_in_any_pieces() {
        for request in REQUESTS {
            for before in [0, 1, 7, 30, 31, 32, 33, 64, 1000] {
                // In lower case a method counts only at the beginning of a line.
                let body = ["x".repeat(before), "\n".to_owned(), (*request).to_owned()].concat();
                assert!(is_one(body.as_bytes()), "{body:?}");
                let mut look = Lookalike::default();
                let any = body.bytes().any(|byte| look.feed(&[byte]));
                assert!(any, "{body:?}");
            }
        }
    }

    /// Pieces that random bodies are made of.
    const PARTS: &[&[u8]] = &[
        b"GET",
        b"options",
        b"x",
        b" ",
        b"\t",
        b"\r\n",
        b"\n",
        b"h",
        b"tt",
        b"p",
        b":",
        b"/",
        b"*",
        b"\xa0",
        b"\"",
        b"0123456789abcdef0123456789abcdef",
    ];

    proptest! {
        #[test]
        fn a_body_in_pieces_is_judged_like_the_whole(
            words in proptest::collection::vec(
                proptest::sample::select(PARTS),
                0..12,
            ),
            cuts in proptest::collection::vec(1..9usize, 1..8),
        ) {
            let body = words.concat();
            let mut pieces = Lookalike::default();
            let mut rest = &body[..];
            let mut cut = cuts.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                pieces.feed(piece);
                rest = after;
            }
            prop_assert_eq!(pieces.is_one, is_one(&body));
        }
    }
}
