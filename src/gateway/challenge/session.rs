//! The key under which a sign-in is found by its `auth_session`.

use zeroize::Zeroizing;

use crate::oauth::{Digest, params};
use crate::spelling::any_layer;
use crate::spelling::layers::peel;

/// The key of the sign-in with this `auth_session`. It is the same for every spelling that a lenient server accepts: in another
/// case, escaped again, with other punctuation (a UUID without hyphens, base64 of the other alphabet). A spelling that is unknown
/// here could begin a sign-in with another challenge, while the server continues the one that it knows.
///
/// `None`: servers read it differently. They may trim blanks, and end a text at a NUL.
pub(super) fn key(auth_session: &str) -> Option<Digest> {
    let mut is_plain = true;
    let mut innermost = Zeroizing::new(Vec::new());
    any_layer(auth_session.as_bytes(), |layer| {
        let is_visible = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic();
        is_plain &= layer.trim_ascii() == layer && layer.iter().all(is_visible);
        innermost = Zeroizing::new(layer.to_vec());
        false
    });
    let letters = Zeroizing::new(params::letters(&innermost).collect::<Vec<u8>>());
    let is_read = is_plain && peel(&innermost).is_none() && !letters.is_empty();
    is_read.then(|| Digest::of("auth_session", &[&letters]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_servers_read_differently_has_no_key() {
        for text in [
            "Sess ",
            " Sess",
            "\tSess",
            "Sess\n",
            "Sess\0",
            "S\u{e9}ss",
            "Sess\u{200b}",
            "\u{17f}ess",
            "Sess%20",
            "%2520Sess",
            "Sess%00",
            "S%C3%A9ss",
            "%2525252525Sess",
            "",
            "--",
        ] {
            assert!(key(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn different_sessions_have_different_keys() {
        let texts = ["Sess1", "Sess2", "Sess", "ess1", "1Sess", "S e s s 3"];
        let keys: std::collections::HashSet<_> = texts.map(|text| key(text).unwrap()).into();
        assert_eq!(keys.len(), texts.len());
    }

    proptest! {
        #[test]
        fn a_session_is_found_in_every_spelling(
            session in "[a-zA-Z0-9][a-zA-Z0-9/+_. -]{0,20}[a-zA-Z0-9]={0,2}",
            layers in 0_usize..=3,
            all in any::<bool>(),
        ) {
            let own = key(&session);
            prop_assert!(own.is_some());
            let mut escaped = session.clone();
            for _ in 0..layers {
                escaped = escaped.chars().enumerate().map(|(at, c)| {
                    if all || at % 2 == 0 || c == '%' { format!("%{:02X}", u32::from(c)) } else { c.to_string() }
                }).collect();
            }
            let other = session.replace('+', "-").replace('/', "_").replace('=', "");
            for spelled in [session.to_ascii_lowercase(), session.to_ascii_uppercase(), escaped, other] {
                prop_assert_eq!(key(&spelled), own, "{}", spelled);
            }
        }
    }
}
