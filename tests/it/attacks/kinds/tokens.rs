//! Unrequested tokens: a token leaves in the front channel only for a sign-in that began here, of a client that may have this
//! type of token.
//!
//! Fails if `judge::stray` lets any token pass to the server's own origin (`tokens_to_the_server_itself`), without
//! `judge::may_have_tokens` (`tokens_in_place_of_others`), and if names are compared exactly (`tokens_under_other_names`).

use super::{answered, redirect};
use crate::support::http::Response;
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, handle_of, request, target};
use crate::support::scripted::reply;

pub(super) const TOKEN: &str = "at-of-somebody.who-has-not-asked";

fn client(id: &str, keys: &str) -> String {
    format!(
        "[[upstream.client]]\nid = \"{id}\"\nowner = \"a\"\nreason = \"a test\"\nuntil = \"2999-12-31\"\n{keys}\n"
    )
}

/// Gates that enforce PKCE for `pub`, with different other settings.
fn gates() -> Vec<Rig> {
    let lax = [
        String::new(),
        client("web", "response_types = [\"code\", \"id_token\"]"),
        client(
            "web",
            "response_types = [\"code\", \"token\", \"code token\", \"none\"]",
        ),
        client("lax", "mode = \"report\"\ncodes = \"upstream\""),
        client("lax", "mode = \"off\""),
    ];
    let gate = |codes: &str, tables: &str| {
        println!("codes = {codes:?}: {tables}");
        let pkce = format!("codes = \"{codes}\"");
        let rig = Rig::with(Config {
            pkce: &pkce,
            tables,
            ..Config::default()
        });
        rig.unguarded()
    };
    let all = |tables: &String| [gate("handle", tables), gate("upstream", tables)];
    lax.iter().flat_map(all).collect()
}

#[track_caller]
pub(super) fn is_kept(response: &Response, shown: &str) {
    assert!(!response.to_string().contains(TOKEN), "{shown}: {response}");
    assert!(response.status >= 300, "{shown}: {response}");
}

pub(super) fn form(action: &str, names: &[&str]) -> Vec<u8> {
    let input = |name: &&str| format!("<input type=hidden name=\"{name}\" value=\"{TOKEN}\">");
    let inputs: Vec<_> = names.iter().map(input).collect();
    let page = format!(
        "<form method=post action=\"{action}\">{}</form>",
        inputs.concat()
    );
    reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
}

/// Requests that start no sign-in here, at forgotten paths and in forms, with every mixture of response types.
fn nothing_begun() -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for types in [
        "token",
        "id_token",
        "id_token token",
        "code token",
        "token code id_token",
    ] {
        let query = format!(
            "client_id=pub&response_type={}&state=zz&redirect_uri=http%3A%2F%2F{HOST}%2Fapp%2Fcb",
            types.replace(' ', "%20")
        );
        for path in ["/authorize", "/v2/authorize"] {
            requests.push(request("GET", &format!("{path}?{query}"), &[], None));
            requests.push(request("POST", path, &[], Some(&query)));
        }
    }
    requests.push(request("POST", "/login", &[], Some("user=u")));
    requests
}

/// To a redirect URI on the server's own origin, where an application is behind the same gate.
#[test]
fn tokens_to_the_server_itself() {
    for rig in gates() {
        let upstream = rig.upstream.url();
        let mut answers = Vec::new();
        for cb in [
            "/app/cb",
            "http://gate.test/app/cb",
            "//gate.test/app/cb",
            &format!("{upstream}/app/cb"),
        ] {
            for tail in [
                "#access_token=TOKEN",
                "#access_token=TOKEN&token_type=Bearer&state=zz",
                "#id_token=TOKEN",
                "#/cb?id_token=TOKEN",
                "#!/?x=1&ID-Token=TOKEN",
                "#state=zz&code=a-code-of-somebodys&id_token=TOKEN",
                "?access_token=TOKEN&token_type=Bearer",
                "?expires_in=60&access_token=TOKEN",
                "?id_token=TOKEN&state=zz",
            ] {
                answers.push(redirect(&format!("{cb}{}", tail.replace("TOKEN", TOKEN))));
            }
            answers.push(form(cb, &["access_token", "token_type"]));
            answers.push(form(cb, &["state", "id_token"]));
        }
        for answer in answers {
            for bytes in nothing_begun() {
                let response = answered(&rig, &bytes, answer.clone());
                is_kept(
                    &response,
                    &format!("{} {}", bytes.escape_ascii(), answer.escape_ascii()),
                );
            }
        }
    }
}

/// As some clients read them: in another case, with other punctuation, as lists.
#[test]
fn tokens_under_other_names() {
    for rig in gates() {
        for name in [
            "Access_Token",
            "accessToken",
            "access-token",
            "access%5Ftoken",
            "access_token[]",
            "ID_TOKEN",
            "id.token",
        ] {
            for answer in [
                redirect(&format!("{REDIRECT_URI}#{name}={TOKEN}&state=zz")),
                redirect(&format!("{REDIRECT_URI}?{name}={TOKEN}")),
            ] {
                let bytes = request("POST", "/login", &[], Some("user=u"));
                let response = answered(&rig, &bytes, answer.clone());
                is_kept(&response, &answer.escape_ascii().to_string());
            }
        }
    }
}

