//! `[[upstream]]`, and what is below it except for PKCE and clients.

use std::time::Duration;

use super::limits::TIMEOUT;
use crate::config::key::{Flag, Key, Later, List, Optional, Section, Text, Time, Words};
use crate::config::oauth::QUERY_NAME;
use crate::config::origin::{ISSUER, ORIGIN, Origin};
use crate::config::path::{HOST, NAME, PATH, PATTERN, PREFIX};
use crate::config::value::{Kind, TEXT};

pub(crate) static UPSTREAM: Section = Section {
    path: "upstream",
    list: true,
    comment: "one server that the gate stands in front of; there may be several",
    text: "One server that the gate stands in front of. Several are told apart by `hosts` and `prefix`. Where two of them have the \
           same server behind them they have to allow every client the same; otherwise the laxer one would be a way around the \
           stricter one.",
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
};

pub(crate) static UPSTREAM_NAME: Key<Text<String>> = Key::new(
    "name",
    Text(&NAME, || "legacy".to_owned()),
    "in logs and metrics",
)
.text("What logs and metrics call this upstream: up to 64 letters, digits, `-`, `_` and `.`.");

pub(crate) static URL: Key<Optional<Origin>> = Key::new(
    "url",
    Optional(&ORIGIN),
    "required; https:// is verified with the system's roots",
)
.text(
    "Where the upstream is: scheme, host and port, without a path. `https://` is verified with the system's roots, or with `ca`. \
     The upstream should be reachable only through the gate.",
)
.example("\"http://127.0.0.1:9000\"")
.required(
    "the gate has to know where this upstream is",
    "add url = \"http://127.0.0.1:9000\"",
);

pub(crate) static CA: Key<Optional<String>> = Key::new(
    "ca",
    Optional(&TEXT),
    "or with the certificates in this file",
)
.text(
    "A PEM file with the certificates that an `https://` upstream is verified with, in place of the system's roots. A relative path \
     begins beside the configuration.",
)
.commented("\"ca.pem\"");

pub(crate) static HOSTS: Key<List<String>> = Key::new(
    "hosts",
    List::new(&HOST),
    "Host values of this upstream; empty: any",
)
.text(
    "Requests whose `Host` is one of these belong to this upstream. A name without a port stands for any port. An empty list takes \
     any host.",
);

pub(crate) static UPSTREAM_PREFIX: Key<Text<String>> = Key::new(
    "prefix",
    Text(&PREFIX, || "/".to_owned()),
    "paths of this upstream; several upstreams may share a host",
)
.text("Requests whose path begins so belong to this upstream. The paths in the tables below are written without it.");

pub(crate) static PUBLIC_URL: Key<Optional<Origin>> = Key::new(
    "public_url",
    Optional(&ORIGIN),
    "how clients reach the gate; by default where it listens, if that is one loopback address",
)
.text(
    "How clients reach the gate: scheme, host and port. It is part of URLs that the gate writes (metadata, redirects), so it is \
     never guessed from a request.",
)
.example("\"http://127.0.0.1:8080\"")
.absent("where the gate listens, if that is one loopback address; otherwise it has to be written");

pub(crate) static PRESERVE_HOST: Key<Flag> = Key::new(
    "preserve_host",
    Flag(true),
    "the upstream sees the client's Host",
)
.text("Whether the upstream gets the client's `Host`; with `false` it gets the host of `url`.");

pub(crate) static CONNECT: Key<Time> =
    Key::new("connect", Time(Duration::from_secs(2), TIMEOUT), "")
        .text("How long connecting to the upstream may take, name lookup and TLS included.");

pub(crate) static RESPONSE: Key<Time> = Key::new(
    "response",
    Time(Duration::from_secs(15), TIMEOUT),
    "until the head of a response, and between two pieces of its body",
)
.text("How long the upstream may take for the head of its response, and between two pieces of the body.");

pub(crate) static IDLE: Key<Time> = Key::new(
    "idle",
    Time(Duration::from_secs(4), TIMEOUT),
    "of a pooled connection; below the 5s after which Node.js closes",
)
.text(
    "How long an unused connection to the upstream is kept. It has to be shorter than the upstream's own limit; Node.js closes \
     after 5 seconds.",
);

pub(crate) static ENDPOINTS: Section = Section {
    path: "upstream.endpoints",
    list: false,
    comment: "exact paths below prefix",
    text: "Which paths are which endpoint. Paths are exact and stand below `prefix`. List every path under which the server takes \
           authorization and token requests: one that is forgotten fails rather than passes.",
    keys: &[
        &AUTHORIZATION,
        &CONTINUATION,
        &TOKEN,
        &METADATA_PATHS,
        &QUERY,
        &PUSHED_AUTHORIZATION_REQUEST,
        &DEVICE_AUTHORIZATION,
        &AUTHORIZATION_CHALLENGE,
    ],
};

const WHY: &str = "the gate has to know this endpoint of the upstream";
const NOT_EMPTY: &str = "there would be nothing to guard";
const TOKEN_PATH: Kind<String> = PATH.example("/oauth2/token");

