//! Writes `config.toml` from what was learned.

use std::net::SocketAddr;

use url::Url;

use super::place::Place;
use crate::cli::learned::{KINDS, Learned, Source};
use crate::cli::shown::{list, shown, string};
use crate::clock::date;
use crate::config::accepts;

/// What the file says beside what was learned.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The server, as it was asked.
    pub(super) from: &'a Url,
    pub(super) place: &'a Place,
    pub(super) admin: SocketAddr,
    /// The absolute path of a CA file.
    pub(super) ca: Option<&'a str>,
    pub(super) learned: &'a Learned,
    /// Days since 1970-01-01.
    pub(super) today: u64,
}

/// How long report mode lasts in the example, in days.
const QUARTER: u64 = 90;

/// The text of the file.
pub(super) fn render(plan: &Plan<'_>) -> String {
    let parts = [
        heading(plan),
        listeners(plan),
        review(),
        upstream(plan),
        endpoints(plan),
        routes(plan),
        policy(plan),
        metadata(plan),
        notes(plan),
        unknown(plan),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// Comment lines of at most 120 columns.
fn comment(text: &str) -> String {
    wrapped("# ", "# ", text)
}

fn item(text: &str) -> String {
    wrapped("# - ", "#   ", text)
}

fn wrapped(first: &str, others: &str, text: &str) -> String {
    const COLUMNS: usize = 120;
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.len() + 1 + word.len() > COLUMNS {
            lines = lines + &line + "\n";
            others.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}

fn key(name: &str, value: &str) -> String {
    format!("{name} = {value}\n")
}

fn key_with(name: &str, value: &str, comment: &str) -> String {
    format!("{name} = {value} # {comment}\n")
}

fn heading(plan: &Plan<'_>) -> String {
    let from = shown(plan.from.as_str());
    let mut text = comment(&format!("Written by `pkce-gate init --from {from}`."));
    text += "#\n";
    text += &comment(
        "With this file the gate refuses nothing and changes no request: it judges each one, and logs what it would have refused.",
    );
    text += "#\n# Next steps:\n";
    for step in [
        "1. Read this file, above all \"What could not be learned\" at its end.",
        "2. pkce-gate check --config FILE tells what this file means. It warns that nothing is refused, which is intended.",
        "3. pkce-gate doctor --config FILE asks the server what it really does about PKCE.",
        "4. Name a file in [review] below, so that a restart does not forget what the clients sent.",
        "5. pkce-gate run --config FILE. Let clients reach the server through the gate, at public_url.",
        "6. pkce-gate review lists the clients that enforcing would break, and why. The page /review of [admin] shows the same. \
         pkce-gate explain CODE tells what to change in a client.",
        "7. Change these clients. Give those that cannot be changed in time an exception: an [[upstream.client]] with until, \
         owner and reason.",
        "8. Set mode = \"enforce\" (a running gate notices that), and close every way to the server around the gate.",
    ] {
        text += &wrapped("# ", "#    ", step);
    }
    text
}

fn listeners(plan: &Plan<'_>) -> String {
    let place = plan.place;
    let who = if place.is_behind_proxy {
        "your TLS terminator connects here"
    } else {
        "clients connect here"
    };
    let listen = format!("[{}]", string(&place.listen.to_string()));
    let mut text = "[server]\n".to_owned() + &key_with("listen", &listen, who);
    if place.is_behind_proxy {
        let whose = "the addresses whose X-Forwarded-* are believed";
        text += &key_with("trusted_proxies", "[\"127.0.0.1/32\"]", whose);
    }
    let admin = string(&plan.admin.to_string());
    text + "\n[admin]\n"
        + &key_with(
            "listen",
            &admin,
            "health, metrics and the review; never for clients",
        )
}

fn review() -> String {
    let text = comment(
        "What the review counts is forgotten when the gate stops, unless a file keeps it. The gate has to be able to write in the \
         folder of the file.",
    );
    text + "# [review]\n# snapshot = \"/var/lib/pkce-gate/review.json\"\n"
}

fn upstream(plan: &Plan<'_>) -> String {
    let origin = plan.from.origin().ascii_serialization();
    let name = plan.from.domain();
    let name = name.filter(|name| name.contains('.') && accepts::name(name).is_ok());
    let name = string(name.unwrap_or("legacy"));
    let mut text = "[[upstream]]\n".to_owned() + &key_with("name", &name, "in logs and metrics");
    text += &key_with("url", &string(&origin), "where the gate reaches the server");
    if let Some(ca) = plan.ca {
        text += &key("ca", &string(ca));
    }
    let why = format!("how clients reach the gate: {}", plan.place.why);
    text += &key_with("public_url", &string(&plan.place.public), &why);
    if plan.place.public == origin {
        text += &comment(
            "Clients and the gate use one address. Once its name leads clients to the gate, the gate needs another one for the \
             server, or it would reach itself.",
        );
    }
    text
}

fn endpoints(plan: &Plan<'_>) -> String {
    let learned = plan.learned;
    let mut text = String::new();
    match &learned.source {
        Source::Metadata(paths) => {
            text += &comment(&format!(
                "From the metadata at {}.",
                shown(&paths.join(", "))
            ));
        }
        Source::Guess(said) => {
            text += &comment(
                "GUESSED: the server has no metadata. These paths of common servers answered. Compare them with the server's manual:",
            );
            for said in said {
                text += &item(&shown(said));
            }
        }
    }
    text += "[upstream.endpoints]\n";
    for ((key, _), paths) in KINDS.iter().zip(&learned.endpoints) {
        if !paths.is_empty() {
            text += &self::key(key, &list(paths));
        }
    }
    if let Source::Metadata(paths) = &learned.source {
        text += &key("metadata", &list(paths));
    }
    if !learned.query.is_empty() {
        let what = "parameters in the URLs of these endpoints";
        text += &key_with("query", &list(&learned.query), what);
    }
    text
}

fn routes(plan: &Plan<'_>) -> String {
    let mut text = comment(
        "All other paths pass, unless a request there looks like a disguised token request. To close what is not needed, list \
         what is: login pages, their assets, and the endpoints of the server beside those above.",
    );
    text += "# [upstream.routes]\n# default = \"deny\"\n";
    text + &format!("# allow = {}\n", list(&plan.learned.others))
}

/// What the server says about PKCE.
fn about_pkce(methods: Option<&[String]>) -> String {
    match methods {
        None => "Without metadata it is not known whether the server supports PKCE.".to_owned(),
        Some([]) => "The server does not say that it supports PKCE.".to_owned(),
        Some(methods) => format!(
            "The server says that it supports PKCE with {}; that does not mean that it requires it.",
            shown(&methods.join(" and "))
        ),
    }
}

fn policy(plan: &Plan<'_>) -> String {
    let learned = plan.learned;
    let mut text = comment(&about_pkce(learned.methods.as_deref()));
    text += "[upstream.pkce]\nmode = \"report\" # \"enforce\", when every client is ready\n";
    let end = string(&date::format(plan.today.saturating_add(QUARTER)));
    for (key, value, why) in [
        (
            "report_until",
            &*end,
            "the day by which you mean to enforce; from two weeks before, the gate reminds you",
        ),
        (
            "promote",
            "\"propose after 7d\"",
            "the review then proposes to enforce the clients that were good for a week",
        ),
    ] {
        text += "# ";
        text += &key_with(key, value, why);
    }
    for (key, values, default) in [
        ("response_types", &learned.response_types, "[\"code\"]"),
        (
            "response_modes",
            &learned.response_modes,
            "[\"query\", \"fragment\", \"form_post\"]",
        ),
    ] {
        if !values.is_empty() {
            text += &comment(&format!(
                "The server supports these {}; the gate allows {default} unless you list more:",
                key.replace('_', " ")
            ));
            text += "# ";
            text += &self::key(key, &list(values));
        }
    }
    text
}

fn metadata(plan: &Plan<'_>) -> String {
    let Some(issuer) = &plan.learned.issuer else {
        return String::new();
    };
    let line = format!("issuer = {}\n", string(issuer));
    let origin = Url::parse(issuer).map(|url| url.origin().ascii_serialization());
    if origin.is_ok_and(|origin| origin == plan.place.public) {
        return format!("[upstream.metadata]\n{line}");
    }
    let text = comment(
        "The server says this issuer, which is not at public_url. Some servers say the address at which they are asked, so they may \
         say another one through the gate. Without this key the gate learns it from the metadata.",
    );
    format!("{text}# [upstream.metadata]\n# {line}")
}

fn notes(plan: &Plan<'_>) -> String {
    let notes = &plan.learned.notes;
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| item(note)).collect();
    format!("# To look at:\n{items}")
}

fn unknown(plan: &Plan<'_>) -> String {
    let mut text = "# What could not be learned:\n".to_owned();
    let guessed = matches!(plan.learned.source, Source::Guess(_));
    let of_guesses = [
        "Whether these are all authorization and token endpoints, and whether the server takes pushed requests, devices or \
         registrations. List every path (endpoints).",
        "The issuer of the server, if it has one (metadata.issuer).",
    ];
    let of_metadata = [
        "Whether the server accepts authorization and token requests at paths that its metadata does not name, for example of an \
         older version. List every path (endpoints).",
    ];
    let first: &[&str] = if guessed { &of_guesses } else { &of_metadata };
    for unknown in first.iter().chain(&UNKNOWN) {
        text += &item(unknown);
    }
    text
}

/// What no metadata says.
const UNKNOWN: [&str; 7] = [
    "Whether clients and others can reach the server around the gate. The gate enforces nothing for those who can.",
    "Further pages of the sign-in that carry the same authorization request on (endpoints.continuation). Sign in once, and look at \
     the addresses of the pages.",
    "Whether the sign-in page is an app that gets the code in JSON (pkce.code_in_json), or builds the redirect itself \
     (pkce.correlation).",
    "Whether the server itself receives codes of another server, for sign-ins with a third party (routes.foreign_callbacks).",
    "The clients: which exist, which of them are public, and which are ready. The review names those that sign in.",
    "The redirect URIs of the clients ([[upstream.client]] redirect_uris). With them the gate can send errors to a client that has \
     not signed in before.",
    "How many characters of state the server accepts. The handles that take its place under \"enforce\" have 32, with a sealed store \
     up to 512.",
];

#[cfg(test)]
mod tests;