/// A sign-in with one response type gets no token of another, in a redirect or a form, on the same or another origin.
#[test]
fn tokens_in_place_of_others() {
    let tables = client(
        "web",
        "response_types = [\"code\", \"id_token\", \"token\", \"code id_token\"]",
    );
    for codes in ["handle", "upstream"] {
        let rig = Rig::with(Config {
            pkce: &format!("codes = \"{codes}\""),
            tables: &tables,
            ..Config::default()
        });
        let rig = rig.unguarded();
        for uri in [REDIRECT_URI, "http://gate.test/app/cb"] {
            for (id, asked, names, leaves) in [
                ("pub", "code", &["access_token"][..], false),
                ("pub", "code", &["id_token"], false),
                ("web", "code", &["access_token"], false),
                ("web", "id_token", &["id_token", "access_token"], false),
                ("web", "token", &["id_token"], false),
                ("web", "code id_token", &["access_token"], false),
                ("web", "id_token", &["id_token"], true),
                ("web", "token", &["access_token"], true),
            ] {
                for in_form in [false, true] {
                    let authorization = rig.authorization().with("client_id", id);
                    let authorization = authorization
                        .with("redirect_uri", uri)
                        .with("response_type", asked);
                    let authorization = authorization.with(
                        "response_mode",
                        if in_form { "form_post" } else { "fragment" },
                    );
                    let mut begin = target(&authorization);
                    let mut state = authorization.state().unwrap_or_default().to_owned();
                    // A response with code and id_token gets no handle.
                    if codes == "handle" && asked != "code id_token" {
                        begin = rig.entry(&authorization);
                        state = handle_of(&begin);
                    }
                    let pairs: Vec<_> =
                        names.iter().map(|name| format!("{name}={TOKEN}")).collect();
                    let answer = if in_form {
                        let page = form(uri, names);
                        let page = String::from_utf8(page).expect("text");
                        let (_, page) = page.split_once("\r\n\r\n").expect("a head");
                        let page = page.replace(
                            "</form>",
                            &format!("<input name=state value=\"{state}\"></form>"),
                        );
                        reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
                    } else {
                        redirect(&format!("{uri}#{}&state={state}", pairs.join("&")))
                    };
                    let response = answered(&rig, &request("GET", &begin, &[], None), answer);
                    let shown = format!("{codes} {uri} {id} {asked} {names:?}");
                    if leaves {
                        assert!(response.to_string().contains(TOKEN), "{shown}: {response}");
                    } else {
                        is_kept(&response, &shown);
                        assert_eq!(response.status, 502, "{shown}: {response}");
                    }
                }
            }
        }
    }
}

/// Status, fields, body.
type Answer = (&'static str, Vec<(&'static str, String)>, String);

/// Answers with an unrequested token. `STATE` and `SERIAL` are placeholders.
fn with_token(token: &str) -> Vec<Answer> {
    let field = |name, value: &str| vec![(name, value.to_owned())];
    let page = |body: String| ("200 OK", field("Content-Type", "text/html"), body);
    let of_type = |kind: &str, body: String| ("200 OK", field("Content-Type", kind), body);
    let form = |control: &str| {
        page(format!(
            "<form action=\"{REDIRECT_URI}\">{control}<input name=state value=STATE></form>"
        ))
    };
    let mut answers = vec![
        of_type(
            "application/xml",
            format!("<r><access_token>{token}</access_token><state>STATE</state></r>"),
        ),
        of_type(
            "application/json",
            format!("{{\"access_token\":\"{token}\",\"state\":\"STATE\"}}"),
        ),
        form(&format!("<textarea name=access_token>{token}</textarea>")),
        form(&format!(
            "<button name=id_token value=\"{token}\"></button>"
        )),
    ];
    for pairs in [
        format!("access_token={token}&token_type=Bearer&state=STATE"),
        format!("access_token={token}&token_type=Bearer"),
        format!("id_token={token}&state=STATE"),
    ] {
        let url = format!("{REDIRECT_URI}#{pairs}");
        for location in [
            &url,
            &format!("{REDIRECT_URI}#x#{pairs}"),
            &format!("{REDIRECT_URI}#x=y;{pairs}"),
        ] {
            answers.push(("302 Found", field("Location", location), String::new()));
        }
        answers.push(("201 Created", field("Location", &url), String::new()));
        for (name, value) in [
            ("Refresh", format!("0;url={url}")),
            ("Link", format!("<{url}>")),
        ] {
            answers.push(("200 OK", field(name, &value), String::new()));
            let code = format!("{REDIRECT_URI}?code=own-SERIAL-of-it&state=STATE");
            let fields = vec![("Location", code), (name, value)];
            answers.push(("302 Found", fields, String::new()));
        }
        answers.push(page(format!(
            "<meta http-equiv=refresh content=\"0;url={url}\">"
        )));
        answers.push(page(format!("<script>location='{url}'</script>")));
        answers.push(page(format!("<a href=\"{url}\">go on</a>")));
        answers.push(of_type("application/json", format!("{{\"to\":\"{url}\"}}")));
    }
    answers
}

