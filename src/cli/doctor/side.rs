//! Everything that is asked at one address: that of the upstream itself, or that of the gate in front of it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{StatusCode, header};
use url::Url;

use super::ask::{Client, Server, is_of_outage};
use super::finding::{
    ENDPOINT_ELSEWHERE, ENDPOINT_NOT_CONFIGURED, Finding, ISSUER_DIFFERS, Kind,
    OTHER_ORIGIN_ADVERTISED, Part, REACHABLE_AROUND_THE_GATE, Severity,
};
use super::login::{Inconclusive, Redirects, Verdict};
use super::{authorization, login, metadata, token};
use crate::cli::fetch::{Ask, Failed, Fetch};
use crate::cli::learned::Document;
use crate::cli::shown::shown;
use crate::cli::terminal::complain;
use crate::config::Upstream;

/// Maximum time for all requests to one address, except those of sign-ins.
const BUDGET: Duration = Duration::from_mins(2);
/// Maximum time for the sign-ins at one address.
const LOGIN: Duration = Duration::from_mins(30);

/// Where the questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At<'a> {
    /// At the upstream itself, by its `url`.
    Upstream {
        /// Whether the gate is asked as well. Then the upstream need not be reachable.
        gate_follows: bool,
    },
    /// At the gate, by the `public_url` of the upstream; with the certificates to trust, unless those are the system's.
    Gate { ca: Option<&'a Path> },
}

impl At<'_> {
    fn is_gate(self) -> bool {
        matches!(self, Self::Gate { .. })
    }
}

/// What was found at one address.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) url: String,
    pub(super) verdict: Verdict,
    pub(super) part: Part,
    /// Why it could not be asked, or not completely.
    pub(super) failure: Option<String>,
}

/// What no gate closes: it is about ways beside the gate, and about the configuration. A gate may leave an endpoint out of the
/// metadata, but does not make it unreachable by that.
static BEYOND_THE_GATE: [&Kind; 5] = [
    &REACHABLE_AROUND_THE_GATE,
    &OTHER_ORIGIN_ADVERTISED,
    &ENDPOINT_NOT_CONFIGURED,
    &ENDPOINT_ELSEWHERE,
    &ISSUER_DIFFERS,
];

/// What became of a finding behind the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Closed,
    Remains,
    /// The same question was not asked there, or not answered.
    NotAsked,
}

impl Side {
    /// What this side, the gate, makes of a finding at the upstream itself.
    pub(super) fn standing(&self, kind: &'static Kind) -> Standing {
        if self.part.has(kind) || BEYOND_THE_GATE.contains(&kind) {
            Standing::Remains
        } else if self.part.cleared.contains(&kind) {
            Standing::Closed
        } else {
            Standing::NotAsked
        }
    }

    /// The severest findings first.
    pub(super) fn sorted(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.part.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.kind.severity));
        findings
    }

    /// The findings that are worse than a note.
    pub(super) fn bad(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.part.findings.iter();
        findings.filter(|finding| finding.kind.severity > Severity::Note)
    }
}

/// Asks everything at one address.
pub(super) fn examine(
    upstream: &Upstream,
    at: At<'_>,
    client: &Client,
    redirects: Option<&Redirects>,
) -> Side {
    let (url, what) = match at {
        At::Upstream { .. } => (upstream.connection.origin(), "the upstream itself"),
        At::Gate { .. } => (
            upstream.gateway.public_origin.clone(),
            "the gate in front of it",
        ),
    };
    complain(&format!("asking {url}, {what}"));
    if at.is_gate() && client.is_named {
        let id = shown(&client.id);
        complain(&format!(
            "the gate counts these requests in the review, as those of {id}"
        ));
    }
    let mut side = Side {
        url,
        verdict: Verdict::Unknown,
        part: Part::default(),
        failure: None,
    };
    match ask(upstream, at, client, redirects, &mut side) {
        Ok(()) => {}
        Err(Inconclusive::Unreachable(failed)) if at == (At::Upstream { gate_follows: true }) => {
            side.part.see(format!(
                "{} does not answer this machine ({failed}): only the gate was asked.",
                side.url
            ));
        }
        Err(failure) => {
            let is_tls = matches!(failure, Inconclusive::Failed(Failed::Tls(_)));
            let help = match at {
                At::Gate { ca: None } if is_tls => {
                    "\nhelp: if it has a certificate of a private CA, name its file with --gate-ca"
                }
                At::Gate { .. } | At::Upstream { .. } => "",
            };
            side.failure = Some(format!("{}: {failure}{help}", side.url));
        }
    }
    side
}

