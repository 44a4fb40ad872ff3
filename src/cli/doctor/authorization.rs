//! The authorization endpoint, without a session: what it refuses before the sign-in, and which states it returns.

use super::ask::{Pairs, Reply, Server, random, with, with_challenge};
use super::finding::{
    CHALLENGE_NOT_DEMANDED, CHALLENGE_REFUSED, Kind, MALFORMED_CHALLENGE_ACCEPTED, PLAIN_ACCEPTED,
    Part, STATE_ALTERED, STATE_LIMIT, UNKNOWN_METHOD_ACCEPTED, UNKNOWN_PARAMETER_REFUSED,
};
use crate::cli::fetch::Failed;

/// The lengths of states that are tried, in characters.
const LENGTHS: [usize; 6] = [32, 500, 512, 1000, 2000, 8000];
/// The length of sealed handles.
const SEALED: usize = 512;
/// The length of other handles.
const HANDLE: usize = 32;

/// Asks the endpoint in the name of a registered client.
pub(super) fn examine(server: &Server<'_>) -> Result<Part, Failed> {
    let mut part = Part::default();
    if server.client.redirect_uri.is_none() {
        part.skip(
            "The authorization endpoint: it answers to registered clients only. Name one with --client-id and --redirect-uri.",
        );
        return Ok(part);
    }
    let request = server.request(&random()?);
    let unknown_type = with(request.clone(), "response_type", "pkce_gate_doctor");
    let control = server.authorize(&unknown_type)?;
    if control.goes_on() {
        part.skip(format!(
            "The authorization endpoint before the sign-in: it judges requests later, or not at all. A request with an unknown \
             response_type got {}. --login asks further.",
            control.told()
        ));
        return Ok(part);
    }
    let verifier = random()?;
    let good = with_challenge(request.clone(), &verifier);
    let (accepted, bare) = (server.authorize(&good)?, server.authorize(&request)?);
    if accepted.goes_on() {
        part.clear(&CHALLENGE_REFUSED);
        variants(server, &request, &good, &bare, &mut part)?;
    } else if bare.goes_on() && !accepted.is_outage() {
        let told = accepted.told();
        part.find(
            &CHALLENGE_REFUSED,
            format!(
                "with an S256 challenge: {told}; the same request without one got {}",
                bare.told()
            ),
        );
    } else {
        part.skip(format!(
            "The authorization endpoint: a correct request of this client got {}. Check --client-id, --redirect-uri and --scope.",
            accepted.told()
        ));
    }
    if !server.through_gate {
        // The server gets the gate's own states there.
        states(server, &unknown_type, &control, &mut part)?;
    }
    Ok(part)
}

/// Changes one thing of a request that is accepted.
fn variants(
    server: &Server<'_>,
    request: &Pairs,
    good: &Pairs,
    bare: &Reply,
    part: &mut Part,
) -> Result<(), Failed> {
    if bare.goes_on() {
        let told = format!("a request without a challenge got {}", bare.told());
        part.find(&CHALLENGE_NOT_DEMANDED, told);
    } else if bare.is_outage() {
        part.skip(format!("A request without a challenge: {}.", bare.told()));
    } else {
        part.clear(&CHALLENGE_NOT_DEMANDED);
        let told = bare.told();
        part.see(format!(
            "A request of this client without a challenge is refused ({told})."
        ));
    }
    let unknown = with(good.clone(), "pkce_gate_doctor", "1");
    let reply = server.authorize(&unknown)?;
    let what = "the parameter pkce_gate_doctor=1";
    let kind = &UNKNOWN_PARAMETER_REFUSED;
    settle(part, kind, what, &reply, !reply.goes_on());
    let plain = with(request.clone(), "code_challenge", &random()?);
    let cases: [(&'static Kind, Pairs, &str); 3] = [
        (
            &MALFORMED_CHALLENGE_ACCEPTED,
            with(good.clone(), "code_challenge", "short"),
            "code_challenge=short with S256",
        ),
        (
            &UNKNOWN_METHOD_ACCEPTED,
            with(good.clone(), "code_challenge_method", "S512"),
            "code_challenge_method=S512",
        ),
        (
            &PLAIN_ACCEPTED,
            with(plain, "code_challenge_method", "plain"),
            "code_challenge_method=plain",
        ),
    ];
    for (kind, request, what) in cases {
        let reply = server.authorize(&request)?;
        settle(part, kind, what, &reply, reply.goes_on());
    }
    Ok(())
}

/// Records what the reply to `what` means; `is_so`: that this kind is found.
fn settle(part: &mut Part, kind: &'static Kind, what: &str, reply: &Reply, is_so: bool) {
    let told = format!("{what} got {}", reply.told());
    if reply.is_outage() {
        part.skip(format!("{told}."));
    } else {
        part.settle(kind, is_so.then_some(told));
    }
}

/// Which states come back in the error redirect.
fn states(
    server: &Server<'_>,
    request: &Pairs,
    control: &Reply,
    part: &mut Part,
) -> Result<(), Failed> {
    if !matches!(control, Reply::Refused { .. }) {
        part.skip(format!(
            "The state: the server does not redirect an error to the client (it answered {}).",
            control.told()
        ));
        return Ok(());
    }
    let mut longest = 0;
    let mut failed = None;
    for length in LENGTHS {
        let state = random()?.repeat(length / 43 + 1);
        let state: String = state.chars().take(length).collect();
        let reply = server.authorize(&with(request.clone(), "state", &state));
        let reply = match reply {
            Ok(reply) => reply,
            Err(failure) if failure.is_of_server() => return Err(failure),
            Err(_) => Reply::Status(0),
        };
        if reply.is_outage() {
            part.skip(format!(
                "A state of {length} characters got {}.",
                reply.told()
            ));
            return Ok(());
        }
        let is_returned =
            matches!(&reply, Reply::Refused { state: Some(returned), .. } if *returned == state);
        if !is_returned {
            failed = Some(length);
            break;
        }
        longest = length;
    }
    let told = match failed {
        Some(length) => {
            format!("A state of {longest} characters came back unchanged, one of {length} did not.")
        }
        None => format!("States of up to {longest} characters came back unchanged."),
    };
    if longest < HANDLE {
        part.find(
            &STATE_ALTERED,
            "a state of 32 characters did not come back unchanged",
        );
    } else if longest < SEALED {
        part.find(&STATE_LIMIT, told);
    } else {
        part.see(told);
    }
    Ok(())
}
