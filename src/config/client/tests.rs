use super::*;
use crate::config::testing::{UPSTREAM, check_upstream, config};
use crate::oauth::{ResponseMode, ResponseType};

/// The keys that every exception requires.
const ACCOUNT: &str = "until = \"2027-03-31\"\nowner = \"o\"\nreason = \"r\"\n";

fn check(client: &str, expected: &[&str]) {
    check_upstream(
        &format!("[[upstream.client]]\nid = \"a\"\n{client}"),
        expected,
    );
}

fn client_of(pkce: &str, client: &str) -> ClientRule {
    let text =
        format!("{UPSTREAM}[upstream.pkce]\n{pkce}\n[[upstream.client]]\nid = \"a\"\n{client}");
    let config = config(&text);
    let mut clients = config.upstreams[0].gateway.rules.clients();
    clients.next().unwrap().clone()
}

#[test]
fn a_client_alone_has_the_rule_of_its_upstream() {
    let client = client_of("", "");
    assert_eq!(client.rule, Rule::default());
    assert_eq!(client.afterwards, Rule::default());
    assert_eq!(client.until, None);
}

#[test]
fn exceptions_end_and_client_properties_stay() {
    let client = client_of(
        "",
        &format!(
            "mode = \"report\"\nmethods = [\"S256\", \"plain\"]\ncodes = \"upstream\"\n\
             response_types = [\"code\", \"code id_token\"]\nassume_method = \"S256\"\n\
             verifier_max = 256\nredirect_uris = [\"https://a.example/cb\"]\n{ACCOUNT}"
        ),
    );
    assert_eq!(client.until, date::parse("2027-03-31"));
    assert_eq!(
        (client.owner.as_deref(), client.reason.as_deref()),
        (Some("o"), Some("r"))
    );
    assert_eq!(
        (client.rule.mode, client.rule.codes),
        (Mode::Report, Codes::Upstream)
    );
    assert!(client.rule.plain_allowed);
    assert_eq!(client.rule.response_types.len(), 2);
    let afterwards = Rule {
        assume_method: Some(CodeChallengeMethod::S256),
        verifier_max: 256,
        redirect_uris: vec!["https://a.example/cb".to_owned()],
        ..Rule::default()
    };
    assert_eq!(client.afterwards, afterwards);
}

#[test]
fn stricter_settings_stay_after_the_end_of_the_exception() {
    let client = client_of(
        "mode = \"report\"\nresponse_types = [\"code\", \"none\"]",
        &format!(
            "mode = \"enforce\"\nmethods = [\"S256\", \"plain\"]\nresponse_types = [\"code\", \"token\"]\n{ACCOUNT}"
        ),
    );
    assert_eq!(
        (client.rule.mode, client.rule.codes),
        (Mode::Enforce, Codes::Handle)
    );
    assert!(client.rule.plain_allowed);
    let afterwards = &client.afterwards;
    assert_eq!(
        (afterwards.mode, afterwards.codes),
        (Mode::Enforce, Codes::Handle)
    );
    assert!(!afterwards.plain_allowed);
    assert_eq!(afterwards.response_types, [ResponseType::parse("code")]);
}

#[test]
fn codes_are_those_of_the_upstream_unless_the_client_is_enforced_first() {
    for (pkce, client, codes) in [
        ("", format!("mode = \"report\"\n{ACCOUNT}"), Codes::Handle),
        ("mode = \"report\"", String::new(), Codes::Upstream),
        (
            "mode = \"report\"",
            "mode = \"enforce\"".to_owned(),
            Codes::Handle,
        ),
        (
            "codes = \"upstream\"",
            "mode = \"enforce\"".to_owned(),
            Codes::Upstream,
        ),
        (
            "mode = \"report\"",
            "codes = \"handle\"".to_owned(),
            Codes::Handle,
        ),
    ] {
        assert_eq!(
            client_of(pkce, &client).rule.codes,
            codes,
            "{pkce} {client}"
        );
    }
}