pub(crate) static AUTHORIZATION: Key<List<String>> = Key::new(
    "authorization",
    List::new(&PATH).not_empty(NOT_EMPTY),
    "required",
)
.text("Where authorization requests arrive (RFC 6749 section 3.1).")
.example("[\"/oauth2/authorize\"]")
.required(
    WHY,
    "add authorization = [\"/oauth2/authorize\"] below [upstream.endpoints]",
);

pub(crate) static CONTINUATION: Key<List<String>> = Key::new(
    "continuation",
    List::new(&PATH),
    "further pages that carry the same authorization request on",
)
.text("Further pages of the login that get the parameters of the authorization request again.");

pub(crate) static TOKEN: Key<List<String>> = Key::new(
    "token",
    List::new(&TOKEN_PATH).not_empty(NOT_EMPTY),
    "required",
)
.text("Where codes are redeemed (RFC 6749 section 3.2).")
.example("[\"/oauth2/token\"]")
.required(
    WHY,
    "add token = [\"/oauth2/token\"] below [upstream.endpoints]",
);

pub(crate) static METADATA_PATHS: Key<List<String>> = Key::new(
    "metadata",
    List::new(&PATH).default(&[
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ]),
    "",
)
.text("Where the server's metadata is (OpenID Connect Discovery, RFC 8414).");

pub(crate) static QUERY: Key<List<String>> = Key::new(
    "query",
    List::new(&QUERY_NAME),
    "names of query parameters that URLs of these endpoints may have: \"p\" (Azure B2C), \"realm\"",
)
.text(
    "Names of query parameters that are part of the endpoint's URL, such as `p` (Azure AD B2C) or `realm` (ForgeRock). They go on \
     as they came and stay in metadata. Anything else in the query of a token request is refused.",
);

pub(crate) static PUSHED_AUTHORIZATION_REQUEST: Key<Later> =
    Key::new("pushed_authorization_request", Later::List, "");
pub(crate) static DEVICE_AUTHORIZATION: Key<Later> =
    Key::new("device_authorization", Later::List, "");
pub(crate) static AUTHORIZATION_CHALLENGE: Key<Later> =
    Key::new("authorization_challenge", Later::List, "");

pub(crate) static ROUTES: Section = Section {
    path: "upstream.routes",
    list: false,
    comment: "paths that are not an endpoint",
    text: "What happens to requests for paths that are not an endpoint.",
    keys: &[&DEFAULT, &ALLOW, &DENY, &FOREIGN_CALLBACKS],
};

pub(crate) static DEFAULT: Key<Words<bool>> = Key::new(
    "default",
    Words::new(
        false,
        &[
            (
                "guarded",
                false,
                "they pass, unless they are a token request in disguise. That is a net and not a wall: what is compressed, or in \
                 an encoding that only the upstream knows, goes through it",
            ),
            (
                "deny",
                true,
                "404, except for what `allow` lists and for configured metadata",
            ),
        ],
    ),
    "guarded: pass, unless they are a token request in disguise | deny: 404",
)
.text(
    "With `codes = \"handle\"` a stolen code is worthless at any path, and `\"guarded\"` is enough. With `codes = \"upstream\"` under \
     `enforce`, `check` warns unless it is `\"deny\"`.",
);

pub(crate) static ALLOW: Key<List<String>> = Key::new(
    "allow",
    List::new(&PATTERN),
    "with deny: \"/login\"; a tree, \"/assets/**\", is guarded only",
)
.text(
    "With `default = \"deny\"`: the paths that pass. A path is exact; `/**` at its end stands for everything below it. A tree is \
     guarded only; a list of single paths is a wall.",
);

pub(crate) static DENY: Key<List<String>> = Key::new(
    "deny",
    List::new(&PATTERN),
    "404, whatever allow says",
)
.text(
    "Paths that are answered with 404, in any spelling and whatever `allow` says. While everything is only reported they pass.",
);

pub(crate) static FOREIGN_CALLBACKS: Key<List<String>> = Key::new(
    "foreign_callbacks",
    List::new(&PATH),
    "where the upstream itself receives another server's code",
)
.text(
    "Paths at which the upstream is itself a client and receives another server's code (login with a third party). They are exempt \
     from the guard. A client that lives behind the gate gets its own codes at its redirect URI, which its requests have to name; \
     where it hands them on to a server of its own behind the gate, that path has to be listed.",
);

pub(crate) static METADATA: Section = Section {
    path: "upstream.metadata",
    list: false,
    comment: "",
    text: "What the server's metadata says of it.",
    keys: &[&REWRITE, &METADATA_ISSUER, &SYNTHESIZE],
};

pub(crate) static REWRITE: Key<Flag> = Key::new(
    "rewrite",
    Flag(true),
    "metadata says that S256 is supported, and names the gate's own endpoints",
)
.text(
    "Under `enforce` the server's metadata says that S256 is supported and request objects are not, names the gate's endpoints, and \
     lists no response type, mode or grant that is refused to clients without an exception.",
);

pub(crate) static METADATA_ISSUER: Key<Optional<String>> = Key::new(
    "issuer",
    Optional(&ISSUER),
    "learned from the metadata otherwise",
)
.text("The server's issuer, exactly as its metadata has it. It is needed for the `iss` of error redirects.")
.commented("\"https://login.example.com\"")
.absent("learned from the metadata");

pub(crate) static SYNTHESIZE: Key<Later> = Key::new("synthesize", Later::Flag, "");