/// A sign-in: its target, and the state that the upstream receives.
fn begun(rig: &Rig, codes: &str) -> (String, String) {
    let authorization = rig.authorization();
    if codes == "handle" {
        let begin = rig.entry(&authorization);
        let state = handle_of(&begin);
        return (begin, state);
    }
    let state = authorization.state().unwrap_or_default().to_owned();
    (target(&authorization), state)
}

/// Tokens are opaque: one may be short, and look like words. Fails if tokens must look like codes, and (next to a code that
/// passes unchanged) without the leftovers in `bind`.
#[test]
fn tokens_of_a_few_letters() {
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("codes = \"{codes}\"")).unguarded();
        for token in ["AT-LEAK", "Bearer1", "ATOK", "abc123"] {
            for (serial, (status, fields, body)) in with_token(token).into_iter().enumerate() {
                let (begin, state) = begun(&rig, codes);
                let serial = format!("{token}{serial}").to_lowercase();
                let fill = |text: &str| text.replace("SERIAL", &serial).replace("STATE", &state);
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (*name, fill(value)))
                    .collect();
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (*name, &**value))
                    .collect();
                let answer = reply(status, &fields, fill(&body).as_bytes());
                let response = answered(&rig, &request("GET", &begin, &[], None), answer);
                let shown = format!("{codes} {fields:?} {body}");
                let is_there =
                    |name: &str| response.to_string().contains(&format!("{name}{token}"));
                assert!(
                    !["=", ">", "\"", "\":\""].into_iter().any(is_there),
                    "{shown}: {response}"
                );
            }
            // The same words under names that are not those of a token.
            for location in [
                format!("{REDIRECT_URI}#error=x&next_token={token}"),
                format!("/go-on?csrf_token={token}"),
            ] {
                let begin = request("GET", &begun(&rig, codes).0, &[], None);
                let response = answered(&rig, &begin, redirect(&location));
                assert!(response.to_string().contains(token), "{codes}: {response}");
            }
        }
    }
}

/// Parameters of the server: a link to reset a password contains a token, too.
#[test]
fn other_tokens_pass() {
    for rig in gates() {
        for location in [
            format!("/reset?access_token={TOKEN}"),
            format!("/x?token={TOKEN}&state=zz"),
            format!("/x?csrf_token={TOKEN}#token_type"),
        ] {
            let bytes = request("POST", "/login", &[], Some("user=u"));
            let response = answered(&rig, &bytes, redirect(&location));
            assert_eq!(response.header("location"), Some(&*location), "{response}");
        }
        let page = format!("{{\"access_token\":\"{TOKEN}\"}}");
        let answer = reply(
            "200 OK",
            &[("Content-Type", "application/json")],
            page.as_bytes(),
        );
        let bytes = request("POST", "/api/login", &[], Some("user=u"));
        assert_eq!(answered(&rig, &bytes, answer).status, 200);
    }
}

/// With handles, a sign-in that has ended gets no token, although it asked for one and its client may have it. Also if only
/// this client is enforced. Fails if `bind::refuse` keeps the sign-in, and if `Belongs::rule` uses the default for a dead
/// handle.
#[test]
fn tokens_for_sign_ins_that_are_over() {
    let types = "response_types = [\"code\", \"token\"]";
    let only = "[[upstream.client]]\nid = \"pub\"\nmode = \"enforce\"";
    let alone = Rig::with(Config {
        pkce: &format!("mode = \"report\"\n{types}"),
        tables: only,
        ..Config::default()
    });
    for rig in [Rig::pkce(types), alone.unguarded()] {
        let begin = || {
            let authorization = rig.authorization().with("response_type", "token");
            let entry = rig.entry(&authorization.with("response_mode", "fragment"));
            (handle_of(&entry), request("GET", &entry, &[], None))
        };
        let token = |uri: &str, handle: &str| {
            redirect(&format!(
                "{uri}#access_token={TOKEN}&token_type=Bearer&state={handle}"
            ))
        };
        let (handle, entry) = begin();
        let response = answered(&rig, &entry, token(REDIRECT_URI, &handle));
        assert!(response.to_string().contains(TOKEN), "{response}");
        let (handle, entry) = begin();
        let elsewhere = token("https://evil.test/", &handle);
        is_kept(&answered(&rig, &entry, elsewhere), "another redirect URI");
        for _ in 0..3 {
            let bytes = request("POST", "/login", &[], Some("user=u"));
            let response = answered(&rig, &bytes, token(REDIRECT_URI, &handle));
            is_kept(&response, "a sign-in that is over");
            assert_eq!(response.status, 502, "{response}");
        }
    }
    // Without its handle it belongs to no sign-in.
    let rig = Rig::pkce(types);
    let bytes = request("POST", "/login", &[], Some("user=u"));
    let answer = redirect(&format!("{REDIRECT_URI}#access_token={TOKEN}"));
    is_kept(&answered(&rig, &bytes, answer), "no sign-in");
}
