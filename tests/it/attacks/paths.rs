//! Attacks 1 to 29: the path, the method, the host, and fields that override them.
//!
//! 2 to 12 fail without the path check (a `Routes::inexactly` in `route.rs` that always returns an endpoint); 13 without the
//! query check of `gateway/token.rs`; 26 without the port check of `host_of`; 17 to 19 without `elsewhere::asks_for_token`; 22
//! to 24 without the method checks; 15 if `host_of` accepts a target that contradicts `Host`; 20, 21 and 27 without the lists
//! of `http/headers/kind.rs`.

use super::{Attacked, FORM, both, json, multipart, with};
use crate::support::rig::{Config, HOST, Rig, request};
use crate::support::scripted::{Act, Scripted, Then, json as json_reply};

/// A path that some server treats as the token endpoint, and the gate does not: every request there is refused, also in forms
/// that the gate does not read elsewhere.
#[track_caller]
fn folded(attacked: &Attacked, path: &str) {
    for form in attacked.all() {
        attacked.refused_form(path, &[], &form, &[400]);
        let target = format!("{path}?{form}");
        attacked.refused(&request("GET", &target, &[], None), &[400]);
    }
    let raw = attacked.tok().with("code", &attacked.raw());
    let body = multipart(&raw, "b");
    let fields = [("Content-Type", "multipart/form-data; boundary=b")];
    attacked.refused_form(path, &fields, &body, &[400]);
    let fields = [("Content-Type", "application/octet-stream")];
    attacked.refused_form(path, &fields, &raw.encoded(), &[400]);
}

fn all_folded(paths: &[&str]) {
    both(|attacked| {
        for path in paths {
            folded(attacked, path);
        }
    });
}

/// Attack 17, at the authorization endpoint: some servers redeem codes there. Fails without the guard in
/// `gateway/authorize.rs`.
#[test]
fn token_requests_at_the_authorization_endpoint() {
    both(|attacked| {
        for form in attacked.all() {
            attacked.refused_form("/authorize", &[], &form, &[400]);
            let target = format!("/authorize?{form}");
            attacked.refused(&request("GET", &target, &[], None), &[400]);
            let begins = attacked.rig.authorization().params.encoded();
            let both = format!(
                "{begins}&grant_type=authorization_code&code={}",
                attacked.code
            );
            attacked.refused_form("/authorize", &[], &both, &[400]);
        }
    });
}

/// Attack 19 with upstream codes: a code under any name, in any place. Fails without `elsewhere::guard`.
#[test]
fn codes_anywhere_else() {
    let config = Config {
        pkce: "codes = \"upstream\"",
        ..Config::default()
    };
    let attacked = Attacked::sign_in(Rig::with(config), false);
    let code = attacked.raw();
    let get = |target: &str, fields: &[(&str, &str)]| request("GET", target, fields, None);
    let basic = ("Authorization", "Basic cHViOnM=");
    for bytes in [
        get(&format!("/api?code={code}"), &[]),
        get(&format!("/api?code={code}&state=x"), &[basic]),
        get(
            &format!("/api?x={code}&state=x"),
            &[("Cookie", &format!("a=b; code={code}"))],
        ),
        get(&format!("/api/{code}"), &[]),
        get("/api", &[("Authorization", &format!("Bearer {code}"))]),
        request(
            "POST",
            &format!("/api?code={code}"),
            &[],
            Some("client_id=pub"),
        ),
        request("POST", "/api", &[], Some(&format!("%u0063ode={code}&a=b"))),
        request(
            "POST",
            "/api",
            &[("Content-Type", "application/json")],
            Some(&format!("[{{\"a\":{{\"b\":\"{code}\"}}}}]")),
        ),
    ] {
        attacked.refused(&bytes, &[400]);
    }
    // Not even as a callback of the client, which is on another server.
    attacked.refused(&get(&format!("/app/cb?code={code}&state=x"), &[]), &[400]);
    // A preflight carries nothing.
    let field = ("Cookie", &*format!("code={code}"));
    let seen = attacked.passed(&request("OPTIONS", "/token", &[field, basic], None));
    assert_eq!(
        (seen.header("cookie"), seen.header("authorization")),
        (None, None)
    );
}

