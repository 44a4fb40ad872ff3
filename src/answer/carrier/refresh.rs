//! `Refresh`, as a header field and in a page. Browsers follow it without a click, as a `Location`.

use super::html::{Token, tokens};
use super::location::address;

/// The URLs that browsers may read in the value. Some browsers end the URL only at the end of the value, others at a quote or a
/// blank.
pub(crate) fn addresses(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte);
    let words = value.split(is_end);
    [value].into_iter().chain(words).map(address)
}

/// The values of `<meta http-equiv=refresh>` in a page.
pub(crate) fn in_page(page: &[u8]) -> impl Iterator<Item = String> {
    tokens(page).filter_map(|token| match token {
        Token::Start(tag) if tag.name == "meta" => {
            let name = tag.value("http-equiv")?.trim();
            let value = tag
                .value("content")
                .filter(|_| name.eq_ignore_ascii_case("refresh"));
            value.map(str::to_owned)
        }
        Token::Start(_) | Token::End(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_refresh_is_found_in_a_page() {
        let page = "<META content='0;url=/a&amp;b' HTTP-EQUIV=\" Refresh\"><meta name=refresh content=1>\
                    <meta http-equiv=refresh><meta http-equiv=x content=2><meta http-equiv=refresh content=3>";
        let found: Vec<_> = in_page(page.as_bytes()).collect();
        assert_eq!(found, ["0;url=/a&b", "3"]);
    }

    #[test]
    fn a_url_may_contain_blanks_and_quotes() {
        for (value, address) in [
            ("0;url=https://c/?x=a b&code=y", "https://c/?x=a b&code=y"),
            ("0; URL='https://c/?x='y", "https://c/?x='y"),
            ("5, //c/?x", "//c/?x"),
            ("0;url=/a b", "0;url=/a b"),
        ] {
            let mut found = addresses(value.as_bytes());
            assert_eq!(found.next(), Some(address.as_bytes()), "{value}");
        }
        let value = b"0; url='https://c/?x' z";
        assert!(addresses(value).any(|address| address == b"https://c/?x"));
    }
}
