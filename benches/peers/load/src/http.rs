//! Enough HTTP/1.1 to read the messages of four well-behaved servers. Not suitable for a real server.

/// A message that has arrived completely.
pub struct Message<'a> {
    /// The first line and the header fields.
    pub head: &'a [u8],
    pub body: &'a [u8],
    pub length: usize,
}

/// The first message in `bytes`, if it is complete.
pub fn message(bytes: &[u8]) -> Result<Option<Message<'_>>, &'static str> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..end + 2];
    let length = match field(head, b"content-length") {
        Some(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or("a strange content-length")?,
        None if field(head, b"transfer-encoding").is_some() => {
            return Err("transfer-encoding is not understood here");
        }
        None => 0,
    };
    let whole = end + 4 + length;
    Ok((bytes.len() >= whole).then(|| Message {
        head,
        body: &bytes[end + 4..whole],
        length: whole,
    }))
}

/// The value of the first field of this name, which must be in lower case.
pub fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = &head[find(head, b"\r\n")? + 2..];
    while let Some(end) = find(rest, b"\r\n") {
        let line = &rest[..end];
        if line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name)
        {
            return Some(line[name.len() + 1..].trim_ascii());
        }
        rest = &rest[end + 2..];
    }
    None
}

/// The status of an answer.
pub fn status(head: &[u8]) -> u16 {
    std::str::from_utf8(&head[9..12])
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The raw value of a parameter in `name=value&name=value`.
pub fn parameter<'a>(pairs: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pairs.split(|byte| *byte == b'&').find_map(|pair| {
        pair.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(b"="))
    })
}

pub fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    let (first, rest) = what.split_first()?;
    let mut from = 0;
    while let Some(at) = within[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if within[from..].starts_with(rest) {
            return Some(from - 1);
        }
    }
    None
}
