//! Known ways around the gate. There is a test for each attack in `attacks/README.md`, most of them with many spellings. Each
//! test runs twice: with `codes = "handle"` and with `codes = "upstream"`.
//!
//! The upstream redeems every code: in a query, a form, JSON, multipart, a header field, on any path, with any method. So there
//! is one oracle for all tests: no request with a code reached the upstream except verified redemptions. After most attacks the
//! test redeems the code correctly, which shows that the code was still valid.
//!
//! The comment of a test (or of a group of tests) names the check without which the test fails.

mod flow;
mod http;
mod kinds;
mod parameters;
mod paths;
mod responses;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::Received;

const FORM: &str = "application/x-www-form-urlencoded";

/// A gate, its upstream, and a stolen code.
struct Attacked {
    rig: Rig,
    /// Whether the code is a handle, not the upstream's own code.
    handles: bool,
    authorization: Authorization,
    code: String,
    spent: Cell<bool>,
}

/// Runs the attack with handles and with the upstream's own codes.
fn both(attack: impl Fn(&Attacked)) {
    with(Config::default(), attack);
}

/// Like [`both`], with this configuration.
fn with(config: Config<'_>, attack: impl Fn(&Attacked)) {
    for codes in ["handle", "upstream"] {
        println!("codes = {codes:?}"); // shown when the test fails
        let pkce = format!("codes = \"{codes}\"\n{}", config.pkce);
        let rig = Rig::with(Config {
            pkce: &pkce,
            ..config
        });
        let attacked = Attacked::sign_in(rig, codes == "handle");
        attack(&attacked);
        attacked.check();
    }
}

impl Attacked {
    fn sign_in(rig: Rig, handles: bool) -> Self {
        // With `codes = "upstream"` the upstream's codes do reach the client, so the rig does not search for them.
        let rig = if handles { rig } else { rig.unguarded() };
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        Self {
            rig,
            handles,
            authorization,
            code,
            spent: Cell::new(false),
        }
    }

    /// The upstream's own code, as if it had leaked.
    fn raw(&self) -> String {
        self.rig.upstream.codes().remove(0)
    }

    /// A token request without a verifier.
    fn tok(&self) -> Params {
        self.whole().without("code_verifier")
    }

    /// A complete and correct token request. It may be sent to the token endpoint once.
    fn whole(&self) -> Params {
        self.authorization.redemption(&self.code)
    }

    /// Token requests that must be refused at every path.
    fn unverified(&self) -> Vec<String> {
        let raw = self.raw();
        let mut forms = vec![
            self.tok().encoded(),
            self.tok().with("code", &raw).encoded(),
        ];
        if self.handles {
            forms.push(self.whole().with("code", &raw).encoded());
        }
        forms
    }

    /// Token requests that must be refused at every path except the token endpoint.
    fn all(&self) -> Vec<String> {
        let mut forms = self.unverified();
        forms.push(self.whole().encoded());
        forms
    }

    /// Sends exactly these bytes on a separate connection. Returns the status, or 0 if the gate closes the connection without
    /// an answer.
    fn attempt(&self, bytes: &[u8]) -> u16 {
        self.answer(bytes).map_or(0, |response| response.status)
    }

    fn answer(&self, bytes: &[u8]) -> Option<Response> {
        let mut connection = self.rig.connect();
        connection.try_send(bytes);
        let response = connection.try_response().ok()?;
        self.rig.receive(&response);
        Some(response)
    }

    /// The answer has one of the `expected` statuses, and no request reaches the upstream.
    #[track_caller]
    fn refused(&self, bytes: &[u8], expected: &[u16]) {
        let before = self.rig.upstream.ledger().len();
        let status = self.attempt(bytes);
        let shown = bytes.get(..300).unwrap_or(bytes).escape_ascii();
        assert!(expected.contains(&status), "{status} for {shown}");
        let ledger = self.rig.upstream.ledger();
        assert_eq!(ledger.len(), before, "{shown} became {:?}", ledger.last());
    }

