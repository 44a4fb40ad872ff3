//! Authorization responses in a JWT (JARM).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::answer::carrier::location::Location;
use crate::answer::carrier::{Carried, Carrier, jarm};
use crate::oauth::params::encode_into;
use crate::oauth::{AuthorizationCode, json};

use super::handles::key;

/// A signed response: what any parser finds in its claims, the gate finds, or it says that it could not read them. The input is the
/// payload, and the whole value.
pub fn signed_response(input: &[u8]) {
    let payload = URL_SAFE_NO_PAD.encode(input);
    let value = format!("e30.{payload}.c2ln");
    assert!(jarm::is_response(&value));
    let claims = json::parse(input).and_then(|claims| claims.as_object().cloned());
    assert_eq!(jarm::claims(&value), claims);
    let carried = carried(&value);
    assert!(carried.signed);
    assert_eq!(carried.signed_is_read, claims.is_some());
    match &claims {
        // It may contain anything.
        None => assert!(carried.signed_credential && carried.codes.is_empty()),
        Some(claims) => {
            let text = |name| claims.get(name).and_then(|value| value.as_str());
            let codes: Vec<&str> = carried
                .codes
                .iter()
                .map(AuthorizationCode::expose)
                .collect();
            let expected: Vec<&str> = text("code")
                .filter(|code| !code.is_empty())
                .into_iter()
                .collect();
            assert_eq!(codes, expected);
            assert_eq!(carried.state.as_deref(), text("state"));
            assert!(!claims.contains_key("code") || carried.signed_credential);
        }
    }
    if let Ok(whole) = str::from_utf8(input) {
        let may_hold = jarm::may_hold_credential(whole);
        assert!(
            !may_hold || jarm::is_response(whole),
            "a credential outside of a response"
        );
    }
}

fn carried(value: &str) -> Carried {
    let mut url = b"https://app.example/cb?response=".to_vec();
    encode_into(&mut url, value);
    Location::new(&url).read((&key()).into())
}
