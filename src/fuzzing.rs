//! Invariants of all parsers, for any input. The fuzz targets in `fuzz/` run them; an ordinary test replays the seeds.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a violated invariant must end the run"
)]

mod cookies;
mod documents;
mod handles;
mod json_member;
mod signed_response;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use url::Url;

use crate::answer::carrier::detect::{self, Credential};
use crate::answer::carrier::form_post::FormPost;
use crate::answer::carrier::html::{Token, tokens};
use crate::answer::carrier::location::{Location, is_token_response};
use crate::answer::carrier::{Carrier, Replacement, carriers, jarm, refresh};
use crate::flow::submission::{Part, Sign, Towards};
use crate::flow::{
    BoundCode, Candidate, ClientState, CodeLengths, Handle, HandleKey, LengthsSeen,
    PendingAuthorization, Purpose, Submission, wire,
};
use crate::oauth::params::set::UNRESERVED;
use crate::oauth::params::{append_pair, encode_into};
use crate::oauth::{AuthorizationCode, ClientIdentity, CodeKind, Edit, Params, TokenRequest};
use crate::route::fold::Readings;
use crate::spelling::shortcuts::{
    has_any, has_run, is_plain_name, is_plain_path, is_quiet, may_be_answer, may_be_ascii,
    may_have_form, may_hide_handle, may_hold_handle, may_hold_jwt, may_name_token, may_refresh,
    plain_host,
};
use crate::spelling::{Twins, any_layer};
use crate::store::{SealKeys, Sealer};
use crate::suspicion::{self, Kind, Look, names, words};

use handles::{handles, key};

pub use cookies::cookies;
pub use documents::metadata_document;
pub use json_member::json_member;
pub use signed_response::signed_response;

const PAIRS: usize = 64;

/// Strict parameters: unchanged, or encoded again, they parse to the same pairs.
pub fn params(input: &[u8]) {
    let Ok(strict) = Params::parse(input, PAIRS) else {
        return;
    };
    assert_eq!(strict.edit(|_| Edit::Keep), input);
    let mut encoded = Vec::new();
    for pair in strict.iter() {
        append_pair(&mut encoded, pair.name(), pair.value());
    }
    let again = Params::parse(&encoded, PAIRS).expect("encoded parameters parse");
    let list = |params: &Params<'_>| -> Vec<_> {
        params
            .iter()
            .map(|pair| (pair.name().to_owned(), pair.value().to_owned()))
            .collect()
    };
    assert_eq!(list(&strict), list(&again));
    assert!(
        Params::survey(input, PAIRS).is_ok(),
        "a survey accepts what strict parsing accepts"
    );
}

/// A request on an authorization path, with query and body split at the first line break: the upstream sees the handle
/// in every `state`, and no challenge if challenges are stripped.
pub fn authorization_request(input: &[u8]) {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (query, form) = (parts.next().unwrap_or_default(), parts.next());
    let Ok(submission) = Submission::read(query, form, PAIRS) else {
        return;
    };
    let (handle, _) = handles();
    let part = submission.fresh(form.is_none()).ok().flatten();
    let out = submission.towards_upstream(Sign::State(&handle), part, Towards::Strip);
    let again = Submission::read(&out.query, out.form.as_deref(), PAIRS + 1)
        .expect("encoded parameters parse");
    for (place, absent) in [(Part::Query, true), (Part::Form, form.is_none())] {
        for pair in again
            .part(place)
            .iter()
            .filter(|_| absent || form.is_some())
        {
            assert!(pair.name() != "state" || pair.value() == handle.expose());
            assert!(!matches!(
                pair.name(),
                "code_challenge" | "code_challenge_method" | "code_verifier"
            ));
        }
    }
    if let Some(part) = part {
        let entry = submission.entry_query(part, Sign::State(&handle));
        let entry = Submission::read(&entry, None, PAIRS + 1).expect("an entry query parses");
        assert_eq!(entry.handle(&key()).expect("one sign-in"), Some(handle));
    }
}

