//! Sign-ins of a real user, one for each question about codes: are they refused without a verifier, with a wrong one, the second
//! time, and after a downgrade?

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use url::Url;

use super::ask::{Grant, Pairs, Reply, Server, random, with, with_challenge};
use super::finding::{
    ADVERTISED_NOT_ENFORCED, CODE_REDEEMED_TWICE, DOWNGRADE_ACCEPTED, Kind,
    MISSING_VERIFIER_ACCEPTED, PKCE_OPTIONAL, Part, WRONG_VERIFIER_ACCEPTED,
};
use super::loopback::{Arrival, Loopback, Over, REFUSED, Step};
use crate::cli::fetch::Failed;
use crate::cli::terminal::complain;

/// How long the user may take for one sign-in.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a sign-in is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// A correct sign-in; then the code a second time.
    Right,
    /// With a challenge, without a verifier.
    Missing,
    /// With a challenge, with another verifier.
    Wrong,
    /// Without a challenge, with a verifier.
    Downgrade,
    /// Without a challenge and without a verifier.
    Without,
}

const PROBES: [Probe; 5] = [
    Probe::Right,
    Probe::Missing,
    Probe::Wrong,
    Probe::Downgrade,
    Probe::Without,
];

/// What became of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Token,
    /// The code was refused.
    Refused(String),
    /// The server issued no code.
    NoCode(String),
    /// It was not tried.
    Unknown,
}

/// What the server does with PKCE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Without PKCE there is no token.
    Required,
    /// A challenge is enforced, but none is required.
    Optional,
    /// The verifier is not compared.
    Ignored,
    /// It was not asked.
    Unknown,
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        }
    }
}

/// Why the sign-ins tell nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Inconclusive {
    /// The first request reached no server.
    #[error(transparent)]
    Unreachable(Failed),
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error("{0}")]
    Other(String),
}

struct Flow {
    probe: Probe,
    state: String,
    verifier: String,
    request: Pairs,
    outcome: Outcome,
}

/// Where the answers arrive.
#[derive(Debug)]
pub(super) struct Redirects {
    pub(super) listener: TcpListener,
    pub(super) uri: Url,
}

impl Redirects {
    /// The same listener, for further sign-ins.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            listener: self.listener.try_clone()?,
            uri: self.uri.clone(),
        })
    }
}

/// Signs in once for each question. `promised`: the metadata says that the server supports S256.
pub(super) fn examine(
    server: &Server<'_>,
    redirects: Redirects,
    promised: bool,
) -> Result<(Part, Verdict), Inconclusive> {
    let mut flows = Vec::new();
    for probe in PROBES {
        flows.push(begun(server, probe)?);
    }
    let open: Vec<usize> = flows
        .iter()
        .enumerate()
        .filter(|(_, flow)| flow.outcome == Outcome::Unknown)
        .map(|(at, _)| at)
        .collect();
    let of_open = |at: &usize| flows.get(*at);
    let urls: Vec<String> = open
        .iter()
        .filter_map(of_open)
        .map(|flow| server.url(&flow.request))
        .collect();
    let steps = open.iter().filter_map(of_open).zip(1..);
    let steps = steps.map(|(flow, next)| Step {
        state: flow.state.clone(),
        next: urls.get(next).cloned(),
    });
    let steps: Vec<Step> = steps.collect();
    invite(server, &urls, &redirects.uri, &steps);
    let started = Loopback::start(redirects.listener, redirects.uri.path(), steps);
    let loopback = started.map_err(|error| Inconclusive::Other(error.to_string()))?;
    let twice = all(server, &loopback, &mut flows, &open);
    loopback.finish();
    let twice = twice?;
    let outcome = |probe| {
        let flow = flows.iter().find(|flow| flow.probe == probe);
        flow.map_or(Outcome::Unknown, |flow| flow.outcome.clone())
    };
    Ok(judge(&outcome, &twice, promised))
}

/// A sign-in that the server refuses at once needs no user.
fn begun(server: &Server<'_>, probe: Probe) -> Result<Flow, Inconclusive> {
    let (state, verifier) = (random()?, random()?);
    let request = server.request(&state);
    let request = match probe {
        Probe::Right | Probe::Missing | Probe::Wrong => with_challenge(request, &verifier),
        Probe::Downgrade | Probe::Without => request,
    };
    let reply = server.authorize(&request)?;
    let outcome = match &reply {
        Reply::SignIn | Reply::Code => Outcome::Unknown,
        // The server may answer the browser.
        Reply::Status(_) if reply.is_outage() && probe != Probe::Right => Outcome::Unknown,
        Reply::Refused { .. } | Reply::Status(_) => Outcome::NoCode(reply.told()),
    };
    if probe == Probe::Right && outcome != Outcome::Unknown {
        return Err(Inconclusive::Other(format!(
            "a correct request of this client got {}\nhelp: check --client-id, --redirect-uri and --scope",
            reply.told()
        )));
    }
    Ok(Flow {
        probe,
        state,
        verifier,
        request,
        outcome,
    })
}

