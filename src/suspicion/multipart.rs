//! Reads a multipart body leniently: fields by `name=` in any spelling, with the line after the blank line as the value.

use memchr::{memchr2, memmem};

use crate::examined::looked_at;
use crate::oauth::media::names_foreign_charset;
use crate::spelling::layers::without_percent;

/// The body has a name in pieces (`name*0=`, RFC 2231), which some servers join; too many names in one field; or a value in a
/// transfer encoding (RFC 2045) or a foreign charset, which Go and Django decode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// How many bytes of a name are read.
const LONGEST_NAME: usize = 512;
/// The most names of one field: `name`, `name*`, `filename`, and names inside quoted ones.
const NAMES_OF_A_FIELD: usize = 8;

/// Calls `take` with each name and the line that is its value.
pub(super) fn read(text: &[u8], mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Unreadable> {
    // Without a boundary there are no parts.
    if memmem::find(text, b"--").is_none() {
        return Ok(());
    }
    looked_at(text.len());
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut in_head = false;
    let mut result = Ok(());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = next_line(rest);
        rest = behind;
        if line.starts_with(b"--") {
            in_head = true;
            // A field without a blank line has no value, but exists.
            names.drain(..).for_each(|name| take(&name, b""));
        }
        if !in_head {
            continue;
        }
        if line.is_empty() {
            in_head = false;
            let (value, _) = next_line(rest);
            names.drain(..).for_each(|name| take(&name, value));
        } else if is_encoded(line) || names_in(line, &mut names).is_err() {
            result = Err(Unreadable);
        }
    }
    names.drain(..).for_each(|name| take(&name, b""));
    result
}

/// Splits after the first line, which ends at a carriage return, a line feed, or both.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let Some((line, end)) = memchr2(b'\r', b'\n', text).and_then(|at| text.split_at_checked(at))
    else {
        return (text, b"");
    };
    let rest = match end {
        [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        [] => b"",
    };
    (line, rest)
}

/// Whether a header line of a part says that the value is encoded. A folded Content-Transfer-Encoding has an empty first line,
/// and counts as encoded.
fn is_encoded(line: &[u8]) -> bool {
    const PLAIN: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
    let line = line.to_ascii_lowercase();
    let mut parts = line.splitn(2, |&byte| byte == b':');
    let name = parts.next().unwrap_or_default().trim_ascii();
    let value = parts.next().unwrap_or_default().trim_ascii();
    match name {
        b"content-transfer-encoding" => !PLAIN.contains(&value),
        b"content-type" => names_foreign_charset(value),
        _ => false,
    }
}

/// Adds every `name=` of a line: quoted or not, with blanks around it, and in the form of RFC 8187 (`name*=utf-8''x`).
fn names_in(line: &[u8], into: &mut Vec<Vec<u8>>) -> Result<(), Unreadable> {
    looked_at(line.len());
    let lower = line.to_ascii_lowercase();
    // Rack uses the Content-ID as the name if there is no other.
    if lower.starts_with(b"content-id:") && into.len() < NAMES_OF_A_FIELD {
        let id = line.get(11..).unwrap_or_default().trim_ascii();
        into.push(id.get(..LONGEST_NAME).unwrap_or(id).to_vec());
    }
    for at in memmem::find_iter(&lower, b"name") {
        let rest = line.get(at + 4..).unwrap_or_default().trim_ascii_start();
        let is_extended = rest.first() == Some(&b'*');
        let rest = match rest.strip_prefix(b"*") {
            Some(pieces)
                if pieces
                    .trim_ascii_start()
                    .first()
                    .is_some_and(u8::is_ascii_digit) =>
            {
                return Err(Unreadable);
            }
            Some(extended) => extended.trim_ascii_start(),
            None => rest,
        };
        let Some(value) = rest.strip_prefix(b"=") else {
            continue;
        };
        if into.len() == NAMES_OF_A_FIELD {
            return Err(Unreadable);
        }
        // Known names are shorter in every spelling.
        let value = value.trim_ascii_start();
        let value = value.get(..LONGEST_NAME).unwrap_or(value);
        let name = match value.splitn(3, |&byte| byte == b'\'').nth(2) {
            // In `charset'language'name` the quotes are separators.
            Some(encoded) if is_extended => unquoted(encoded),
            Some(_) | None => unquoted(value),
        };
        into.push(without_percent(name).into_owned());
    }
    Ok(())
}

/// The text between quotes, in which a backslash escapes the next character; without quotes, the text up to the next `;`.
fn unquoted(value: &[u8]) -> &[u8] {
    let (quote, inside) = match value {
        [quote @ (b'"' | b'\''), inside @ ..] => (*quote, inside),
        bare => (b';', bare),
    };
    let mut at = 0;
    while let Some(&byte) = inside.get(at) {
        match byte {
            _ if byte == quote => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    inside.get(..at).unwrap_or(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(head: &str) -> Option<Vec<(String, String)>> {
        let body = format!("--b\r\n{head}\r\n\r\nthe value\r\n--b--\r\n");
        let mut found = Vec::new();
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let read = read(body.as_bytes(), |name, value| {
            found.push((string(name), string(value)));
        });
        read.ok().map(|()| found)
    }

    #[test]
    fn fields_are_found_in_every_spelling_of_name() {
        for name in [
            "name=\"grant_type\"",
            "NAME=grant_type",
            "name = 'grant_type'",
            "name*=utf-8''grant%5ftype",
            "name*=''grant_type",
            "x: y\nname=grant_type; filename",
        ] {
            let found = fields(&format!("Content-Disposition: form-data; {name}"));
            assert_eq!(
                found,
                Some(vec![("grant_type".to_owned(), "the value".to_owned())]),
                "{name}"
            );
        }
    }

    #[test]
    fn names_in_pieces_are_unreadable() {
        for name in [
            "name*0=\"grant_\"; name*1=\"type\"",
            "name*0*=utf-8''grant; name*1=_type",
            "name *1=x",
        ] {
            assert_eq!(
                fields(&format!("Content-Disposition: form-data; {name}")),
                None,
                "{name}"
            );
        }
        assert_eq!(fields(&"name=".repeat(1000)), None);
    }

    #[test]
    fn encoded_values_are_unreadable() {
        for field in [
            "Content-Transfer-Encoding: quoted-printable",
            "content-transfer-encoding:BASE64",
            "Content-Transfer-Encoding:\r\n base64",
            "Content-Transfer-Encoding: x-uuencode",
            "Content-Type: text/plain; charset=utf-16",
            "Content-Type: text/plain; charset = \"ibm037\"",
        ] {
            let head = format!("Content-Disposition: form-data; name=a\r\n{field}");
            assert_eq!(fields(&head), None, "{field}");
        }
        for field in [
            "Content-Transfer-Encoding: 8bit",
            "Content-Type: text/plain; charset=UTF-8",
            "Content-Type: image/png",
        ] {
            let head = format!("Content-Disposition: form-data; name=a\r\n{field}");
            assert!(fields(&head).is_some(), "{field}");
        }
    }

    #[test]
    fn names_in_the_content_of_a_file_are_not_fields() {
        let body = "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nvar name=\"code\"\nname=code\r\n--b--";
        let mut names = Vec::new();
        read(body.as_bytes(), |name, _| {
            names.push(String::from_utf8(name.to_vec()).unwrap());
        })
        .unwrap();
        assert_eq!(names, ["f", "x"]);
    }
}
