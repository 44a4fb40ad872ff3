//! Redirect URIs: exact comparison, recognition in a `Location`, and proof of registration.

mod origin;

use std::borrow::Cow;

use memchr::memchr2;
use url::Url;

use super::Digest;
use super::params::set::{ByteSet, UNRESERVED};

pub(crate) use origin::{named_loosely, origin};

/// A `redirect_uri` exactly as a client sent it. RFC 6749 section 4.1.3 compares it byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Any string; the upstream decides whether it is registered.
    pub fn new(uri: &str) -> Self {
        Self(uri.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digests that a store keeps of the URI.
    pub fn digest(&self) -> RedirectDigest {
        RedirectDigest {
            exact: exact_digest(&self.0),
            target: target_digest(&self.0),
        }
    }
}

/// Two digests of a redirect URI: of its exact bytes, and of its scheme, authority and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RedirectDigest {
    pub exact: Digest,
    pub target: Digest,
}

impl RedirectDigest {
    /// Whether `redirect_uri`, from a token request, is exactly this URI.
    pub fn is(&self, redirect_uri: &str) -> bool {
        self.exact == exact_digest(redirect_uri)
    }
}

fn exact_digest(uri: &str) -> Digest {
    Digest::remembered("redirect_uri", uri, |uri| {
        Digest::of("redirect_uri", &[uri.as_bytes()])
    })
}

/// Whether the query or fragment of a redirect URI contains a `code`, in any spelling. A server that appends its
/// response would then send a code that it did not issue.
pub(crate) fn brings_code(uri: &str) -> bool {
    let Some(path) = memchr2(b'?', b'#', uri.as_bytes()) else {
        return false;
    };
    let parts = uri.get(path..).unwrap_or_default().split(['?', '#']);
    parts.flat_map(|part| part.split(['&', ';'])).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = super::params::decode(name.as_bytes()).unwrap_or(name.into());
        super::params::folds_to(&name, "code")
    })
}

/// Redirect URIs of clients that cannot receive redirects: the server shows the code to the user (defined by Google,
/// also used by Doorkeeper).
const OUT_OF_BAND: [&str; 2] = [
    "urn:ietf:wg:oauth:2.0:oob",
    "urn:ietf:wg:oauth:2.0:oob:auto",
];

/// Whether this is an out-of-band redirect URI, for which the server shows the code to the user.
pub(crate) fn is_out_of_band(redirect: RedirectDigest) -> bool {
    OUT_OF_BAND.iter().any(|uri| redirect.is(uri))
}

/// The digest of a URI's normalised scheme, authority and path, without query and fragment.
pub(crate) fn target_digest(uri: &str) -> Digest {
    let end = memchr2(b'?', b'#', uri.as_bytes()).unwrap_or(uri.len());
    let base = uri.get(..end).unwrap_or(uri);
    Digest::remembered("redirect_target", base, |base| match Url::parse(base) {
        Ok(url) => {
            let url = normalized(&url);
            Digest::of("redirect_target", &[in_one_spelling(&url).as_bytes()])
        }
        Err(_) => Digest::of("redirect_target", &[base.as_bytes()]),
    })
}

/// Normalises the escapes of a URL (RFC 3986 section 6.2.2): upper-case digits, none for unreserved characters, and one
/// for every character that a URI may not contain. Escapes of reserved characters stay, because they differ in meaning
/// from the characters.
fn in_one_spelling(url: &str) -> Cow<'_, str> {
    static RESERVED: ByteSet = ByteSet::of(b":/?#[]@!$&'()*+,;=");
    let is_plain = |byte: u8| UNRESERVED.has(byte) || RESERVED.has(byte);
    if url.bytes().all(is_plain) {
        return Cow::Borrowed(url);
    }
    let mut out = String::with_capacity(url.len() + 8);
    let mut rest = url.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let escaped = match behind {
            [high, low, behind @ ..] if byte == b'%' => {
                super::params::hex(*high, *low).map(|byte| (byte, behind))
            }
            _ => None,
        };
        match escaped {
            Some((byte, behind)) => {
                rest = behind;
                if UNRESERVED.has(byte) {
                    out.push(byte.into());
                } else {
                    out.push_str(&escape(byte));
                }
            }
            None if is_plain(byte) => out.push(byte.into()),
            None => out.push_str(&escape(byte)),
        }
    }
    Cow::Owned(out)
}

fn escape(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// Normalises a URL for comparison. URLs with an application's own scheme get a lower-case host and at least `/` as
/// path, because some servers re-serialise them so (RFC 3986 sections 3.2.2 and 6.2.3); the scheme alone determines the
/// application.
fn normalized(url: &Url) -> Cow<'_, str> {
    const OF_THE_WEB: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];
    match (url.host_str(), url.path()) {
        (Some(host), path)
            if !OF_THE_WEB.contains(&url.scheme())
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            let port = url.port().map(|port| format!(":{port}"));
            let port = port.unwrap_or_default();
            let path = if path.is_empty() { "/" } else { path };
            let host = host.to_ascii_lowercase();
            Cow::Owned(format!("{}://{host}{port}{path}", url.scheme()))
        }
        _ => Cow::Borrowed(url.as_str()),
    }
}