fn invite(server: &Server<'_>, urls: &[String], redirect: &Url, steps: &[Step]) {
    let (Some(url), Some(step)) = (urls.first(), steps.first()) else {
        return;
    };
    let origin = redirect.origin().ascii_serialization();
    let place = if server.through_gate {
        "through the gate"
    } else {
        "at the upstream itself, without the gate"
    };
    complain(&format!(
        "sign-ins {place}: open this URL in a browser, and sign in. The browser goes on to {} more sign-ins by itself. Whenever the server shows an \
         error and no sign-in, open {origin}{REFUSED}{}\n\n{url}\n",
        urls.len().saturating_sub(1),
        step.state
    ));
}

/// Takes the answers, and redeems each code at once. Returns the answer to the second redemption of a code.
fn all(
    server: &Server<'_>,
    loopback: &Loopback,
    flows: &mut [Flow],
    open: &[usize],
) -> Result<Grant, Inconclusive> {
    let mut twice = None;
    for _ in open {
        let Ok(arrival) = loopback.next(PATIENCE) else {
            complain("no further answer within five minutes");
            break;
        };
        let Arrival {
            step,
            answer,
            settled,
        } = arrival;
        let Some(flow) = open.get(step).and_then(|at| flows.get_mut(*at)) else {
            continue;
        };
        let code = match answer {
            Ok(code) => code,
            Err(told) => {
                flow.outcome = Outcome::NoCode(told);
                continue;
            }
        };
        let request = server.redemption(&code);
        let request = match flow.probe {
            Probe::Right | Probe::Downgrade => with(request, "code_verifier", &flow.verifier),
            Probe::Wrong => with(request, "code_verifier", &random()?),
            Probe::Missing | Probe::Without => request,
        };
        let grant = server.redeem(&request)?;
        if flow.probe == Probe::Right && grant == Grant::Token {
            twice = Some(server.redeem(&request)?);
        }
        flow.outcome = match grant {
            Grant::Token => Outcome::Token,
            Grant::Error { .. } | Grant::Other(_)
                if grant.is_outage() && flow.probe != Probe::Right =>
            {
                Outcome::Unknown
            }
            Grant::Error { .. } | Grant::Other(_) => Outcome::Refused(grant.told()),
        };
        if flow.probe == Probe::Right && flow.outcome != Outcome::Token {
            // Without a receiver, the browser has left.
            let _left = settled.send(Over);
            break;
        }
    }
    // Without it, a refusal proves nothing: the client may be refused for another reason.
    twice.ok_or_else(|| {
        let right = flows.iter().find(|flow| flow.probe == Probe::Right);
        let told = match right.map(|flow| &flow.outcome) {
            Some(Outcome::Refused(told)) => format!("the code and the right verifier got {told}"),
            Some(Outcome::NoCode(told)) => format!("the sign-in ended with {told}"),
            Some(Outcome::Token | Outcome::Unknown) | None => "no sign-in was completed".to_owned(),
        };
        Inconclusive::Other(format!(
            "{told}, so the other sign-ins tell nothing\nhelp: check --client-id, --client-secret-file and --redirect-uri"
        ))
    })
}

const CHALLENGE: &str = "a sign-in with an S256 challenge, then a token request";

/// What the outcomes mean.
fn judge(outcome: &dyn Fn(Probe) -> Outcome, twice: &Grant, promised: bool) -> (Part, Verdict) {
    let mut part = Part::default();
    part.see("The code of a sign-in with an S256 challenge and its verifier got a token.");
    if *twice == Grant::Token {
        part.find(
            &CODE_REDEEMED_TWICE,
            "the same token request got a token twice",
        );
    } else if twice.is_outage() {
        part.skip(format!("The same token request got {}.", twice.told()));
    } else {
        part.clear(&CODE_REDEEMED_TWICE);
        part.see(format!(
            "The same token request got {} the second time.",
            twice.told()
        ));
    }
    let mut is_compared = true;
    for (probe, kind, how) in [
        (
            Probe::Missing,
            &MISSING_VERIFIER_ACCEPTED,
            "without code_verifier",
        ),
        (
            Probe::Wrong,
            &WRONG_VERIFIER_ACCEPTED,
            "with a wrong code_verifier",
        ),
    ] {
        let told = format!("{CHALLENGE} {how}");
        if outcome(probe) == Outcome::Token {
            is_compared = false;
            part.find(kind, format!("{told}: a token"));
        } else {
            see(&mut part, kind, &told, &outcome(probe));
        }
    }
    let is_known = |probe| outcome(probe) != Outcome::Unknown;
    if !is_compared && promised {
        let evidence = "code_challenge_methods_supported has S256, and a token was issued without the verifier";
        part.find(&ADVERTISED_NOT_ENFORCED, evidence);
    } else if is_known(Probe::Missing) && is_known(Probe::Wrong) {
        part.clear(&ADVERTISED_NOT_ENFORCED);
    }
    for (probe, kind, how) in [
        (
            Probe::Downgrade,
            &DOWNGRADE_ACCEPTED,
            "with a code_verifier",
        ),
        (Probe::Without, &PKCE_OPTIONAL, "without code_verifier"),
    ] {
        let told = format!("a sign-in without a challenge, then a token request {how}");
        if outcome(probe) == Outcome::Token {
            part.find(kind, format!("{told}: a token"));
        } else {
            see(&mut part, kind, &told, &outcome(probe));
        }
    }
    let verdict = if !is_compared {
        Verdict::Ignored
    } else if outcome(Probe::Without) == Outcome::Token {
        Verdict::Optional
    } else if PROBES.into_iter().all(is_known) {
        Verdict::Required
    } else {
        Verdict::Unknown
    };
    (part, verdict)
}

