//! The part of a redirect URI that the log may contain: scheme and authority, without possible secrets.

use memchr::memchr;

use crate::oauth::params;
use crate::oauth::params::set::ByteSet;

/// Longer origins are not logged. In bytes.
const LONGEST: usize = 256;

/// Characters of host names, IP addresses and ports.
static HOST: ByteSet =
    ByteSet::of(b"-._:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/// Scheme and authority as written, or the scheme alone if there is no authority (`com.example.app:/cb`). Never a path,
/// query or password. `None`: the origin cannot be determined with certainty.
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
    // A `\` is a `/` to browsers, but part of the user name to other parsers: such a URI is not logged.
    let ends = |byte: &u8| b"/?#".contains(byte);
    let is_whole = authority.as_bytes().get(length).is_none_or(ends);
    let end = colon + "://".len() + length;
    if length == 0 || !is_whole || end > LONGEST {
        return None;
    }
    uri.get(..end)
}

/// The redirect URI named by a request that cannot be parsed strictly, for the log. `forms` are the query and the form
/// body. `None`: the request names no redirect URI, or several.
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
    fn an_origin_is_scheme_and_authority_only() {
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
    fn the_log_gets_the_redirect_uri_of_a_malformed_request_only_if_it_names_one() {
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
        /// The path, query, fragment and password of the parsed URL are not in the origin.
        #[test]
        fn the_origin_agrees_with_the_url_parser(uri in "(https?|ws|app|HTTPS)://[a-z0-9@:/?#\\\\.%\\[\\]_-]{0,24}") {
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