/// A redirect URI with a loopback address, without its port, which the operating system assigns to the client at start
/// (RFC 8252 section 7.3). The parts around the port are compared byte for byte.
///
/// `localhost` is not accepted: the RFC has the rule for the two addresses only, and advises against the name (section
/// 8.3), because its resolution depends on the user's name service. For `localhost` the registered port must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loopback<'u> {
    host: &'static str,
    rest: &'u str,
}

impl<'u> Loopback<'u> {
    /// Parses a URI that begins with exactly `http://127.0.0.1[:port]` or `http://[::1][:port]`. `None`: another URI.
    pub(crate) fn of(uri: &'u str) -> Option<Self> {
        const ORIGINS: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];
        let find = |host: &'static str| Some((host, uri.strip_prefix(host)?));
        let (host, behind) = ORIGINS.into_iter().find_map(find)?;
        let rest = match behind.strip_prefix(':') {
            None => behind,
            Some(behind) => {
                let is_digit = |byte: u8| byte.is_ascii_digit();
                let end = behind.bytes().position(|byte| !is_digit(byte));
                let (port, rest) = behind.split_at_checked(end.unwrap_or(behind.len()))?;
                port.parse::<u16>().ok().filter(|port| *port != 0)?;
                rest
            }
        };
        // Any other character would continue the host or begin user information.
        let is_whole = rest.is_empty() || rest.starts_with(['/', '?']);
        is_whole.then_some(Self { host, rest })
    }

    /// The digest that is stored for the URI without its port.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(
            "redirect_loopback",
            &[self.host.as_bytes(), self.rest.as_bytes()],
        )
    }
}

/// A redirect URI that is known to belong to its client. Error redirects accept no other type; otherwise the gate would
/// be an open redirector (RFC 6749 section 4.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegisteredRedirectUri(String);

impl RegisteredRedirectUri {
    /// Accepts a URI that is configured for this client; the port of a loopback address may differ.
    pub(crate) fn configured(uri: &RedirectUri, registered: &[String]) -> Option<Self> {
        let loopback = Loopback::of(&uri.0);
        let same_but_port = |known: &String| loopback.is_some() && Loopback::of(known) == loopback;
        let is_known = registered.contains(&uri.0) || registered.iter().any(same_but_port);
        is_known.then(|| Self(uri.0.clone()))
    }