#[test]
fn every_exception_needs_an_end_an_owner_and_a_reason() {
    const NEEDS: &str = "an exception needs an end, an owner, a reason";
    const HELP: &str = "add until = \"2026-08-30\", owner = \"team@example.com\", reason = \"…\"";
    for (client, column, label) in [
        (
            "mode = \"report\"",
            8,
            "\"report\" is laxer than the upstream's \"enforce\"",
        ),
        (
            "mode = \"off\"",
            8,
            "\"off\" is laxer than the upstream's \"enforce\"",
        ),
        (
            "methods = [\"S256\", \"plain\"]",
            11,
            "\"plain\" is laxer than the upstream's \"S256\"",
        ),
        (
            "response_types = [\"token\"]",
            18,
            "\"token\" is not among the upstream's",
        ),
    ] {
        check(
            client,
            &[&format!("3:{column} error: {NEEDS} | {label} | {HELP}")],
        );
    }
    check_upstream(
        "[upstream.pkce]\nresponse_modes = [\"query\"]\n[[upstream.client]]\nid = \"a\"\n\
         response_modes = [\"query\", \"form_post\"]\nowner = \"o\"",
        &[
            "5:18 error: an exception needs an end, a reason | \"form_post\" is not among the upstream's | \
           add until = \"2026-08-30\", reason = \"…\"",
        ],
    );
}

#[test]
fn client_properties_are_not_exceptions() {
    check(
        "type = \"confidential\"\nassume_method = \"S256\"\nverifier_max = 100\n\
         redirect_uris = [\"https://a.example/cb\", \"com.example.app:/cb\", \"http://127.0.0.1/cb\"]",
        &[],
    );
    let confidential = client_of("require = \"public\"", "type = \"confidential\"");
    assert!(!confidential.rule.challenge_required);
    assert!(
        client_of("require = \"public\"", "")
            .rule
            .challenge_required
    );
    assert!(
        client_of("", "type = \"confidential\"")
            .rule
            .challenge_required
    );
}

#[test]
fn until_without_an_exception_is_reported() {
    const HELP: &str = "remove it; what a client is (type, redirect_uris, assume_method, verifier_max) does not end";
    check(
        "until = 2027-03-31\nassume_method = \"S256\"",
        &[&format!(
            "3:9 error: `until` does nothing: this client has no exception | \
             nothing here is laxer than [upstream.pkce] | {HELP}"
        )],
    );
    // The upstream may be enforced later, or not any more.
    check_upstream(
        "[upstream.pkce]\nmode = \"report\"\n[[upstream.client]]\nid = \"a\"\nmode = \"report\"\nuntil = 2027-03-31\n\
         owner = \"a\"\nreason = \"b\"",
        &[
            "2:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
             write mode = \"enforce\" once the review shows that every client is ready",
            "6:9 warning: the exception has no effect | [upstream.pkce] is not stricter at present | \
             leave it if the upstream will be stricter, for example with mode = \"enforce\"; else remove it",
        ],
    );
    // Consequential errors are not reported.
    check(
        "until = 2027-03-31\nmode = \"reprot\"",
        &[
            "4:8 error: `upstream.client.mode` cannot be \"reprot\" | did you mean \"report\"? | \
           write \"enforce\", \"report\" or \"off\"",
        ],
    );
}

#[test]
fn until_is_a_date() {
    let lax = "mode = \"report\"\nowner = \"o\"\nreason = \"r\"\n";
    for until in ["\"2027-03-31\"", "2027-03-31"] {
        let client = client_of("", &format!("{lax}until = {until}"));
        assert_eq!(client.until, date::parse("2027-03-31"), "{until}");
    }
    for until in ["\"2027-02-29\"", "\"31.03.2027\"", "\"soon\"", "1960-01-01"] {
        check(
            &format!("{lax}until = {until}"),
            &[
                "6:9 error: `upstream.client.until` is not a date | not a valid date | \
               write YYYY-MM-DD, for example \"2027-03-31\"",
            ],
        );
    }
    for (until, found) in [
        ("2027-03-31T12:00:00Z", "a date or time"),
        ("12:00:00", "a date or time"),
        ("20270331", "a whole number"),
    ] {
        let problem = format!(
            "6:9 error: `upstream.client.until` has to be a date without a time | this is {found} | \
             write until = \"2027-03-31\""
        );
        check(&format!("{lax}until = {until}"), &[&problem]);
    }
}

