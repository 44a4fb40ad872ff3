//! Attacks 30 to 53: the parameters of a token request, and how servers read them.
//!
//! 31 fails without the duplicate check of `TokenRequest::parse` (`Params::one` also refuses 30); 33, 34 and 37 without its
//! folded names, 36 without its check of separators; 32 without the query check and 40, 42 to 44 without the media types of
//! `gateway/token.rs`, and 45 without its Content-Encoding; 35 and 39 without the strictness of `Params::parse`; 48 and 49 if
//! only `authorization_code` is a redemption. 36 and 52 failed before they had a check.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Attacked, FORM, both, json, multipart, post_bytes};
use crate::support::client::assert_token;
use crate::support::params::{Params, encode};
use crate::support::rig::{
    HOST, REDIRECT_URI, Rig, authorization_response, cookie_of, request, target,
};
use crate::support::scripted::{Act, Shape, Then, reply};

/// A correct request with this addition.
#[track_caller]
fn refused_with(attacked: &Attacked, added: &str) {
    for form in attacked.all() {
        for body in [format!("{form}&{added}"), format!("{added}&{form}")] {
            attacked.refused_form("/token", &[], &body, &[400]);
        }
    }
}

/// A correct request whose code has another name.
#[track_caller]
fn refused_as(attacked: &Attacked, name: &str) {
    let others = attacked.whole().without("code").encoded();
    for code in [&attacked.code, &attacked.raw()] {
        for body in [
            format!("{name}={code}&{others}"),
            format!("{others}&{name}={code}"),
        ] {
            attacked.refused_form("/token", &[], &body, &[400]);
        }
    }
}

/// Attack 30.
#[test]
fn duplicate_codes() {
    both(|attacked| {
        let others = attacked.whole().without("code").encoded();
        let (ours, raw) = (&attacked.code, &attacked.raw());
        for codes in [
            format!("code={ours}&code={raw}"),
            format!("code={raw}&code={ours}"),
            format!("code={ours}&code={ours}"),
            format!("code={ours}&code={raw}&code={ours}"),
            format!("code={ours}&code="),
            format!("code=&code={raw}"),
            format!("code={ours}&code"),
            format!("code={ours}&%63ode={raw}"),
        ] {
            for body in [format!("{codes}&{others}"), format!("{others}&{codes}")] {
                attacked.refused_form("/token", &[], &body, &[400]);
            }
        }
    });
}

/// Attack 31.
#[test]
fn other_duplicates() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        for (name, value) in attacked.whole().iter() {
            for value in [value, "x", ""] {
                let second = format!("{name}={}", encode(value));
                for body in [format!("{whole}&{second}"), format!("{second}&{whole}")] {
                    attacked.refused_form("/token", &[], &body, &[400]);
                }
            }
        }
        refused_with(attacked, "scope=a&scope=a");
    });
}

/// Attack 32.
#[test]
fn same_parameter_in_query_and_body() {
    both(|attacked| {
        let raw = attacked.raw();
        for query in [
            format!("code={raw}"),
            "grant_type=x".to_owned(),
            "scope=x".to_owned(),
        ] {
            let target = format!("/token?{query}");
            for form in attacked.all() {
                attacked.refused_form(&target, &[], &form, &[400]);
            }
        }
    });
}

/// Attack 33.
#[test]
fn names_in_another_case() {
    both(|attacked| {
        let raw = attacked.raw();
        for name in ["CODE", "Code", "cODE"] {
            refused_with(attacked, &format!("{name}={raw}"));
            refused_as(attacked, name);
        }
        for name in [
            "GRANT_TYPE",
            "Code_Verifier",
            "codeVerifier",
            "client-id",
            "clientId",
            "RedirectUri",
        ] {
            refused_with(attacked, &format!("{name}=x"));
        }
    });
}

