//! Origins, issuers and redirect URIs.

use std::fmt;
use std::net::IpAddr;

use url::Url;

use super::value::{Kind, Wrong};
use super::wording::quoted;
use crate::upstream;

/// `"http://127.0.0.1:9000"`.
pub(super) const ORIGIN: Kind<Origin> = Kind::new(
    "a URL of scheme, host and port",
    "http://127.0.0.1:9000",
    origin,
)
.pattern("://");

/// An issuer identifier (RFC 8414 section 2).
pub(super) const ISSUER: Kind<String> =
    Kind::new("an issuer", "https://login.example.com", issuer).pattern("://");

/// A redirect URI of a client.
pub(super) const REDIRECT_URI: Kind<String> =
    Kind::new("a redirect URI", "https://app.example.com/cb", redirect_uri).pattern(":");

/// The origin of a URL: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tls: bool,
    /// Lower case, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// Whether the host is a loopback address or `localhost`.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost"
            || name.ends_with(".localhost")
            || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether it is this machine: loopback, or the unspecified address (`0.0.0.0`), which also leads to loopback.
    pub(super) fn is_this_machine(&self) -> bool {
        self.is_loopback() || self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// The host as an IP address, if it is one. IPv4-mapped IPv6 addresses are converted to IPv4.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        let ip: Option<IpAddr> = self.host.parse().ok();
        ip.map(|ip| ip.to_canonical())
    }

    /// The host without the trailing dot of a fully qualified name.
    fn name(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }

    /// Whether both are the same server, as far as can be known without DNS. All addresses of this machine count as one: a
    /// machine with different servers on different addresses is rare.
    pub(super) fn is_one_server_with(&self, other: &Self) -> bool {
        let same_host = match (self.ip(), other.ip()) {
            (Some(a), Some(b)) => a == b,
            _ => self.name() == other.name(),
        };
        self.port == other.port && (same_host || self.is_this_machine() && other.is_this_machine())
    }

    /// The value of a `Host` header: `host` or `host:port`.
    pub(super) fn authority(&self) -> String {
        upstream::authority(&self.host, self.port, self.tls)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Parses a URL strictly, because WHATWG parsers silently repair malformed URLs.
pub(super) fn plain_url(text: &str, example: &str) -> Result<Url, Wrong> {
    let wrong = |label: String| Wrong::new(label, format!("write for example \"{example}\""));
    if let Some(odd) = text
        .chars()
        .find(|&odd| odd.is_whitespace() || odd.is_control() || odd == '\\')
    {
        return Err(wrong(format!("{odd:?} does not belong in a URL")));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let label = "it does not begin with http:// or https://";
        return Err(match with_scheme(text, example) {
            Some(instead) => Wrong::new(label, format!("write \"{instead}\"")),
            None => wrong(label.to_owned()),
        });
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(wrong(format!("the scheme is {}", quoted(scheme))));
    }
    if rest.starts_with('/') || rest.is_empty() {
        return Err(wrong("the host is missing".to_owned()));
    }
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() || rest.contains('@') {
        return Err(wrong("it has a user name or a password".to_owned()));
    }
    Ok(url)
}

/// Adds a scheme to a bare host, for the suggestion: `http` for IP addresses and `localhost`, `https` for other names.
fn with_scheme(text: &str, example: &str) -> Option<String> {
    let host = text.split([':', '/']).next().unwrap_or_default();
    let is_address = text.starts_with('[') || host.parse::<IpAddr>().is_ok() || host == "localhost";
    let scheme = if is_address { "http" } else { "https" };
    let instead = format!("{scheme}://{text}");
    let is_host = host.contains('.') || is_address;
    (is_host && plain_url(&instead, example).is_ok()).then_some(instead)
}

fn origin(text: &str) -> Result<Origin, Wrong> {
    if text.starts_with("unix:") {
        return Err(Wrong::later(
            "a unix: socket",
            "write a TCP address, for example \"http://127.0.0.1:9000\"",
        ));
    }
    let url = plain_url(text, ORIGIN.example)?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(Wrong::new(
            "the host is missing",
            "write for example \"http://127.0.0.1:9000\"",
        ));
    };
    let origin = Origin {
        tls: url.scheme() == "https",
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
    };
    let instead = format!("write \"{origin}\"");
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("it has a query or a fragment", instead));
    }
    if url.path() != "/" {
        let help = format!("{instead}; which paths belong to it is said by prefix and endpoints");
        return Err(Wrong::new("it has a path", help));
    }
    if port == 0 {
        return Err(Wrong::new(
            "nothing is reached at port 0",
            "write the real port",
        ));
    }
    let written = text.trim_end_matches('/');
    let with_port = format!("{}://{host}:{port}", url.scheme());
    let means_what_it_shows = written.eq_ignore_ascii_case(&origin.to_string())
        || written.eq_ignore_ascii_case(&with_port);
    if means_what_it_shows {
        Ok(origin)
    } else {
        Err(Wrong::new(
            format!("this would be read as {origin}"),
            instead,
        ))
    }
}

/// Parses an issuer. The string is kept unchanged, because issuers are compared byte for byte.
fn issuer(text: &str) -> Result<String, Wrong> {
    let url = plain_url(text, ISSUER.example)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new(
            "it has a query or a fragment",
            "write the issuer exactly as its metadata has it",
        ));
    }
    Ok(text.to_owned())
}

fn redirect_uri(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write the absolute URI exactly as the client sends it, for example \"https://app.example.com/cb\"";
    const SCRIPTS: [&str; 3] = ["javascript", "data", "vbscript"];
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Wrong::new("it has a space or a control character", HELP));
    }
    if text.contains('#') {
        return Err(Wrong::new(
            "it has a fragment (RFC 6749 section 3.1.2)",
            HELP,
        ));
    }
    match Url::parse(text) {
        Ok(url) if SCRIPTS.contains(&url.scheme()) => {
            Err(Wrong::new("browsers would run it", HELP))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Wrong::new(error.to_string(), HELP)),
    }
}

#[cfg(test)]
mod tests;
