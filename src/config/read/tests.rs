use crate::config::testing::{UPSTREAM, check, check_upstream, config};

#[test]
fn quoted_flags_and_numbers_are_reported() {
    check(
        "[server]\nworkers = \"4\"",
        &[
            "2:11 error: `server.workers` has to be a whole number | this is a string | write workers = 4",
        ],
    );
    check_upstream(
        "[upstream.metadata]\nrewrite = \"off\"",
        &[
            "2:11 error: `upstream.metadata.rewrite` has to be true or false | this is a string | \
             write rewrite = true",
        ],
    );
    check(
        "[limits]\nheaders = 64.5",
        &[
            "2:11 error: `limits.headers` has to be a whole number | this is a number with a fraction | \
           write headers = 64",
        ],
    );
}

#[test]
fn numbers_have_a_range() {
    for value in ["0", "-1", "101", "999999999999999999999"] {
        check(
            &format!("[store]\nattempts = {value}"),
            &[
                "2:12 error: `store.attempts` is out of range | it goes from 1 to 100 | \
               write for example attempts = 3",
            ],
        );
    }
    check(
        "[server]\ndrain = \"2h\"",
        &[
            "2:9 error: `server.drain` is out of range | it goes from \"0s\" to \"1h\" | \
           write for example drain = \"25s\"",
        ],
    );
    check(
        "[limits]\nheader_bytes = \"4KiB\"",
        &[
            "2:16 error: `limits.header_bytes` is out of range | it goes from \"8KiB\" to \"1MiB\" | \
           write for example header_bytes = \"32KiB\"",
        ],
    );
}

#[test]
fn numbers_may_use_any_toml_notation() {
    for value in ["4_096", "0x1000", "0o10000", "0b1000000000000", "+4096"] {
        let text = format!("[limits]\nconnections = {value}\n{UPSTREAM}");
        assert_eq!(config(&text).server.connections, 4096, "{value}");
    }
}

#[test]
fn a_share_is_above_0_and_at_most_1() {
    for (value, share) in [("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)] {
        let text = format!("[store]\nper_client = {value}\n{UPSTREAM}");
        assert!(
            (config(&text).store.per_client - share).abs() < 1e-9,
            "{value}"
        );
    }
    for value in ["0", "0.0", "-0.5", "1.01", "nan", "inf"] {
        check(
            &format!("[store]\nper_client = {value}"),
            &[
                "2:14 error: `store.per_client` is out of range | it goes from above 0 to 1 | \
               write for example per_client = 0.5",
            ],
        );
    }
}

#[test]
fn words_are_spelt_exactly() {
    check(
        "[log]\nformat = \"JSON\"",
        &[
            "2:10 error: `log.format` cannot be \"JSON\" | did you mean \"json\"? | write \"json\" or \"text\"",
        ],
    );
    check(
        "[log]\nlevel = \"verbose\"",
        &[
            "2:9 error: `log.level` cannot be \"verbose\" | this word is not known | \
           write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        ],
    );
}

#[test]
fn reserved_keys_are_refused_unless_they_have_their_present_value() {
    check(
        "[server]\nproxy_protocol = true\n[server.tls]\ncertificate = \"x\"",
        &[
            "2:18 error: `server.proxy_protocol` is not supported in this version | \
             comes with a later version | write false, or remove it",
            "3:1 error: `server.tls` is not supported in this version | \
             comes with a later version | remove it",
        ],
    );
    check(
        "[server]\nproxy_protocol = false\n[store]\nkind = \"memory\"",
        &[],
    );
    check_upstream("[upstream.pkce]\nrequest_objects = \"deny\"", &[]);
}
