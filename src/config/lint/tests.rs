use super::overlap;
use crate::config::testing::{UPSTREAM, check, check_text, check_upstream};

#[test]
fn overlapping_listeners_are_refused() {
    for (a, b, expected) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("[::]:80", "127.0.0.1:80", true),
        ("[::]:80", "[::1]:80", true),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("0.0.0.0:80", "[::1]:80", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(
            (overlap(a, b), overlap(b, a)),
            (expected, expected),
            "{a} {b}"
        );
    }
}

#[test]
fn the_admin_listener_is_separate_from_client_listeners() {
    const WHAT: &str = "error: `admin.listen` is an address of `server.listen` too | \
                        health and metrics would be served to clients | \
                        write another port, for example listen = \"127.0.0.1:9901\" in [admin]";
    check(
        "[admin]\nlisten = \"127.0.0.1:8080\"",
        &[&format!("2:10 {WHAT}")],
    );
    check(
        "[server]\nlisten = [\"127.0.0.1:9901\"]",
        &[&format!("2:11 {WHAT}")],
    );
    check(
        "[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        &["2:26 error: `server.listen` lists \"127.0.0.1:1\" twice | again | remove one of them"],
    );
}

#[test]
fn trusting_all_addresses_is_reported() {
    check(
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
        &[
            "2:34 warning: every peer is a trusted proxy | any client can claim any address | \
           list only the networks of your own proxies",
        ],
    );
}

#[test]
fn contradicting_limits_are_reported() {
    check(
        "[limits]\nuri_bytes = \"48KiB\"\n[store]\ncode = \"11m\"",
        &[
            "2:13 warning: `limits.uri_bytes` is larger than `limits.header_bytes` | \
             the head of a request, which its URI is part of, is refused first | \
             raise header_bytes, or lower uri_bytes",
            "4:8 warning: codes live longer than RFC 6749 section 4.1.2 recommends | \
             more than \"10m\" | write code = \"5m\", or as long as the upstream's own codes live",
        ],
    );
}

#[test]
fn settings_that_weaken_enforcement_are_reported() {
    check_upstream(
        "[upstream.pkce]\nmode = \"off\"",
        &[
            "2:8 warning: nothing is refused at \"legacy\" | nothing is judged | \
           write mode = \"enforce\" once the review shows that every client is ready",
        ],
    );
    check_upstream(
        "[upstream.pkce]\nresponse_types = [\"code\", \"id_token token\"]\ngrants = [\"refresh_token\"]",
        &[
            "2:18 warning: access tokens travel through the browser | \
             PKCE protects codes only (RFC 9700 section 2.1.2) | \
             allow \"token\" in the [[upstream.client]] that needs it",
            "3:10 warning: no code can be redeemed | \"authorization_code\" is not listed | \
             add \"authorization_code\", or write grants = [] for any",
        ],
    );
    // Every response to a new authorization request sets the cookie.
    check_upstream(
        "[upstream.pkce]\nbrowser_binding = \"hard\"\nentry = \"rewrite\"",
        &[],
    );
    check_upstream(
        "[[upstream.client]]\nid = \"a\"\nverifier_max = 256\n\
         [[upstream.client]]\nid = \"b\"\nverifier_max = 256\nreason = \"its library\"",
        &[
            "3:16 warning: verifiers may be longer than RFC 7636 section 4.1 allows | \
           128 characters is the longest there | \
           add reason = \"…\" to say why this client needs it",
        ],
    );
}

/// Adds a trusted proxy.
fn behind_a_proxy(text: &str) -> String {
    format!("{text}\n[server]\ntrusted_proxies = [\"10.0.0.9/32\"]\n")
}

fn upstream(keys: &str) -> String {
    UPSTREAM.replace("url = \"http://127.0.0.1:9000\"", keys)
}

