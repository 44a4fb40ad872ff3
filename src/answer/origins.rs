//! The upstream's own origin and the gate's, as answers name them: what leads to either leads nowhere else, and what names the
//! first is written as clients reach it.

use http::{HeaderMap, HeaderValue, header};
use memchr::{memchr3, memmem};
use url::{Origin, Url};

use crate::spelling::shortcuts::plain_host;

use super::carrier::location::as_url;

/// The origins of one upstream.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Of the upstream itself.
    upstream: Option<Origin>,
    /// The host of that, as it stands in URLs.
    upstream_host: String,
    /// The gate's, as clients reach it: what a relative URL is relative to.
    public: Option<Url>,
    public_origin: Option<Origin>,
    /// The same as it was configured: `scheme://authority`.
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

    /// Whether a URL leads away from the server and from the gate, as a browser reads it: `//host`, `/\host` and the like name
    /// a host, too. What no browser can read leads nowhere that we know.
    pub(crate) fn is_foreign(&self, url: &str) -> bool {
        // As in `public_location`: most lead to an application.
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

    /// A URL that leads to the server itself as its clients write it: at its public origin, without query and fragment.
    pub(crate) fn own_target(&self, url: &str) -> Option<String> {
        // What begins with neither depends on the page that it stands in.
        let is_whole = url.starts_with('/') || url.contains("://");
        let target = self.public.as_ref()?.join(url).ok()?;
        (is_whole && self.is_own(&target)).then(|| format!("{}{}", self.written, target.path()))
    }

    /// In the fields of an answer, what names the upstream's own origin names the gate's.
    pub(crate) fn make_public(&self, headers: &mut HeaderMap) {
        let location = headers.get(header::LOCATION);
        if let Some(location) = location.and_then(|location| self.public_location(location)) {
            headers.insert(header::LOCATION, location);
        }
        self.make_cookies_public(headers);
    }

    /// A `Location` at the upstream's own origin, as clients reach it. Its path is bytes, and stays as it came.
    fn public_location(&self, location: &HeaderValue) -> Option<HeaderValue> {
        let location = location.as_bytes();
        let text = as_url(location);
        // Most redirects lead to an application, and that is seen without taking them apart.
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
        // Both are fields, or parts of one.
        HeaderValue::from_bytes(&[self.written.as_bytes(), path.unwrap_or_default()].concat()).ok()
    }

    /// Cookies for the upstream's own host become cookies for the host that the client talks to.
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
            let rewritten = is_of_upstream(&cookie)
                .then(|| without_domain(&cookie))
                .flatten();
            headers.append(header::SET_COOKIE, rewritten.unwrap_or(cookie));
        }
    }

    /// Whether an attribute of a cookie says that it is for the upstream's host.
    fn is_domain(&self, attribute: &str) -> bool {
        attribute.split_once('=').is_some_and(|(name, value)| {
            let value = value.trim().trim_start_matches('.');
            name.trim().eq_ignore_ascii_case("domain")
                && value.eq_ignore_ascii_case(&self.upstream_host)
        })
    }
}

/// A cookie without the host that it is for.
fn without_domain(cookie: &HeaderValue) -> Option<HeaderValue> {
    let is_domain = |part: &&str| {
        let part = part.trim_start().to_ascii_lowercase();
        part.starts_with("domain=")
    };
    let parts = cookie.to_str().ok()?.split(';');
    let rest: Vec<&str> = parts.filter(|part| !is_domain(part)).collect();
    HeaderValue::try_from(rest.join(";")).ok()
}
