//! Checks that the end of a response is unambiguous. If a response has both a length and a transfer coding, hyper uses
//! one and drops the other; if the upstream meant the other one, the rest of the response would be read as that to the
//! next request.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

/// Whether the end of a response is unambiguous. The same length in several fields is (RFC 9110 section 8.6), and is
/// reduced to one field. Ambiguous are a length together with a transfer coding, different lengths, a list, a length
/// that is not a number, and codings other than `chunked`, which the gate does not request. `read` is the length of the
/// body that hyper found, if any.
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
    // hyper uses the length only if there is no transfer coding, or no body.
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
    fn the_end_of_a_response_must_be_unambiguous() {
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