    /// The answer to a posted form has one of the `expected` statuses, and no request reaches the upstream.
    #[track_caller]
    fn refused_form(&self, target: &str, fields: &[(&str, &str)], form: &str, expected: &[u16]) {
        self.refused(&request("POST", target, fields, Some(form)), expected);
    }

    /// Sends a request that must pass, and returns what the upstream received.
    #[track_caller]
    fn passed(&self, bytes: &[u8]) -> Received {
        let before = self.rig.upstream.ledger().len();
        let status = self.attempt(bytes);
        let mut ledger = self.rig.upstream.ledger();
        assert_eq!(
            (status, ledger.len()),
            (200, before + 1),
            "{}",
            bytes.escape_ascii()
        );
        ledger.remove(before)
    }

    /// Redeems the code correctly with these bytes, and returns what the upstream received.
    #[track_caller]
    fn redeemed_by(&self, bytes: &[u8]) -> Received {
        self.rig.vouch(&self.authorization);
        self.spent.set(true);
        self.passed(bytes)
    }

    #[track_caller]
    fn check(&self) {
        let upstream = &self.rig.upstream;
        if !self.spent.get() {
            let redemptions = upstream.redemptions();
            assert!(redemptions.is_empty(), "{redemptions:#?}");
            assert_token(&self.rig.redeem(&self.authorization, &self.code));
        }
        let unverified = upstream.redemptions_without_verified_verifier();
        assert!(unverified.is_empty(), "{unverified:#?}");
    }
}

/// A POST with arbitrary fields and an arbitrary body.
fn post_bytes(target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut all = fields.to_vec();
    all.push(("Content-Length", &length));
    [request("POST", target, &all, None), body.to_vec()].concat()
}

/// The parameters as a multipart body with this boundary.
pub(crate) fn multipart(params: &Params, boundary: &str) -> String {
    let part = |(name, value): (&str, &str)| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let parts: Vec<_> = params.iter().map(part).collect();
    format!("{}--{boundary}--\r\n", parts.concat())
}

/// The parameters as a JSON document.
pub(crate) fn json(params: &Params) -> String {
    let members: serde_json::Map<_, _> = params
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::Value::from(members).to_string()
}

/// The numbers in one table of the index, each with the tests that it names.
fn index(text: &str, heading: &str) -> Vec<(usize, Vec<String>)> {
    let section = text.split(heading).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let number = cells.next()?.parse().ok()?;
            let words = cells.next_back()?.split('`').skip(1).step_by(2);
            Some((number, words.map(str::to_owned).collect()))
        })
        .collect()
}

/// Whether the test exists: a `fn` of this name in the file to which the path leads.
fn exists(path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else {
        return false;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = module.strip_suffix("::tests").unwrap_or(module);
    let files = [
        format!("tests/it/{}.rs", module.replace("::", "/")),
        format!("src/{}.rs", unit.replace("::", "/")),
        format!("src/{}.rs", module.replace("::", "/")),
    ];
    files
        .iter()
        .filter_map(|file| fs::read_to_string(root.join(file)).ok())
        .any(|text| text.contains(&format!("fn {name}(")))
}

#[test]
fn index_is_complete() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attacks/README.md");
    let text = fs::read_to_string(file).expect("the index is there");
    for (heading, last) in [
        ("\n## Attacks\n", 124),
        ("\n## Behaviours\n", 112),
        ("\n## Kinds\n", 56),
    ] {
        let entries = index(&text, heading);
        let numbers: Vec<_> = entries.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "{heading}");
        let named: BTreeSet<_> = entries.into_iter().flat_map(|(_, tests)| tests).collect();
        let tests = named.iter().filter(|word| word.contains("::"));
        let missing: Vec<_> = tests.filter(|path| !exists(path)).collect();
        assert!(missing.is_empty(), "no such test: {missing:#?}");
    }
}
