use crate::config::testing::{UPSTREAM, check_text, check_upstream, config, problems};
use crate::gateway::settings::{BrowserBinding, Entry, ToUpstream};
use crate::oauth::{ResponseMode, ResponseType};
use crate::policy::{Codes, Mode};

fn gateway(pkce: &str) -> crate::gateway::Settings {
    let mut config = config(&format!("{UPSTREAM}[upstream.pkce]\n{pkce}"));
    config.upstreams.remove(0).gateway
}

fn check(pkce: &str, expected: &[&str]) {
    check_upstream(&format!("[upstream.pkce]\n{pkce}"), expected);
}

#[test]
fn codes_and_entry_follow_the_mode() {
    for (pkce, codes, entry) in [
        ("", Codes::Handle, Entry::Redirect),
        ("mode = \"report\"", Codes::Upstream, Entry::Rewrite),
        ("mode = \"off\"", Codes::Upstream, Entry::Rewrite),
        (
            "mode = \"report\"\ncodes = \"handle\"",
            Codes::Handle,
            Entry::Redirect,
        ),
        ("codes = \"upstream\"", Codes::Upstream, Entry::Rewrite),
        ("entry = \"rewrite\"", Codes::Handle, Entry::Rewrite),
    ] {
        let gateway = gateway(pkce);
        let rule = gateway.rules.default_rule();
        assert_eq!((rule.codes, gateway.entry), (codes, entry), "{pkce}");
    }
}

#[test]
fn written_values_are_used() {
    let gateway = gateway(
        "mode = \"report\"\nrequire = \"public\"\nbrowser_binding = \"off\"\nto_upstream = \"strip\"\n\
         methods = [\"S256\"]\nresponse_types = [\"id_token code\", \"code\", \"code id_token\"]\n\
         response_modes = [\"form_post\"]\ngrants = [\"authorization_code\", \"refresh_token\"]",
    );
    let rule = gateway.rules.default_rule();
    assert_eq!(rule.mode, Mode::Report);
    assert!(
        rule.challenge_required,
        "an unknown client counts as public"
    );
    assert!(!rule.plain_allowed);
    let types = ["code id_token", "code"].map(ResponseType::parse);
    assert_eq!(rule.response_types, types);
    assert_eq!(rule.response_modes, [ResponseMode::FormPost]);
    assert_eq!(rule.grants, ["authorization_code", "refresh_token"]);
    assert_eq!(gateway.browser_binding, BrowserBinding::Off);
    assert_eq!(gateway.to_upstream, ToUpstream::Strip);
}

#[test]
fn entry_redirect_requires_handles() {
    check(
        "codes = \"upstream\"\nentry = \"redirect\"\nmode = \"report\"",
        &[
            "3:9 error: `upstream.pkce.entry` cannot be \"redirect\" here | \
             with codes = \"upstream\" a redirect would change nothing | \
             write entry = \"rewrite\", or remove it, or write codes = \"handle\"",
            "4:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
             write mode = \"enforce\" once the review shows that every client is ready",
        ],
    );
    // One client with handles suffices.
    let gateway = gateway(
        "mode = \"report\"\nentry = \"redirect\"\n[[upstream.client]]\nid = \"a\"\nmode = \"enforce\"",
    );
    assert_eq!(gateway.entry, Entry::Redirect);
}

#[test]
fn plain_is_allowed_for_single_clients_only() {
    check(
        "methods = [\"S256\", \"plain\"]",
        &[
            "2:20 error: `upstream.pkce.methods` cannot allow \"plain\" to all clients | \
           an attacker who sees the authorization request could redeem its code | \
           write methods = [\"S256\"] here, and allow \"plain\" in the [[upstream.client]] that needs it",
        ],
    );
    check(
        "methods = [\"s256\"]",
        &[
            "2:12 error: `upstream.pkce.methods` is not a code challenge method | \
           this method is not known | write \"S256\" (case-sensitive)",
        ],
    );
    check(
        "methods = []",
        &[
            "2:11 error: `upstream.pkce.methods` is empty | nothing would be allowed | \
           write for example methods = [\"S256\"]",
        ],
    );
}

#[test]
fn response_types_are_sets_of_known_words() {
    const HELP: &str = "write words out of code, token and id_token, with single spaces; \
                        or none, or code_credentials";
    for (kind, label) in [
        ("", "it is empty, or has two spaces"),
        ("code  id_token", "it is empty, or has two spaces"),
        ("Code", "did you mean \"code\"?"),
        ("code idtoken", "did you mean \"id_token\"?"),
        ("code,id_token", "\"code,id_token\" is not known"),
        ("code none", "this word stands alone"),
        ("code_credentials code", "this word stands alone"),
        ("code code", "it has a word twice"),
    ] {
        check(
            &format!("response_types = [\"{kind}\"]"),
            &[&format!(
                "2:19 error: `upstream.pkce.response_types` is not a response type | {label} | {HELP}"
            )],
        );
    }
    for kind in ["code", "id_token", "none", "code_credentials"] {
        check(&format!("response_types = [\"{kind}\"]"), &[]);
    }
    let hybrid = gateway("response_types = [\"code id_token\"]");
    let types = &hybrid.rules.default_rule().response_types;
    assert_eq!(types, &[ResponseType::parse("code id_token")]);
}