/// What was found before a failure stays in the side.
fn ask(
    upstream: &Upstream,
    at: At<'_>,
    client: &Client,
    redirects: Option<&Redirects>,
    side: &mut Side,
) -> Result<(), Inconclusive> {
    let other = |text: String| Inconclusive::Other(text);
    let url = Url::parse(&side.url).map_err(|error| other(error.to_string()))?;
    let ca = match at {
        At::Upstream { .. } => upstream.connection.ca.as_deref(),
        At::Gate { ca } => ca,
    };
    let fetch = |budget| Fetch::new(&url, ca, budget).map_err(|error| other(error.to_string()));
    let quick = fetch(BUDGET)?;
    let endpoints = &upstream.gateway.endpoints;
    let first = |paths: &'_ [String]| paths.first().map_or("/", String::as_str).to_owned();
    let (authorization, token) = (first(&endpoints.authorization), first(&endpoints.token));
    let peer = reached(&quick, &authorization)?;
    let documents = documents(&quick, &endpoints.metadata)?;
    let part = &mut side.part;
    let origin = upstream.connection.origin();
    let judged = metadata::judge(&url, &origin, &upstream.gateway, &documents);
    part.add(judged);
    let mut server = Server {
        fetch: &quick,
        authorization: &authorization,
        token: &token,
        client,
        secret_in_form: metadata::takes_secret_in_form(&documents),
        through_gate: at.is_gate(),
    };
    part.add(authorization::examine(&server)?);
    part.add(token::examine(&server)?);
    if at.is_gate() {
        part.skip(
            "The state, and other spellings of the token path: those are asked at the upstream itself only.",
        );
    } else {
        around(&side.url, peer, part);
    }
    let Some(redirects) = redirects else {
        part.skip("Codes and verifiers: that takes a sign-in (--login).");
        return Ok(());
    };
    let redirects = redirects
        .again()
        .map_err(|error| other(error.to_string()))?;
    let slow = fetch(LOGIN)?;
    server.fetch = &slow;
    let promised = metadata::promises_s256(&documents);
    let (found, verdict) = login::examine(&server, redirects, promised)?;
    part.add(found);
    side.verdict = verdict;
    Ok(())
}

/// The first request: asks for a page. Returns who answered.
fn reached(fetch: &Fetch, path: &str) -> Result<IpAddr, Inconclusive> {
    let answer = fetch.send(&Ask::get(path)).map_err(|failed| {
        if failed.is_unreachable() {
            Inconclusive::Unreachable(failed)
        } else {
            Inconclusive::Failed(failed)
        }
    })?;
    let status = answer.status.as_u16();
    if is_of_outage(status) {
        return Err(Inconclusive::Other(format!(
            "it answers status {status}: the server cannot be asked"
        )));
    }
    Ok(answer.peer)
}

fn documents(fetch: &Fetch, paths: &[String]) -> Result<Vec<Document>, Failed> {
    let mut documents = Vec::new();
    for path in paths {
        let mut ask = Ask::get(path);
        ask.headers = vec![(header::ACCEPT, "application/json")];
        let answer = fetch.send(&ask)?;
        if answer.status == StatusCode::OK {
            documents.extend(Document::parse(path, &answer.body));
        }
    }
    Ok(documents)
}

/// Every answer so far came without the gate.
fn around(url: &str, peer: IpAddr, part: &mut Part) {
    if peer.to_canonical().is_loopback() {
        part.see(format!(
            "{url} is a loopback address, which only this machine reaches. Whether the server listens at other addresses is not known."
        ));
    } else {
        let evidence = format!(
            "{url} ({peer}) answered this machine. If that is the gate's own machine, ask from another one"
        );
        part.find(&REACHABLE_AROUND_THE_GATE, evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::{PKCE_OPTIONAL, STATE_LIMIT, TOKEN_BY_GET};
    use super::*;

    #[test]
    fn an_answer_of_another_machine_is_a_way_around_the_gate() {
        for (peer, is_found) in [
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("10.0.0.5", true),
            ("fd00::5", true),
        ] {
            let mut part = Part::default();
            around("https://login.internal", peer.parse().unwrap(), &mut part);
            let findings = part.findings.iter();
            let found: Vec<&str> = findings.map(|finding| finding.kind.code).collect();
            let expected = if is_found {
                vec!["reachable_around_the_gate"]
            } else {
                vec![]
            };
            assert_eq!(found, expected, "{peer}");
            assert_eq!(part.observed.len(), usize::from(!is_found), "{peer}");
        }
    }

    #[test]
    fn a_gate_closes_only_what_was_asked_there() {
        let mut part = Part::default();
        part.clear(&PKCE_OPTIONAL);
        part.clear(&ENDPOINT_NOT_CONFIGURED);
        part.find(&TOKEN_BY_GET, "a token");
        let gate = Side {
            url: "https://login.example".to_owned(),
            verdict: Verdict::Unknown,
            part,
            failure: None,
        };
        for (kind, standing) in [
            (&PKCE_OPTIONAL, Standing::Closed),
            (&TOKEN_BY_GET, Standing::Remains),
            (&STATE_LIMIT, Standing::NotAsked),
            (&REACHABLE_AROUND_THE_GATE, Standing::Remains),
            (&ENDPOINT_NOT_CONFIGURED, Standing::Remains),
        ] {
            assert_eq!(gate.standing(kind), standing, "{}", kind.code);
        }
    }
}
