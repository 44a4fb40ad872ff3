use crate::config::testing::{check, check_text, check_upstream};

#[test]
fn wrong_types_are_reported_with_a_correction() {
    check(
        "[server]\ndrain = 25",
        &[
            "2:9 error: `server.drain` has to be a duration in quotes | this is a whole number | \
           write drain = \"25s\"",
        ],
    );
    check(
        "[limits]\nform_bytes = 65536",
        &[
            "2:14 error: `limits.form_bytes` has to be a size in quotes | this is a whole number | \
           write form_bytes = \"65536B\"",
        ],
    );
    check(
        "[server]\nlisten = \"0.0.0.0:1\"",
        &[
            "2:10 error: `server.listen` has to be a list | this is a string | \
           write listen = [\"0.0.0.0:1\"]",
        ],
    );
    check(
        "[server]\nlisten = [8080]",
        &[
            "2:11 error: `server.listen` has to be an address in quotes | this is a whole number | \
           write \"127.0.0.1:8080\"",
        ],
    );
    check(
        "[log]\nlevel = true",
        &[
            "2:9 error: `log.level` has to be a word in quotes | this is true or false | \
           write level = \"info\"",
        ],
    );
}

#[test]
fn duplicates_in_lists_are_reported() {
    check(
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\", \"10.0.0.0/8\"]",
        &[
            "2:46 error: `server.trusted_proxies` lists \"10.0.0.0/8\" twice | again | remove one of them",
        ],
    );
}

#[test]
fn every_element_of_a_list_is_checked() {
    check(
        "[server]\ntrusted_proxies = [\n  \"10.0.0.1\",\n  \"x\",\n]",
        &[
            "3:3 error: `server.trusted_proxies` is not a network | the prefix length is missing | \
             write \"10.0.0.1/32\"",
            "4:3 error: `server.trusted_proxies` is not a network | \
             not an address with a prefix length | \
             write a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ],
    );
}

#[test]
fn tables_and_arrays_of_tables_are_not_interchangeable() {
    check(
        "server = 5",
        &[
            "1:10 error: `server` has to be a table | this is a whole number | \
           write a line [server], and the keys below it",
        ],
    );
    check_text(
        "[upstream]\nurl = \"http://127.0.0.1:9000\"\n\
         endpoints = { authorization = [\"/a\"], token = [\"/t\"] }",
        &[
            "1:1 error: `upstream` is a list of tables | this is a table | \
           write [[upstream]] above the keys of each",
        ],
    );
    check_upstream(
        "[upstream.client]\nid = \"a\"",
        &[
            "1:1 error: `upstream.client` is a list of tables | this is a table | \
           write [[upstream.client]] above the keys of each",
        ],
    );
    check_text(
        "upstream = [5]",
        &[
            "1:13 error: `upstream` is a list of tables | this is a whole number | \
           write [[upstream]] above the keys of each",
        ],
    );
}

#[test]
fn inline_tables_and_dotted_keys_are_the_same() {
    check_text(
        "server.workers = 1\nadmin = { listen = \"127.0.0.1:9902\" }\n\
         upstream = [{ url = \"http://127.0.0.1:9000\", \
         endpoints.authorization = [\"/a\"], endpoints.token = [\"/t\"] }]",
        &[],
    );
}
