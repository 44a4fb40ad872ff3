//! The codes that clients get in JSON, and requests in JSON and in signed objects.

use serde_json::Value;

use crate::oauth::json_text::{self, Pointer};
use crate::oauth::params::Params;
use crate::oauth::{json, json_form, request_object};

/// A member of a document: its value is read as every parser reads it, and only that value is replaced. An object that is read as
/// a form is written unchanged if the form is.
pub fn json_member(input: &[u8]) {
    let parsed = json::parse(input);
    if let (Some(parsed), Ok(text)) = (&parsed, str::from_utf8(input)) {
        let place = Pointer::to_member("code").find(text);
        let value = parsed.as_object().and_then(|members| members.get("code"));
        assert_eq!(place.is_some(), value.is_some());
        if let Some(place) = place {
            let found = text.get(place.clone()).expect("a place in the text");
            assert_eq!(serde_json::from_str::<Value>(found).ok().as_ref(), value);
            let edit = [(place, json_text::quoted("pgc0"))];
            let replaced = json_text::replace(text, &edit);
            let rewritten = json::parse(replaced.as_bytes()).expect("it is JSON");
            let mut expected = parsed.clone();
            if let Some(members) = expected.as_object_mut() {
                members.insert("code".to_owned(), "pgc0".into());
            }
            assert_eq!(rewritten, expected);
        }
        for place in json_text::strings(text) {
            let string = text.get(place).expect("a place in the text");
            json_text::string(string).expect("a string");
        }
    }
    if let Some(form) = json_form::to_form(input, &[]) {
        let written = json_form::write(input, &form).expect("it was read");
        assert_eq!(written, input);
    }
    signed(input);
}

/// A request object never has a challenge that is beside it.
fn signed(input: &[u8]) {
    let outside = "client_id=a&code_challenge=outside";
    let outside = Params::parse(outside.as_bytes(), usize::MAX).expect("a form");
    let Ok(object) = str::from_utf8(input) else {
        return;
    };
    if let Ok(form) = request_object::read(object, &outside, false) {
        let form = Params::survey(&form, usize::MAX).expect("encoded parameters parse");
        let mut challenges = form.all("code_challenge");
        assert!(
            challenges
                .next()
                .is_some_and(|pair| pair.value() == "outside")
        );
        assert!(!form.contains("request") && !form.contains("request_uri"));
    }
}