#[test]
fn unencrypted_connections_are_reported() {
    check_text(
        &upstream(
            "url = \"http://10.0.0.1\"\npublic_url = \"http://login.example.com\"\n\
             metadata.issuer = \"http://login.example.com\"",
        ),
        &[
            "2:7 warning: the upstream is reached over a network in plain http | \
             codes, tokens and client secrets can be read on the way, and others can reach it too | \
             write https://, or run the gate beside the upstream and let that listen on 127.0.0.1 only",
            "3:14 warning: clients reach the gate in plain http | \
             codes and verifiers can be read on the way | \
             put TLS in front of the gate, and write https:// here",
            "4:19 warning: the issuer is not an https:// URL | RFC 8414 section 2 requires https | \
             write the issuer as the upstream's metadata has it, with https://",
        ],
    );
    check_text(
        &upstream(
            "url = \"https://10.0.0.1\"\npublic_url = \"http://localhost:8080\"\n\
             metadata.issuer = \"http://localhost:8080\"",
        ),
        &[],
    );
    check_text(
        &upstream("url = \"https://10.0.0.1\"\npublic_url = \"https://login.example.com\""),
        &[
            "3:14 warning: all clients count as one | a TLS terminator that is not trusted hides them: \
             together they have the limits of one network | name its address in [server], for example \
           trusted_proxies = [\"127.0.0.1/32\"]",
        ],
    );
}

#[test]
fn hosts_and_paths_that_do_not_match_are_reported() {
    check_text(
        &behind_a_proxy(&upstream(
            "url = \"http://127.0.0.1\"\nhosts = [\"a.example\"]\npublic_url = \"https://b.example\"",
        )),
        &[
            "3:9 warning: `upstream.public_url` is not among `upstream.hosts` | \
           requests for \"b.example\" will not reach this upstream | \
           add \"b.example\" to hosts, or correct public_url",
        ],
    );
    for hosts in ["a.example", "a.example:8443"] {
        let public = "public_url = \"https://a.example:8443\"";
        check_text(
            &behind_a_proxy(&upstream(&format!(
                "url = \"http://127.0.0.1\"\nhosts = [\"{hosts}\"]\n{public}"
            ))),
            &[],
        );
    }
    let text = upstream("url = \"http://127.0.0.1\"\nprefix = \"/auth\"");
    check_text(
        &behind_a_proxy(&text.replace("/token", "/auth/token")),
        &[
            "6:9 warning: `upstream.endpoints.token` repeats the prefix | \
           this is \"/auth/auth/token\" in requests | write paths below the prefix, without it",
        ],
    );
}

#[test]
fn two_upstreams_differ_in_name_and_place() {
    const NAMES: &str = "give each a name of its own, for example name = \"second\"";
    const PLACES: &str = "give one of them other hosts or another prefix";
    const PLACE: &str = "two upstreams answer to the same host and prefix";
    let two = |first: &str, second: &str| {
        let text = format!("{UPSTREAM}{UPSTREAM}")
            .replacen("[[upstream]]", &format!("[[upstream]]\n{first}"), 1)
            .replacen("\n[[upstream]]", &format!("\n[[upstream]]\n{second}"), 1);
        behind_a_proxy(&text)
    };
    check_text(
        &two("# one", "# two"),
        &[
            &format!("7:1 error: two upstreams are called \"legacy\" | by default | {NAMES}"),
            &format!("7:1 error: {PLACE} | any host and prefix \"/\" again | {PLACES}"),
        ],
    );
    check_text(
        &two("name = \"a\"", "name = \"a\"\nprefix = \"/b\"").replace("prefix", "\nprefix"),
        &[&format!(
            "8:8 error: two upstreams are called \"a\" | again | {NAMES}"
        )],
    );
    let hosts = |name: &str, hosts: &str| {
        format!(
            "public_url = \"https://a.example\"\nname = \"{name}\"\nhosts = [{hosts}, \"a.example\"]"
        )
    };
    check_text(
        &two(&hosts("a", "\"b.example\""), &hosts("b", "\"c.example\"")),
        &[&format!(
            "12:9 error: {PLACE} | \"a.example\" and prefix \"/\" again | {PLACES}"
        )],
    );
    // If their public URLs have different hosts, the help names the hosts to write.
    let public = |name: &str, url: &str| format!("public_url = \"{url}\"\nname = \"{name}\"");
    for (url, host) in [
        ("https://b.example", "b.example"),
        ("https://b.example:8443", "b.example:8443"),
        ("https://a.example:8443", "a.example:8443"),
    ] {
        let help = format!(
            "write hosts = [\"{host}\"], which public_url says, or give one of them another prefix"
        );
        check_text(
            &two(&public("a", "https://a.example"), &public("b", url)),
            &[&format!(
                "8:1 error: {PLACE} | any host and prefix \"/\" again | {help}"
            )],
        );
        let written = format!("{}\nhosts = [\"{host}\"]", public("b", url));
        check_text(&two(&public("a", "https://a.example"), &written), &[]);
    }
    let same = [
        public("a", "https://a.example"),
        public("b", "https://a.example"),
    ];
    check_text(
        &two(&same[0], &same[1]),
        &[&format!(
            "8:1 error: {PLACE} | any host and prefix \"/\" again | {PLACES}"
        )],
    );
    check_text(
        &two("name = \"a\"", "name = \"b\"\nhosts = [\"127.0.0.1\"]"),
        &[],
    );
    check_text(&two("name = \"a\"", "name = \"b\"\nprefix = \"/b\""), &[]);
    // Consequential errors are not reported.
    check_text(
        &two("name = \"a b\"", "prefix = \"/b\""),
        &[
            "2:8 error: `upstream.name` is not a name | ' ' does not belong in a name | \
           write at most 64 letters, digits, '-', '_' and '.', for example \"legacy\"",
        ],
    );
}

