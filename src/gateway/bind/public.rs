//! The upstream's own origin, as clients reach it.

use http::{HeaderValue, Response, header};
use url::Url;

use super::super::body::Body;
use super::super::exchange::Exchange;
use super::super::headers;

/// An answer in which nothing can be ours: only the upstream's own origin is translated.
pub(in crate::gateway) fn pass_through(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    if let Some(location) =
        text(&response, &header::LOCATION).and_then(|location| public_url(exchange, location))
    {
        headers::set(response.headers_mut(), header::LOCATION, &location);
    }
    public_cookies(exchange, &mut response);
    response
}

pub(super) fn text<'r>(response: &'r Response<Body>, name: &header::HeaderName) -> Option<&'r str> {
    response
        .headers()
        .get(name)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// Whether a URL leads away from the server and from the gate. What does not parse on its own is relative.
pub(super) fn is_foreign(exchange: &Exchange<'_>, url: &str) -> bool {
    let site = exchange.site;
    let Ok(target) = Url::parse(url) else {
        return url.starts_with("//");
    };
    !site.own.contains(&Some(target.origin()))
}

/// A URL at the upstream's own origin, as clients reach it.
fn public_url(exchange: &Exchange<'_>, location: &str) -> Option<String> {
    let target = Url::parse(location).ok()?;
    let [upstream, _] = &exchange.site.own;
    if *upstream != Some(target.origin()) {
        return None;
    }
    let authority = location.find("://")? + 3;
    let rest = location.get(authority..)?;
    let path = rest
        .find(['/', '?', '#'])
        .and_then(|at| rest.get(at..))
        .unwrap_or_default();
    Some(format!("{}{path}", exchange.site.settings.public_origin))
}

/// Cookies for the upstream's own host become cookies for whatever host the client talks to.
fn public_cookies(exchange: &Exchange<'_>, response: &mut Response<Body>) {
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