/// Attack 34. PHP, Rack, qs, Spring and ASP.NET read each of these as `code`.
#[test]
fn names_that_become_another() {
    both(|attacked| {
        let raw = attacked.raw();
        for name in [
            "+code",
            "%20code",
            "code+",
            "code%20",
            "code%2E",
            "code.",
            "code[",
            "code%5B",
            "code[]",
            "code%5B%5D",
            "code[0]",
            "code[x]",
            "code[][]",
            "code%09",
            "code%C2%A0",
            "_code",
            "-code",
            ".code",
        ] {
            refused_with(attacked, &format!("{name}={raw}"));
            refused_as(attacked, name);
        }
        for name in [
            "code.verifier",
            "code+verifier",
            "code[verifier",
            "code_verifier[]",
            "grant.type",
            "client_id[]",
        ] {
            refused_with(attacked, &format!("{name}=x"));
        }
    });
}

/// Attack 35.
#[test]
fn nul() {
    both(|attacked| {
        let raw = attacked.raw();
        for added in [
            format!("code%00x={raw}"),
            format!("%00code={raw}"),
            format!("code\0={raw}"),
            "x=%00".to_owned(),
            "x=\0".to_owned(),
            "\0".to_owned(),
            "scope=a%00b".to_owned(),
        ] {
            refused_with(attacked, &added);
        }
        for form in attacked.all() {
            attacked.refused_form("/token", &[], &format!("{form}\0"), &[400]);
            attacked.refused_form("/token", &[], &format!("{form}%00"), &[400]);
        }
    });
}

/// Attack 36. Some servers also separate parameters at `;`.
#[test]
fn semicolons() {
    both(|attacked| {
        let raw = attacked.raw();
        for body in [
            format!("grant_type=authorization_code;code={raw}"),
            format!("grant_type=openid;code={raw};client_id=pub"),
            format!("a=1;code={raw}&grant_type=client_credentials"),
            format!(
                "grant_type=client_credentials&scope=a;code={raw};grant_type=authorization_code"
            ),
            attacked.tok().encoded().replace('&', ";"),
            attacked.whole().encoded().replace('&', ";"),
            attacked
                .tok()
                .with("code", &raw)
                .encoded()
                .replace('&', ";"),
        ] {
            attacked.refused_form("/token", &[], &body, &[400]);
            attacked.refused_form("/other/token", &[], &body, &[400]);
        }
        for added in [
            format!("scope=a;code={raw}"),
            format!("x;code={raw}"),
            format!(";code={raw}"),
        ] {
            refused_with(attacked, &added);
        }
        // Percent-encoded, it is an ordinary character.
        let whole = attacked.whole().with("scope", "a;b").encoded();
        let received = attacked.redeemed_by(&request("POST", "/token", &[], Some(&whole)));
        assert!(received.text().contains("scope=a%3Bb"), "{received:?}");
    });
}

/// Attack 37.
#[test]
fn blanks_and_empty_pairs() {
    both(|attacked| {
        let raw = attacked.raw();
        for added in [
            format!(" code={raw}"),
            format!("\tcode={raw}"),
            format!("\ncode={raw}"),
            "=x".to_owned(),
            "=".to_owned(),
        ] {
            refused_with(attacked, &added);
        }
        let without = attacked.whole().without("code").encoded();
        for body in [
            format!("{without}&code"),
            format!("code&{without}"),
            format!("{without}&code="),
        ] {
            attacked.refused_form("/token", &[], &body, &[400]);
        }
        let whole = attacked.whole().encoded();
        let received = attacked.redeemed_by(&request(
            "POST",
            "/token",
            &[],
            Some(&format!("&&{whole}&&")),
        ));
        let names: Vec<_> = received
            .form()
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(names.len(), attacked.whole().iter().count(), "{received:?}");
    });
}

/// Attack 38. The gate decodes names, and enforces PKCE for them.
#[test]
fn escaped_names() {
    both(|attacked| {
        for form in attacked.unverified() {
            let body = form
                .replace("code=", "%63ode=")
                .replace("grant_type", "gr%61nt%5ftype");
            attacked.refused_form("/token", &[], &body, &[400]);
        }
        let whole = attacked
            .whole()
            .encoded()
            .replace("code_verifier=", "c%6Fde_verifier=");
        attacked.redeemed_by(&request("POST", "/token", &[], Some(&whole)));
    });
}