/// A path that is not configured: requests for a token are refused there.
#[track_caller]
fn elsewhere(attacked: &Attacked, path: &str) {
    let target = |query: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}{query}")
    };
    for form in attacked.all() {
        attacked.refused_form(path, &[], &form, &[400]);
        attacked.refused(&request("GET", &target(&form), &[], None), &[400]);
    }
    {
        let whole = attacked.whole();
        for (kind, body) in [
            ("application/json", json(&whole)),
            ("application/vnd.api+json", json(&whole)),
            ("multipart/form-data; boundary=b", multipart(&whole, "b")),
            ("text/plain", whole.encoded()),
            ("application/octet-stream", whole.encoded()),
            ("application/x-unheard-of", json(&whole)),
            ("", whole.encoded()),
        ] {
            attacked.refused_form(path, &[("Content-Type", kind)], &body, &[400]);
        }
    }
}

fn all_elsewhere(paths: &[&str]) {
    both(|attacked| {
        for path in paths {
            elsewhere(attacked, path);
        }
    });
}

/// Attack 1. Runs of slashes are merged; the gate matches and forwards the merged path. Fails if the original path is
/// forwarded.
#[test]
fn doubled_slash() {
    for path in ["//token", "///token", "////////token"] {
        both(|attacked| {
            for form in attacked.unverified() {
                attacked.refused_form(path, &[], &form, &[400]);
            }
            let whole = attacked.whole().encoded();
            let received = attacked.redeemed_by(&request("POST", path, &[], Some(&whole)));
            assert_eq!(received.target(), "/token");
        });
    }
}

/// Attack 2.
#[test]
fn trailing_slash() {
    all_folded(&["/token/", "/token//", "//token/", "/token/./"]);
}

/// Attack 3.
#[test]
fn letter_case() {
    // Java and .NET know two more letters that are ASCII letters in another case.
    all_folded(&["/TOKEN", "/Token", "/tOkEn", "/%54oken", "/to%E2%84%AAen"]);
}

/// Attack 4.
#[test]
fn escaped_letters() {
    all_folded(&[
        "/%74oken",
        "/tok%65n",
        "/%74%6f%6b%65%6e",
        "/%74%6F%6B%65%6E",
    ]);
}

/// Attack 5.
#[test]
fn dot_dot_segments() {
    all_folded(&[
        "/x/../token",
        "/x/%2e%2e/token",
        "/x/.%2e/token",
        "/x/%2E./token",
        "/../token",
        "/x/y/../../token",
        "/token/x/..",
        "/x%2f..%2ftoken",
    ]);
}

/// Attack 6.
#[test]
fn dot_segments() {
    all_folded(&[
        "/./token",
        "/%2e/token",
        "/token/.",
        "/token/%2e",
        "/././token",
    ]);
}

/// Attack 7.
#[test]
fn path_parameters() {
    all_folded(&[
        "/token;jsessionid=1",
        "/token;",
        "/;/token",
        "/;x=y/token",
        "/x;/..;/token",
        "/x/..;/token",
        "/x/..;a=b/token",
        "/token%3bjsessionid=1",
        "/token;/",
    ]);
}

/// Attack 8.
#[test]
fn escaped_slashes() {
    all_folded(&[
        "/token%2f",
        "/%2ftoken",
        "/token%2F",
        "/%2F%2ftoken",
        "/.%2ftoken",
    ]);
}

/// Attack 9.
#[test]
fn control_characters() {
    all_folded(&[
        "/token%00",
        "/token%00.css",
        "/token%0a",
        "/token%0d%0a",
        "/token%09",
        "/%00token",
        "/token%7f",
    ]);
}

/// Attack 10.
#[test]
fn extensions() {
    all_folded(&[
        "/token.json",
        "/token.do",
        "/token.css",
        "/token.tar.gz",
        "/token::$DATA",
        "/token.",
        "/token..",
        "/token%20",
        "/token%20.css",
        "/token%2ecss",
    ]);
}

/// Attack 11.
#[test]
fn backslashes() {
    all_folded(&[
        "/\\token",
        "/x\\..\\token",
        "/%5ctoken",
        "/token\\",
        "/x/..%5ctoken",
        "/token%5C",
    ]);
}

