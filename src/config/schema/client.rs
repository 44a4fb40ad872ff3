//! `[[upstream.client]]`.

use super::pkce::{CODES_CHOICES, MODES, NOTHING};
use crate::config::key::{Day, Integer, Key, List, Optional, Section, Words};
use crate::config::oauth::{METHOD, RESPONSE_MODE, RESPONSE_TYPE};
use crate::config::origin::REDIRECT_URI;
use crate::config::value::TEXT;
use crate::oauth::pkce::{MAX_LENGTH, MIN_LENGTH};
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};
use crate::policy::{Codes, Mode};

/// The upper bound of `verifier_max`, in characters.
const LONGEST_VERIFIER: usize = 1024;

pub(crate) static CLIENT: Section = Section {
    path: "upstream.client",
    list: true,
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
    later: &[],
};

pub(crate) static ID: Key<Optional<String>> = Key::new("id", Optional(&TEXT)).required(
    "which client does this rule apply to?",
    "add id = \"…\", the client_id that it sends",
);

pub(crate) static MODE: Key<Words<Mode>> = Key::new("mode", MODES);

pub(crate) static CODES: Key<Words<Codes>> =
    Key::new("codes", Words::new(Codes::Handle, CODES_CHOICES));

pub(crate) static METHODS: Key<List<CodeChallengeMethod>> = Key::new(
    "methods",
    List::new(&METHOD).default(&["S256"]).not_empty(NOTHING),
);

pub(crate) static RESPONSE_TYPES: Key<List<ResponseType>> = Key::new(
    "response_types",
    List::new(&RESPONSE_TYPE).not_empty(NOTHING),
);

pub(crate) static RESPONSE_MODES: Key<List<ResponseMode>> = Key::new(
    "response_modes",
    List::new(&RESPONSE_MODE).not_empty(NOTHING),
);

pub(crate) static UNTIL: Key<Day> = Key::new("until", Day);

pub(crate) static OWNER: Key<Optional<String>> = Key::new("owner", Optional(&TEXT));

pub(crate) static REASON: Key<Optional<String>> = Key::new("reason", Optional(&TEXT));

pub(crate) static TYPE: Key<Words<bool>> = Key::new(
    "type",
    Words::new(false, &[("public", false), ("confidential", true)]),
);

pub(crate) static REDIRECT_URIS: Key<List<String>> =
    Key::new("redirect_uris", List::new(&REDIRECT_URI));

pub(crate) static ASSUME_METHOD: Key<Words<CodeChallengeMethod>> = Key::new(
    "assume_method",
    Words::new(
        CodeChallengeMethod::S256,
        &[("S256", CodeChallengeMethod::S256)],
    ),
);

pub(crate) static VERIFIER_MAX: Key<Integer<usize>> = Key::new(
    "verifier_max",
    Integer(MAX_LENGTH, MIN_LENGTH..=LONGEST_VERIFIER),
);