fn see(part: &mut Part, kind: &'static Kind, asked: &str, outcome: &Outcome) {
    if matches!(outcome, Outcome::Refused(_) | Outcome::NoCode(_)) {
        part.clear(kind);
    }
    match outcome {
        Outcome::Token => {}
        Outcome::Refused(told) => part.see(format!("Refused: {asked} ({told}).")),
        Outcome::NoCode(told) => part.see(format!(
            "Refused before a code was issued: {asked} ({told})."
        )),
        Outcome::Unknown => part.skip(format!("Not answered, or not in time: {asked}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        outcomes: &[Outcome; 4],
        twice: &Grant,
        promised: bool,
    ) -> (Vec<&'static str>, Verdict) {
        let outcome = |probe| match probe {
            Probe::Right => Outcome::Token,
            Probe::Missing => outcomes[0].clone(),
            Probe::Wrong => outcomes[1].clone(),
            Probe::Downgrade => outcomes[2].clone(),
            Probe::Without => outcomes[3].clone(),
        };
        let (part, verdict) = judge(&outcome, twice, promised);
        let codes = part.findings.iter().map(|finding| finding.kind.code);
        (codes.collect(), verdict)
    }

    fn no() -> Outcome {
        Outcome::Refused("status 400".to_owned())
    }

    #[test]
    fn outcomes_have_a_verdict() {
        let refused = || Grant::Other(400);
        let no_code = || Outcome::NoCode("an error page".to_owned());
        let token = || Outcome::Token;
        for (outcomes, promised, codes, verdict) in [
            (
                [no(), no(), no_code(), no_code()],
                true,
                &[][..],
                Verdict::Required,
            ),
            (
                [no(), no(), no(), token()],
                true,
                &["pkce_optional"],
                Verdict::Optional,
            ),
            (
                [no(), no(), token(), token()],
                true,
                &["downgrade_accepted", "pkce_optional"],
                Verdict::Optional,
            ),
            (
                [no(), token(), no(), no()],
                false,
                &["wrong_verifier_accepted"],
                Verdict::Ignored,
            ),
            (
                [token(), token(), token(), token()],
                true,
                &[
                    "missing_verifier_accepted",
                    "wrong_verifier_accepted",
                    "advertised_not_enforced",
                    "downgrade_accepted",
                    "pkce_optional",
                ],
                Verdict::Ignored,
            ),
            (
                [no(), no(), no(), Outcome::Unknown],
                true,
                &[],
                Verdict::Unknown,
            ),
            (
                [no(), Outcome::Unknown, no(), no()],
                true,
                &[],
                Verdict::Unknown,
            ),
        ] {
            let found = judged(&outcomes, &refused(), promised);
            assert_eq!(found, (codes.to_vec(), verdict));
        }
        let (codes, _) = judged(&[no(), no(), no(), no()], &Grant::Token, false);
        assert_eq!(codes, ["code_redeemed_twice"]);
    }

    #[test]
    fn only_what_was_answered_is_in_order() {
        let outcome = |probe| match probe {
            Probe::Right => Outcome::Token,
            Probe::Missing | Probe::Downgrade => no(),
            Probe::Wrong | Probe::Without => Outcome::Unknown,
        };
        let (part, _) = judge(&outcome, &Grant::Other(400), true);
        let cleared: Vec<&str> = part.cleared.iter().map(|kind| kind.code).collect();
        let expected = [
            "code_redeemed_twice",
            "missing_verifier_accepted",
            "downgrade_accepted",
        ];
        assert_eq!(cleared, expected);
        let (part, _) = judge(&outcome, &Grant::Other(503), true);
        assert!(!part.cleared.contains(&&CODE_REDEEMED_TWICE));
    }
}