/// Attack 12.
#[test]
fn double_escapes() {
    all_folded(&[
        "/%2574oken",
        "/token%252f",
        "/x/%252e%252e/token",
        "/token%2500",
        "/token%253b",
        "/%252574oken",
    ]);
    // No server decodes four times; if one did, it would have to be a path with a token request.
    all_elsewhere(&["/%25252574oken"]);
}

/// Attacks 5 and 12. Servers that remove dot segments before decoding, after it, or both, get different paths: no path with
/// such a segment passes. Fails without `is_ambiguous` in `route/fold.rs`.
#[test]
fn dot_segments_by_the_order_of_reading() {
    all_folded(&[
        "/%09/../token",
        "/%5c/../token",
        "/%3b/../token",
        "/%252e/../token",
        "/a%252fb/../token",
        "/%2520/../token",
        "/x%2fy/../token",
        "/token/%20/..",
        "/static/../x",
        "/static/%25252e%25252e/x",
    ]);
    both(|attacked| {
        for path in [
            "/static/a%20b",
            "/static/a%2Fb",
            "/static/%C3%A9",
            "/static/...",
        ] {
            let received = attacked.passed(&request("GET", path, &[], None));
            assert_eq!(received.target(), path);
        }
    });
}

/// Attacks 8 and 14, escaped. Fails if the folding of a path does not end at `?` and `#`.
#[test]
fn escaped_queries_and_fragments() {
    all_folded(&[
        "/token%3Fa",
        "/token%23",
        "/token%253Fa=b",
        "/token%3F/x",
        "/;a=b/token%3F",
        "/;a/token;b%2523c",
    ]);
}

/// Attack 10 with a rest for the script (`PATH_INFO` in CGI): PHP runs `/token.php/x` as `/token.php`.
#[test]
fn paths_behind_a_script() {
    all_folded(&[
        "/token.php/x",
        "/Token.PHP/x/y",
        "/token.jsp/x.css",
        "/token.php%2fx",
        "/token%2ephp/x",
        "/token.php;a=b/x",
    ]);
    both(|attacked| {
        for path in ["/static/v1.2/x", "/.well-known/x", "/x/token.php/y"] {
            let received = attacked.passed(&request("GET", path, &[], None));
            assert_eq!(received.target(), path);
        }
    });
}

/// Attack 4, in invalid encodings. Fails if paths that are not UTF-8 pass.
#[test]
fn letters_in_other_encodings() {
    all_folded(&[
        "/%c1%b4oken",
        "/%25c1%25b4oken",
        "/%u0074oken",
        "/tok%e0%81%a5n",
    ]);
}

/// Attack 86 by paths: two upstreams may be the same server, and the laxer one would forward a request to an endpoint of the
/// stricter one. Fails if `Routes::inexactly` considers one upstream only.
#[test]
fn endpoints_of_a_stricter_upstream() {
    let tables = |prefix: &str, mode: &str, url: &str| {
        format!(
            "[[upstream]]\nname = \"second\"\nurl = \"{url}\"\npublic_url = \"http://{HOST}\"\nprefix = \"{prefix}\"\n\
             [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n\
             [upstream.pkce]\nmode = \"{mode}\"\n"
        )
    };
    let (lax, strict) = (Scripted::start(), Scripted::start());
    let beside = tables("/b", "off", &lax.url());
    with(
        Config {
            tables: &beside,
            ..Config::default()
        },
        |attacked| {
            for path in [
                "/b/..%2ftoken",
                "/b/%2e%2e/token",
                "/b/../token",
                "/b;/../TOKEN",
                "/b%2f..%2ftoken",
            ] {
                folded(attacked, path);
            }
            assert!(lax.ledger().is_empty());
        },
    );
    let above = tables("/a", "enforce", &strict.url());
    let rig = Rig::with(Config {
        pkce: "mode = \"off\"",
        tables: &above,
        ..Config::default()
    });
    let form = "grant_type=authorization_code&code=x&client_id=y";
    for path in [
        "/A/token",
        "/%61/token",
        "/a;x/token",
        "/a%2ftoken",
        "/x/..%2fa/token",
        "/a%3b/token",
    ] {
        assert_eq!(rig.post(path, &[], form).status, 400, "{path}");
        assert_eq!(
            rig.get(&path.replace("token", "authorize")).status,
            400,
            "{path}"
        );
    }
    assert!(rig.upstream.ledger().is_empty() && strict.ledger().is_empty());
    assert_eq!(rig.get("/login").status, 200);
}