/// An upstream with the given name.
pub(super) fn named(name: &str, keys: &str, pkce: &str) -> String {
    let text = UPSTREAM.replace(
        "[[upstream]]",
        &format!("[[upstream]]\nname = \"{name}\"\n{keys}"),
    );
    format!("{text}[upstream.pkce]\n{pkce}\n")
}

#[test]
fn overlapping_hosts_are_reported() {
    const PLACE: &str = "error: two upstreams answer to the same host and prefix";
    const HELP: &str = "give one of them other hosts or another prefix";
    let public = "public_url = \"https://x.test\"";
    let one = named("one", &format!("{public}\nhosts = [\"x.test\"]"), "");
    let two = named(
        "two",
        &format!("{public}\nhosts = [\"y.test\", \"x.test:80\"]"),
        "",
    );
    let ignored = "warning: `upstream.public_url` is not among";
    for (text, place) in [
        (format!("{one}{two}"), "14:9"),
        (format!("{two}{one}"), "14:9"),
    ] {
        let found = crate::config::testing::problems(&behind_a_proxy(&text));
        let tie = found
            .iter()
            .find(|problem| !problem.contains(ignored))
            .unwrap();
        assert!(
            tie.starts_with(&format!("{place} {PLACE} | \"x.test")) && tie.ends_with(HELP),
            "{found:?}"
        );
    }
}

#[test]
fn paths_that_are_equal_after_folding_are_reported() {
    let with = |endpoints: &str, routes: &str| {
        format!(
            "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\n[upstream.endpoints]\n{endpoints}\n[upstream.routes]\n{routes}"
        )
    };
    check_text(
        &with("authorization = [\"/Token\"]\ntoken = [\"/token/\"]", ""),
        &[
            "4:17 error: \"/Token\" of authorization and \"/token/\" of token are one path to some servers | \
           they differ in case, slashes or blanks only | correct one of them",
        ],
    );
    check_text(
        &with(
            "authorization = [\"/a\"]\ntoken = [\"/t\"]\ncontinuation = [\"/T/\"]",
            "",
        ),
        &[
            "6:16 error: \"/T/\" of continuation and \"/t\" of token are one path to some servers | \
           they differ in case, slashes or blanks only | correct one of them",
        ],
    );
    check_text(
        &with(
            "authorization = [\"/oauth.authorize\"]\ntoken = [\"/oauth.token\"]",
            "",
        ),
        &[
            "4:17 warning: \"/oauth.authorize\" of authorization and \"/oauth.token\" of token are one path to some \
           servers | they differ in the extension only | \
           correct one of them, or make sure that the upstream tells them apart",
        ],
    );
    let endpoints = "authorization = [\"/a\"]\ntoken = [\"/t\"]";
    for (callback, of, known) in [
        ("/t", "token", "/t"),
        ("/T.json", "token", "/t"),
        ("/a/", "authorization", "/a"),
    ] {
        check_text(
            &with(
                endpoints,
                &format!("foreign_callbacks = [\"/cb\", \"{callback}\"]"),
            ),
            &[&format!(
                "7:21 error: \"{callback}\" cannot be a foreign callback | \
                 to some servers it is \"{known}\", which is a {of} endpoint | \
                 write the path at which the upstream receives another server's code, or remove it"
            )],
        );
    }
    check_text(&with(endpoints, "foreign_callbacks = [\"/token/cb\"]"), &[]);
}

