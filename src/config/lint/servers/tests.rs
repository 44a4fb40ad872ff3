use super::super::tests::named;
use crate::config::testing::{check_text, problems};

const EXCEPTION: &str = "[[upstream.client]]\nid = \"erp\"\nmode = \"report\"\nuntil = \"2026-12-31\"\nowner = \"o\"\nreason = \"r\"";
const ELSEWHERE: &str = "or give one of them a server of its own";

fn strict(pkce: &str) -> String {
    named("strict", "prefix = \"/a\"", pkce)
}

fn lax(pkce: &str) -> String {
    named("lax", "prefix = \"/b\"", pkce)
}

fn client(id: &str, keys: &str) -> String {
    format!("[[upstream.client]]\nid = \"{id}\"\n{keys}\n")
}

/// Checks the errors of two upstreams in both orders; positions refer to the text with the stricter one first. Each upstream
/// alone must have warnings only.
fn check(strict: &str, lax: &str, expected: &[&str]) {
    let errors = |text: &str| -> Vec<String> {
        let found = problems(text).into_iter();
        found
            .filter(|problem| problem.contains(" error: "))
            .collect()
    };
    assert_eq!(errors(strict), [""; 0], "{strict}");
    assert_eq!(errors(lax), [""; 0], "{lax}");
    let found = errors(&format!("{strict}{lax}"));
    assert_eq!(found, expected, "{strict}{lax}");
    let what = |problem: &str| {
        let (_, what) = problem.split_once(' ').unwrap();
        what.to_owned()
    };
    let swapped = errors(&format!("{lax}{strict}"));
    let swapped: Vec<String> = swapped.iter().map(|it| what(it)).collect();
    let expected: Vec<String> = expected.iter().map(|it| what(it)).collect();
    assert_eq!(swapped, expected, "{lax}{strict}");
}

#[test]
fn two_upstreams_on_one_server_are_equally_strict() {
    const WARNING: &str = "warning: nothing is refused at \"lax\" | nothing is judged | \
        write mode = \"enforce\" once the review shows that every client is ready";
    const ERROR: &str = "error: \"lax\" is a way around \"strict\": both are http://127.0.0.1:9000 | \
        \"off\" here, \"enforce\" there | write mode = \"enforce\" in both, or give one of them a server of its own";
    let (strict, lax) = (strict("mode = \"enforce\""), lax("mode = \"off\""));
    check_text(
        &format!("{strict}{lax}"),
        &[&format!("18:8 {ERROR}"), &format!("18:8 {WARNING}")],
    );
    check_text(
        &format!("{lax}{strict}"),
        &[&format!("9:8 {ERROR}"), &format!("9:8 {WARNING}")],
    );
    // Different hosts do not matter.
    let again = lax.replace("prefix", "hosts = [\"127.0.0.1\"]\nprefix");
    check_text(
        &format!("{strict}{again}"),
        &[&format!("19:8 {ERROR}"), &format!("19:8 {WARNING}")],
    );
    let elsewhere = lax.replace(":9000", ":9001");
    check_text(
        &format!("{strict}{elsewhere}"),
        &[&format!("18:8 {WARNING}")],
    );
}

#[test]
fn one_server_is_one_however_it_is_written() {
    let at = |text: String, host: &str| text.replace("127.0.0.1:9000", host);
    for (one, other) in [
        ("127.0.0.1:9000", "localhost:9000"),
        ("127.0.0.1:9000", "127.0.0.2:9000"),
        ("127.255.0.9:9000", "[::1]:9000"),
        ("localhost.:9000", "[::ffff:7f00:1]:9000"),
        ("0.0.0.0:9000", "localhost:9000"),
        ("[::]:9000", "127.0.0.1:9000"),
        ("[::ffff:0:0]:9000", "idp.localhost.:9000"),
        ("LocalHost:9000", "127.0.0.1:9000"),
        ("idp.internal:9000", "idp.internal.:9000"),
        ("idp.internal:9000", "IDP.Internal:9000"),
        ("10.0.0.1:9000", "[::ffff:a00:1]:9000"),
        ("[2001:db8::1]:80", "[2001:db8::1]"),
    ] {
        let found = problems(&format!(
            "{}{}",
            at(strict(""), one),
            at(lax("mode = \"report\""), other)
        ));
        let shown = |host: &str| format!("http://{}", host.to_lowercase().replace("]:80", "]"));
        let (one, other) = (shown(one), shown(other));
        let place = if one == other {
            format!("both are {one}")
        } else {
            format!("{other} and {one} are one server")
        };
        let expected = format!(
            "18:8 error: \"lax\" is a way around \"strict\": {place} | \"report\" here, \"enforce\" there | \
             write mode = \"enforce\" in both, {ELSEWHERE}"
        );
        assert!(found.contains(&expected), "{expected}\n{found:#?}");
    }
    for (one, other) in [
        ("127.0.0.1:9000", "10.0.0.1:9000"),
        ("127.0.0.1:9000", "127.0.0.2:9001"),
        ("idp.internal:9000", "a.idp.internal:9000"),
        ("10.0.0.1:9000", "[::ffff:a00:2]:9000"),
        ("localhost.example:9000", "localhost:9000"),
    ] {
        let (one, other) = (at(strict(""), one), at(lax("mode = \"report\""), other));
        let found = problems(&format!("{one}{other}"));
        assert!(
            !found.iter().any(|problem| problem.contains("way around")),
            "{found:#?}"
        );
    }
}

