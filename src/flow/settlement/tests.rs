use super::*;
use proptest::prelude::*;

fn answer<'a>(status: u16, media_type: &'a str, body: &'a str) -> Answer<'a> {
    Answer {
        status,
        media_type: (!media_type.is_empty()).then_some(media_type),
        encoded: false,
        body: body.as_bytes(),
        whole: true,
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn an_answer_that_did_not_redeem_the_code_releases_it() {
    for (status, media_type, body) in [
        (400, JSON, r#"{"error":"use_dpop_nonce"}"#),
        (401, JSON, r#"{"error":"use_dpop_nonce"}"#),
        (400, JSON, r#"{"error":"invalid_client"}"#),
        (403, JSON, r#"{"error":"unauthorized_client"}"#),
        (
            400,
            JSON,
            r#"{"error":"invalid_request","token_type":null}"#,
        ),
        (401, JSON, r#"{"message":"Unauthorized"}"#),
        (401, JSON, r#"["invalid_client"]"#),
        (400, JSON, "\u{feff} {\"error\":\"invalid_client\"}"),
        (
            400,
            JSON,
            r#"{"error":"unauthorized","access_token":null,"id_token":""}"#,
        ),
        (400, JSON, "Unauthorized"),
        (401, "text/html", "<h1>401</h1>"),
        (403, "text/html", "<p>J\u{fc}rgen"),
        (405, "", ""),
        (415, "text/plain", "unsupported media type"),
        (
            422,
            "application/problem+json",
            r#"{"title":"no","status":422}"#,
        ),
        (429, "text/plain", "slow down"),
        (503, "", ""),
        (503, "text/html", "<h1>later</h1>"),
        (200, JSON, r#"{"error":"incorrect_client_credentials"}"#),
        (
            200,
            "text/javascript",
            r#"{"error":{"code":100,"message":"x"}}"#,
        ),
        (200, JSON, r#"{"ok":false,"error":"bad_client_secret"}"#),
        (200, JSON, r#"{"ok":false}"#),
        (
            200,
            FORM,
            "error=incorrect_client_credentials&error_description=x+y",
        ),
        (
            200,
            "text/plain; charset=utf-8",
            "error=redirect_uri_mismatch\r\n",
        ),
        (200, "", "error_description=x&error=slow_down"),
    ] {
        let settled = of_answer(answer(status, media_type, body));
        assert_eq!(settled, Settlement::Release, "{status} {media_type} {body}");
    }
}

#[test]
fn an_answer_that_may_have_redeemed_the_code_burns_it() {
    for (status, media_type, body) in [
        (200, JSON, r#"{"access_token":"at"}"#),
        (200, JSON, r#"{"error":"none","access_token":"at"}"#),
        (
            200,
            JSON,
            r#"{"ok":false,"authed_user":{"access_token":"at"}}"#,
        ),
        (200, JSON, r#"{"error":"x","data":[{"accessToken":"at"}]}"#),
        (200, JSON, r#"{"error":"x","id_token":"e30"}"#),
        (200, JSON, r#"{"error":"x","\u0061ccess_token":"at"}"#),
        (
            400,
            JSON,
            r#"{"error":"invalid_client","refresh_token":"rt"}"#,
        ),
        (200, JSON, r#"{"error":null}"#),
        (200, JSON, r#"{"error":""}"#),
        (200, JSON, r#"{"error":false,"data":"sealed"}"#),
        (200, JSON, r#"{"ok":true}"#),
        (200, JSON, "{}"),
        (200, JSON, r#"["error"]"#),
        (200, JSON, r#""error""#),
        (200, JSON, ""),
        (204, "", ""),
        (200, "text/html", "<p>error=x"),
        (200, "text/html", "error=x"),
        (200, FORM, "error=x&access_token=at"),
        (200, FORM, "error=x&%61ccess_token=at"),
        (200, FORM, "error=&a=b"),
        (200, FORM, "error=x&error=y"),
        (200, FORM, "access_token=at"),
        (200, "text/plain", "error=invalid%5fgrant"),
        (400, JSON, r#"{"error":"invalid_grant"}"#),
        (401, JSON, r#"{"error":"invalid_grant"}"#),
        (503, JSON, r#"{"error":"invalid_grant"}"#),
        (400, JSON, r#"{"error":"invalid\u005fgrant"}"#),
        (400, JSON, r#"{"error":{"code":"invalid_grant"}}"#),
        (
            400,
            JSON,
            r#"{"error":"x","error_description":"invalid_grant: used"}"#,
        ),
        (
            400,
            JSON,
            r#"{"error":"invalid_grant","error":"invalid_client"}"#,
        ),
        (400, JSON, r#"{"error":"invalid_client""#),
        (400, "text/html", "<p>invalid_grant</p>"),
        (400, FORM, "error=invalid_grant"),
        (400, "text/plain", "access_token=at"),
        (400, "application/json; charset=utf-16", "{\0\"\0e\0"),
        (500, JSON, r#"{"error":"server_error"}"#),
        (502, "", ""),
        (504, "text/html", "<h1>504</h1>"),
        (302, "", ""),
        (304, "", ""),
        (101, "", ""),
        (999, "", ""),
    ] {
        let settled = of_answer(answer(status, media_type, body));
        assert_eq!(settled, Settlement::Burn, "{status} {media_type} {body}");
    }
}

#[test]
fn a_partial_or_compressed_answer_releases_only_as_an_error_page() {
    for (status, body, released) in [
        (401, "<h1>a long page", true),
        (401, "{\"error\":\"invalid_client\"}", false),
        (401, "", false),
        (200, "error=x", false),
        (200, "{\"error\":\"x\"}", false),
    ] {
        let part = Answer {
            whole: false,
            ..answer(status, "", body)
        };
        let settled = of_answer(part) == Settlement::Release;
        assert_eq!(settled, released, "{status} {body}");
    }
    let packed = Answer {
        encoded: true,
        ..answer(401, JSON, "{\"error\":\"invalid_client\"}")
    };
    assert_eq!(of_answer(packed), Settlement::Burn);
    let empty = Answer {
        encoded: true,
        ..answer(401, JSON, "")
    };
    assert_eq!(of_answer(empty), Settlement::Release);
}

#[test]
fn longest_name_is_the_length_of_the_longest_token_name() {
    let longest = SPELT.iter().map(|name| name.len()).max();
    assert_eq!(longest, Some(LONGEST_NAME));
    assert!(SPELT.iter().all(|name| names_token(name)));
    assert!(!names_token(b"token_type id_toke access-token"));
}

/// A document that contains this member at some depth.
fn wrapped(member: &str, depth: usize, list: bool) -> String {
    (0..depth).fold(format!("{{{member}}}"), |inner, _| {
        let inner = if list { format!("[0,{inner}]") } else { inner };
        format!("{{\"error\":\"invalid_client\",\"ok\":false,\"in\":{inner}}}")
    })
}

proptest! {
    #[test]
    fn a_token_or_invalid_grant_burns_at_any_depth(
        status in 100_u16..600,
        member in prop::sample::select(vec![
            r#""access_token":"x""#, r#""AccessToken":1"#, r#""id_token":["x"]"#, r#""refresh-token":{"a":1}"#,
            r#""x":"invalid_grant""#, r#""error":"invalid_grant""#,
        ]),
        depth in 0_usize..20,
        list: bool,
        media_type in prop::sample::select(vec!["", JSON, FORM, "text/html"]),
    ) {
        let body = wrapped(member, depth, list);
        prop_assert_eq!(of_answer(answer(status, media_type, &body)), Settlement::Burn, "{}", body);
    }

    #[test]
    fn only_an_error_releases_the_code(
        status in 100_u16..600,
        media_type in prop::option::of(prop::sample::select(vec!["", JSON, FORM, "text/html", "text/plain"])),
        encoded: bool,
        whole: bool,
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            r#"[{}\[\]":,=& a]{0,10}|(error|ok|false|null|=|&|"|:|\{|\}|,|access_token|invalid_grant|x){0,12}"#.prop_map(String::into_bytes),
        ],
    ) {
        let answer = Answer { status, media_type, encoded, body: &body, whole };
        if of_answer(answer) == Settlement::Release {
            prop_assert!(may_release(status));
            prop_assert!(!body.windows(13).any(|window| window == b"invalid_grant"));
            let is_success = (200..300).contains(&status);
            let says_error = ["error", "ok"].iter().any(|word| body.windows(word.len()).any(|window| window == word.as_bytes()));
            prop_assert!(!is_success || whole && !encoded && says_error);
        }
    }
}