#[test]
fn routes_without_effect_are_reported() {
    const ALLOW: &str = "2:9 warning: `upstream.routes.allow` does nothing | \
        with default = \"guarded\" every path passes | write default = \"deny\" beside it, or remove it";
    let closed = |at: &str, help: &str| {
        format!(
            "{at} warning: \"/broker\" is answered with 404 | \
             a foreign callback passes only where its path does | {help}, or remove it here"
        )
    };
    for (routes, expected) in [
        ("allow = [\"/login\"]", vec![ALLOW.to_owned()]),
        (
            "allow = [\"/login\"]\ndefault = \"guarded\"",
            vec![ALLOW.to_owned()],
        ),
        ("allow = []", vec![]),
        ("allow = [\"/login\"]\ndefault = \"deny\"", vec![]),
        ("deny = [\"/admin\"]", vec![]),
        (
            "foreign_callbacks = [\"/a\", \"/broker\"]\ndefault = \"deny\"\nallow = [\"/a\"]",
            vec![closed("2:21", "add it to allow")],
        ),
        (
            "deny = [\"/broker/**\"]\nforeign_callbacks = [\"/a\", \"/broker\"]",
            vec![closed("3:21", "take it out of deny")],
        ),
        ("foreign_callbacks = [\"/broker\"]", vec![]),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_upstream(&format!("[upstream.routes]\n{routes}"), &expected);
    }
    // Consequential errors are not reported.
    check_upstream(
        "[upstream.routes]\ndefualt = \"deny\"\nallow = [\"/login\"]",
        &[
            "2:1 error: unknown key \"defualt\" in [upstream.routes] | did you mean `default`? | \
           write `default` instead",
        ],
    );
}

#[test]
fn two_networks_that_cover_all_addresses_are_reported() {
    const ALL: &str = "warning: every peer is a trusted proxy | \
        together these are all addresses: any client can claim any address | list only the networks of your own proxies";
    for halves in [
        "\"0.0.0.0/1\", \"128.0.0.0/1\"",
        "\"::/1\", \"10.0.0.0/8\", \"8000::/2\", \"c000::/2\"",
    ] {
        check(
            &format!("[server]\ntrusted_proxies = [{halves}]"),
            &[&format!("2:19 {ALL}")],
        );
    }
    check(
        "[server]\ntrusted_proxies = [\"0.0.0.0/1\", \"192.0.0.0/2\"]",
        &[],
    );
}

#[test]
fn an_upstream_is_not_the_gate_itself() {
    let problem = |own: &str| {
        format!(
            "5:7 error: `upstream.url` is the gate itself | the gate listens on {own} | \
             write where the server is that the gate stands in front of"
        )
    };
    let text = |listen: &str, url: &str| {
        let upstream = UPSTREAM.replace("http://127.0.0.1:9000", url);
        let upstream = upstream.replace(
            "[upstream.endpoints]",
            "public_url = \"https://a.example\"\n[upstream.endpoints]",
        );
        format!(
            "[server]\nlisten = [\"{listen}\"]\ntrusted_proxies = [\"10.0.0.9/32\"]\n{upstream}"
        )
    };
    for (listen, url) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:443", "https://localhost"),
        ("10.0.0.1:443", "https://10.0.0.1"),
        ("127.0.0.1:8080", "http://localhost.:8080"),
        ("127.0.0.1:8080", "http://[::ffff:7f00:1]:8080"),
        ("127.0.0.1:443", "https://0.0.0.0"),
    ] {
        check_text(&text(listen, url), &[&problem(listen)]);
    }
    check_text(
        &text("127.0.0.1:8080", "http://127.0.0.1:9901"),
        &[&problem("127.0.0.1:9901")],
    );
    for (listen, url) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8081"),
        ("127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("0.0.0.0:8080", "https://10.0.0.1:8080"),
    ] {
        check_text(&text(listen, url), &[]);
    }
}
