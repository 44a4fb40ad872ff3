//! `[upstream.pkce]`.

use crate::config::key::{Choice, Key, Later, List, Section, Words};
use crate::config::oauth::{METHOD, RESPONSE_MODE, RESPONSE_TYPE};
use crate::config::value::TEXT;
use crate::gateway::settings::{BrowserBinding, Entry, ToUpstream};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};
use crate::policy::{Codes, Mode, Require};

pub(crate) static PKCE: Section = Section {
    path: "upstream.pkce",
    list: false,
    comment: "",
    text: "What clients have to do. A client that needs less gets an exception: [`[[upstream.client]]`](#upstream-client).",
    keys: &[
        &MODE,
        &REQUIRE,
        &METHODS,
        &CODES,
        &ENTRY,
        &BROWSER_BINDING,
        &TO_UPSTREAM,
        &RESPONSE_TYPES,
        &RESPONSE_MODES,
        &GRANTS,
        &CORRELATION,
        &REQUEST_OBJECTS,
        &DEVICE,
        &CODE_IN_JSON,
        &PROMOTE,
    ],
};

/// Of clients, too.
pub(crate) const MODES: Words<Mode> = Words::new(
    Mode::Enforce,
    &[
        ("enforce", Mode::Enforce, "what breaks a rule is refused"),
        (
            "report",
            Mode::Report,
            "what breaks a rule is recorded, and passes",
        ),
        ("off", Mode::Off, "nothing is judged, and everything passes"),
    ],
);

pub(crate) static MODE: Key<Words<Mode>> = Key::new(
    "mode",
    MODES,
    "enforce: refuse | report: record, and refuse nothing | off: pass everything",
)
.text(
    "Begin with `\"report\"`, see in the log which clients are not ready, then enforce. A client can be enforced before its upstream, \
     and the other way round.",
);

pub(crate) static REQUIRE: Key<Words<Require>> = Key::new(
    "require",
    Words::new(
        Require::All,
        &[
            ("all", Require::All, "every client has to use PKCE"),
            (
                "public",
                Require::Public,
                "clients with `type = \"confidential\"` may leave PKCE out",
            ),
        ],
    ),
    "all | public: clients with type = \"confidential\" may leave PKCE out",
)
.text("Who has to send a `code_challenge`.");

/// Why lists of clients' abilities may not be empty.
pub(crate) const NOTHING: &str = "nothing would be allowed";

pub(crate) static METHODS: Key<List<CodeChallengeMethod>> = Key::new(
    "methods",
    List::new(&METHOD).default(&["S256"]).not_empty(NOTHING),
    "\"plain\" only per client",
)
.text("The code challenge methods. `\"S256\"` has to be among them; `\"plain\"` can be allowed to single clients only.");

/// Of clients, too.
pub(crate) const CODES_CHOICES: &[Choice<Codes>] = &[
    (
        "handle",
        Codes::Handle,
        "clients get a code of the gate's, which is worthless anywhere else",
    ),
    (
        "upstream",
        Codes::Upstream,
        "clients get the upstream's own code. Sign-ins are told apart by redirect URI, `state` and a cookie. The upstream has to be \
         unreachable around the gate",
    ),
];

pub(crate) static CODES: Key<Words<Codes>> = Key::new(
    "codes",
    Words::new(Codes::Handle, CODES_CHOICES),
    "handle: clients get a code that is worthless elsewhere\n\
     upstream: the upstream's own (the default under report and off)",
)
.text("What travels through the browser as the code.")
.absent("`\"handle\"` under `mode = \"enforce\"`, otherwise `\"upstream\"`, so that a first installation changes nothing");

