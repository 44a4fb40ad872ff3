//! The query that the URL of an endpoint may have (RFC 6749 sections 3.1 and 3.2): `p` at Azure AD B2C, `realm` at `ForgeRock`.
//!
//! It goes on as it came, so it is read more strictly than any parameter: a name is written as it is configured, and a value
//! holds nothing that another server might take for the end of it, or decode once more.

use super::params::{decode, is_folding_of};
use super::{authorize, token};

/// What stands in the queries of token requests, answers and logins beside the protected names.
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

/// Whether a name may not be let through, because servers may take it for a parameter of OAuth.
pub(crate) fn is_protected(name: &str) -> bool {
    let lists: [&[&str]; 3] = [&authorize::PROTECTED, &token::PROTECTED, &OTHERS];
    lists.iter().any(|list| is_folding_of(name, list))
}

/// Whether a query consists of pairs with these names, each once, and of nothing else.
pub(crate) fn is_allowed(query: &str, names: &[String]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    query.split('&').all(|pair| {
        let name = allowed_name(pair, names).filter(|name| !seen.contains(name));
        seen.extend(name);
        name.is_some()
    })
}

/// The pairs of a query that may stay, in their order, with a `?` before them; empty when there is none.
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

/// The name of a pair, when it is one of these and its value is harmless.
fn allowed_name<'p>(pair: &'p str, names: &[String]) -> Option<&'p str> {
    let (name, value) = pair.split_once('=')?;
    // A `+` is a blank to some and itself to others.
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
    fn only_what_is_configured_passes_and_only_as_it_is_spelt() {
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
    fn what_is_advertised_is_what_passes() {
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
    fn no_parameter_of_oauth_can_be_let_through() {
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