#[test]
fn signed_requests_and_responses_need_the_upstreams_own_codes() {
    check_upstream(
        "[upstream.pkce]\nresponse_modes = [\"jwt\"]\nrequest_objects = \"read\"",
        &[
            "2:18 error: `upstream.pkce.response_modes` needs codes = \"upstream\" | \
             what is signed cannot be changed, so no handle can be put in | \
             write codes = \"upstream\", or leave out what is signed",
            "3:19 error: `upstream.pkce.request_objects` needs codes = \"upstream\" | \
             what is signed cannot be changed, so no handle can be put in | \
             write codes = \"upstream\", or leave out what is signed",
        ],
    );
    let gateway = gateway(
        "codes = \"upstream\"\nresponse_modes = [\"query.jwt\"]\nrequest_objects = \"read\"",
    );
    let rule = gateway.rules.default_rule();
    assert!(rule.reads_request_objects);
    assert_eq!(rule.response_modes, [ResponseMode::QueryJwt]);
}

#[test]
fn device_codes_are_bound_where_the_endpoint_is_known() {
    let text = |endpoints: &str, device: &str| {
        format!(
            "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\n[upstream.endpoints]\n\
             authorization = [\"/a\"]\ntoken = [\"/t\"]\n{endpoints}\n[upstream.pkce]\n{device}"
        )
    };
    let paths = "device_authorization = [\"/d\"]";
    let listed = |device: &str| {
        let config = config(&text(paths, device));
        config.upstreams[0]
            .gateway
            .endpoints
            .device_authorization
            .clone()
    };
    assert_eq!(listed("device = \"if_present\""), ["/d"]);
    // Requests there pass.
    assert!(listed("device = \"off\"").is_empty());
    assert!(listed("").is_empty());
    for none in ["", "device_authorization = []"] {
        check_text(
            &text(none, "device = \"if_present\""),
            &["8:10 error: `upstream.pkce.device` needs the endpoint | \
                 the gate has to know where device codes come from | \
                 add device_authorization = [\"/oauth2/device_authorization\"] below [upstream.endpoints]"],
        );
    }
    check_text(
        &text(paths, "device = \"required\""),
        &[
            "8:10 error: `upstream.pkce.device` cannot be \"required\" | this word is not known | \
             write \"off\" or \"if_present\"",
        ],
    );
}

#[test]
fn replacing_pkce_needs_handles() {
    const PROBLEM: &str = "error: `upstream.pkce.to_upstream` needs codes = \"handle\" | \
                           without handles the gate cannot send both halves of its own pair | \
                           write codes = \"handle\", or to_upstream = \"forward\"";
    let replace = "to_upstream = \"replace\"";
    assert_eq!(gateway(replace).to_upstream, ToUpstream::Replace);
    let with_handles = format!("mode = \"report\"\ncodes = \"handle\"\n{replace}");
    assert_eq!(gateway(&with_handles).to_upstream, ToUpstream::Replace);
    let errors = |pkce: &str| {
        let offset = UPSTREAM.lines().count();
        let all = problems(&format!("{UPSTREAM}[upstream.pkce]\n{pkce}"));
        let errors = all.iter().filter(|problem| problem.contains(" error: "));
        let relative = errors.map(|problem| {
            let (line, rest) = problem.split_once(':').unwrap();
            format!("{}:{rest}", line.parse::<usize>().unwrap() - offset)
        });
        relative.collect::<Vec<String>>()
    };
    for (pkce, at) in [
        (format!("{replace}\ncodes = \"upstream\""), "2:15"),
        (format!("mode = \"report\"\n{replace}"), "3:15"),
    ] {
        assert_eq!(errors(&pkce), [format!("{at} {PROBLEM}")], "{pkce}");
    }
    let client = |keys: &str| {
        format!(
            "{replace}\n[[upstream.client]]\nid = \"a\"\nuntil = \"2999-01-01\"\nowner = \"o\"\n\
             reason = \"r\"\n{keys}"
        )
    };
    let pkce = client("codes = \"upstream\"");
    assert_eq!(errors(&pkce), [format!("2:15 {PROBLEM}")], "{pkce}");
    assert_eq!(
        gateway(&client("mode = \"report\"")).to_upstream,
        ToUpstream::Replace
    );
    assert_eq!(
        gateway(&client("mode = \"off\"")).to_upstream,
        ToUpstream::Replace
    );
}
