//! The upstream's own origin and the public one. URLs at either count as the server's own; in header fields of answers, the
//! upstream's own origin is replaced by the public one.

use http::{HeaderMap, HeaderValue, header};
use memchr::{memchr3, memmem};
use url::{Origin, Url};

use crate::spelling::shortcuts::plain_host;

use super::carrier::location::as_url;

/// The origins of one upstream.
#[derive(Debug)]
pub(crate) struct Origins {
    upstream: Option<Origin>,
    upstream_host: String,
    /// The base of relative URLs.
    public: Option<Url>,
    public_origin: Option<Origin>,
    /// The public origin as configured: `scheme://authority`.
    written: String,
}

impl Origins {
    /// Both are `scheme://authority`.
    pub(crate) fn new(upstream: &str, public: &str) -> Self {
        let (upstream, written) = (Url::parse(upstream).ok(), public.to_owned());
        let public = Url::parse(public).ok();
        let upstream_host = upstream.as_ref().and_then(Url::host_str);
        Self {
            upstream_host: upstream_host.unwrap_or_default().to_owned(),
            upstream: upstream.map(|url| url.origin()),
            public_origin: public.as_ref().map(Url::origin),
            public,
            written,
        }
    }

    fn is_own(&self, target: &Url) -> bool {
        let target = Some(target.origin());
        target == self.upstream || target == self.public_origin
    }

    /// Whether a browser that follows a URL leaves both origins. `//host`, `/\host` and the like name a host, too. A URL that
    /// cannot be parsed counts as foreign.
    pub(crate) fn is_foreign(&self, url: &str) -> bool {
        // A quick test, as in `public_location`: most URLs lead to an application.
        let public_host = self.public.as_ref().and_then(Url::host_str);
        let is_own = |host| host == self.upstream_host || Some(host) == public_host;
        if plain_host(url).is_some_and(|host| !is_own(host)) {
            return true;
        }
        let target = self
            .public
            .as_ref()
            .and_then(|public| public.join(url).ok());
        target.is_none_or(|target| !self.is_own(&target))
    }

    /// A URL at one of the two origins, rewritten to the public origin, without query and fragment. `None`: another URL, or one
    /// that is relative to an unknown page.
    pub(crate) fn own_target(&self, url: &str) -> Option<String> {
        // Other relative URLs depend on the page that contains them.
        let is_whole = url.starts_with('/') || url.contains("://");
        let target = self.public.as_ref()?.join(url).ok()?;
        (is_whole && self.is_own(&target)).then(|| format!("{}{}", self.written, target.path()))
    }

    /// Replaces the upstream's own origin by the public one in the header fields of an answer.
    pub(crate) fn make_public(&self, headers: &mut HeaderMap) {
        let location = headers.get(header::LOCATION);
        if let Some(location) = location.and_then(|location| self.public_location(location)) {
            headers.insert(header::LOCATION, location);
        }
        self.make_cookies_public(headers);
    }

    /// A `Location` at the upstream's own origin, rewritten to the public one. The bytes of its path stay unchanged.
    fn public_location(&self, location: &HeaderValue) -> Option<HeaderValue> {
        let location = location.as_bytes();
        let text = as_url(location);
        // A quick test: most redirects lead to an application.
        if plain_host(&text).is_some_and(|host| host != self.upstream_host) {
            return None;
        }
        let target = Url::parse(&text).ok()?;
        if self.upstream != Some(target.origin()) {
            return None;
        }
        let authority = memmem::find(location, b"://")? + 3;
        let rest = location.get(authority..)?;
        let path = memchr3(b'/', b'?', b'#', rest).and_then(|at| rest.get(at..));
        HeaderValue::from_bytes(&[self.written.as_bytes(), path.unwrap_or_default()].concat()).ok()
    }

    /// Removes the Domain attribute from cookies for the upstream's own host. They then apply to the public host.
    fn make_cookies_public(&self, headers: &mut HeaderMap) {
        let is_of_upstream = |cookie: &HeaderValue| {
            let cookie = cookie.to_str().unwrap_or_default();
            cookie.split(';').skip(1).any(|part| self.is_domain(part))
        };
        let cookies: Vec<HeaderValue> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .cloned()
            .collect();
        if !cookies.iter().any(is_of_upstream) {
            return;
        }
        headers.remove(header::SET_COOKIE);
        for cookie in cookies {
            let own = Some(&cookie).filter(|cookie| is_of_upstream(cookie));
            let rewritten = own.and_then(without_domain);
            headers.append(header::SET_COOKIE, rewritten.unwrap_or(cookie));
        }
    }

    /// Whether a cookie attribute is a Domain that is the upstream's host.
    fn is_domain(&self, attribute: &str) -> bool {
        attribute.split_once('=').is_some_and(|(name, value)| {
            let value = value.trim().trim_start_matches('.');
            name.trim().eq_ignore_ascii_case("domain")
                && value.eq_ignore_ascii_case(&self.upstream_host)
        })
    }
}

/// The cookie without its Domain attribute.
fn without_domain(cookie: &HeaderValue) -> Option<HeaderValue> {
    let is_domain = |part: &&str| {
        let part = part.trim_start().to_ascii_lowercase();
        part.starts_with("domain=")
    };
    let parts = cookie.to_str().ok()?.split(';');
    let rest: Vec<&str> = parts.filter(|part| !is_domain(part)).collect();
    HeaderValue::try_from(rest.join(";")).ok()
}
