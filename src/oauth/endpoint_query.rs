//! The query that the URL of an endpoint may have (RFC 6749 sections 3.1 and 3.2): `p` at Azure AD B2C, `realm` at
//! `ForgeRock`.
//!
//! It is forwarded unchanged, so it is checked more strictly than other parameters: a name must be written as it is
//! configured, and a value must not contain anything that a server might read as its end, or decode a second time.

use super::params::{decode, is_folding_of};
use super::{authorize, token};

/// Further sensitive parameters in the queries of token requests, responses and logins, beside the protected ones.
const OTHERS: [&str; 14] = [
    "access_token",
    "assertion",
    "auth_req_id",
    "device_code",
    "error",
    "id_token",
    "nonce",
    "password",
    "prompt",
    "refresh_token",
    "response",
    "scope",
    "subject_token",
    "username",
];

/// Whether servers may read the name as a parameter of OAuth, so that it must not be allowed in an endpoint's query.
pub(crate) fn is_protected(name: &str) -> bool {
    let lists: [&[&str]; 3] = [&authorize::PROTECTED, &token::PROTECTED, &OTHERS];
    lists.iter().any(|list| is_folding_of(name, list))
}

/// Whether the query consists only of pairs with these names, each at most once.
pub(crate) fn is_allowed(query: &str, names: &[String]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    query.split('&').all(|pair| {
        let name = allowed_name(pair, names).filter(|name| !seen.contains(name));
        seen.extend(name);
        name.is_some()
    })
}

/// The allowed pairs of a query, in order, with a `?` in front. Empty if no pair is allowed or one occurs twice.
pub(crate) fn kept(query: &str, names: &[String]) -> String {
    let pairs = query.split('&');
    let kept: Vec<&str> = pairs
        .filter(|pair| allowed_name(pair, names).is_some())
        .collect();
    let kept = kept.join("&");
    if is_allowed(&kept, names) {
        format!("?{kept}")
    } else {
        String::new()
    }
}

/// The name of the pair, if it is one of `names` and its value is harmless.
fn allowed_name<'p>(pair: &'p str, names: &[String]) -> Option<&'p str> {
    let (name, value) = pair.split_once('=')?;
    // Some servers decode `+` as a blank, others keep it.
    let decoded = decode(value.as_bytes())
        .ok()
        .filter(|_| !value.contains('+'))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@,".contains(&byte);
    let is_known = names.iter().any(|known| known == name);
    (is_known && decoded.bytes().all(is_plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["p", "realm", "sap-client"].map(str::to_owned).to_vec()
    }

    #[test]
    fn only_configured_names_in_their_exact_spelling_pass() {
        for query in [
            "p=b2c_1_signin",
            "realm=/alpha",
            "realm=%2Froot%2Frealms%2fa",
            "sap-client=100&p=",
            "p=a:b@c,d",
        ] {
            assert!(is_allowed(query, &names()), "{query}");
            assert_eq!(kept(query, &names()), format!("?{query}"));
        }
        for query in [
            "",
            "p",
            "P=1",
            "%70=1",
            "p=1&p=1",
            "p=1&p=2",
            "x=1",
            "p=1&x=1",
            "p=1&code=x",
            "p=1&code%5B%5D=2",
            "p=1;code=x",
            "p=1%26code%3Dx",
            "p=1%2526code",
            "p=%zz",
            "p=%ff",
            "p=%C3%A9",
            "p=a+b",
            "p=a%20b",
            "p=1&",
            "&p=1",
            "p=1&&realm=2",
            "p=a=b",
            "p[]=1",
        ] {
            assert!(!is_allowed(query, &names()), "{query}");
        }
        assert!(!is_allowed("p=1", &[]));
    }

    #[test]
    fn only_allowed_pairs_are_advertised() {
        for (query, expected) in [
            ("x=1&p=b2c&code=1", "?p=b2c"),
            ("p=1&p=2", ""),
            ("x=1", ""),
            ("", ""),
            ("realm=/a&p=%26", "?realm=/a"),
        ] {
            assert_eq!(kept(query, &names()), expected, "{query}");
        }
    }

    #[test]
    fn no_parameter_of_oauth_can_be_allowed() {
        for name in [
            "code",
            "Code",
            "code.verifier",
            "client-id",
            "state",
            "grant_type",
            "refreshToken",
            "request",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in ["p", "realm", "sap-client", "tenant", "policy"] {
            assert!(!is_protected(name), "{name}");
        }
    }
}