#[test]
fn ends_are_announced_for_fourteen_days() {
    let announced =
        "see in the log whether the client is ready; if not, agree on a later date with its owner";
    for (until, expected) in [
        ("2026-06-16", None),
        (
            "2026-06-15",
            Some(("ends after 2026-06-15", "14 days are left", announced)),
        ),
        (
            "2026-06-02",
            Some(("ends after 2026-06-02", "1 day is left", announced)),
        ),
        (
            "2026-06-01",
            Some(("ends after 2026-06-01", "this is its last day", announced)),
        ),
        (
            "2026-05-31",
            Some((
                "ended on 2026-05-31",
                "the stricter rule holds since",
                "remove the exception, or write a later date",
            )),
        ),
    ] {
        let warning = expected.map(|(what, label, help)| {
            format!("4:9 warning: the exception for \"a\" {what} | {label} | {help}")
        });
        let warnings: Vec<&str> = warning.as_deref().into_iter().collect();
        check(
            &format!("mode = \"report\"\nuntil = \"{until}\"\nowner = \"o\"\nreason = \"r\""),
            &warnings,
        );
    }
}

#[test]
fn an_end_in_the_distant_future_is_reported() {
    for (until, said) in [
        ("2100-12-31", false),
        ("2101-01-01", true),
        ("9999-12-31", true),
    ] {
        let warning = format!(
            "4:9 warning: the exception for \"a\" ends on {until} | that is further away than any exception should last | \
             write the day by which the client should be ready; it can be moved"
        );
        let warnings: Vec<&str> = said.then_some(warning.as_str()).into_iter().collect();
        check(
            &format!("mode = \"report\"\nuntil = \"{until}\"\nowner = \"o\"\nreason = \"r\""),
            &warnings,
        );
    }
}

#[test]
fn client_ids_are_required_and_unique() {
    check_upstream(
        "[[upstream.client]]\ntype = \"public\"\n[[upstream.client]]\nid = \"\"",
        &[
            "1:1 error: `upstream.client.id` is missing | which client does this rule apply to? | \
             add id = \"…\", the client_id that it sends",
            "4:6 error: `upstream.client.id` is not a text | it is empty | \
             write a text between the quotes",
        ],
    );
    check(
        "[[upstream.client]]\nid = \"b\"\n[[upstream.client]]\nid = \"a\"",
        &[
            "6:6 error: the client \"a\" has two rules | again | make one [[upstream.client]] of them",
        ],
    );
}

#[test]
fn methods_verifiers_and_redirect_uris_have_bounds() {
    check(
        "methods = [\"plain\"]\nassume_method = \"plain\"\nverifier_max = 1025",
        &[
            "3:11 error: `upstream.client.methods` has to list \"S256\" | S256 is always allowed | \
             write methods = [\"S256\", \"plain\"]",
            "4:17 error: `upstream.client.assume_method` cannot be \"plain\" | \
             this word is not known | write \"S256\"",
            "5:16 error: `upstream.client.verifier_max` is out of range | it goes from 43 to 1024 | \
             write for example verifier_max = 128",
        ],
    );
    for (uri, label) in [
        ("/cb", "relative URL without a base"),
        (
            "https://a.example/cb#x",
            "it has a fragment (RFC 6749 section 3.1.2)",
        ),
        (
            "https://a.example/c b",
            "it has a space or a control character",
        ),
        ("javascript:alert(1)", "browsers would run it"),
    ] {
        check(
            &format!("redirect_uris = [\"{uri}\"]"),
            &[&format!(
                "3:18 error: `upstream.client.redirect_uris` is not a redirect URI | {label} | \
                 write the absolute URI exactly as the client sends it, \
                 for example \"https://app.example.com/cb\""
            )],
        );
    }
}

#[test]
fn the_stricter_of_two_lists_is_their_intersection() {
    use ResponseMode::{FormPost, Fragment, Query};
    assert_eq!(
        stricter(&[Query, FormPost], &[FormPost, Fragment]),
        [FormPost]
    );
    assert_eq!(
        stricter(&[Query], &[FormPost, Fragment]),
        [FormPost, Fragment]
    );
}