/// Attack 39.
#[test]
fn broken_encodings() {
    both(|attacked| {
        let form = [("Content-Type", FORM)];
        for added in [
            "x=%ff",
            "x=%C0%A3",
            "x=%c0%ae",
            "x=%ED%A0%80",
            "x=%4",
            "x=%",
            "x=%zz",
            "x=%u0063",
            "c%u006fde=x",
            "%ff=x",
            "x=%F4%90%80%80",
            "x=%E2%82",
        ] {
            refused_with(attacked, added);
        }
        for bytes in [
            &b"&x=\xff"[..],
            b"&x=\xc0\xa3",
            b"&\xed\xa0\x80=x",
            b"&x=\xe2\x82",
        ] {
            let body = [attacked.whole().encoded().as_bytes(), bytes].concat();
            attacked.refused(&post_bytes("/token", &form, &body), &[400]);
        }
    });
}

/// Attack 40.
#[test]
fn charsets() {
    both(|attacked| {
        for charset in [
            "ibm037",
            "utf-16",
            "UTF-16LE",
            "utf-7",
            "utf-32",
            "x-user-defined",
            "iso-2022-jp",
            "shift_jis",
            "\"utf-7\"",
            "utf-8,utf-16",
        ] {
            for separator in [
                ";charset=",
                "; charset=",
                "; Charset = ",
                ";charset=utf-8;charset=",
            ] {
                let kind = format!("{FORM}{separator}{charset}");
                for form in attacked.all() {
                    attacked.refused_form("/token", &[("Content-Type", &kind)], &form, &[415]);
                }
            }
        }
        // The same request in EBCDIC would have other bytes; the media type is refused before that.
        let ebcdic: Vec<u8> = attacked
            .whole()
            .encoded()
            .bytes()
            .map(|byte| byte ^ 0x80)
            .collect();
        let kind = format!("{FORM}; charset=ibm037");
        attacked.refused(
            &post_bytes("/token", &[("Content-Type", &kind)], &ebcdic),
            &[415],
        );
    });
}

/// Attack 41.
#[test]
fn byte_order_marks() {
    both(|attacked| {
        let form = [("Content-Type", FORM)];
        for text in attacked.all() {
            attacked.refused_form("/token", &[], &format!("\u{feff}{text}"), &[400]);
            attacked.refused_form("/token", &[], &format!("%EF%BB%BF{text}"), &[400]);
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let marked = [&b"\xff\xfe"[..], &little].concat();
            for body in [little, marked] {
                attacked.refused(&post_bytes("/token", &form, &body), &[400]);
            }
        }
    });
}

/// Attack 42.
#[test]
fn multiparts() {
    both(|attacked| {
        for params in [
            attacked.tok(),
            attacked.whole(),
            attacked.tok().with("code", &attacked.raw()),
        ] {
            let body = multipart(&params, "b");
            for kind in [
                "multipart/form-data; boundary=b",
                "multipart/form-data; boundary=a; boundary=b",
                "multipart/form-data",
                "Multipart/Form-Data; boundary=b",
                "multipart/mixed; boundary=b",
                "multipart/related; boundary=b",
                "application/x-www-form-urlencoded; boundary=b",
            ] {
                attacked.refused_form("/token", &[("Content-Type", kind)], &body, &[415]);
            }
        }
    });
}

/// Attack 42 during a login, where multipart is allowed: no parameter that decides about the sign-in may be in it, in any
/// spelling. Fails without the check of names in `authorize::handle`.
#[test]
fn multipart_continuations() {
    let attacked = Attacked::sign_in(Rig::new(), true);
    attacked.rig.upstream.answer_with(Shape::Login);
    let authorization = attacked.rig.authorization();
    let entry = attacked.rig.entry(&authorization);
    no_part_decides(&attacked, &entry, &[415]);
    // A login page's own fields pass, and the sign-in continues.
    let own = Params::default().with("user", "u").with("otp", "123456");
    let kind = ("Content-Type", "multipart/form-data; boundary=b");
    let response = attacked.rig.post(&entry, &[kind], &multipart(&own, "b"));
    let answer = authorization_response(&response, &authorization);
    let code = answer.expect("an answer").code().to_owned();
    assert_token(&attacked.rig.redeem(&authorization, &code));
}

