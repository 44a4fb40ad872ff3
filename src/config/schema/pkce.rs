//! `[upstream.pkce]`.

use crate::config::key::{Choice, Key, List, Section, Words};
use crate::config::oauth::{METHOD, RESPONSE_MODE, RESPONSE_TYPE};
use crate::config::value::TEXT;
use crate::gateway::settings::{BrowserBinding, Entry, ToUpstream};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};
use crate::policy::{Codes, Mode, Require};

pub(crate) static PKCE: Section = Section {
    path: "upstream.pkce",
    list: false,
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
    ],
    later: &[
        ("correlation", Some("\"state\"")),
        ("request_objects", Some("\"deny\"")),
        ("device", Some("\"off\"")),
        ("code_in_json", Some("[]")),
        ("promote", None),
    ],
};

/// Shared with `[[upstream.client]]`.
pub(crate) const MODES: Words<Mode> = Words::new(
    Mode::Enforce,
    &[
        ("enforce", Mode::Enforce),
        ("report", Mode::Report),
        ("off", Mode::Off),
    ],
);

pub(crate) static MODE: Key<Words<Mode>> = Key::new("mode", MODES);

pub(crate) static REQUIRE: Key<Words<Require>> = Key::new(
    "require",
    Words::new(
        Require::All,
        &[("all", Require::All), ("public", Require::Public)],
    ),
);

/// Why a list of allowed values may not be empty.
pub(crate) const NOTHING: &str = "nothing would be allowed";

pub(crate) static METHODS: Key<List<CodeChallengeMethod>> = Key::new(
    "methods",
    List::new(&METHOD).default(&["S256"]).not_empty(NOTHING),
);

/// Shared with `[[upstream.client]]`.
pub(crate) const CODES_CHOICES: &[Choice<Codes>] =
    &[("handle", Codes::Handle), ("upstream", Codes::Upstream)];

pub(crate) static CODES: Key<Words<Codes>> =
    Key::new("codes", Words::new(Codes::Handle, CODES_CHOICES));

pub(crate) static ENTRY: Key<Words<Entry>> = Key::new(
    "entry",
    Words::new(
        Entry::Redirect,
        &[("redirect", Entry::Redirect), ("rewrite", Entry::Rewrite)],
    ),
);

pub(crate) static BROWSER_BINDING: Key<Words<BrowserBinding>> = Key::new(
    "browser_binding",
    Words::new(
        BrowserBinding::Soft,
        &[
            ("off", BrowserBinding::Off),
            ("soft", BrowserBinding::Soft),
            ("hard", BrowserBinding::Hard),
        ],
    ),
);

pub(crate) static TO_UPSTREAM: Key<Words<ToUpstream>> = Key::new(
    "to_upstream",
    Words::new(
        ToUpstream::Forward,
        &[
            ("forward", ToUpstream::Forward),
            ("strip", ToUpstream::Strip),
        ],
    )
    .later(&["replace"]),
);

pub(crate) static RESPONSE_TYPES: Key<List<ResponseType>> = Key::new(
    "response_types",
    List::new(&RESPONSE_TYPE)
        .default(&["code"])
        .not_empty(NOTHING),
);

pub(crate) static RESPONSE_MODES: Key<List<ResponseMode>> = Key::new(
    "response_modes",
    List::new(&RESPONSE_MODE)
        .default(&["query", "fragment", "form_post"])
        .not_empty(NOTHING),
);

pub(crate) static GRANTS: Key<List<String>> = Key::new("grants", List::new(&TEXT));