/// Attack 13.
#[test]
fn query_on_the_token_endpoint() {
    both(|attacked| {
        let raw = attacked.raw();
        for query in [
            String::new(),
            "x=1".to_owned(),
            "x=code_verifier".to_owned(),
            format!("code={raw}"),
            format!("code_verifier={}", attacked.authorization.verifier),
            attacked.tok().encoded(),
            attacked.whole().encoded(),
        ] {
            for form in attacked.all() {
                attacked.refused_form(&format!("/token?{query}"), &[], &form, &[400]);
            }
            attacked.refused_form(&format!("/token?{query}"), &[], "", &[400]);
        }
    });
}

/// Attack 14. The gate forwards nothing after a `#`.
#[test]
fn fragment_in_the_target() {
    for target in ["/token#x", "/token#/../admin", "/token#?x"] {
        both(|attacked| {
            for form in attacked.unverified() {
                attacked.refused_form(target, &[], &form, &[400]);
            }
            let whole = attacked.whole().encoded();
            let received = attacked.redeemed_by(&request("POST", target, &[], Some(&whole)));
            assert_eq!(received.target(), "/token");
        });
    }
}

/// Attack 15.
#[test]
fn absolute_targets() {
    both(|attacked| {
        for target in [
            "http://other/token",
            "http://other:80/token",
            &format!("http://x@{HOST}/token"),
            &format!("http://{HOST}.evil.test/token"),
            &format!("http://{HOST}:81/token"),
        ] {
            for form in attacked.all() {
                attacked.refused_form(target, &[], &form, &[400, 421]);
            }
        }
        for target in [
            format!("http://{HOST}/token?x"),
            format!("http://{HOST}/token/"),
        ] {
            for form in attacked.all() {
                attacked.refused_form(&target, &[], &form, &[400]);
            }
        }
        let target = format!("http://{HOST}/token");
        for form in attacked.unverified() {
            attacked.refused_form(&target, &[], &form, &[400]);
        }
        let whole = attacked.whole().encoded();
        let received = attacked.redeemed_by(&request("POST", &target, &[], Some(&whole)));
        assert_eq!(received.target(), "/token");
    });
}

/// Attack 16.
#[test]
fn targets_that_are_not_a_path() {
    both(|attacked| {
        let form = attacked.tok().encoded();
        for target in [
            format!("{HOST}:443"),
            HOST.to_owned(),
            "*".to_owned(),
            "token".to_owned(),
        ] {
            attacked.refused_form(&target, &[], &form, &[400, 421]);
        }
        for method in ["OPTIONS", "GET"] {
            attacked.refused(&request(method, "*", &[], None), &[400]);
        }
    });
}

/// Attack 17.
#[test]
fn front_controllers() {
    all_elsewhere(&[
        "/index.php/token",
        "/token.php/x",
        "/?oauth=token",
        "/index.php?oauth=token",
        "/index.php?rest_route=/oauth/token",
        "/token/introspect",
    ]);
}