/// The same with upstream codes: at the address of the request itself, and at one that the server's session continues. Fails if
/// multipart needs a handle.
#[test]
fn multipart_continuations_without_handles() {
    let attacked = Attacked::sign_in(Rig::pkce("codes = \"upstream\""), false);
    attacked.rig.upstream.answer_with(Shape::Login);
    let authorization = attacked.rig.authorization();
    let first = target(&authorization);
    let cookie = cookie_of(&attacked.rig.get(&first)).unwrap_or_default();
    let kind = ("Content-Type", "multipart/form-data; boundary=b");
    let raw = attacked.raw();
    for address in ["/authorize", "/authorize?session=1", &first] {
        no_part_decides(&attacked, address, &[400, 415]);
        for params in [
            attacked.tok(),
            attacked.tok().with("code", &raw),
            Params::default().with("grant_type", "authorization_code"),
            authorization.params.clone(),
        ] {
            let body = multipart(&params, "b");
            attacked.refused_form(address, &[kind], &body, &[400, 415]);
        }
    }
    let own = Params::default()
        .with("allow", "yes")
        .with("csrf", "123456");
    for (address, code) in [
        ("/authorize", "code-of-1st"),
        ("/authorize?session=1", "code-of-2nd"),
    ] {
        let state = authorization.state().unwrap_or_default();
        let location = format!("{REDIRECT_URI}?code={code}&state={state}");
        let answer = reply("302 Found", &[("Location", &location)], b"");
        let act = Act::Say(answer, Then::GoOn);
        attacked.rig.upstream.once("/authorize", act);
        let fields = [kind, ("Cookie", &*cookie)];
        let response = attacked.rig.post(address, &fields, &multipart(&own, "b"));
        assert_eq!(response.header("location"), Some(&*location), "{response}");
        let before = attacked.rig.forwarded();
        attacked.rig.redeem(&authorization, code);
        assert_eq!(attacked.rig.forwarded(), before + 1, "{code}");
    }
    let fields = [kind, ("Cookie", &*cookie)];
    let response = attacked.rig.post(&first, &fields, &multipart(&own, "b"));
    let answer = authorization_response(&response, &authorization);
    let code = answer.expect("an answer").code().to_owned();
    assert_token(&attacked.rig.redeem(&authorization, &code));
    // A sign-in without a challenge does not start in this way, either.
    let none = target(&attacked.rig.authorization().without_challenge());
    let before = attacked.rig.upstream.ledger().len();
    attacked.rig.post(&none, &[kind], &multipart(&own, "b"));
    assert_eq!(attacked.rig.upstream.ledger().len(), before);
}

/// No multipart body passes there if it has a part that decides about a sign-in.
#[track_caller]
fn no_part_decides(attacked: &Attacked, address: &str, expected: &[u16]) {
    let refused = |fields: &[(&str, &str)], disposition: &str| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n\
             --b\r\nContent-Disposition: form-data; {disposition}\r\n\r\nx\r\n--b--\r\n"
        );
        attacked.refused_form(address, fields, &body, expected);
    };
    let kind = ("Content-Type", "multipart/form-data; boundary=b");
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "request",
        "request_uri",
    ] {
        for disposition in [
            format!("name=\"{name}\""),
            format!("name={name}"),
            format!("name='{name}'"),
            format!("name = \"{name}\""),
            format!("NAME=\"{}\"", name.to_uppercase()),
            format!("name=\"{name}[]\""),
            format!("name=\"{}\"", name.replace('e', "%65")),
            format!("name=\"user\"; name=\"{name}\""),
            format!("name*=utf-8''{name}"),
            format!("name*0=\"{name}\""),
            format!("filename=\"a.txt\"; name=\"{name}\""),
        ] {
            refused(&[kind], &disposition);
        }
    }
    // The body cannot be read.
    refused(&[kind, ("Content-Encoding", "gzip")], "name=\"otp\"");
    let utf16 = "multipart/form-data; charset=utf-16; boundary=b";
    refused(&[("Content-Type", utf16)], "name=\"otp\"");
    // Some servers read it as a form if the boundary is missing.
    let unbounded = [("Content-Type", "multipart/form-data")];
    attacked.refused_form(address, &unbounded, "client_id=other", expected);
}