/// A token request: it is a redemption if and only if it has exactly one code, of whatever kind.
pub fn token_body(input: &[u8]) {
    let Ok(params) = Params::parse(input, PAIRS) else {
        return;
    };
    let Ok(request) = TokenRequest::parse(&params, None) else {
        return;
    };
    let is_redemption = |request: &TokenRequest<'_>| matches!(request, TokenRequest::Redemption(_));
    let count = |name| {
        params
            .all(name)
            .filter(|pair| !pair.value().is_empty())
            .count()
    };
    assert_eq!(count("code"), usize::from(is_redemption(&request)));
    if let Ok(request) = TokenRequest::parse_with_device(&params, None) {
        let codes = count("code") + count("device_code");
        assert_eq!(codes, usize::from(is_redemption(&request)));
    }
    assert!(params.all("code_verifier").count() <= 1);
}

/// An Authorization header: a client that it names matches itself.
pub fn basic_header(input: &[u8]) {
    let params = Params::default();
    if let Ok(Some(identity)) = ClientIdentity::read(Some(input), &params) {
        assert!(identity.may_be(identity.id().digest()));
    }
}

/// A `Location` of any bytes: without a handle of the gate nothing changes; with one, the handle is replaced and the
/// rest stays.
pub fn location(input: &[u8]) {
    let (handle, code) = handles();
    let input = with_handle(input, &handle);
    let location = Location::new(&input);
    let state = ClientState::value("a b&c");
    let untouched = Replacement {
        handle: &code,
        state: &state,
        code: None,
        without: &[],
        issuer: None,
    };
    assert_eq!(location.rewrite(untouched).bytes(), input);
    let key = key();
    let carried = location.read((&key).into());
    let replaced = carried.codes.first().map(|raw| (raw, &code));
    let rewritten = location.rewrite(Replacement {
        handle: &handle,
        state: &state,
        code: replaced,
        without: &[],
        issuer: None,
    });
    let after = Location::new(rewritten.bytes());
    let again = after.read((&key).into());
    assert!(again.handles.is_empty());
    let with_issuer = location.rewrite(Replacement {
        handle: &handle,
        state: &state,
        code: replaced,
        without: &[],
        issuer: Some("https://gate.example"),
    });
    let issuer = Location::new(with_issuer.bytes())
        .read((&key).into())
        .issuer;
    if carried.issuer.is_none() && with_issuer != rewritten {
        assert_eq!(issuer.as_deref(), Some("https://gate.example"));
    }
    assert_eq!(again.codes.is_empty(), carried.codes.is_empty());
    assert_eq!(after.target(), location.target());
}

