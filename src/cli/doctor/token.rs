//! The token endpoint: which spellings of a token request it takes. The code in them does not exist.

use http::{Method, header};

use super::ask::{Grant, Pairs, Server, as_json, encoded, pair, random};
use super::finding::{
    DUPLICATE_PARAMETER_ACCEPTED, Kind, Part, TOKEN_BY_GET, TOKEN_BY_JSON, TOKEN_BY_QUERY,
    TOKEN_PATH_VARIANTS, UNKNOWN_CODE_ACCEPTED,
};
use crate::cli::fetch::{Ask, Failed};

/// Asks the endpoint. An answer tells that a request was understood if it is that to a correct form, and not that to an empty one.
pub(super) fn examine(server: &Server<'_>) -> Result<Part, Failed> {
    let mut part = Part::default();
    let request = server.redemption(&random()?);
    // Without a secret in the form: it would have to be in the queries, too.
    let usual = server.token(Ask::form(server.token, encoded(&request)))?;
    let empty = server.token(Ask::form(server.token, String::new()))?;
    if usual.judges_code() {
        let is_granted = usual == Grant::Token;
        let evidence = is_granted.then(|| "a random code got a token".to_owned());
        part.settle(&UNKNOWN_CODE_ACCEPTED, evidence);
    }
    if let Some(why) = unasked(server, &usual, &empty) {
        skip_all(server, &why, &mut part);
        return Ok(part);
    }
    let told = usual.told();
    part.see(format!("A token request with a random code gets {told}."));
    let target = format!("{}?{}", server.token, encoded(&request));
    let twice = [request.clone(), vec![pair("code", &random()?)]].concat();
    let json = as_json(&request);
    let by_json = Ask {
        method: Method::POST,
        target: server.token,
        headers: vec![(header::CONTENT_TYPE, "application/json")],
        body: json,
    };
    let cases: [(&'static Kind, Ask<'_>, &str); 4] = [
        (&TOKEN_BY_GET, Ask::get(&target), BY_GET),
        (&TOKEN_BY_QUERY, Ask::form(&target, String::new()), BY_QUERY),
        (&TOKEN_BY_JSON, by_json, BY_JSON),
        (
            &DUPLICATE_PARAMETER_ACCEPTED,
            Ask::form(server.token, encoded(&twice)),
            TWICE,
        ),
    ];
    for (kind, ask, what) in cases {
        match server.token(ask) {
            Ok(grant) if grant == usual => {
                let told = format!("{what} got {told}, as the correct form did");
                part.find(kind, told);
            }
            Ok(grant) if grant.refuses_client() => {
                let told = grant.told();
                part.skip(format!("{what}: the server refuses the client ({told})."));
            }
            Ok(grant) if grant.is_outage() => {
                part.skip(format!("{what} got {}.", grant.told()));
            }
            Ok(_) => part.clear(kind),
            Err(failed) if failed.is_of_server() => return Err(failed),
            Err(failed) => part.skip(format!("{what}: {failed}.")),
        }
    }
    if !server.through_gate {
        // A gate guards them, so that an answer does not tell whose it is.
        paths(server, &request, &usual, &mut part)?;
    }
    Ok(part)
}

const BY_GET: &str = "a GET request";
const BY_QUERY: &str = "a POST request with the parameters in its query";
const BY_JSON: &str = "a POST request with a JSON object";
const TWICE: &str = "a form with two values of code";

/// Why the answers to other spellings would tell nothing; `None`: the server judged the request itself.
fn unasked(server: &Server<'_>, usual: &Grant, empty: &Grant) -> Option<String> {
    let told = usual.told();
    if usual.is_outage() {
        Some(format!("the server answers {told}"))
    } else if usual.refuses_client() {
        let check = if server.client.is_named {
            "Check --client-id and --client-secret-file"
        } else {
            "Name a registered client with --client-id"
        };
        Some(format!("the server refuses the client ({told}). {check}"))
    } else if !server.client.is_named && !usual.judges_code() {
        Some(format!(
            "the server answers {told} to a random code, perhaps because it does not know the client. Name a registered one with \
             --client-id"
        ))
    } else if usual == empty {
        Some(format!(
            "the server answers {told} to a form with a random code, and the same to an empty form"
        ))
    } else {
        None
    }
}

/// Lists every spelling that was not asked about.
fn skip_all(server: &Server<'_>, why: &str, part: &mut Part) {
    let path = format!("other spellings of the path {}", server.token);
    let all = [BY_GET, BY_QUERY, BY_JSON, TWICE, &path].join("; ");
    part.skip(format!("At the token endpoint ({all}): {why}."));
}

/// Other spellings of the path.
fn paths(
    server: &Server<'_>,
    request: &Pairs,
    usual: &Grant,
    part: &mut Part,
) -> Result<(), Failed> {
    let path = server.token;
    let slash = match path.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{path}/"),
    };
    let variants = [slash, path.to_ascii_uppercase(), format!("/{path}")];
    let mut understood = Vec::new();
    for variant in variants {
        match server.token(Ask::form(&variant, encoded(request))) {
            Ok(grant) if grant == *usual && variant != path => understood.push(variant),
            Ok(_) => {}
            Err(failed) if failed.is_of_server() => return Err(failed),
            Err(failed) => part.skip(format!("A token request at {variant}: {failed}.")),
        }
    }
    if !understood.is_empty() {
        let told = format!("{} answered as {path} does", understood.join(" and "));
        part.find(&TOKEN_PATH_VARIANTS, told);
    }
    Ok(())
}
