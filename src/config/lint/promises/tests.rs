use crate::config::testing::check_upstream;

/// The warning for clients that get the upstream's own codes, without `[upstream.routes]`.
const REACHABLE: &str = "warning: this depends on the upstream being unreachable around the gate | \
    clients get the codes that the upstream issued | \
    close every other way to http://127.0.0.1:9000, or write codes = \"handle\"";
const A_NET: &str = "warning: a stolen code may be redeemed at a path that is not listed | \
    \"guarded\" is a net: what is compressed, or in an encoding that only the upstream knows, goes through it | ";
const A_WALL: &str = "add [upstream.routes] with default = \"deny\", and in allow what else the upstream serves; \
    or write codes = \"handle\"";

/// The keys that every exception requires.
const UNTIL: &str = "until = \"2027-01-01\"\nowner = \"o\"\nreason = \"r\"";

#[test]
fn a_net_where_only_a_wall_would_hold_is_said() {
    let net = |at: &str, help: &str| format!("{at} {A_NET}{help}");
    let header = net("0:1", A_WALL);
    check_upstream(
        "[upstream.pkce]\ncodes = \"upstream\"",
        &[&header, &format!("2:9 {REACHABLE}")],
    );
    // One client suffices, enforced or with an exception. An exception that has ended does not count.
    let client = format!("[[upstream.client]]\nid = \"a\"\ncodes = \"upstream\"\n{UNTIL}");
    check_upstream(&client, &[&header, &format!("3:9 {REACHABLE}")]);
    check_upstream(
        &client.replace("2027", "2026"),
        &[
            "4:9 warning: the exception for \"a\" ended on 2026-01-01 | the stricter rule holds since | \
             remove the exception, or write a later date",
        ],
    );
    let enforced = "[upstream.pkce]\nmode = \"report\"\n[[upstream.client]]\nid = \"a\"\nmode = \"enforce\"\ncodes = \"upstream\"";
    check_upstream(
        enforced,
        &[
            &header,
            &lax_mode("2:8", "report", "a"),
            &format!("6:9 {REACHABLE}"),
        ],
    );
    // The warning points at the written key, and its help says what to write there.
    let written = "write default = \"deny\", and in allow what else the upstream serves; or write codes = \"handle\"";
    check_upstream(
        "[upstream.routes]\ndefault = \"guarded\"\n[upstream.pkce]\ncodes = \"upstream\"",
        &[&net("2:11", written), &format!("4:9 {REACHABLE}")],
    );
    // No warning with `deny`, with handles, or without enforcement.
    check_upstream(
        "[upstream.routes]\ndefault = \"deny\"\n[upstream.pkce]\ncodes = \"upstream\"",
        &[&format!("4:9 {REACHABLE}")],
    );
    check_upstream("[upstream.routes]\ndefault = \"guarded\"", &[]);
    check_upstream(
        "[[upstream.client]]\nid = \"a\"\nmode = \"enforce\"\ncodes = \"handle\"",
        &[],
    );
    // Consequential errors are not reported.
    check_upstream(
        "[upstream.routes]\ndefault = \"dny\"\n[upstream.pkce]\ncodes = \"upstream\"",
        &[
            "2:11 error: `upstream.routes.default` cannot be \"dny\" | did you mean \"deny\"? | \
             write \"guarded\" or \"deny\"",
            &format!("4:9 {REACHABLE}"),
        ],
    );
}

const ENDED: &str = "warning: the exception for \"a\" ended on 2026-01-01 | the stricter rule holds since | \
    remove the exception, or write a later date";

#[test]
fn a_wall_with_a_tree_in_it_is_a_net() {
    const CODES: &str = "[upstream.pkce]\ncodes = \"upstream\"";
    let routes =
        |allow: &str| format!("[upstream.routes]\ndefault = \"deny\"\nallow = [{allow}]\n");
    let net = |trees: &str| {
        let guarded = A_NET.replace(
            "\"guarded\" is a",
            &format!("below {trees} there is only a"),
        );
        format!("3:9 {guarded}write the paths one by one; or write codes = \"handle\"")
    };
    for (allow, trees) in [
        ("\"/**\"", "\"/**\""),
        ("\"/x/**\"", "\"/x/**\""),
        ("\"/login\", \"/static/app/v1/**\"", "\"/static/app/v1/**\""),
        (
            "\"/oauth2/**\", \"/a\", \"/b/**\"",
            "\"/oauth2/**\", \"/b/**\"",
        ),
    ] {
        check_upstream(
            &(routes(allow) + CODES),
            &[&net(trees), &format!("5:9 {REACHABLE}")],
        );
    }
    // One enforced client suffices.
    let client = "[upstream.pkce]\nmode = \"report\"\n[[upstream.client]]\nid = \"a\"\nmode = \"enforce\"\ncodes = \"upstream\"";
    check_upstream(
        &(routes("\"/x/**\"") + client),
        &[
            &net("\"/x/**\""),
            &lax_mode("5:8", "report", "a"),
            &format!("9:9 {REACHABLE}"),
        ],
    );
    // No warning for exact paths, with handles, or without enforcement.
    for (allow, pkce, expected) in [
        (
            "\"/login\", \"/login/\", \"/app.css\"",
            CODES,
            Some(format!("5:9 {REACHABLE}")),
        ),
        ("", CODES, Some(format!("5:9 {REACHABLE}"))),
        ("\"/**\"", "", None),
        (
            "\"/x/**\"",
            &format!(
                "[[upstream.client]]\nid = \"a\"\nmode = \"report\"\ncodes = \"upstream\"\n{UNTIL}"
            ),
            None,
        ),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_upstream(&(routes(allow) + pkce), &expected);
    }
    // Consequential errors are not reported.
    check_upstream(
        &(routes("\"/x/**\", \"y\"") + CODES),
        &[
            "3:19 error: `upstream.routes.allow` is not a path | it does not begin with / | write \"/y\"",
            &format!("5:9 {REACHABLE}"),
        ],
    );
}

