//! What the gate makes of the findings at the upstream itself.

use super::finding::{Finding, Severity};
use super::side::{Side, Standing};
use crate::policy::Mode;

/// The upstream as clients reach it, behind the gate.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) side: Side,
    /// The mode of the client's rule in the configuration file, today. The running gate may have another file.
    pub(super) mode: Mode,
}

impl Gate {
    /// Compares what was found behind the gate with what was found at the upstream itself, and tells what the mode means for it.
    pub(super) fn new(mut side: Side, mode: Mode, server: &Side) -> Self {
        let told = told(&side, mode, server);
        side.part.observed.insert(0, told);
        Self { side, mode }
    }

    /// What remains, if the gate is asked: everything that was found behind it, and what was found at the upstream itself without
    /// an answer from behind the gate.
    pub(super) fn remaining<'s>(&'s self, server: &'s Side) -> impl Iterator<Item = &'s Finding> {
        let open = server
            .bad()
            .filter(|finding| self.side.standing(finding.kind) != Standing::Closed);
        self.side.bad().chain(open)
    }
}

fn told(side: &Side, mode: Mode, server: &Side) -> String {
    let name = mode.as_str();
    let is_closed = |finding: &&Finding| side.standing(finding.kind) == Standing::Closed;
    let closed = server.part.findings.iter().filter(is_closed).count();
    let open = side.part.findings.iter();
    let open = open.filter(|finding| finding.kind.severity == Severity::High);
    match mode {
        Mode::Report | Mode::Off if closed > 0 => format!(
            "mode is {name:?} for this client in the configuration, in which a gate refuses nothing, but {closed} of the findings are \
             closed: the running gate has another configuration. pkce-gate check --against tells."
        ),
        Mode::Report => format!(
            "mode is {name:?} for this client: the gate records what it would refuse, and refuses nothing. So it closes none of the \
             findings."
        ),
        Mode::Off => format!(
            "mode is {name:?} for this client: the gate judges nothing. So it closes none of the findings."
        ),
        Mode::Enforce if open.count() > 0 => format!(
            "mode is {name:?} for this client in the configuration, but high findings remain: the running gate has another \
             configuration (pkce-gate check --against tells), or {} is not the gate's address.",
            side.url
        ),
        Mode::Enforce => format!("mode is {name:?} for this client."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::{
        CHALLENGE_NOT_DEMANDED, Kind, PKCE_OPTIONAL, Part, S256_NOT_ADVERTISED,
    };
    use super::super::login::Verdict;
    use super::*;

    fn side(found: &[&'static Kind], cleared: &[&'static Kind]) -> Side {
        let mut part = Part::default();
        for kind in found {
            part.find(kind, "seen");
        }
        for kind in cleared {
            part.clear(kind);
        }
        Side {
            url: "https://login.example".to_owned(),
            verdict: Verdict::Unknown,
            part,
            failure: None,
        }
    }

    fn remaining(gate: &Gate, server: &Side) -> Vec<&'static str> {
        let remaining = gate.remaining(server);
        remaining.map(|finding| finding.kind.code).collect()
    }

    #[test]
    fn what_was_not_asked_behind_the_gate_remains() {
        let server = side(&[&PKCE_OPTIONAL, &S256_NOT_ADVERTISED], &[]);
        for (found, cleared, expected) in [
            (&[][..], &[&PKCE_OPTIONAL][..], &[][..]),
            (&[], &[], &["pkce_optional"]),
            (&[&PKCE_OPTIONAL], &[], &["pkce_optional", "pkce_optional"]),
            (
                &[&CHALLENGE_NOT_DEMANDED],
                &[&PKCE_OPTIONAL],
                &["challenge_not_demanded"],
            ),
            (&[&S256_NOT_ADVERTISED], &[&PKCE_OPTIONAL], &[]),
        ] {
            let gate = Gate::new(side(found, cleared), Mode::Enforce, &server);
            assert_eq!(remaining(&gate, &server), expected);
        }
    }

    #[test]
    fn the_mode_is_compared_with_what_the_gate_does() {
        let server = side(&[&PKCE_OPTIONAL], &[]);
        let told = |mode, gate: Side| {
            let gate = Gate::new(gate, mode, &server);
            gate.side.part.observed.first().unwrap().clone()
        };
        let open = || side(&[&PKCE_OPTIONAL], &[]);
        let closed = || side(&[], &[&PKCE_OPTIONAL]);
        assert!(told(Mode::Report, open()).contains("closes none of the findings"));
        assert!(told(Mode::Off, open()).contains("judges nothing"));
        for contradiction in [
            told(Mode::Report, closed()),
            told(Mode::Off, closed()),
            told(Mode::Enforce, open()),
        ] {
            assert!(
                contradiction.contains("another configuration"),
                "{contradiction}"
            );
        }
        assert!(told(Mode::Enforce, closed()).ends_with("for this client."));
    }
}
