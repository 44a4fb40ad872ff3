//! OAuth values: code challenge methods, response types, response modes and parameter names.

use super::value::{Kind, Wrong};
use super::wording::{nearest, one_of, quoted};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType, endpoint_query};

/// `code_challenge_method`.
pub(super) const METHOD: Kind<CodeChallengeMethod> =
    Kind::new("a code challenge method", "S256", method).words(&["S256", "plain"]);

/// `response_mode`.
pub(super) const RESPONSE_MODE: Kind<ResponseMode> =
    Kind::new("a response mode", "query", response_mode).words(&[
        "query",
        "fragment",
        "form_post",
        "jwt",
        "query.jwt",
        "fragment.jwt",
        "form_post.jwt",
    ]);

/// `response_type`.
pub(super) const RESPONSE_TYPE: Kind<ResponseType> =
    Kind::new("a response type", "code", response_type)
        .pattern("^(code|token|id_token|none|code_credentials)( (code|token|id_token))*$");

/// A way in which clients authenticate at the token endpoint (RFC 7591 section 2). Those with signatures are left out: metadata
/// would have to list their algorithms, too.
pub(super) const AUTH_METHOD: Kind<String> =
    Kind::new("a client authentication method", "none", auth_method).words(&AUTH_METHODS);

const AUTH_METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

/// The name of a query parameter that is part of an endpoint's URL.
pub(super) const QUERY_NAME: Kind<String> =
    Kind::new("a query parameter that may pass", "p", query_name).pattern("^[A-Za-z0-9._~-]+$");

fn method(text: &str) -> Result<CodeChallengeMethod, Wrong> {
    match text {
        "S256" => Ok(CodeChallengeMethod::S256),
        "plain" => Ok(CodeChallengeMethod::Plain),
        _ => Err(Wrong::new(
            "this method is not known",
            "write \"S256\" (case-sensitive)",
        )),
    }
}

fn response_mode(text: &str) -> Result<ResponseMode, Wrong> {
    const HELP: &str = "write \"query\", \"fragment\" or \"form_post\", each with \".jwt\" at its end if it is signed, or \"jwt\"";
    ResponseMode::parse(text).ok_or_else(|| Wrong::new("this response mode is not known", HELP))
}

fn response_type(text: &str) -> Result<ResponseType, Wrong> {
    const WORDS: [&str; 5] = ["code", "token", "id_token", "none", "code_credentials"];
    const HELP: &str = "write words out of code, token and id_token, with single spaces; or none, or code_credentials";
    let words: Vec<&str> = text.split(' ').collect();
    if let Some(odd) = words.iter().find(|word| !WORDS.contains(word)) {
        let label = match nearest(odd, &WORDS) {
            _ if odd.is_empty() => "it is empty, or has two spaces".to_owned(),
            Some((_, word)) => format!("did you mean {word:?}?"),
            None => format!("{} is not known", quoted(odd)),
        };
        return Err(Wrong::new(label, HELP));
    }
    let alone = |word| words.len() > 1 && words.contains(&word);
    if alone("none") || alone("code_credentials") {
        return Err(Wrong::new("this word stands alone", HELP));
    }
    let parsed = ResponseType::parse(text);
    if words
        .iter()
        .enumerate()
        .any(|(at, word)| words.iter().skip(at + 1).any(|w| w == word))
    {
        return Err(Wrong::new("it has a word twice", HELP));
    }
    Ok(parsed)
}

fn auth_method(text: &str) -> Result<String, Wrong> {
    if AUTH_METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    let label = match nearest(text, &AUTH_METHODS) {
        Some((_, word)) => format!("did you mean {word:?}?"),
        None => "metadata of the gate cannot describe this method".to_owned(),
    };
    Err(Wrong::new(
        label,
        format!("write {}", one_of(&AUTH_METHODS)),
    ))
}

/// Parses a parameter name. It is compared byte for byte, so it must be written as in the URL.
fn query_name(text: &str) -> Result<String, Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if text.is_empty() {
        return Err(Wrong::new("it is empty", "write a name, for example \"p\""));
    }
    if let Some(odd) = text.chars().find(|&c| !good(c)) {
        return Err(Wrong::new(
            format!("{odd:?} does not belong in a name"),
            "write the name alone, without its value: letters, digits, '-', '_', '.' and '~'",
        ));
    }
    if endpoint_query::is_protected(text) {
        return Err(Wrong::new(
            "servers may take it for a parameter of OAuth, which the gate has to judge",
            "remove it: only what tells endpoints apart belongs here, such as \"p\" or \"realm\"",
        ));
    }
    Ok(text.to_owned())
}
