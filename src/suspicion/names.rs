//! Recognises parameter names like lenient servers, and finds client names in credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::oauth::params::{foldings, letters, text_of};
use crate::spelling::any_layer;
use crate::spelling::shortcuts::is_plain_name;

/// A set of parameters that are present with a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said(u16);

impl Said {
    /// `code` with any value.
    pub(crate) const CODE: Self = Self(1);
    /// `code` with a value that is not a one-time password.
    pub(crate) const LONG_CODE: Self = Self(1 << 1);
    /// `grant_type`
    pub(crate) const GRANT_TYPE: Self = Self(1 << 2);
    /// `client_id`
    pub(crate) const CLIENT_ID: Self = Self(1 << 3);
    /// `client_secret`
    pub(crate) const CLIENT_SECRET: Self = Self(1 << 4);
    /// `client_assertion`
    pub(crate) const CLIENT_ASSERTION: Self = Self(1 << 5);
    /// `redirect_uri`
    pub(crate) const REDIRECT_URI: Self = Self(1 << 6);
    /// `code_verifier`
    pub(crate) const CODE_VERIFIER: Self = Self(1 << 7);
    /// `response_type`
    pub(crate) const RESPONSE_TYPE: Self = Self(1 << 8);
    /// `response_mode`
    pub(crate) const RESPONSE_MODE: Self = Self(1 << 9);
    /// `code_challenge`, `code_challenge_method`
    pub(crate) const CHALLENGE: Self = Self(1 << 10);
    /// `request`, `request_uri`
    pub(crate) const REQUEST: Self = Self(1 << 11);

    /// With a `client_id`, any of these makes a request an authorization request.
    pub(crate) const OF_AUTHORIZATION: Self = Self::REDIRECT_URI
        .and(Self::RESPONSE_TYPE)
        .and(Self::RESPONSE_MODE)
        .and(Self::CHALLENGE)
        .and(Self::REQUEST);
    /// The parameters that begin an authorization request, or change one in progress.
    pub(crate) const AUTHORIZATION: Self = Self::OF_AUTHORIZATION
        .and(Self::CLIENT_ID)
        .and(Self::CODE_VERIFIER);
    /// With a code, any of these makes a request a token request.
    const COMPANIONS: Self = Self::CLIENT_ID
        .and(Self::CLIENT_SECRET)
        .and(Self::REDIRECT_URI)
        .and(Self::CODE_VERIFIER);

    /// The union of both sets.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of these parameters is present.
    pub(crate) const fn has(self, any_of: Self) -> bool {
        self.0 & any_of.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether these are the parameters of a token request: a grant type, or a code with a companion. For a one-time password,
    /// the companion must be a secret or a verifier.
    pub(crate) const fn ask_for_token(self) -> bool {
        let secretive = Self::CLIENT_SECRET.and(Self::CODE_VERIFIER);
        self.has(Self::GRANT_TYPE)
            || self.has(Self::LONG_CODE) && self.has(Self::COMPANIONS)
            || self.has(Self::CODE) && self.has(secretive)
    }
}

/// The known names, without case and punctuation.
const NAMES: [(&str, Said); 13] = [
    ("code", Said::CODE),
    ("granttype", Said::GRANT_TYPE),
    ("clientid", Said::CLIENT_ID),
    ("clientsecret", Said::CLIENT_SECRET),
    ("clientassertion", Said::CLIENT_ASSERTION),
    ("redirecturi", Said::REDIRECT_URI),
    ("codeverifier", Said::CODE_VERIFIER),
    ("responsetype", Said::RESPONSE_TYPE),
    ("responsemode", Said::RESPONSE_MODE),
    ("codechallenge", Said::CHALLENGE),
    ("codechallengemethod", Said::CHALLENGE),
    ("request", Said::REQUEST),
    ("requesturi", Said::REQUEST),
];

/// The parameters that some server reads the name as.
pub(crate) fn read_as(name: &[u8]) -> Said {
    if is_plain_name(name) {
        let mut names = NAMES.iter();
        let known = names.find(|(known, _)| letters(name).eq(known.bytes()));
        return known.map_or(Said::default(), |(_, said)| *said);
    }
    read_as_any(name)
}

/// The same without the quick test.
pub(crate) fn read_as_any(name: &[u8]) -> Said {
    let mut said = Said::default();
    let mut read = |name: &[u8]| {
        any_layer(name, |layer| {
            for folded in foldings(&text_of(layer.to_vec())) {
                let known = NAMES.iter().find(|(known, _)| *known == folded);
                said = said.and(known.map_or(Said::default(), |(_, said)| *said));
            }
            false
        });
    };
    read(name);
    // Tomcat and others decode the words of RFC 2047 in the names of multipart fields.
    if memmem::find(name, b"=?").is_some() {
        read(&without_encoded_words(name));
    }
    said
}

/// Decodes `=?charset?Q?text?=` and `=?charset?B?text?=`. Other text stays unchanged.
fn without_encoded_words(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, word)) =
        memmem::find(rest, b"=?").and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(before);
        rest = match encoded_word(word) {
            Some((text, behind)) => {
                out.extend(text);
                behind
            }
            None => {
                out.extend_from_slice(b"=?");
                word.get(2..).unwrap_or_default()
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

/// The longest encoded word that is decoded, in bytes. RFC 2047 section 2 allows 75 characters, but some parsers accept longer
/// ones.
const LONGEST_WORD: usize = 1024;

fn encoded_word(word: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let within = word.get(..LONGEST_WORD).unwrap_or(word);
    let mut parts = within.get(2..)?.splitn(3, |&byte| byte == b'?');
    let (charset, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = memmem::find(rest, b"?=")?;
    let encoded = rest.get(..end)?;
    let text = match kind {
        b"B" | b"b" => STANDARD.decode(encoded).ok()?,
        b"Q" | b"q" => quoted(encoded),
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + kind.len() + 1 + end + 2;
    Some((text, word.get(length..)?))
}

/// Decodes `=HH`, and `_` as a blank (RFC 2047 section 4.2).
fn quoted(encoded: &[u8]) -> Vec<u8> {
    let as_percent: Vec<u8> = encoded
        .iter()
        .map(|&byte| match byte {
            b'=' => b'%',
            b'_' => b' ',
            other => other,
        })
        .collect();
    crate::spelling::layers::without_percent(&as_percent).into_owned()
}