/// Attack 17 in forms that are hard to read. With handles, these requests contain nothing of value.
#[test]
fn disguises_elsewhere() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        for form in [
            format!("%ff=1&{whole}"),
            format!("%zz=1&{whole}"),
            format!("=x&{whole}"),
            format!("\u{feff}{whole}"),
            format!("\0&{whole}"),
            format!("{}{whole}", "a=&".repeat(5000)),
            whole
                .replace("code=", "c%6fde=")
                .replace("grant_type", "grant%5ftype"),
        ] {
            attacked.refused_form("/alias", &[], &form, &[400]);
        }
        if attacked.handles {
            return;
        }
        let multiparts = multipart(&attacked.whole(), "b");
        let duplicates = json(&attacked.whole()).replace('{', "{\"code\":\"x\",");
        for (fields, body) in [
            (vec![("Content-Encoding", "gzip")], whole.clone()),
            (
                vec![
                    ("Content-Encoding", "gzip"),
                    ("Content-Type", "application/json"),
                ],
                "x".to_owned(),
            ),
            (
                vec![(
                    "Content-Type",
                    "application/x-www-form-urlencoded; charset=ibm037",
                )],
                "x".to_owned(),
            ),
            (
                vec![("Content-Type", "text/plain; charset=utf-16")],
                "x".to_owned(),
            ),
            (
                vec![("Content-Type", "application/json")],
                duplicates.clone(),
            ),
            (vec![("Content-Type", "text/plain")], duplicates),
            (
                vec![("Content-Type", "multipart/form-data; boundary=b")],
                multiparts.replace("name=", "NAME = "),
            ),
            (
                vec![("Content-Type", "multipart/form-data; boundary=b")],
                multiparts.replace("name=\"", "name*=\"utf-8''"),
            ),
            (
                vec![("Content-Type", "multipart/form-data; boundary=b")],
                multiparts
                    .replace('_', "\\_")
                    .replace("\"code\"", "\"c\\ode\""),
            ),
        ] {
            attacked.refused_form("/alias", &fields, &body, &[400]);
        }
    });
}

/// Attack 18.
#[test]
fn cookieless_sessions() {
    all_elsewhere(&["/(S(abc))/token", "/(A(x))/token", "/(A(x)F(y))/token"]);
}

/// Attack 19. Other names of the endpoints: if they are not listed, a token request is refused and a code is not delivered; if
/// they are, requests are judged.
#[test]
fn other_names_of_the_endpoints() {
    all_elsewhere(&[
        "/oauth2/token",
        "/oauth2/v2.0/token",
        "/oauth2endpoints/token",
        "/connect/token",
        "/api/oidc/token",
        "/services/oauth2/token",
        "/registrations",
        "/forgot-credentials",
        "/oauth/oob",
    ]);
    both(|attacked| {
        for path in [
            "/connect/authorize/callback",
            "/authorize/native",
            "/oauth2/authorize",
        ] {
            let fresh = attacked.rig.authorization().without_challenge();
            let target = format!("{path}?{}", fresh.params.encoded());
            let response = attacked.rig.get(&target);
            assert_eq!(response.status, 502, "{response}");
            let issued = attacked
                .rig
                .upstream
                .codes()
                .pop()
                .expect("a code was issued");
            assert!(!response.to_string().contains(&issued), "{response}");
            let form = attacked.whole().with("code", &issued).encoded();
            attacked.refused_form("/token", &[], &form, &[400]);
        }
    });
    let listed = Config {
        endpoints: "continuation = [\"/connect/authorize/callback\"]",
        ..Config::default()
    };
    with(listed, |attacked| {
        let fresh = attacked.rig.authorization().without_challenge();
        let target = format!("/connect/authorize/callback?{}", fresh.params.encoded());
        // The client's redirect URI is known now, so it gets the error.
        let before = attacked.rig.upstream.ledger().len();
        let response = attacked.rig.get(&target);
        let location = response.header("location").unwrap_or_default();
        assert!(location.contains("error=invalid_request"), "{response}");
        assert_eq!(attacked.rig.upstream.ledger().len(), before);
    });
}

/// None of these fields reaches the upstream.
fn not_at_the_upstream(fields: &[(&str, &str)]) {
    both(|attacked| {
        for field in fields {
            for path in ["/static/x", "/x/token"] {
                let received = attacked.passed(&request("POST", path, &[*field], Some("a=b")));
                let name = field.0.to_ascii_lowercase();
                assert!(!received.header_names().contains(&name), "{received:?}");
            }
        }
    });
}

/// Attack 20.
#[test]
fn path_in_a_field() {
    not_at_the_upstream(&[
        ("X-Original-URL", "/token"),
        ("X-Rewrite-URL", "/token"),
        ("X-Original-URI", "/token"),
        ("X-Forwarded-Uri", "/token"),
        ("X-Forwarded-Path", "/token"),
        ("X-Forwarded-Prefix", "/token"),
        ("X-Envoy-Original-Path", "/token"),
        ("X-Accel-Redirect", "/token"),
    ]);
}