/// Attack 43.
#[test]
fn media_types() {
    both(|attacked| {
        for params in [
            attacked.tok(),
            attacked.whole(),
            attacked.tok().with("code", &attacked.raw()),
        ] {
            let form = params.encoded();
            for kind in [
                "application/json",
                "application/jsonx",
                "text/json",
                "text/plain",
                "application/xml",
                "application/octet-stream",
                "application/x-www-form-urlencoded, application/json",
                "application/json, application/x-www-form-urlencoded",
                "application/x-www-form-urlencodedx",
                "xapplication/x-www-form-urlencoded",
                "application/x-www-form-urlencoded;q=1",
                "application/x-www-form-urlencoded application/json",
                "application",
                "*/*",
            ] {
                for body in [json(&params), form.clone()] {
                    attacked.refused_form("/token", &[("Content-Type", kind)], &body, &[415]);
                }
            }
            for second in ["application/json", FORM] {
                let fields = [("Content-Type", FORM), ("Content-Type", second)];
                attacked.refused_form("/token", &fields, &form, &[400]);
            }
        }
        let fields = [("Content-Type", "APPLICATION/X-WWW-FORM-URLENCODED")];
        for form in attacked.unverified() {
            attacked.refused_form("/token", &fields, &form, &[400]);
        }
        let whole = attacked.whole().encoded();
        attacked.redeemed_by(&request("POST", "/token", &fields, Some(&whole)));
    });
}

/// Attack 44.
#[test]
fn no_media_type() {
    both(|attacked| {
        for form in attacked.all() {
            attacked.refused(&post_bytes("/token", &[], form.as_bytes()), &[415]);
            attacked.refused_form("/token", &[("Content-Type", "")], &form, &[415]);
        }
    });
}

/// Attack 45.
#[test]
fn content_encodings() {
    both(|attacked| {
        for encoding in [
            "gzip",
            "deflate",
            "br",
            "identity",
            "identity, gzip",
            "x-gzip",
            "zstd",
            "chunked",
            "",
        ] {
            for form in attacked.all() {
                attacked.refused_form("/token", &[("Content-Encoding", encoding)], &form, &[415]);
            }
        }
        let fields = [
            ("Content-Encoding", "gzip"),
            ("Content-Encoding", "identity"),
        ];
        attacked.refused_form("/token", &fields, &attacked.whole().encoded(), &[400, 415]);
    });
}

/// Attack 46. Gate and server may stop after different numbers of parameters.
#[test]
fn too_many_parameters() {
    both(|attacked| {
        for count in [64, 1000] {
            let junk: Vec<_> = (0..count).map(|n| format!("a{n}=&")).collect();
            let junk = junk.concat();
            for form in attacked.all() {
                attacked.refused_form("/token", &[], &format!("{junk}{form}"), &[400]);
                attacked.refused_form("/token", &[], &format!("{form}&{junk}"), &[400]);
            }
        }
    });
}

/// Attack 47, the size; another test covers the time that a body may take.
#[test]
fn large_bodies() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        for length in [64 * 1024, 10_000_000] {
            let body = format!("{whole}&x={}", "a".repeat(length));
            // The gate may close the connection while the rest is sent, and then its answer may be lost.
            attacked.refused_form("/token", &[], &body, &[413, 0]);
        }
        let claimed = format!(
            "POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nContent-Length: 10000000\r\n\r\n{whole}&x={}",
            "a".repeat(70_000)
        );
        attacked.refused(claimed.as_bytes(), &[413]);
    });
}

