//! The cost of reading answers is bounded, also for adversarial ones.

use super::carried::SEVERAL;
use super::detect::{Credential, Kind, carries, is_parameter_of};
use super::location::{address, is_token_response};
use super::*;
use crate::examined;
use crate::flow::{HandleKey, Purpose};
use crate::spelling::Twins;
use crate::spelling::shortcuts::may_name_token;

/// Parts of answers that are meant to take long to read.
const ADVERSARIAL: [&str; 36] = [
    "<p>hello world</p>",
    "<form><a ",
    "a ",
    "a=b ",
    "<a>",
    "<input name=a>",
    "<form action=a></form>",
    "<form action=http://c/><input name=code value=a>",
    "<input name=code value=a><input name=state value=b>",
    "<input name=code value=1234567890",
    "&#",
    "&#1;",
    "&amp",
    "&",
    "<!--",
    "<script></",
    "<textarea name=code>",
    "<iframe srcdoc='<form><input name=code value=12345678>'>",
    "<iframe srcdoc='<form>",
    "<form id=a></form><input form=a name=code value=12345678>",
    "<button formaction=a name=code value=12345678>",
    "<select name=code><option>",
    "access_token=1&state=1 ",
    "https://c/?access_token=12345678&state=1#",
    "\"code\",\"value\":",
    "code[",
    "r.code='",
    "code:",
    "code\"\"\"",
    "?code=1",
    "code=",
    "c",
    "pgs",
    "%25",
    "\\u0063",
    "\\\\",
];

/// The most bytes that may be looked at for each byte of an answer.
const WORK: usize = 100;

#[test]
fn each_byte_of_an_answer_is_looked_at_a_bounded_number_of_times() {
    let key = HandleKey::for_upstream("t");
    let twins = Twins::of("4/0AbCdEfGhIjKl+MnOp=");
    for part in ADVERSARIAL {
        for before in ["", "pgs", "<form action=http://c/>", "<a b='", "?code="] {
            let text = format!("{before}{}", part.repeat(16_384 / part.len()));
            let text = text.as_bytes();
            let looked_at = examined::during(|| {
                for place in
                    carriers(None, false, text)
                        .iter()
                        .chain(&carriers(Some(text), false, text))
                {
                    let carried = place.read((&key).into());
                    assert!(carried.codes.len() <= SEVERAL && carried.handles.len() <= SEVERAL);
                }
                let _ = carries(Credential::Code, text, Kind::Html, None);
                let _ = carries(Credential::Token, text, Kind::Text, None);
                let _ = may_name_token(text) && is_token_response(address(text), Credential::Token);
                let _ = is_parameter_of(Credential::Code, text);
                let _ = twins.stand_in(text);
                let _ = key.find_all(Purpose::State, text, 64);
            });
            assert!(
                looked_at < WORK * text.len(),
                "{before}{part}: {} times",
                looked_at / text.len()
            );
        }
    }
}