/// Attack 27 with the fields in which authenticating proxies name the user. Fails without `Kind::Forwarders`.
#[test]
fn identities_in_a_field() {
    not_at_the_upstream(&[
        ("Remote-User", "admin"),
        ("X-Remote-User", "admin"),
        ("X-Forwarded-User", "admin"),
        ("X-Forwarded-Access-Token", "x"),
        ("X-Forwarded-Client-Cert", "x"),
        ("X-Auth-Request-User", "admin"),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("SSL-Client-Cert", "x"),
        ("Client-Cert", "x"),
        ("X-Amzn-Oidc-Identity", "admin"),
        ("X-MS-Client-Principal", "x"),
        ("Proxy", "http://evil.test"),
        ("X-Host", "evil.test"),
    ]);
}

/// Attack 21.
#[test]
fn script_name() {
    not_at_the_upstream(&[
        ("SCRIPT_NAME", "/x"),
        ("Script-Name", "/x"),
        ("X-Script-Name", "/x"),
        ("PATH_INFO", "/token"),
        ("Path-Info", "/token"),
    ]);
}

/// Attack 22.
#[test]
fn method_override() {
    const NAMES: [&str; 3] = [
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
    ];
    not_at_the_upstream(&NAMES.map(|name| (name, "PUT")));
    both(|attacked| {
        let tok = attacked.tok().encoded();
        for name in NAMES {
            for target in ["/token".to_owned(), format!("/token?{tok}")] {
                attacked.refused(&request("GET", &target, &[(name, "POST")], None), &[405]);
                let body = Some(tok.as_str());
                attacked.refused(&request("PUT", &target, &[(name, "POST")], body), &[405]);
            }
        }
        attacked.refused(&request("GET", "/token?_method=POST", &[], None), &[405]);
        attacked.refused_form("/token?_method=GET", &[], &tok, &[400]);
        attacked.refused_form("/token", &[], &format!("{tok}&_method=GET"), &[400]);
        // And a POST that becomes a GET contains no code.
        let whole = attacked.whole().encoded();
        let bytes = request(
            "POST",
            "/token",
            &NAMES.map(|name| (name, "GET")),
            Some(&whole),
        );
        let received = attacked.redeemed_by(&bytes);
        for name in NAMES {
            assert_eq!(received.header(name), None);
        }
    });
}

/// Attack 23.
#[test]
fn methods() {
    both(|attacked| {
        let tok = attacked.tok().encoded();
        for method in [
            "GET", "PUT", "PATCH", "DELETE", "QUERY", "post", "POSTED", "PROPFIND",
        ] {
            for target in ["/token".to_owned(), format!("/token?{tok}")] {
                attacked.refused(&request(method, &target, &[], None), &[405]);
                attacked.refused(&request(method, &target, &[], Some(&tok)), &[405]);
            }
        }
        for line in ["POST\t", "POST ", "\tPOST", " POST", "PO ST"] {
            attacked.refused(&request(line, "/token", &[], Some(&tok)), &[0, 400]);
        }
        attacked.refused(
            &request("OPTIONS", &format!("/token?{tok}"), &[], None),
            &[400],
        );
        attacked.refused(&request("OPTIONS", "/token", &[], Some(&tok)), &[400]);
    });
}

/// Attack 24. The upstream would answer a HEAD with its code as it does a GET.
#[test]
fn head_on_the_authorization_endpoint() {
    both(|attacked| {
        let fresh = attacked.rig.authorization();
        let query = fresh.params.encoded();
        let before = attacked.rig.upstream.codes().len();
        for method in ["HEAD", "OPTIONS", "PUT", "DELETE", "head"] {
            let mut connection = attacked.rig.connect();
            connection.send(&request(method, &format!("/authorize?{query}"), &[], None));
            let response = connection.response_to_head().expect("an answer");
            assert_eq!(response.status, 405, "{response}");
            assert_eq!(response.header("location"), None, "{response}");
        }
        assert_eq!(attacked.rig.upstream.codes().len(), before);
    });
}

