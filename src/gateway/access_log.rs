//! The access log: one line at level `debug` for each request, when it ends. At other levels no [`Access`] is created.
//!
//! A path may contain a secret: a password reset link, a code, a session id. Secrets look like names, so a path segment
//! is written only if it is known: it is in the configuration, or many servers use it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use http::Method;
use http_body::Frame;

use crate::clock::Timestamp;
use crate::oauth::ClientId;
use crate::oauth::Endpoint;
use crate::server::watch::{Cut, Watch};
use crate::telemetry::{Ended, Event, RequestId};

use super::caller::Caller;
use super::settings::Settings;
use super::shared::Shared;
use super::site::Site;
use crate::http::body;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The methods that are logged by name. Others are text that a client chose; CONNECT and TRACE are refused earlier.
static METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Path segments that many servers use.
const USUAL: &str = ".well-known api assets auth authorize callback connect consent css favicon.ico health introspect js jwks \
                     jwks.json keys login logout me oauth oauth2 openid-configuration realms revoke robots.txt session static \
                     token userinfo";

/// The number of path segments that are logged.
const NAMES: usize = 8;

/// A request that has not ended. Dropping it logs the end of the request.
#[derive(Debug)]
pub(crate) struct Access {
    shared: Arc<Shared>,
    site: Arc<Site>,
    watch: Arc<Watch>,
    request: RequestId,
    endpoint: Endpoint,
    method: &'static str,
    path: String,
    peer: String,
    begun: Timestamp,
    client: OnceLock<String>,
    status: OnceLock<u16>,
    bytes: AtomicU64,
    ended: OnceLock<Ended>,
}

impl Access {
    pub(super) fn new(
        shared: &Arc<Shared>,
        site: &Arc<Site>,
        caller: &Caller<'_>,
        method: &Method,
        path: &str,
        begun: Timestamp,
    ) -> Self {
        let method = METHODS.iter().find(|known| *known == method);
        let forwarded = caller.node.client().map(|client| client.to_string());
        Self {
            shared: Arc::clone(shared),
            site: Arc::clone(site),
            watch: Arc::clone(caller.watch),
            request: caller.id,
            endpoint: caller.kind,
            method: method.map_or("other", Method::as_str),
            path: self::path(path, &site.settings),
            peer: forwarded.unwrap_or_else(|| caller.node.as_str().to_owned()),
            begun,
            client: OnceLock::new(),
            status: OnceLock::new(),
            bytes: AtomicU64::new(0),
            ended: OnceLock::new(),
        }
    }

    /// Sets the client, for the log.
    pub(super) fn names(&self, client: &ClientId) {
        self.client.get_or_init(|| client.as_str().to_owned());
    }

    /// Sets the status of the response. A response to HEAD is then complete.
    pub(super) fn responds(&self, status: u16) {
        self.status.get_or_init(|| status);
        if self.method == "HEAD" {
            self.is_complete();
        }
    }

    /// Records what the client's connection got when it polled the body of the response.
    pub(crate) fn sees(&self, polled: &Poll<Option<Result<Frame<Bytes>, BoxError>>>) {
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Poll::Ready(Some(Err(error))) => {
                let stalled = error.downcast_ref::<body::Error>();
                self.ended.get_or_init(|| match stalled {
                    Some(body::Error::Stalled) => Ended::UpstreamTimeout,
                    Some(body::Error::Broken(_)) | None => Ended::Upstream,
                });
            }
            Poll::Ready(None) => self.is_complete(),
            Poll::Pending => {}
        }
    }

    /// The client's connection has received the whole response.
    pub(crate) fn is_complete(&self) {
        self.ended.get_or_init(|| Ended::Complete);
    }

    /// Who gave the request up before its response was complete.
    fn given_up(&self) -> Ended {
        match self.watch.cut() {
            Some(Cut::Late) => Ended::ClientTimeout,
            Some(Cut::Spared) => Ended::Gate,
            None if std::thread::panicking() => Ended::Gate,
            None if self.shared.has_stopped.load(Ordering::Relaxed) => Ended::Gate,
            None => Ended::Client,
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.shared.telemetry.tell(&Event::Answered {
            request: self.request,
            upstream: &self.site.state.telemetry,
            endpoint: self.endpoint,
            method: self.method,
            path: &self.path,
            status: self.status.get().copied(),
            bytes: *self.bytes.get_mut(),
            ended: self.ended.get().copied().unwrap_or_else(|| self.given_up()),
            took: self.shared.clock.now().since(self.begun),
            client: self.client.get().map(String::as_str),
            peer: &self.peer,
        });
    }
}

/// A path at an upstream with `*` in place of unknown segments, which may be secrets.
pub(super) fn path(path: &str, settings: &Settings) -> String {
    shown(path, |name| is_known(name, settings))
}

/// The path with `*` in place of unknown segments.
fn shown(path: &str, is_known: impl Fn(&str) -> bool) -> String {
    let mut names = path.split('/').skip(1);
    let mut shown = String::new();
    for name in names.by_ref().take(NAMES) {
        shown.push('/');
        shown.push_str(if is_known(name) { name } else { "*" });
    }
    if names.next().is_some() {
        shown.push_str("/…");
    }
    shown
}

fn is_usual(name: &str) -> bool {
    name.is_empty() || USUAL.split(' ').any(|usual| usual == name)
}

fn is_known(name: &str, settings: &Settings) -> bool {
    let (endpoints, routes) = (&settings.endpoints, &settings.routes);
    let lists = [&routes.allow, &routes.deny, &routes.foreign_callbacks];
    let endpoints = endpoints.protected().chain(&endpoints.metadata);
    let mut configured = endpoints
        .chain(lists.into_iter().flatten())
        .chain([&settings.prefix]);
    is_usual(name) || configured.any(|path| path.split('/').any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_path_segments_are_logged() {
        let is_known = |name: &str| is_usual(name) || name == "mine";
        for (path, expected) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/mine/other", "/mine/*"),
            ("/login/pgcabc", "/login/*"),
            ("/reset/eyJhbGciOi/x", "/*/*/*"),
            ("/Login", "/*"),
            ("/login;jsessionid=1", "/*"),
            ("/%6cogin", "/*"),
            ("//login//", "//login//"),
            ("/a/b/c/d/e/f/g/h", "/*/*/*/*/*/*/*/*"),
            ("/a/b/c/d/e/f/g/h/", "/*/*/*/*/*/*/*/*/…"),
        ] {
            assert_eq!(shown(path, is_known), expected, "{path}");
        }
    }
}
