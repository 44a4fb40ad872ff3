//! Charsets of forms: those that are compatible with ASCII work, and others are refused with an explanation.

use crate::support::client::assert_token;
use crate::support::rig::Rig;
use crate::support::scripted::{Act, Then, reply};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn charsets_that_are_compatible_with_ascii_work() {
    let rig = Rig::new();
    for charset in [
        "utf-8",
        "\"UTF-8\"",
        "utf8",
        "Utf8",
        "us-ascii",
        "ISO-8859-1",
        "\"iso-8859-15\"",
        "windows-1252",
        "latin1",
    ] {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let media_type = format!("{FORM}; charset={charset}");
        let fields = [("Content-Type", media_type.as_str())];
        let form = authorization.redemption(&code).encoded();
        rig.vouch(&authorization);
        assert_token(&rig.post("/token", &fields, &form));
        // A form of the server itself, and an authorization request by POST.
        let ok = Act::Say(reply("200 OK", &[], b"ok"), Then::GoOn);
        rig.upstream.once("/authorize", ok);
        let login = rig.post("/authorize", &fields, "user=J%FCrgen&password=%E9");
        assert_eq!(login.status, 200, "{login}");
        let fresh = rig.authorization().params.encoded();
        assert_eq!(rig.post("/authorize", &fields, &fresh).status, 303);
    }
}

#[test]
fn other_charsets_are_refused_with_an_explanation() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let form = authorization.redemption(&code).encoded();
    let before = rig.upstream.ledger().len();
    for charset in [
        "utf-16",
        "ibm037",
        "utf-7",
        "shift_jis",
        "utf-8; charset=utf-16",
        "'utf-8'",
    ] {
        let media_type = format!("{FORM}; charset={charset}");
        let fields = [("Content-Type", media_type.as_str())];
        let response = rig.post("/token", &fields, &form);
        assert_eq!(response.status, 415, "{response}");
        let text = response.json()["error_description"].to_string();
        assert!(text.contains("charset"), "{text}");
        let fresh = rig.authorization().params.encoded();
        let page = rig.post("/authorize", &fields, &fresh);
        assert!(
            page.status == 415 && page.text().contains("charset"),
            "{page}"
        );
    }
    // In these charsets the same bytes are other characters.
    for (charset, client) in [("iso-8859-1", "caf%C3%A9"), ("windows-1252", "%E2%82%AC")] {
        let media_type = format!("{FORM}; charset={charset}");
        let fields = [("Content-Type", media_type.as_str())];
        let form =
            format!("{form}&grant=x").replace("client_id=pub", &format!("client_id={client}"));
        let response = rig.post("/token", &fields, &form);
        assert_eq!(response.status, 415, "{response}");
        assert!(response.text().contains("charset"), "{response}");
    }
    assert_eq!(rig.upstream.ledger().len(), before);
    assert_token(&rig.redeem(&authorization, &code));
}
