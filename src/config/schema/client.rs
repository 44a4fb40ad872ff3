//! `[[upstream.client]]`.

use super::pkce::{CODES_CHOICES, MODES, NOTHING};
use crate::config::key::{Day, Integer, Key, List, Optional, Section, Words};
use crate::config::oauth::{METHOD, RESPONSE_MODE, RESPONSE_TYPE};
use crate::config::origin::REDIRECT_URI;
use crate::config::value::TEXT;
use crate::oauth::pkce::{MAX_LENGTH, MIN_LENGTH};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};
use crate::policy::{Codes, Mode};

/// The longest verifier that any client may be allowed.
const LONGEST_VERIFIER: usize = 1024;

const AS_UPSTREAM: &str = "as in [`[upstream.pkce]`](#upstream-pkce)";

pub(crate) static CLIENT: Section = Section {
    path: "upstream.client",
    list: true,
    comment: "",
    text: "What a client is, and in what it is an exception. Whatever is laxer than the upstream needs until, owner and reason;\n\
           it ends by itself, and says so fourteen days before.",
    keys: &[
        &ID,
        &MODE,
        &CODES,
        &METHODS,
        &RESPONSE_TYPES,
        &RESPONSE_MODES,
        &UNTIL,
        &OWNER,
        &REASON,
        &TYPE,
        &REDIRECT_URIS,
        &ASSUME_METHOD,
        &VERIFIER_MAX,
    ],
};

pub(crate) static ID: Key<Optional<String>> = Key::new("id", Optional(&TEXT), "required")
    .text("The `client_id` that the client sends.")
    .example("\"old-erp\"")
    .required(
        "which client does this rule apply to?",
        "add id = \"…\", the client_id that it sends",
    );

pub(crate) static MODE: Key<Words<Mode>> = Key::new("mode", MODES, "")
    .text("As for the upstream, for this client. Laxer than the upstream's it is an exception.")
    .example("\"report\"")
    .absent(AS_UPSTREAM);

pub(crate) static CODES: Key<Words<Codes>> = Key::new(
    "codes",
    Words::new(Codes::Handle, CODES_CHOICES),
    "like the other keys of [upstream.pkce] here: the upstream's unless written",
)
.text("As for the upstream, for this client. `\"upstream\"` where the upstream has `\"handle\"` is an exception.")
.absent("as in [`[upstream.pkce]`](#upstream-pkce); `\"handle\"` where the client is enforced and its upstream is not");

pub(crate) static METHODS: Key<List<CodeChallengeMethod>> = Key::new(
    "methods",
    List::new(&METHOD).default(&["S256"]).not_empty(NOTHING),
    "",
)
.text("`[\"S256\", \"plain\"]` for a client that cannot hash, which is an exception.")
.example("[\"S256\", \"plain\"]");

pub(crate) static RESPONSE_TYPES: Key<List<ResponseType>> = Key::new(
    "response_types",
    List::new(&RESPONSE_TYPE).not_empty(NOTHING),
    "",
)
.text("As for the upstream, for this client. One that the upstream does not list is an exception.")
.example("[\"code\"]")
.absent(AS_UPSTREAM);

pub(crate) static RESPONSE_MODES: Key<List<ResponseMode>> = Key::new(
    "response_modes",
    List::new(&RESPONSE_MODE).not_empty(NOTHING),
    "",
)
.text("As for the upstream, for this client. One that the upstream does not list is an exception.")
.example("[\"query\"]")
.absent(AS_UPSTREAM);

pub(crate) static UNTIL: Key<Day> = Key::new("until", Day, "the last day")
    .text("The last day of the exception, as a text or a date of TOML. On the next day the upstream's rules hold, without a restart.")
    .example(Day::EXAMPLE);

pub(crate) static OWNER: Key<Optional<String>> = Key::new("owner", Optional(&TEXT), "")
    .text("Who answers for the exception.")
    .example("\"erp-team@example.com\"");

pub(crate) static REASON: Key<Optional<String>> = Key::new("reason", Optional(&TEXT), "")
    .text("Why it is needed.")
    .example("\"vendor upgrade in March\"");

pub(crate) static TYPE: Key<Words<bool>> = Key::new(
    "type",
    Words::new(
        false,
        &[
            ("public", false, "it has no secret"),
            (
                "confidential",
                true,
                "it has a secret, and may leave PKCE out where `require` is `\"public\"`",
            ),
        ],
    ),
    "public | confidential",
)
.text("Whether the client authenticates at the token endpoint (RFC 6749 section 2.1).");

pub(crate) static REDIRECT_URIS: Key<List<String>> = Key::new(
    "redirect_uris",
    List::new(&REDIRECT_URI),
    "where errors may be sent before a first sign-in has succeeded",
)
.text(
    "Redirect URIs to which errors may be sent before a first sign-in of this client has succeeded. Those at `http://127.0.0.1` and \
     `http://[::1]` hold for any port (RFC 8252); at `localhost` the port has to be the one that is written.",
)
.example("[\"https://erp.example.com/cb\"]");

pub(crate) static ASSUME_METHOD: Key<Words<CodeChallengeMethod>> = Key::new(
    "assume_method",
    Words::new(
        CodeChallengeMethod::S256,
        &[(
            "S256",
            CodeChallengeMethod::S256,
            "a challenge without a method is one of S256",
        )],
    ),
    "it sends a challenge without a method",
)
.text("For a client that sends a challenge and no method (jsforce, the Salesforce CLI), which RFC 7636 takes for `plain`.")
.absent("a challenge without a method is `plain`");

pub(crate) static VERIFIER_MAX: Key<Integer<usize>> = Key::new(
    "verifier_max",
    Integer(MAX_LENGTH, MIN_LENGTH..=LONGEST_VERIFIER),
    "characters; up to 1024 for clients that exceed RFC 7636",
)
.text("The longest `code_verifier`. RFC 7636 allows 128 characters; some clients send more. Add a `reason`.");
