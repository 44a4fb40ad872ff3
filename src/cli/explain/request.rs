//! A request as it was written down.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::answer::Unusable;
use crate::gateway::Settings;

/// A request, complete except for what the gate does not need.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) method: Method,
    target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is repeated of a request: nothing that may be a secret.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) method: String,
    pub(super) host: String,
}

impl Written {
    /// A GET request for a URL. `Err` if it is not an absolute URL with `http` or `https`.
    pub(super) fn url(url: &str) -> Result<Self, Unusable> {
        let wrong = |why: &str| Unusable::Usage(format!("this is not a URL of the gate: {why}"));
        let (before, _) = url.split_once('#').unwrap_or((url, ""));
        let scheme = before.get(..before.find("://").unwrap_or_default());
        let is_http = scheme
            .is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"));
        if !is_http {
            return Err(wrong("it has to begin with https:// or http://"));
        }
        let uri: Uri = before.parse().map_err(|_| {
            wrong("it has characters that no URL has; blanks, for instance, have to be escaped")
        })?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has credentials before the host"));
        }
        let host = HeaderValue::try_from(authority.as_str());
        let host = host.map_err(|_| wrong("its host is invalid"))?;
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = PathAndQuery::try_from(format!("{slash}{target}"));
        Ok(Self {
            method: Method::GET,
            target: target.map_err(|_| wrong("its path is invalid"))?,
            headers: HeaderMap::from_iter([(header::HOST, host)]),
            body: Bytes::new(),
        })
    }

    /// Appends to the query.
    pub(super) fn add_query(&mut self, more: &str) -> Result<(), Unusable> {
        let separator = if self.target.query().is_some() {
            '&'
        } else {
            '?'
        };
        let target = format!("{}{separator}{more}", self.target);
        self.target = PathAndQuery::try_from(target)
            .map_err(|_| Unusable::Usage("the query has characters that no URL has".to_owned()))?;
        Ok(())
    }

    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Adds a header field; a Host takes the place of the URL's.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), Unusable> {
        // The value may be a secret.
        let wrong = || Unusable::Usage("a header field is invalid".to_owned());
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        if name == header::HOST {
            self.headers.insert(name, value);
        } else {
            self.headers.append(name, value);
        }
        Ok(())
    }

    /// Sends it to this upstream, whatever its host is.
    pub(super) fn goes_to(&mut self, upstream: &Settings) {
        let public = upstream.public_origin.rsplit('/').next();
        let host = upstream.hosts.first().map(String::as_str).or(public);
        if let Some(Ok(host)) = host.map(HeaderValue::try_from) {
            self.headers.insert(header::HOST, host);
        }
    }

    /// What is repeated, and the request.
    pub(super) fn split(self) -> (Shown, Request<Bytes>) {
        let host = self.headers.get(header::HOST);
        let shown = Shown {
            method: self.method.to_string(),
            host: host.map_or_else(String::new, |it| it.as_bytes().escape_ascii().to_string()),
        };
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        (shown, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_sent_byte_for_byte_without_its_fragment() {
        for (url, target, host) in [
            ("https://a.test/x//y?b=%zz&b#c", "/x//y?b=%zz&b", "a.test"),
            ("HTTP://A.test:8080", "/", "A.test:8080"),
            ("http://a.test?b", "/?b", "a.test"),
            ("https://[::1]:1/token?", "/token?", "[::1]:1"),
            ("https://a.test/%41/../b", "/%41/../b", "a.test"),
        ] {
            let written = Written::url(url).unwrap();
            assert_eq!(written.target.as_str(), target, "{url}");
            assert_eq!(written.headers[header::HOST], host, "{url}");
        }
        for wrong in [
            "",
            "/authorize?client_id=a",
            "a.test/authorize",
            "ftp://a.test/",
            "https://",
            "https:///authorize",
            "https://user:secret@a.test/",
            "https://a.test/a b",
            "https://a.test/\n",
        ] {
            let error = Written::url(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