#[test]
fn two_upstreams_on_one_server_have_the_same_exceptions() {
    let error = |keys: &str| {
        format!(
            "{keys} error: \"lax\" is a way around \"strict\" for \"erp\": both are http://127.0.0.1:9000"
        )
    };
    let help = format!("write the same [[upstream.client]] in both, {ELSEWHERE}");
    let missing = format!(
        "{} | \"report\" here, \"enforce\" there | {help}",
        error("20:8")
    );
    check(&strict(""), &lax(EXCEPTION), &[&missing]);
    check(&strict(EXCEPTION), &lax(EXCEPTION), &[]);
    // An exception that lasts longer; one that has ended in the stricter upstream, or in both.
    let longer = EXCEPTION.replace("2026-12-31", "2027-03-31");
    check(
        &strict(EXCEPTION),
        &lax(&longer),
        &[&format!(
            "{} | \"report\" here, \"enforce\" there from 2027-01-01 on | {help}",
            error("25:8")
        )],
    );
    let ended = EXCEPTION.replace("2026-12-31", "2026-01-31");
    check(
        &strict(&ended),
        &lax(EXCEPTION),
        &[&format!(
            "{} | \"report\" here, \"enforce\" there | {help}",
            error("25:8")
        )],
    );
    check(&strict(""), &lax(&ended), &[]);
    // The properties of a client are not exceptions.
    let what = client(
        "spa",
        "type = \"public\"\nredirect_uris = [\"https://a.example/cb\"]",
    );
    check(&strict(&what), &lax(""), &[]);
    check(
        &strict(""),
        &lax(&client(
            "spa",
            "type = \"confidential\"\nverifier_max = 200",
        )),
        &[],
    );
}

/// The error about a bypass for all clients, or for those in `whose`.
fn way_around(at: &str, whose: &str, label: &str, write: &str) -> String {
    format!(
        "{at} error: \"lax\" is a way around \"strict\"{whose}: both are http://127.0.0.1:9000 | {label} | \
         write {write} in both, {ELSEWHERE}"
    )
}

#[test]
fn two_upstreams_on_one_server_allow_the_same() {
    for (strict_pkce, lax_pkce, expected) in [
        (
            String::new(),
            "response_types = [\"code\", \"token\"]".to_owned(),
            way_around(
                "18:18",
                "",
                "\"token\" is allowed here, and not there",
                "the same response_types",
            ),
        ),
        (
            "response_modes = [\"query\"]".to_owned(),
            String::new(),
            way_around(
                "17:1",
                "",
                "\"fragment\" is allowed here, and not there",
                "the same response_modes",
            ),
        ),
        (
            "grants = [\"authorization_code\"]".to_owned(),
            String::new(),
            way_around(
                "17:1",
                "",
                "every grant is allowed here, and not there",
                "the same grants",
            ),
        ),
        (
            "grants = [\"authorization_code\"]".to_owned(),
            "grants = [\"authorization_code\", \"password\"]".to_owned(),
            way_around(
                "18:10",
                "",
                "\"password\" is allowed here, and not there",
                "the same grants",
            ),
        ),
        (
            String::new(),
            "codes = \"upstream\"".to_owned(),
            way_around(
                "18:9",
                "",
                "\"upstream\" here, \"handle\" there",
                "codes = \"handle\"",
            ),
        ),
    ] {
        check(&strict(&strict_pkce), &lax(&lax_pkce), &[&expected]);
    }
}

