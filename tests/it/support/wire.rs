//! Finds where HTTP/1.1 messages begin and end, for requests and answers. It changes no byte.

/// How the end of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(head: &[u8]) -> Self {
        let length = field(head, "content-length").and_then(|length| length.parse().ok());
        if is_chunked(head) {
            Self::Chunked
        } else {
            Self::Length(length.unwrap_or(0))
        }
    }

    pub(crate) fn of_response(head: &[u8]) -> Self {
        let status = head.get(9..12).unwrap_or_default();
        let length = field(head, "content-length").and_then(|length| length.parse().ok());
        match (status, length) {
            ([b'1', ..] | b"204" | b"304", _) => Self::Length(0),
            _ if is_chunked(head) => Self::Chunked,
            (_, Some(length)) => Self::Length(length),
            (_, None) => Self::UntilClose,
        }
    }
}

fn is_chunked(head: &[u8]) -> bool {
    field(head, "transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked"))
}

/// The index after the empty line.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}

/// `None`: the body is not complete.
pub(crate) fn end_of_body(framing: Framing, bytes: &[u8]) -> Option<usize> {
    match framing {
        Framing::Length(length) => (bytes.len() >= length).then_some(length),
        Framing::Chunked => walk(bytes, |_| {}),
        Framing::UntilClose => None,
    }
}

/// The content of a chunked body, without framing and trailers, as far as it has arrived.
pub(crate) fn dechunked(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    walk(bytes, |data| content.extend_from_slice(data));
    content
}

/// Calls `show` with the data of each chunk, and returns the end of the body if it is complete.
fn walk(bytes: &[u8], mut show: impl FnMut(&[u8])) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = str::from_utf8(&rest[..line]).unwrap_or_default();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.unwrap_or_else(|_| panic!("no chunk size: \"{}\"", rest.escape_ascii()));
        let data = line + 2;
        if size == 0 {
            // Trailers have the same form as header fields.
            return Some(at + line + end_of_head(&rest[line..])?);
        }
        show(&rest[data.min(rest.len())..(data + size).min(rest.len())]);
        if rest.len() < data + size + 2 {
            return None;
        }
        at += data + size + 2;
    }
}

/// The value of the first field of that name.
pub(crate) fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    fields(head)
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Names and values, in order; a value that is not UTF-8 is shown empty.
pub(crate) fn fields(head: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = str::from_utf8(&line[..colon]).ok()?;
        let value = str::from_utf8(&line[colon + 1..]).unwrap_or_default();
        Some((name, value.trim()))
    })
}