pub(crate) static ENTRY: Key<Words<Entry>> = Key::new(
    "entry",
    Words::new(
        Entry::Redirect,
        &[
            (
                "redirect",
                Entry::Redirect,
                "it is answered with a 303 to the same path, with the handle as `state`",
            ),
            (
                "rewrite",
                Entry::Rewrite,
                "it is forwarded in place, which saves the round trip; servers whose forms post to the URL in the address bar lose \
                 the handle",
            ),
        ],
    ),
    "redirect | rewrite (the default with codes = \"upstream\")",
)
.text("How a fresh authorization request goes on to the upstream.")
.absent("`\"redirect\"` where handles are used, otherwise `\"rewrite\"`");

pub(crate) static BROWSER_BINDING: Key<Words<BrowserBinding>> = Key::new(
    "browser_binding",
    Words::new(
        BrowserBinding::Soft,
        &[
            ("off", BrowserBinding::Off, "no cookie is set"),
            ("soft", BrowserBinding::Soft, "it is told in log and metrics"),
            ("hard", BrowserBinding::Hard, "it is refused"),
        ],
    ),
    "a sign-in that is continued in another browser: off | soft: event | hard: refused",
)
.text(
    "What happens to a sign-in that goes on in another browser than it began in, as far as the cookie `__Host-pkce-gate` tells. A \
     browser without the cookie (a silent renewal in a frame of another site) is not another one to `\"soft\"`; `\"hard\"` refuses \
     it as well, with `prompt=none` as `login_required`. `\"soft\"` foretells that: what `\"hard\"` would refuse is a decision \
     `reported`. With `codes = \"upstream\"` write `\"off\"` only if clients send a `state` of their own with every sign-in.",
);

pub(crate) static TO_UPSTREAM: Key<Words<ToUpstream>> = Key::new(
    "to_upstream",
    Words::new(
        ToUpstream::Forward,
        &[
            (
                "forward",
                ToUpstream::Forward,
                "it sees challenge and verifier, so that its own checks go on working",
            ),
            (
                "strip",
                ToUpstream::Strip,
                "it sees neither; for servers that refuse the parameters",
            ),
        ],
    )
    .later(&["replace"]),
    "forward challenge and verifier | strip them",
)
.text("What the upstream sees of PKCE.");

pub(crate) static RESPONSE_TYPES: Key<List<ResponseType>> = Key::new(
    "response_types",
    List::new(&RESPONSE_TYPE).default(&["code"]).not_empty(NOTHING),
    "also \"token\", ...; \"code id_token\" with codes = \"upstream\", which its hashes need",
)
.text(
    "The `response_type`s that may be asked for. PKCE protects codes only, so allow `\"token\"` to single clients at most. An \
     `id_token` beside a code holds hashes of the code and the `state` as the upstream sent them (`c_hash`, `s_hash`); with \
     `codes = \"handle\"` they do not fit, and a client that checks them refuses the answer. Write `codes = \"upstream\"` for such \
     clients.",
);

pub(crate) static RESPONSE_MODES: Key<List<ResponseMode>> = Key::new(
    "response_modes",
    List::new(&RESPONSE_MODE)
        .default(&["query", "fragment", "form_post"])
        .not_empty(NOTHING),
    "",
)
.text("The `response_mode`s that may be asked for.");

pub(crate) static GRANTS: Key<List<String>> = Key::new(
    "grants",
    List::new(&TEXT),
    "the only grant types that may pass; empty: any",
)
.text(
    "The only `grant_type`s that may pass at the token endpoint; an empty list lets any pass. Grants without a code (refresh tokens, \
     client credentials) are not judged otherwise.",
);

pub(crate) static CORRELATION: Key<Later> = Key::new(
    "correlation",
    Later::Word("state", &["cookie", "broker"]),
    "",
);
pub(crate) static REQUEST_OBJECTS: Key<Later> =
    Key::new("request_objects", Later::Word("deny", &["read"]), "");
pub(crate) static DEVICE: Key<Later> =
    Key::new("device", Later::Word("off", &["if_present", "require"]), "");
pub(crate) static CODE_IN_JSON: Key<Later> = Key::new("code_in_json", Later::List, "");
pub(crate) static PROMOTE: Key<Later> = Key::new("promote", Later::Whole(None), "");