    /// Accepts a URI to which the upstream has sent a code for this client. The caller must have verified that.
    pub(crate) fn learned(uri: &RedirectUri) -> Self {
        Self(uri.0.clone())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl RedirectDigest {
        /// Whether a `Location` or a form's `action` has this target. Servers re-serialise URIs (`https://app` becomes
        /// `https://app/`, `~` becomes `%7E`), so scheme, authority and path are compared after normalisation.
        fn is_target_of(&self, location: &str) -> bool {
            self.target == target_digest(location)
        }
    }

    #[test]
    fn a_redirect_uri_is_compared_exactly_and_its_target_after_normalisation() {
        let digest = RedirectUri::new("https://App.example").digest();
        assert!(digest.is("https://App.example"));
        for other in [
            "https://App.example/",
            "https://app.example",
            "https://App.example?x",
        ] {
            assert!(!digest.is(other), "{other}");
        }
        assert!(digest.is_target_of("https://app.example/?code=x&state=y"));
        assert!(digest.is_target_of("https://app.example:443#code=x"));
        for other in [
            "https://app.example/x",
            "http://app.example/",
            "https://evil@app.example/",
            "//app.example/",
        ] {
            assert!(!digest.is_target_of(other), "{other}");
        }
    }

    #[test]
    fn escapes_in_a_target_are_normalised_as_in_rfc_3986() {
        for (uri, other, same) in [
            ("https://c/~cb", "https://c/%7Ecb", true),
            ("https://c/%7ecb", "https://c/~cb", true),
            ("https://c/a%2db%5F", "https://c/a-b_", true),
            ("https://c/%63%42", "https://c/cB", true),
            ("https://c/a%3ab", "https://c/a%3Ab", true),
            ("https://c/a%c3%a9", "https://c/a\u{e9}", true),
            ("https://c/a|b", "https://c/a%7Cb", true),
            ("https://c/a^b", "https://c/a%5eb", true),
            ("https://c/a b", "https://c/a%20b", true),
            ("https://c/a\"b`{}", "https://c/a%22b%60%7B%7d", true),
            ("app:/%7ecb", "APP:/~cb", true),
            ("app:a|b", "app:a%7Cb", true),
            ("app://Host/a%2Eb", "app://host/a.b", true),
            ("https://c/a%3ab", "https://c/a:b", false),
            ("https://c/a%2fb", "https://c/a/b", false),
            ("https://c/a%3Bb", "https://c/a;b", false),
            ("https://c/a%23b", "https://c/a", false),
            ("https://c/a%3Fb", "https://c/a", false),
            ("https://c/a%40b", "https://c/a@b", false),
            ("https://c/a%2Bb", "https://c/a+b", false),
            ("https://c/%257Ecb", "https://c/~cb", false),
            ("https://c/%257Ecb", "https://c/%7Ecb", false),
            ("https://c/%7Ecb", "https://c/%7Ccb", false),
            ("https://c/%43b", "https://c/cb", false),
            ("https://c/%zz", "https://c/%ZZ", false),
            ("https://c%40evil.test/", "https://c@evil.test/", false),
        ] {
            for (uri, other) in [(uri, other), (other, uri)] {
                let digest = RedirectUri::new(uri).digest();
                assert!(!digest.is(other), "{uri} {other}");
                let shown = format!("{uri} {other}");
                assert_eq!(
                    digest.is_target_of(&format!("{other}?code=x")),
                    same,
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn a_code_in_a_redirect_uri_is_found_in_every_spelling() {
        for uri in [
            "https://c/cb?code=x",
            "https://c/cb?a=b&CODE=x",
            "https://c/cb?a=b;%63ode=x",
            "https://c/cb#code=x",
            "https://c/cb?code[]=x",
            "app:/cb?code",
        ] {
            assert!(brings_code(uri), "{uri}");
        }
        for uri in [
            "https://c/code",
            "https://c/cb?encode=x&c=code",
            "app:/code=x",
        ] {
            assert!(!brings_code(uri), "{uri}");
        }
    }

    #[test]
    fn custom_schemes_and_loopback_ports_are_targets_too() {
        let native = RedirectUri::new("com.example.app:/cb").digest();
        assert!(native.is_target_of("com.example.app:/cb?code=1"));
        let reserialised = RedirectUri::new("MyApp://Auth").digest();
        for same in ["myapp://auth?code=1", "MYAPP://AUTH/#code=1"] {
            assert!(reserialised.is_target_of(same), "{same}");
        }
        for other in [
            "myapp://auth/x",
            "myapp:auth",
            "myapp://u@auth",
            "myapp://auth:1",
        ] {
            assert!(!reserialised.is_target_of(other), "{other}");
        }
        let path = RedirectUri::new("myapp://auth/CB").digest();
        assert!(!path.is_target_of("myapp://auth/cb"));
        let loopback = RedirectUri::new("http://127.0.0.1:51004/cb").digest();
        assert!(loopback.is_target_of("http://127.0.0.1:51004/cb?code=1"));
        assert!(!loopback.is_target_of("http://127.0.0.1:51005/cb?code=1"));
    }

    #[test]
    fn only_the_port_of_a_loopback_redirect_uri_may_differ() {
        let registered = [
            "http://127.0.0.1/callback",
            "http://[::1]:8000/a?b=c",
            "http://localhost/cb",
        ];
        let registered = registered.map(str::to_owned);
        for (uri, expected) in [
            ("http://127.0.0.1/callback", true),
            ("http://127.0.0.1:51004/callback", true),
            ("http://127.0.0.1:1/callback", true),
            ("http://[::1]/a?b=c", true),
            ("http://[::1]:65535/a?b=c", true),
            ("http://localhost/cb", true),
            ("http://localhost:51004/cb", false),
            ("http://127.0.0.1:51004/other", false),
            ("http://127.0.0.1:51004/callback/", false),
            ("http://127.0.0.1:51004/callback?x", false),
            ("http://127.0.0.1:51004/callback#x", false),
            ("http://127.0.0.1:51004/Callback", false),
            ("http://127.0.0.1:51004", false),
            ("http://127.0.0.1:0/callback", false),
            ("http://127.0.0.1:65536/callback", false),
            ("http://127.0.0.1:/callback", false),
            ("http://127.0.0.1:+80/callback", false),
            ("http://127.0.0.1:80@evil.test/callback", false),
            ("http://127.0.0.1:80\\@evil.test/callback", false),
            ("http://127.0.0.1.evil.test/callback", false),
            ("http://127.0.0.1:80.evil.test/callback", false),
            ("http://evil.test/?http://127.0.0.1/callback", false),
            ("http://user@127.0.0.1:80/callback", false),
            ("https://127.0.0.1:51004/callback", false),
            ("HTTP://127.0.0.1:51004/callback", false),
            ("http://127.0.0.2:51004/callback", false),
            ("http://127.1:51004/callback", false),
            ("http://[::1]:80/callback", false),
            ("http://[0:0:0:0:0:0:0:1]:80/a?b=c", false),
            ("http://::1:80/a?b=c", false),
        ] {
            let found = RegisteredRedirectUri::configured(&RedirectUri::new(uri), &registered);
            assert_eq!(found.is_some(), expected, "{uri}");
            assert!(found.is_none_or(|found| found.as_str() == uri));
        }
    }

    #[test]
    fn configured_redirect_uris_match_byte_for_byte() {
        let registered = ["https://app.example/cb".to_owned()];
        let configured =
            |uri| RegisteredRedirectUri::configured(&RedirectUri::new(uri), &registered);
        assert!(configured("https://app.example/cb").is_some());
        assert!(configured("https://app.example/cb/").is_none());
        assert!(configured("https://app.example/cb?x").is_none());
        assert!(configured("https://app.example/%63b").is_none());
    }
}
