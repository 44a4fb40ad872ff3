//! The upstream's own origin, as clients reach it.

use http::{HeaderValue, Response, header};
use memchr::{memchr3, memmem};
use url::Url;

use crate::carrier::location::as_url;

use crate::spelling::shortcuts::plain_host;

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