/// Attack 48.
#[test]
fn grant_types() {
    both(|attacked| {
        for params in [attacked.tok(), attacked.tok().with("code", &attacked.raw())] {
            for grant in [
                "openid",
                "authorization_code ",
                " authorization_code",
                "Authorization_Code",
                "authorization_code refresh_token",
                "authorization_code,",
                "authorization_code\n",
                "hybrid_auth_code",
                "interaction_code",
                "urn:x",
                "",
            ] {
                let form = params.clone().with("grant_type", grant).encoded();
                attacked.refused_form("/token", &[], &form, &[400]);
            }
            let form = params.without("grant_type").encoded();
            attacked.refused_form("/token", &[], &form, &[400]);
        }
    });
}

/// Attack 49. Fails without `misnamed_code` with upstream codes. A dead code is worthless as well.
#[test]
fn codes_under_the_names_of_other_credentials() {
    both(|attacked| {
        let misnamed = |name: &str, code: &str| {
            let params = attacked.tok().without("code");
            params
                .with("grant_type", "urn:example:grant")
                .with(name, code)
                .encoded()
        };
        let raw = attacked.raw();
        let names = ["subject_token", "assertion", "refresh_token", "x"];
        if !attacked.handles {
            for name in names {
                attacked.refused_form("/token", &[], &misnamed(name, &raw), &[400]);
                // The gate searches other places, too.
                for spelt in [
                    "CODE%20",
                    "+CODE",
                    "%2543ODE",
                    "%22CODE%22",
                    "CODE%00x",
                    "x%3Fcode%3DCODE",
                    "%7B%22code%22%3A%22CODE%22%7D",
                ] {
                    let twice = raw.replacen('u', "%2575", 1);
                    let spelt = spelt.replace("%2543ODE", &twice).replace("CODE", &raw);
                    let form = format!("grant_type=urn:example:grant&client_id=pub&{name}={spelt}");
                    attacked.refused_form("/token", &[], &form, &[400]);
                    attacked.refused_form("/ticket", &[], &form.replace("grant_type", "x"), &[400]);
                }
                // Next to another code, which decides the kind of request.
                let beside = attacked.whole().with("code", "another").with(name, &raw);
                attacked.refused_form("/token", &[], &beside.encoded(), &[400]);
            }
        }
        assert_token(&attacked.rig.redeem(&attacked.authorization, &attacked.code));
        attacked.spent.set(true);
        if !attacked.handles {
            attacked.refused_form("/token", &[], &misnamed("x", &raw), &[400]);
        }
    });
}

/// Attack 49.
#[test]
fn codes_next_to_other_grants() {
    both(|attacked| {
        for params in [attacked.tok(), attacked.tok().with("code", &attacked.raw())] {
            for (grant, name) in [
                ("refresh_token", "refresh_token"),
                ("client_credentials", "scope"),
                ("password", "username"),
                (
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token",
                ),
                ("urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion"),
                (
                    "urn:ietf:params:oauth:grant-type:device_code",
                    "device_code",
                ),
            ] {
                let form = params
                    .clone()
                    .with("grant_type", grant)
                    .with(name, "x")
                    .encoded();
                attacked.refused_form("/token", &[], &form, &[400]);
            }
        }
    });
}

