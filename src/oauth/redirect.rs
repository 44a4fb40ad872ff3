//! Redirect URIs: compared as bytes, recognised in a `Location`, and trusted only where they are registered.

use std::fmt;

use memchr::memchr2;
use url::Url;

use super::Digest;

/// A `redirect_uri` exactly as a client sent it. RFC 6749 section 4.1.3 compares it byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Any string: the upstream decides whether it is registered.
    pub fn new(uri: &str) -> Self {
        Self(uri.to_owned())
    }

    /// The bytes that came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a store keeps of it.
    pub fn digest(&self) -> RedirectDigest {
        RedirectDigest {
            exact: exact_digest(&self.0),
            target: target_digest(&self.0),
        }
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUri({})", self.0)
    }
}

/// A redirect URI as two digests: of its bytes, and of the place it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RedirectDigest {
    exact: Digest,
    target: Digest,
}

impl RedirectDigest {
    /// Whether a token request names the very same URI.
    pub fn is(&self, redirect_uri: &str) -> bool {
        self.exact == exact_digest(redirect_uri)
    }

    /// Whether a `Location` or a form's `action` leads there. Servers re-serialise URIs (`https://app` becomes
    /// `https://app/`), so scheme, authority and path are compared after WHATWG normalisation.
    pub fn is_target_of(&self, location: &str) -> bool {
        self.target == target_digest(location)
    }

    /// The digest of scheme, authority and path.
    pub const fn target(&self) -> Digest {
        self.target
    }

    /// For stores.
    pub const fn to_parts(self) -> (Digest, Digest) {
        (self.exact, self.target)
    }

    /// For stores.
    pub const fn from_parts(exact: Digest, target: Digest) -> Self {
        Self { exact, target }
    }
}

fn exact_digest(uri: &str) -> Digest {
    Digest::remembered("redirect_uri", uri, |uri| {
        Digest::of("redirect_uri", &[uri.as_bytes()])
    })
}

/// Whether a redirect URI brings a `code` of its own along, in whatever spelling. A server that adds its answer to it would
/// send a code out that it did not issue.
pub fn brings_code(uri: &str) -> bool {
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

/// The digest of where a URI leads: scheme, authority and path, without query and fragment.
pub fn target_digest(uri: &str) -> Digest {
    let end = memchr2(b'?', b'#', uri.as_bytes()).unwrap_or(uri.len());
    let base = uri.get(..end).unwrap_or(uri);
    Digest::remembered("redirect_target", base, |base| match Url::parse(base) {
        Ok(url) => Digest::of("redirect_target", &[url.as_str().as_bytes()]),
        Err(_) => Digest::of("redirect_target", &[base.as_bytes()]),
    })
}

/// A redirect URI that is known to belong to its client: the only thing that an error redirect of ours accepts
/// (RFC 6749 section 4.1.2.1; anything else would make the gate an open redirector).
#[derive(Clone, PartialEq, Eq)]
pub struct RegisteredRedirectUri(String);

impl RegisteredRedirectUri {
    /// It stands in the configuration of this client.
    pub fn configured(uri: &RedirectUri, registered: &[String]) -> Option<Self> {
        registered.contains(&uri.0).then(|| Self(uri.0.clone()))
    }

    /// The upstream has itself sent a code to it for this client; the caller holds the proof.
    pub fn learned(uri: &RedirectUri) -> Self {
        Self(uri.0.clone())
    }

    /// The exact URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RegisteredRedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegisteredRedirectUri({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_code_in_a_redirect_uri_is_seen_in_every_spelling() {
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
        let loopback = RedirectUri::new("http://127.0.0.1:51004/cb").digest();
        assert!(loopback.is_target_of("http://127.0.0.1:51004/cb?code=1"));
        assert!(!loopback.is_target_of("http://127.0.0.1:51005/cb?code=1"));
    }

    #[test]
    fn only_the_very_same_bytes_are_a_configured_uri() {
        let registered = ["https://app.example/cb".to_owned()];
        let configured =
            |uri| RegisteredRedirectUri::configured(&RedirectUri::new(uri), &registered);
        assert!(configured("https://app.example/cb").is_some());
        assert!(configured("https://app.example/cb/").is_none());
        assert!(configured("https://app.example/cb?x").is_none());
    }
}