/// Attack 25. Every part of a head is limited, and the gate continues to serve.
#[test]
fn heads_that_are_too_large() {
    both(|attacked| {
        let tok = attacked.tok().encoded();
        for length in [70_000, 65_534, 65_535, 65_536] {
            let path = format!("/token/{}", "a".repeat(length));
            attacked.refused_form(&path, &[], &tok, &[414, 431]);
        }
        let many: Vec<_> = (0..101)
            .map(|n| (format!("X-{n}"), "x".to_owned()))
            .collect();
        let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        attacked.refused_form("/token", &many, &tok, &[431]);
        let large = "x".repeat(500_000);
        attacked.refused_form("/token", &[("X-Large", &large)], &tok, &[0, 431]);
    });
}

/// Attack 26.
#[test]
fn hosts() {
    let two = Config {
        upstream: "hosts = [\"gate.test\"]",
        ..Config::default()
    };
    with(two, |attacked| {
        let tok = attacked.whole().encoded();
        let message = |target: &str, hosts: &str| {
            format!(
                "POST {target} HTTP/1.1\r\n{hosts}Content-Type: {FORM}\r\nContent-Length: {}\r\n\r\n{tok}",
                tok.len()
            )
        };
        for hosts in [
            "",
            "Host: other.test\r\n",
            "Host: gate.test\r\nHost: gate.test\r\n",
            "Host: gate.test\r\nHost: other.test\r\n",
            "Host: other.test\r\nHost: gate.test\r\n",
            "Host: x@gate.test\r\n",
            "Host: gate.test@other.test\r\n",
            "Host: gate.test:80@other.test\r\n",
            "Host: gate.test/x\r\n",
            "Host: gate.test#x\r\n",
            "Host: gate.test, other.test\r\n",
            "Host: gate.test other.test\r\n",
            "Host: gate.test:x\r\n",
            "Host: gate.test.\r\n",
            "Host:\r\n",
            "Host: other.test\r\nX-Forwarded-Host: gate.test\r\n",
        ] {
            attacked.refused(message("/token", hosts).as_bytes(), &[400, 421]);
        }
        for target in ["http://gate.test/token", "http://other.test/token"] {
            let bytes = message(target, "Host: other.test\r\n");
            attacked.refused(bytes.as_bytes(), &[400, 421]);
        }
    });
}

/// Attack 27.
#[test]
fn forwarded_by_a_client() {
    both(|attacked| {
        let fields = [
            ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Port", "666"),
            ("X-Real-IP", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6;host=evil.test"),
        ];
        let seen = |received: &crate::support::scripted::Received| {
            let head = received.head.escape_ascii().to_string();
            assert!(
                !head.contains("6.6.6.6") && !head.contains("evil"),
                "{head}"
            );
            assert_eq!(received.header("x-forwarded-host"), Some(HOST));
            assert_eq!(received.header("x-forwarded-proto"), Some("http"));
            assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
        };
        seen(&attacked.passed(&request("GET", "/login", &fields, None)));
        let whole = attacked.whole().encoded();
        seen(&attacked.redeemed_by(&request("POST", "/token", &fields, Some(&whole))));
    });
}

/// Attack 29. Fails with `[upstream.metadata] rewrite = false`.
#[test]
fn metadata_that_leads_around() {
    const PATH: &str = "/.well-known/openid-configuration";
    let rig = Rig::new();
    let own = rig.upstream.url();
    let document = serde_json::json!({
        "issuer": "https://as.test",
        "authorization_endpoint": format!("{own}//authorize"),
        "token_endpoint": "http://internal.test/TOKEN",
        "userinfo_endpoint": format!("{own}/me"),
        "pushed_authorization_request_endpoint": format!("{own}/par"),
        "request_parameter_supported": true,
        "mtls_endpoint_aliases": { "token_endpoint": format!("{own}/mtls/token"), "x": format!("{own}/x") },
    });
    let answer = json_reply("200 OK", &document);
    rig.upstream.on(PATH, Act::Say(answer, Then::GoOn));
    let response = rig.get(PATH);
    let text = response.text();
    assert!(
        !text.contains(&own) && !text.contains("internal.test"),
        "{text}"
    );
    let said = response.json();
    assert_eq!(said["token_endpoint"], format!("http://{HOST}/token"));
    assert_eq!(
        said["mtls_endpoint_aliases"]["token_endpoint"],
        format!("http://{HOST}/token")
    );
    assert_eq!(said["request_parameter_supported"], false);
    assert_eq!(
        said["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    assert_eq!(said.get("pushed_authorization_request_endpoint"), None);
}
