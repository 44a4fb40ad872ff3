//! The upstream's own origin, as clients reach it.

use http::{HeaderValue, Response, header};
use memchr::{memchr3, memmem};
use url::Url;

use crate::carrier::location::as_url;

use crate::oauth::params::set::ByteSet;

use super::super::body::Body;
use super::super::exchange::Exchange;

/// An answer in which nothing can be ours: only the upstream's own origin is translated.
pub(in crate::gateway) fn pass_through(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    let location = response.headers().get(header::LOCATION);
    if let Some(location) = location.and_then(|location| public_url(exchange, location.as_bytes()))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    public_cookies(exchange, &mut response);
    response
}

/// Whether a URL leads away from the server and from the gate, as a browser reads it: `//host`, `/\host` and the like name
/// a host, too. What no browser can read leads nowhere that we know.
pub(super) fn is_foreign(exchange: &Exchange<'_>, url: &str) -> bool {
    let site = exchange.site;
    // As in `public_url`: most lead to an application.
    let public_host = site.public.as_ref().and_then(Url::host_str);
    let is_own = |host| host == site.upstream_host || Some(host) == public_host;
    if plain_host(url).is_some_and(|host| !is_own(host)) {
        return true;
    }
    let target = site
        .public
        .as_ref()
        .and_then(|public| public.join(url).ok());
    target.is_none_or(|target| !site.own.contains(&Some(target.origin())))
}

/// A URL that leads to the server itself as its clients write it: at its public origin, without query and fragment.
pub(super) fn own_target(exchange: &Exchange<'_>, url: &str) -> Option<String> {
    // What begins with neither depends on the page that it stands in.
    let is_whole = url.starts_with('/') || url.contains("://");
    let site = exchange.site;
    let target = site.public.as_ref()?.join(url).ok()?;
    let is_own = is_whole && site.own.contains(&Some(target.origin()));
    is_own.then(|| format!("{}{}", site.settings.public_origin, target.path()))
}

/// A URL at the upstream's own origin, as clients reach it. Its path is bytes, and stays as it came.
fn public_url(exchange: &Exchange<'_>, location: &[u8]) -> Option<HeaderValue> {
    let text = as_url(location);
    // Most redirects lead to an application, and that is seen without taking them apart.
    if plain_host(&text).is_some_and(|host| host != exchange.site.upstream_host) {
        return None;
    }
    let target = Url::parse(&text).ok()?;
    let [upstream, _] = &exchange.site.own;
    if *upstream != Some(target.origin()) {
        return None;
    }
    let authority = memmem::find(location, b"://")? + 3;
    let rest = location.get(authority..)?;
    let path = memchr3(b'/', b'?', b'#', rest).and_then(|at| rest.get(at..));
    let origin = exchange.site.settings.public_origin.as_bytes();
    // Both are fields, or parts of one.
    HeaderValue::from_bytes(&[origin, path.unwrap_or_default()].concat()).ok()
}

/// The host of a URL that is written so plainly that it can only be the one that a parser finds: no user, no escape, no
/// number that is an address, nothing international, nothing that is to be trimmed.
fn plain_host(url: &str) -> Option<&str> {
    static HOST: ByteSet = ByteSet::of(b"abcdefghijklmnopqrstuvwxyz0123456789-.");
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let end = rest
        .bytes()
        .position(|byte| !HOST.has(byte))
        .unwrap_or(rest.len());
    let (host, behind) = rest.split_at_checked(end)?;
    let behind = behind.strip_prefix(':').map_or(behind, |port| {
        port.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let ends = behind.is_empty() || behind.starts_with(['/', '?', '#']);
    let last = host.rsplit('.').next().unwrap_or_default();
    let has_name = last.starts_with(|c: char| c.is_ascii_lowercase());
    // As in `xn--`.
    let is_encoded = host.as_bytes().windows(2).any(|two| two == b"--");
    let is_name = has_name && !is_encoded;
    (ends && is_name).then_some(host)
}

/// Cookies for the upstream's own host become cookies for whatever host the client talks to.
fn public_cookies(exchange: &Exchange<'_>, response: &mut Response<Body>) {
    if !response.headers().contains_key(header::SET_COOKIE) {
        return;
    }
    let host = exchange
        .site
        .authority
        .split(':')
        .next()
        .unwrap_or_default();
    let names_host = |cookie: &str| {
        cookie.split(';').skip(1).any(|attribute| {
            attribute.split_once('=').is_some_and(|(name, value)| {
                let value = value.trim().trim_start_matches('.');
                name.trim().eq_ignore_ascii_case("domain") && value.eq_ignore_ascii_case(host)
            })
        })
    };
    let cookies: Vec<HeaderValue> = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .cloned()
        .collect();
    if !cookies
        .iter()
        .any(|cookie| cookie.to_str().is_ok_and(names_host))
    {
        return;
    }
    response.headers_mut().remove(header::SET_COOKIE);
    for cookie in cookies {
        let rewritten = cookie
            .to_str()
            .ok()
            .filter(|text| names_host(text))
            .map(|text| {
                let is_domain = |part: &&str| {
                    part.trim_start()
                        .to_ascii_lowercase()
                        .starts_with("domain=")
                };
                text.split(';')
                    .filter(|part| !is_domain(part))
                    .collect::<Vec<_>>()
                    .join(";")
            });
        let rewritten = rewritten.and_then(|text| HeaderValue::try_from(text).ok());
        response
            .headers_mut()
            .append(header::SET_COOKIE, rewritten.unwrap_or(cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_every_parser_reads_alike_is_a_plain_host() {
        for (url, host) in [
            ("https://app.example/cb?x=1", Some("app.example")),
            ("http://localhost:8080", Some("localhost")),
            ("https://a-1.example#x", Some("a-1.example")),
            ("https://user@app.example/", None),
            ("https://user:1@app.example/", None),
            ("https://app.example\\x", None),
            ("https://App.example/", None),
            ("https://127.0.0.1/", None),
            ("https://0x7f.1/", None),
            ("https://xn--a.example/", None),
            ("https://app.example./", None),
            ("https://a%41.example/", None),
            ("https:///app.example", None),
            ("//app.example", None),
            (" https://app.example/", None),
        ] {
            assert_eq!(plain_host(url), host, "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_host_is_the_one_that_is_parsed(
            url in "https?://[a-z0-9.:@/x\\\\?#%\t-]{0,12}[a-z./:]{0,3}|[ hH]ttps?:/{0,3}[a-z.]{0,9}",
        ) {
            if let (Some(host), Ok(parsed)) = (plain_host(&url), Url::parse(&url)) {
                prop_assert_eq!(Some(host), parsed.host_str(), "{}", url);
            }
        }
    }
}