#[test]
fn an_id_token_that_hashes_its_code_is_reported() {
    let hashes = |at: &str, kind: &str| {
        format!(
            "{at} warning: clients get the upstream's own code in responses to \"{kind}\" | \
             the id_token has hashes of the code and the state (c_hash, s_hash), so the gate cannot put handles there | \
             close every other way to http://127.0.0.1:9000; allow \"{kind}\" in the [[upstream.client]] that needs it, or remove it"
        )
    };
    // A stolen code could be redeemed at another path otherwise, which is another warning.
    let deny = "[upstream.routes]\ndefault = \"deny\"\n";
    let types = "response_types = [\"code\", \"id_token code\"]";
    check_upstream(
        &format!("{deny}[upstream.pkce]\n{types}"),
        &[&hashes("4:18", "code id_token")],
    );
    // One client suffices, under enforce or report.
    let client = |keys: &str| format!("{deny}[[upstream.client]]\nid = \"a\"\n{keys}\n{UNTIL}");
    check_upstream(&client(types), &[&hashes("5:18", "code id_token")]);
    check_upstream(
        &client("mode = \"report\"\nresponse_types = [\"code token id_token\"]"),
        &[&hashes("6:18", "code id_token token")],
    );
    // Reported once for all clients that inherit the value, and for a client with handles where the others have none.
    let known = "[[upstream.client]]\nid = \"a\"\ntype = \"public\"";
    check_upstream(
        &format!("{deny}[upstream.pkce]\n{types}\n{known}"),
        &[&hashes("4:18", "code id_token")],
    );
    let watched = "[upstream.pkce]\nmode = \"report\"\n";
    let nothing = "2:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
        write mode = \"enforce\" once the review shows that every client is ready";
    check_upstream(
        &format!("{watched}{types}\n[[upstream.client]]\nid = \"a\"\ncodes = \"handle\""),
        &[nothing, &hashes("3:18", "code id_token")],
    );
    // No warning with the upstream's own codes (the hashes match), under off, or for `code` or `id_token` alone.
    check_upstream(&format!("{watched}{types}"), &[nothing]);
    check_upstream(&client(&format!("mode = \"off\"\n{types}")), &[]);
    check_upstream(
        "[upstream.pkce]\nresponse_types = [\"code\", \"id_token\"]",
        &[],
    );
}

