//! What the log may say of a redirect URI: where it leads, and nothing that may be a secret.

use memchr::memchr;

use crate::oauth::params;
use crate::oauth::params::set::ByteSet;

/// Bytes of the longest that is told.
const LONGEST: usize = 256;

/// Of names, addresses and ports.
static HOST: ByteSet =
    ByteSet::of(b"-._:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/// Scheme and authority, as they are written, or the scheme alone where there is no authority (`com.example.app:/cb`). Never a
/// path, a query or a password. `None`: that cannot be told for sure.
pub(crate) fn origin(uri: &str) -> Option<&str> {
    let colon = memchr(b':', uri.as_bytes())?;
    let (scheme, rest) = uri.split_at_checked(colon)?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return None;
    }
    let Some(authority) = rest.strip_prefix("://") else {
        return uri.get(..=colon).filter(|origin| origin.len() <= LONGEST);
    };
    let length = authority.bytes().position(|byte| !HOST.has(byte));
    let length = length.unwrap_or(authority.len());
    // A `\` is `/` to browsers, and part of a name before the host to others: that is told of neither.
    let ends = |byte: &u8| b"/?#".contains(byte);
    let is_whole = authority.as_bytes().get(length).is_none_or(ends);
    let end = colon + "://".len() + length;
    if length == 0 || !is_whole || end > LONGEST {
        return None;
    }
    uri.get(..end)
}

/// The redirect URI that a request names which cannot be read without doubt: for the log. `forms`: query and form body. `None`: it
/// names none, or several.
pub(crate) fn named_loosely<'f>(forms: impl IntoIterator<Item = &'f [u8]>) -> Option<String> {
    let pairs = forms.into_iter().flat_map(params::pairs_loosely);
    let values = pairs.filter_map(|pair| pair.strip_prefix(b"redirect_uri="));
    let mut uris = values.filter_map(|value| params::decode(value).ok());
    let first = uris.next()?;
    uris.all(|uri| uri == first).then(|| first.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Url;

    #[test]
    fn it_is_scheme_and_authority_and_never_more() {
        for (uri, expected) in [
            (
                "https://app.example/cb?secret=1#x",
                Some("https://app.example"),
            ),
            (
                "https://app.example:8443/cb",
                Some("https://app.example:8443"),
            ),
            ("http://[::1]:80/cb", Some("http://[::1]:80")),
            ("https://app.example?secret", Some("https://app.example")),
            ("https://app.example#secret", Some("https://app.example")),
            ("https://app.example\\secret", None),
            ("app://secret\\@app.example", None),
            ("https://APP.example", Some("https://APP.example")),
            ("com.example.app:/oauth/secret", Some("com.example.app:")),
            ("com.example.app://cb/secret", Some("com.example.app://cb")),
            ("urn:ietf:wg:oauth:2.0:oob", Some("urn:")),
            ("https:\\\\app.example/secret", Some("https:")),
            ("https://user:secret@app.example/cb", None),
            ("https://app.example%2Fsecret", None),
            ("https://app.example secret", None),
            ("https:///secret", None),
            ("https://", None),
            ("secret", None),
            ("secret value:x", None),
            (":secret", None),
            ("/secret", None),
            ("", None),
        ] {
            assert_eq!(origin(uri), expected, "{uri}");
        }
        let long = "a".repeat(LONGEST);
        assert_eq!(origin(&format!("https://{long}/")), None);
        assert_eq!(origin(&format!("{long}:x")), None);
    }

    #[test]
    fn of_a_request_that_cannot_be_read_it_is_the_only_one_that_is_named() {
        let named = |query: &str, form: &str| named_loosely([query.as_bytes(), form.as_bytes()]);
        let found = "https://a.test/cb".to_owned();
        assert_eq!(
            named("x=%zz&redirect_uri=https%3A%2F%2Fa.test%2Fcb", ""),
            Some(found.clone())
        );
        assert_eq!(
            named(
                "redirect_uri=https://a.test/cb",
                "redirect_uri=https://a.test/cb"
            ),
            Some(found)
        );
        assert_eq!(
            named(
                "redirect_uri=https://a.test/cb",
                "redirect_uri=https://b.test/cb"
            ),
            None
        );
        assert_eq!(named("a=b", ""), None);
    }

    proptest! {
        /// What a browser takes for the path, the query, the fragment or a password is not in it.
        #[test]
        fn a_url_shows_what_its_parser_takes_for_the_origin(uri in "(https?|ws|app|HTTPS)://[a-z0-9@:/?#\\\\.%\\[\\]_-]{0,24}") {
            if let (Some(origin), Ok(url)) = (origin(&uri), Url::parse(&uri)) {
                let host = url.host_str().unwrap_or_default();
                let shown = Url::parse(origin).unwrap();
                prop_assert_eq!(shown.host_str().unwrap_or_default(), host);
                prop_assert_eq!(shown.port(), url.port());
                prop_assert!(shown.path().len() <= 1 && shown.query().is_none() && shown.password().is_none());
            }
        }
    }
}