/// Replaces each `HANDLE` in the input with a handle of the gate.
fn with_handle(input: &[u8], handle: &Handle) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = input;
    while let Some((before, behind)) =
        memchr::memmem::find(rest, b"HANDLE").and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(before);
        out.extend_from_slice(handle.expose().as_bytes());
        rest = behind.get(6..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// A form_post page: all spans are within the page, and a page without a handle of the gate is unchanged.
pub fn form_post_page(input: &[u8]) {
    let (handle, code) = handles();
    for token in tokens(input) {
        if let Token::Start(tag) = token {
            assert!(input.get(tag.span).is_some());
        }
    }
    let state = ClientState::Absent;
    let key = key();
    for form in FormPost::all(input) {
        let none = Replacement {
            handle: &handle,
            state: &state,
            code: None,
            without: &[],
            issuer: None,
        };
        if form.read((&key).into()).handles.is_empty() {
            assert_eq!(form.rewrite(none).bytes(), input);
        }
        let carried = form.read((&key).into());
        let with = Replacement {
            handle: &handle,
            state: &state,
            code: carried.codes.first().map(|raw| (raw, &code)),
            without: &[],
            issuer: None,
        };
        let rewritten = form.rewrite(with);
        for form in FormPost::all(rewritten.bytes()) {
            let codes = form.read((&key).into()).codes;
            assert!(codes.iter().all(|found| found.expose().len() < 4096));
        }
    }
}

/// The findings in a request, with query and body split at the first line break: their number is bounded, and a literal
/// `grant_type` is found.
pub fn suspicion(input: &[u8]) {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (query, body) = (parts.next().unwrap_or_default(), parts.next());
    let body = body.map_or(suspicion::Body::Absent, |bytes| suspicion::Body::Whole {
        bytes,
        kind: match input.len() % 4 {
            0 => Kind::Form,
            1 => Kind::Json,
            2 => Kind::Multipart,
            _ => Kind::Other,
        },
    });
    let request = suspicion::Request {
        query,
        body,
        authorization: Some(query),
        ..suspicion::Request::default()
    };
    let look = Look::Candidates {
        lengths: CodeLengths::ANY,
        kinds: &CodeKind::AT_TOKEN,
    };
    let found = suspicion::scan(&request, &key(), look);
    assert!(found.clients.len() <= 16 && found.planted.len() <= 64);
    assert!(found.candidates.len() <= 2 * 4096 + 64);
    let names = suspicion::scan(&request, &key(), Look::Names);
    assert_eq!(
        (names.said, names.in_document),
        (found.said, found.in_document)
    );
    let text = str::from_utf8(query).unwrap_or_default();
    if text.starts_with("grant_type=") && text.len() > 11 && !text.contains(['&', ';']) {
        assert!(found.asks_for_token());
    }
}

/// A text with a word: the word is found in every encoding, with any text around it.
pub fn twins(input: &[u8]) {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (word, around) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let Ok(word) = str::from_utf8(word) else {
        return;
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'&' | b'\\');
    if word.len() < 8 || !word.bytes().all(is_plain) {
        return;
    }
    let twins = Twins::of(word);
    let mut escaped = Vec::new();
    encode_into(&mut escaped, word);
    for form in [word.as_bytes(), &escaped] {
        assert!(twins.stand_in(&[around, b" ", form, b" ", around].concat()));
    }
}

/// The shortcuts: if one is false, the expensive check finds nothing.
pub fn shortcuts(input: &[u8]) {
    let key = key();
    let token = |text: &[u8]| detect::carries(Credential::Token, text, detect::Kind::Text, None);
    let handle = |text: &[u8]| key.candidates(Purpose::State, text).next().is_some();
    assert!(may_hold_handle(input) || !handle(input));
    assert!(may_hide_handle(input) || !any_layer(input, handle));
    assert!(may_name_token(input) || !token(input));
    let is_response = |word: &[u8]| is_token_response(word, Credential::Token);
    assert!(may_name_token(input) || !any_layer(input, is_response));
    assert!(may_hold_jwt(input) || !jarm::stands_among(input));
    assert!(may_refresh(input) || refresh::in_page(input).next().is_none());
    assert!(may_have_form(input) || FormPost::each(input).is_empty());
    // UTF-16 has a NUL between ASCII letters.
    let letters: Vec<u8> = input.iter().copied().filter(|byte| *byte != 0).collect();
    let holds = [input, &letters].into_iter().any(token);
    assert!(may_be_answer(input) || carriers(None, false, input).is_empty() && !holds);

    for kind in [Kind::Form, Kind::Json, Kind::Multipart, Kind::Other] {
        let body = suspicion::Body::Whole { bytes: input, kind };
        for (query, body) in [(input, suspicion::Body::Absent), (b"", body)] {
            let request = suspicion::Request {
                query,
                body,
                ..suspicion::Request::default()
            };
            let found = suspicion::scan(&request, &key, Look::Names);
            assert!(!is_quiet(input) || !found.asks_for_token() && found.planted.is_empty());
        }
    }
    for name in input.split(|byte| b"&=".contains(byte)) {
        if is_plain_name(name) {
            assert_eq!(names::read_as(name), names::read_as_any(name));
        }
    }
    if let Ok(text) = str::from_utf8(input) {
        let path = text.trim_matches('/');
        let is_same = |readings: Readings<'_>| !readings.any(|read| read.trim_matches('/') != path);
        assert!(!is_plain_path(text) || is_same(Readings::each(text)));
        if let (Some(host), Ok(url)) = (plain_host(text), Url::parse(text)) {
            assert_eq!(Some(host), url.host_str());
        }
    }
    words_that_may_be_codes(input, &key);
    in_base64(input);
}

/// A word that is a candidate if all lengths are possible must also be one if only its own length is.
fn words_that_may_be_codes(input: &[u8], key: &HandleKey) {
    let word = input.split(u8::is_ascii_whitespace).next();
    let word = word.and_then(|word| str::from_utf8(word).ok());
    let Some(code) = word.and_then(AuthorizationCode::new) else {
        return;
    };
    let request = suspicion::Request {
        query: input,
        ..suspicion::Request::default()
    };
    let has_code = |lengths| {
        let found = suspicion::scan(
            &request,
            key,
            Look::Words {
                lengths,
                kinds: &[CodeKind::Authorization],
            },
        );
        found
            .candidates
            .contains(&Candidate::Code(code.digest().into()))
            || found.unreadable.is_some()
    };
    let seen = LengthsSeen::default();
    seen.add(code.expose().len());
    assert!(has_code(seen.get()) || !has_code(CodeLengths::ANY));
    // Each split of a text finds other words only if it contains a separator.
    for around in words::AROUND {
        let is_cut = input.iter().any(|byte| around.contains(byte));
        assert_eq!(has_any(input, around), is_cut);
    }
}

/// Base64 text is a run of its characters, and the ASCII text inside is recognised as ASCII.
fn in_base64(input: &[u8]) {
    let (before, text) = input.split_at(input.len().min(4));
    for length in [1, 8, 32] {
        let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let slowly = input.windows(length).any(|run| run.iter().all(is_one));
        assert_eq!(has_run(input, &UNRESERVED, length), slowly);
    }
    let ascii = text.iter().take_while(|byte| byte.is_ascii()).count();
    for encoded in [STANDARD.encode(input), URL_SAFE.encode(input)] {
        let run = encoded.trim_end_matches('=').as_bytes();
        assert!(may_be_ascii(run, ascii), "{before:?}");
    }
}

/// A handle: a recognised handle is exactly the text, with the right purpose only.
pub fn handle(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for purpose in [Purpose::State, Purpose::Code, Purpose::Device] {
        if let Some(found) = key().recognise(purpose, text) {
            assert_eq!(found.expose(), text);
        }
        for found in key().find_all(purpose, input, 64).unwrap_or_default() {
            assert!(text.contains(found.expose()));
        }
    }
}

/// A sealed record: bytes of others are never opened, nor is a record that was changed; fields are read as they were written.
pub fn sealed(input: &[u8]) {
    if let Some(record) = wire::from_bytes::<PendingAuthorization>(input) {
        assert_eq!(wire::to_bytes(&record).expect("it fits")[..], *input);
    }
    if let Some(record) = wire::from_bytes::<BoundCode>(input) {
        assert_eq!(wire::to_bytes(&record).expect("it fits")[..], *input);
    }
    if let Some(state) = wire::from_bytes::<ClientState>(input) {
        assert_eq!(wire::to_bytes(&state).expect("it fits")[..], *input);
    }
    let keys = SealKeys::of(&[("fuzz", [7; 32])]);
    let by = Sealer::new(keys, "fuzz", "https://gate.test");
    let opens = |bytes: &[u8]| by.open::<u64>(Purpose::State, b"", bytes).is_ok();
    assert!(!opens(input));
    let as_state = by.open::<ClientState>(Purpose::State, b"state of ", input);
    assert!(as_state.is_err());
    let sealed = by.seal(Purpose::State, b"", &7_u64).expect("sealed");
    let changed: Vec<u8> = sealed
        .iter()
        .enumerate()
        .map(|(at, byte)| byte ^ input.get(at).copied().unwrap_or_default())
        .collect();
    assert_eq!(opens(&changed), changed == sealed);
    let longer = [&sealed, input].concat();
    assert_eq!(opens(&longer), input.is_empty());
    let shorter = sealed.get(..input.len()).unwrap_or_default();
    assert!(!opens(shorter) || shorter == sealed);
}

/// A configuration: the position of every problem is within the file.
pub fn config_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let problems = match crate::config::load(text, "config.toml", 20_000) {
        Ok(checked) => checked.warnings,
        Err(problems) => problems,
    };
    for problem in problems.iter() {
        assert!(
            text.get(problem.span.range()).is_some(),
            "{}",
            problem.message
        );
    }
}