#[test]
fn sign_ins_that_nothing_tells_apart_are_said() {
    const STOP: &str = "warning: two sign-ins with the same state stop each other | \
        with the upstream's own codes only redirect URI and state tell them apart where there is no cookie | \
        write browser_binding = \"soft\", or write codes = \"handle\"";
    let deny =
        "[upstream.routes]\ndefault = \"deny\"\n[upstream.pkce]\nbrowser_binding = \"off\"\n";
    let codes = "codes = \"upstream\"";
    check_upstream(
        &format!("{deny}{codes}"),
        &[&format!("4:19 {STOP}"), &format!("5:9 {REACHABLE}")],
    );
    check_upstream(
        &format!("{deny}[[upstream.client]]\nid = \"a\"\n{codes}\n{UNTIL}"),
        &[&format!("4:19 {STOP}"), &format!("7:9 {REACHABLE}")],
    );
    check_upstream(
        &format!("{deny}{codes}").replace("off", "hard"),
        &[&format!("5:9 {REACHABLE}")],
    );
    // Clients under report or off are affected if the default rule enforces.
    let client = |keys: &str| format!("[[upstream.client]]\nid = \"a\"\n{keys}\n{UNTIL}");
    check_upstream(
        &format!(
            "{deny}{}",
            client("mode = \"report\"\ncodes = \"upstream\"")
        ),
        &[&format!("4:19 {STOP}")],
    );
    for keys in ["mode = \"off\"", "codes = \"handle\"\nmode = \"off\""] {
        check_upstream(
            &format!("{deny}{}", client(keys)),
            &[&format!(
                "4:19 {}",
                STOP.replace(", or write codes = \"handle\"", "")
            )],
        );
    }
    let soft = deny.replace("off", "soft");
    for (keys, ended) in [
        ("mode = \"report\"\ncodes = \"upstream\"", "9:9"),
        ("mode = \"off\"", "8:9"),
    ] {
        check_upstream(&format!("{soft}{}", client(keys)), &[]);
        check_upstream(
            &format!("{deny}{}", client(keys).replace("2027", "2026")),
            &[&format!("{ended} {ENDED}")],
        );
    }
    // No warning if every sign-in has a handle, or if nothing is refused.
    check_upstream(deny, &[]);
    check_upstream(&format!("{deny}{}", client("mode = \"report\"")), &[]);
    check_upstream(
        &format!("{deny}mode = \"report\""),
        &[
            "5:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
             write mode = \"enforce\" once the review shows that every client is ready",
        ],
    );
}

/// The warning about a mode that is laxer than that of an enforced client.
fn lax_mode(at: &str, mode: &str, client: &str) -> String {
    format!(
        "{at} warning: `upstream.pkce.mode` is laxer for others than for \"{client}\" | \
         an answer that belongs to no sign-in is judged by \"{mode}\", \
         a name like \"{client}\" and what cannot be read by \"enforce\" | \
         write mode = \"enforce\" here once the review shows that every client is ready, and exceptions for the others"
    )
}

#[test]
fn a_default_that_is_laxer_than_one_of_its_clients_is_said() {
    let client = |id: &str, keys: &str| format!("[[upstream.client]]\nid = \"{id}\"\n{keys}\n");
    let pkce = |keys: &str| format!("[upstream.pkce]\n{keys}\n");
    // Without an enforced client nothing is refused.
    for mode in ["report", "off"] {
        check_upstream(
            &[
                pkce(&format!("mode = \"{mode}\"")),
                client("a", ""),
                client("b", "mode = \"enforce\""),
                client("c", "mode = \"enforce\""),
            ]
            .concat(),
            &[&lax_mode("2:8", mode, "b")],
        );
    }
    let watched = lax_mode("2:8", "off", "a").replace("\"enforce\" |", "\"report\" |");
    check_upstream(
        &(pkce("mode = \"off\"") + &client("a", "mode = \"report\"")),
        &[
            "2:8 warning: nothing is refused at \"legacy\" | nothing is judged | \
             write mode = \"enforce\" once the review shows that every client is ready",
            &watched,
        ],
    );
    let other = |at: &str, key: &str, allows: &str| {
        format!(
            "{at} warning: `upstream.pkce.{key}` is laxer for others than for \"spa\" | \
             {allows} is allowed to every other client_id, but for \"spa\" in another spelling | \
             write it in the [[upstream.client]] that needs it, and here what \"spa\" has"
        )
    };
    check_upstream(
        &(pkce(
            "response_types = [\"code\", \"none\"]\nresponse_modes = [\"query\", \"fragment\"]",
        ) + &client(
            "spa",
            "response_types = [\"code\"]\nresponse_modes = [\"query\"]",
        )),
        &[
            &other("2:18", "response_types", "\"none\""),
            &other("3:18", "response_modes", "\"fragment\""),
        ],
    );
    let deny = "[upstream.routes]\ndefault = \"deny\"\n";
    check_upstream(
        &[
            deny.to_owned(),
            pkce("codes = \"upstream\""),
            client("spa", "codes = \"handle\""),
        ]
        .concat(),
        &[
            &format!("4:9 {REACHABLE}"),
            &other("4:9", "codes", "\"upstream\""),
        ],
    );
    // If only that client is enforced, the other keys of the default rule do not matter.
    check_upstream(
        &(pkce("mode = \"report\"\nresponse_types = [\"code\", \"none\"]")
            + &client("spa", "mode = \"enforce\"\nresponse_types = [\"code\"]")),
        &[&lax_mode("2:8", "report", "spa")],
    );
    // No warning for a client with an exception, or for a client that needs a challenge like all others.
    check_upstream(
        &client(
            "a",
            &format!("mode = \"report\"\nmethods = [\"S256\", \"plain\"]\n{UNTIL}"),
        ),
        &[],
    );
    check_upstream(
        &[
            pkce("require = \"public\""),
            client("a", "type = \"confidential\""),
            client("b", "type = \"public\""),
        ]
        .concat(),
        &[],
    );
}
