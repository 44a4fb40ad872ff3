//! `[[upstream]]` and its subsections, except `[upstream.pkce]` and `[[upstream.client]]`.

use std::time::Duration;

use super::limits::TIMEOUT;
use crate::config::key::{Flag, Key, List, Optional, Section, Text, Time, Words};
use crate::config::oauth::QUERY_NAME;
use crate::config::origin::{ISSUER, ORIGIN, Origin};
use crate::config::path::{HOST, NAME, PATH, PATTERN, PREFIX};
use crate::config::value::{Kind, TEXT};

pub(crate) static UPSTREAM: Section = Section {
    path: "upstream",
    list: true,
    keys: &[
        &UPSTREAM_NAME,
        &URL,
        &CA,
        &HOSTS,
        &UPSTREAM_PREFIX,
        &PUBLIC_URL,
        &PRESERVE_HOST,
        &CONNECT,
        &RESPONSE,
        &IDLE,
    ],
    later: &[],
};

pub(crate) static UPSTREAM_NAME: Key<Text<String>> =
    Key::new("name", Text(&NAME, || "legacy".to_owned()));

pub(crate) static URL: Key<Optional<Origin>> = Key::new("url", Optional(&ORIGIN)).required(
    "the gate has to know where this upstream is",
    "add url = \"http://127.0.0.1:9000\"",
);

pub(crate) static CA: Key<Optional<String>> = Key::new("ca", Optional(&TEXT));

pub(crate) static HOSTS: Key<List<String>> = Key::new("hosts", List::new(&HOST));

pub(crate) static UPSTREAM_PREFIX: Key<Text<String>> =
    Key::new("prefix", Text(&PREFIX, || "/".to_owned()));

pub(crate) static PUBLIC_URL: Key<Optional<Origin>> = Key::new("public_url", Optional(&ORIGIN));

pub(crate) static PRESERVE_HOST: Key<Flag> = Key::new("preserve_host", Flag(true));

pub(crate) static CONNECT: Key<Time> =
    Key::new("connect", Time::new(Duration::from_secs(2), TIMEOUT));

pub(crate) static RESPONSE: Key<Time> =
    Key::new("response", Time::new(Duration::from_secs(15), TIMEOUT));

pub(crate) static IDLE: Key<Time> = Key::new("idle", Time::new(Duration::from_secs(4), TIMEOUT));

pub(crate) static ENDPOINTS: Section = Section {
    path: "upstream.endpoints",
    list: false,
    keys: &[
        &AUTHORIZATION,
        &CONTINUATION,
        &TOKEN,
        &METADATA_PATHS,
        &QUERY,
    ],
    later: &[
        ("pushed_authorization_request", Some("[]")),
        ("device_authorization", Some("[]")),
        ("authorization_challenge", Some("[]")),
    ],
};

const WHY: &str = "the gate has to know this endpoint of the upstream";
const NOT_EMPTY: &str = "there would be nothing to guard";
const TOKEN_PATH: Kind<String> = PATH.example("/oauth2/token");

pub(crate) static AUTHORIZATION: Key<List<String>> =
    Key::new("authorization", List::new(&PATH).not_empty(NOT_EMPTY)).required(
        WHY,
        "add authorization = [\"/oauth2/authorize\"] below [upstream.endpoints]",
    );

pub(crate) static CONTINUATION: Key<List<String>> = Key::new("continuation", List::new(&PATH));

pub(crate) static TOKEN: Key<List<String>> =
    Key::new("token", List::new(&TOKEN_PATH).not_empty(NOT_EMPTY)).required(
        WHY,
        "add token = [\"/oauth2/token\"] below [upstream.endpoints]",
    );

pub(crate) static METADATA_PATHS: Key<List<String>> = Key::new(
    "metadata",
    List::new(&PATH).default(&[
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ]),
);

pub(crate) static QUERY: Key<List<String>> = Key::new("query", List::new(&QUERY_NAME));

pub(crate) static ROUTES: Section = Section {
    path: "upstream.routes",
    list: false,
    keys: &[&DEFAULT, &ALLOW, &DENY, &FOREIGN_CALLBACKS],
    later: &[],
};

pub(crate) static DEFAULT: Key<Words<bool>> = Key::new(
    "default",
    Words::new(false, &[("guarded", false), ("deny", true)]),
);

pub(crate) static ALLOW: Key<List<String>> = Key::new("allow", List::new(&PATTERN));

pub(crate) static DENY: Key<List<String>> = Key::new("deny", List::new(&PATTERN));

pub(crate) static FOREIGN_CALLBACKS: Key<List<String>> =
    Key::new("foreign_callbacks", List::new(&PATH));

pub(crate) static METADATA: Section = Section {
    path: "upstream.metadata",
    list: false,
    keys: &[&REWRITE, &METADATA_ISSUER],
    later: &[("synthesize", Some("false"))],
};

pub(crate) static REWRITE: Key<Flag> = Key::new("rewrite", Flag(true));

pub(crate) static METADATA_ISSUER: Key<Optional<String>> = Key::new("issuer", Optional(&ISSUER));