/// Panics if an invariant is violated.
pub type Target = fn(&[u8]);

/// All targets by name, for `fuzz/` and for the replay.
pub const TARGETS: [(&str, Target); 16] = [
    ("params", params),
    ("authorization_request", authorization_request),
    ("token_body", token_body),
    ("basic_header", basic_header),
    ("location", location),
    ("form_post_page", form_post_page),
    ("metadata_document", metadata_document),
    ("json_member", json_member),
    ("signed_response", signed_response),
    ("cookies", cookies),
    ("handle", handle),
    ("sealed", sealed),
    ("suspicion", suspicion),
    ("twins", twins),
    ("shortcuts", shortcuts),
    ("config_file", config_file),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_seed_keeps_the_invariants_of_its_target() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, target) in TARGETS {
            let folder = seeds.join(name);
            let files: Vec<_> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            assert!(!files.is_empty(), "no seeds in {}", folder.display());
            for file in files {
                target(&fs::read(&file).unwrap());
            }
        }
    }

    #[test]
    fn every_target_has_a_program_and_a_line_in_the_readme() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let read = |file| fs::read_to_string(folder.join(file)).unwrap();
        let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
        let cells = readme.lines().filter_map(|line| line.strip_prefix("| `"));
        let lines = cells.map(|cells| cells.split('`').next().unwrap().to_owned());
        let programs = manifest.split("\n[[bin]]\nname = \"").skip(1);
        let programs = programs.map(|rest| rest.split('"').next().unwrap().to_owned());
        let files = fs::read_dir(folder.join("fuzz_targets")).unwrap();
        let files = files.map(|file| {
            let path = file.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        });
        let mut targets: Vec<_> = TARGETS.map(|(name, _)| name.to_owned()).into();
        targets.sort_unstable();
        for mut named in [
            lines.collect::<Vec<_>>(),
            programs.collect(),
            files.collect(),
        ] {
            named.sort_unstable();
            assert_eq!(named, targets);
        }
    }

    /// Pieces of what the expensive checks search for.
    const PARTS: [&[u8]; 48] = [
        b"code",
        b"CODE",
        b"grant_type",
        b"client_id",
        b"access_token",
        b"Access.Token",
        b"token",
        b"_",
        b"SplxlOBeZQQYbYS6WxSbIA1234",
        b"pgs0123456789abcdefghijklmnopqrs",
        b"p",
        b"gs",
        b"%70",
        b"%25",
        b"%5C",
        b"\\u0070",
        b"\\x70",
        b"\\",
        b"&",
        b"amp",
        b"num",
        b"percnt",
        b"lowbar",
        b"#",
        b"112",
        b"70",
        b";",
        b"=",
        b"?",
        b"{",
        b"\"",
        b":",
        b" ",
        b"/",
        b".",
        b"\0",
        b"state=",
        b"code=SplxlOBeZQQY&client_id=a",
        b"grant_type=a",
        b"[0]",
        b"%u",
        b"<",
        b"form ",
        b"<iframe srcdoc='",
        b"&lt;",
        b"<meta http-equiv=refresh content='",
        b"<input name=code value=",
        b">",
    ];

    proptest! {
        #[test]
        fn a_false_shortcut_means_that_the_expensive_check_finds_nothing(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..9),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            shortcuts(&parts.concat());
            shortcuts(&bytes);
        }

        #[test]
        fn plain_paths_and_urls_are_recognised_correctly(
            path in "(/[a-z0-9_~!@.%A-Z-]{0,3}){1,4}/?",
            url in "https?://[a-z0-9.:@/x\\\\?#%\t-]{0,12}[a-z./:]{0,3}|[ hH]ttps?:/{0,3}[a-z.]{0,9}",
        ) {
            shortcuts(path.as_bytes());
            shortcuts(url.as_bytes());
        }

        #[test]
        fn escapes_that_may_hide_a_handle_are_found(
            text in "(p|g|s|%|&|amp|;|#|num|percnt|[\\\\]|u0070|x67|70|112|103|7|0|3B|23|26|5c){0,9}",
        ) {
            let holds = |text: &[u8]| text.windows(3).any(|three| three == b"pgs");
            let hidden = any_layer(text.as_bytes(), holds);
            prop_assert!(may_hide_handle(text.as_bytes()) || !hidden, "{}", text);
        }
    }
}
