//! Where an answer ends, by its own account: hyper takes one of two accounts and drops the other, and whoever shares a
//! connection with an answer that ends elsewhere gets the rest of it.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

/// Whether it has one account of its end. The same length in several fields is one (RFC 9110 section 8.6), and becomes one
/// field; everything else that could be read in two ways is none: a length beside a coding, lengths that differ, a list, what
/// is no number, and codings that nobody has asked for. `read`: the length of the body as hyper has read it, if it knows one.
pub(super) fn is_clear(headers: &mut HeaderMap, read: Option<u64>) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let again = lengths.next();
    let same = again
        .into_iter()
        .chain(lengths)
        .all(|other| Some(other) == length);
    let Some(length) = length else {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        return codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    };
    // hyper goes by a length only where there is no coding, or no body.
    let is_coded = read.is_none_or(|read| read == 0) && headers.contains_key(TRANSFER_ENCODING);
    if is_coded || !same || !is_number(length) {
        return false;
    }
    if again.is_some() {
        let length = length.clone();
        headers.insert(CONTENT_LENGTH, length);
    }
    true
}

fn is_number(length: &HeaderValue) -> bool {
    !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn an_answer_has_one_account_of_its_end() {
        const CL: &str = "content-length";
        const TE: &str = "transfer-encoding";
        for clear in [
            &[][..],
            &[(CL, "0")],
            &[(CL, "3")],
            &[(CL, "3"), (CL, "3"), (CL, "3")],
            &[(TE, "chunked")],
            &[(TE, "Chunked")],
        ] {
            let mut headers = headers(clear);
            assert!(is_clear(&mut headers, None), "{clear:?}");
            let lengths = headers.get_all(CL).iter().count();
            assert!(lengths <= 1, "{headers:?}");
        }
        for unclear in [
            &[(CL, "3"), (TE, "chunked")][..],
            &[(TE, "chunked"), (CL, "0")],
            &[(CL, "3"), (CL, "4")],
            &[(CL, "3"), (CL, "3"), (CL, "4")],
            &[(CL, "3"), (CL, "03")],
            &[(CL, "3, 3")],
            &[(CL, "3,")],
            &[(CL, "+3")],
            &[(CL, "-3")],
            &[(CL, "0x3")],
            &[(CL, "")],
            &[(TE, "gzip, chunked")],
            &[(TE, "chunked"), (TE, "gzip")],
            &[(TE, "identity")],
            &[(TE, "xchunked")],
            &[(TE, "")],
        ] {
            for read in [None, Some(0)] {
                assert!(!is_clear(&mut headers(unclear), read), "{unclear:?}");
            }
        }
    }
}