#[test]
fn two_upstreams_on_one_server_allow_each_client_the_same() {
    let confidential = client("erp", "type = \"confidential\"");
    let public = client("erp", "type = \"public\"");
    let enforced = client("spa", "mode = \"enforce\"");
    let mode = "mode = \"report\"\n";
    let no_challenge = "a request without code_challenge is allowed here, and not there";
    for (strict_pkce, lax_pkce, expected) in [
        (
            confidential.clone(),
            format!("require = \"public\"\n{confidential}"),
            way_around(
                "24:8",
                " for \"erp\"",
                no_challenge,
                "the same require, and the same type for \"erp\",",
            ),
        ),
        (
            format!("require = \"public\"\n{public}"),
            format!("require = \"public\"\n{confidential}"),
            way_around(
                "25:8",
                " for \"erp\"",
                no_challenge,
                "the same require, and the same type for \"erp\",",
            ),
        ),
        (
            format!("{mode}{enforced}"),
            mode.to_owned(),
            way_around(
                "22:8",
                " for \"spa\"",
                "\"report\" here, \"enforce\" there",
                "mode = \"enforce\" for \"spa\"",
            ),
        ),
        (
            format!(
                "{mode}{}",
                client("spa", "mode = \"enforce\"\ncodes = \"handle\"")
            ),
            format!(
                "{mode}{}",
                client("spa", "mode = \"enforce\"\ncodes = \"upstream\"")
            ),
            way_around(
                "27:9",
                " for \"spa\"",
                "\"upstream\" here, \"handle\" there",
                "codes = \"handle\" for \"spa\"",
            ),
        ),
        (
            format!("{mode}{enforced}"),
            format!("{mode}response_types = [\"code\", \"code token\"]\n{enforced}"),
            way_around(
                "23:18",
                " for \"spa\"",
                "\"code token\" is allowed here, and not there",
                "the same response_types for \"spa\"",
            ),
        ),
        // The client is allowed less than others at one upstream.
        (
            format!(
                "response_types = [\"code\", \"code id_token\"]\n{}",
                client("spa", "response_types = [\"code\"]")
            ),
            "response_types = [\"code\", \"code id_token\"]".to_owned(),
            way_around(
                "22:18",
                " for \"spa\"",
                "\"code id_token\" is allowed here, and not there",
                "the same response_types for \"spa\"",
            ),
        ),
    ] {
        check(&strict(&strict_pkce), &lax(&lax_pkce), &[&expected]);
    }
}

#[test]
fn consequential_errors_are_not_reported() {
    let nameless = EXCEPTION.replace("id = \"erp\"\n", "");
    let misspelt = "mode = \"reprot\"";
    for (pkce, mistake) in [
        (nameless.as_str(), "`upstream.client.id` is missing"),
        (misspelt, "`upstream.pkce.mode` cannot be \"reprot\""),
    ] {
        let found = problems(&format!("{}{}", strict(""), lax(pkce)));
        assert!(found.len() == 1 && found[0].contains(mistake), "{found:#?}");
    }
}

#[test]
fn upstreams_on_one_server_that_allow_the_same_may_be_written_otherwise() {
    let enforced = client("spa", "mode = \"enforce\"");
    for (one, other) in [
        // One upstream writes the values that are the defaults of the other.
        (String::new(), "mode = \"enforce\"\ncodes = \"handle\"\nrequire = \"all\"\nresponse_types = [\"code\"]".to_owned()),
        (String::new(), enforced.clone()),
        ("response_types = [\"code\", \"code token\"]".to_owned(), "response_types = [\"token code\", \"code\"]".to_owned()),
        // No client is confidential, so all need a challenge.
        (String::new(), format!("require = \"public\"\n{}", client("spa", "type = \"public\""))),
        // Without enforcement there is nothing to bypass.
        ("mode = \"report\"".to_owned(), "mode = \"report\"\ncodes = \"handle\"\nresponse_types = [\"code\", \"token\"]".to_owned()),
        // A client_id that differs only in case already has the rule of the client.
        (format!("mode = \"report\"\n{enforced}"), format!("mode = \"report\"\n{}{enforced}", client("SPA", "type = \"public\""))),
    ] {
        check(&strict(&one), &lax(&other), &[]);
    }
}