fn basic(credentials: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

/// Attack 50.
#[test]
fn two_identities() {
    both(|attacked| {
        let tok = attacked.tok().encoded();
        let whole = attacked.whole().encoded();
        for credentials in [
            &b"other:s"[..],
            b"PUB:s",
            b"pub ",
            b"pub%3Ax:s",
            b"pub+:s",
            b"pub%00:s",
            b"\xffpub:s",
            b":s",
            b"p%75c:s",
        ] {
            let fields = [("Authorization", &*basic(credentials))];
            attacked.refused_form("/token", &fields, &tok, &[400, 401]);
            attacked.refused_form("/token", &fields, &whole, &[400, 401]);
        }
        for value in [
            "Basic",
            "Basic ",
            "Basic %%%",
            "Basic cHVi",
            "Basic\tcHViOnM=",
            "Basic, cHViOnM=",
            "Bearer x, Basic cHViOnM=",
        ] {
            attacked.refused_form("/token", &[("Authorization", value)], &tok, &[400, 401]);
        }
        let ours = basic(b"pub:s");
        for second in [&ours, "Bearer x"] {
            let fields = [("Authorization", &*ours), ("authorization", second)];
            attacked.refused_form("/token", &fields, &whole, &[400]);
            let fields = [("authorization", second), ("Authorization", &*ours)];
            attacked.refused_form("/token", &fields, &whole, &[400]);
        }
        let secret = attacked
            .whole()
            .with("client_secret", "x")
            .with("client_id", "other")
            .encoded();
        attacked.refused_form("/token", &[("Authorization", &ours)], &secret, &[400, 401]);
    });
}

/// Attack 51.
#[test]
fn assertions() {
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    both(|attacked| {
        let assertion = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let with = |assertion: &str, kind: Option<&str>| {
            let params = attacked.whole().with("client_assertion", assertion);
            kind.map_or(params.clone(), |kind| {
                params.with("client_assertion_type", kind)
            })
        };
        for (assertion, kind) in [
            (assertion(r#"{"sub":"other"}"#), Some(KIND)),
            (assertion(r#"{"sub":"pub"}"#), None),
            (assertion(r#"{"sub":"pub"}"#), Some("")),
            (assertion(r#"{"sub":"pub","sub":"other"}"#), Some(KIND)),
            (assertion(r#"{"iss":"pub"}"#), Some(KIND)),
            (assertion(r#"{"sub":["pub"]}"#), Some(KIND)),
            ("e30".to_owned(), Some(KIND)),
            ("x.%.y".to_owned(), Some(KIND)),
        ] {
            let form = with(&assertion, kind).encoded();
            attacked.refused_form("/token", &[], &form, &[400, 401]);
        }
        let twice = with(&assertion(r#"{"sub":"pub"}"#), Some(KIND)).encoded();
        let twice = format!("{twice}&client_assertion=x");
        attacked.refused_form("/token", &[], &twice, &[400]);
    });
}

/// Attack 52. PHP's `$_REQUEST` may contain cookies, too.
#[test]
fn parameters_in_cookies() {
    both(|attacked| {
        let raw = attacked.raw();
        let rest = Params::default()
            .with("grant_type", "openid")
            .with("client_id", "pub")
            .encoded();
        for cookie in [
            format!("code={raw}"),
            format!("sid=1; code={raw}"),
            format!("CODE={raw}; code[]={raw}"),
            format!("%63ode={raw}"),
            format!("sid=1;code={raw};x=2"),
            format!("x=1, code={raw}"),
        ] {
            let bytes = request("POST", "/token", &[("Cookie", &cookie)], Some(&rest));
            attacked.passed(&bytes);
            let bytes = request(
                "POST",
                "/token",
                &[("Cookie", "sid=1"), ("Cookie", &cookie)],
                Some(&rest),
            );
            attacked.passed(&bytes);
        }
        // A server may need its own cookie to find the node that knows the code.
        let received = attacked.passed(&request(
            "POST",
            "/token",
            &[("Cookie", "sid=1; code=x; node=b")],
            Some(&rest),
        ));
        assert_eq!(
            received.header("cookie"),
            Some("sid=1; node=b"),
            "{received:?}"
        );
    });
}

/// Attack 53. A parameter that OAuth does not define passes unchanged.
#[test]
fn unknown_parameters() {
    both(|attacked| {
        let long = "a".repeat(300);
        let added = format!("foo[bar]=1&foo_bar=2&{long}=3");
        for form in attacked.unverified() {
            attacked.refused_form("/token", &[], &format!("{form}&{added}"), &[400]);
        }
        let body = format!("{}&{added}", attacked.whole().encoded());
        let form = attacked
            .redeemed_by(&request("POST", "/token", &[], Some(&body)))
            .form();
        let seen = [form.get("foo[bar]"), form.get("foo_bar"), form.get(&long)];
        assert_eq!(seen, [Some("1"), Some("2"), Some("3")]);
    });
}
