//! The invariants between what clients sent and what the upstream saw.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{End, Flow, Kind, Outcome, Place, Report, Seen, Sent, Step};
use crate::support::client::access_token;
use crate::support::http::Response;
use crate::support::params::s256;

/// I1: each token was issued to a request with the verifier of that code's challenge, the same client and redirect URI.
pub(super) fn safety(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    let issued = report.issued.iter().map(|it| (&*it.code, it.send));
    let issued: HashMap<&str, usize> = issued.collect();
    for redeemed in &report.redeemed {
        let begun = issued.get(&*redeemed.code);
        let flow = begun.and_then(|send| report.flow_of(*send));
        let (Some(flow), Some(sent)) = (flow, report.sends.get(redeemed.send)) else {
            wrong.push(format!("nobody began or sent {redeemed:?}"));
            continue;
        };
        let (asked, params) = (&flow.authorization.params, &sent.params);
        let verifier = params.get("code_verifier").map(s256);
        for (what, is_so) in [
            (
                "verifier",
                asked.get("code_challenge").is_some()
                    && verifier.as_deref() == asked.get("code_challenge"),
            ),
            ("client", params.get("client_id") == asked.get("client_id")),
            (
                "redirect URI",
                params.get("redirect_uri") == asked.get("redirect_uri"),
            ),
        ] {
            if !is_so {
                wrong.push(format!(
                    "flow {}: request {} got a token without the {what}",
                    flow.id, sent.id
                ));
            }
        }
    }
    wrong
}

/// I2: a code is redeemed at most once; each POST arrives at most once.
pub(super) fn single_use(report: &Report) -> Vec<String> {
    let mut times = BTreeMap::<&str, usize>::new();
    for redeemed in &report.redeemed {
        *times.entry(&redeemed.code).or_default() += 1;
    }
    let codes = times.into_iter().filter(|(_, times)| *times > 1);
    let codes = codes.map(|(code, times)| format!("code {code} was redeemed {times} times"));
    let posts = report.sends.iter().filter(|it| it.step != Step::Authorize);
    let receipts = report.receipts();
    let posts = posts.filter(|sent| receipts[sent.id] > 1).map(|sent| {
        let times = receipts[sent.id];
        format!(
            "request {} of flow {} arrived {times} times",
            sent.id, sent.flow
        )
    });
    codes.chain(posts).collect()
}

/// I3: each request arrived, or was answered by the gate, or failed; and nothing else arrived. A token is the one that the
/// upstream issued for that request.
pub(super) fn conservation(report: &Report) -> Vec<String> {
    let receipts = report.receipts();
    let issued = report.redeemed.iter().map(|it| (it.send, &*it.token));
    let issued: HashSet<(usize, &str)> = issued.collect();
    let sends = report.sends.iter().filter_map(|sent| {
        let (id, arrived) = (sent.id, receipts[sent.id]);
        match (&sent.outcome, sent.outcome.upstream_answered()) {
            (Outcome::NotSent, _) if arrived > 0 => {
                Some(format!("request {id} was not sent but arrived"))
            }
            (_, Some(other)) if other != id => {
                Some(format!("request {id} got the answer to request {other}"))
            }
            (_, Some(_)) if arrived == 0 => Some(format!(
                "request {id} did not arrive, but the upstream answered it"
            )),
            _ if is_forged(&issued, sent) => {
                Some(format!("request {id} got a token that is not its own"))
            }
            // A GET may be repeated where its connection broke.
            _ if arrived > 1 && sent.step == Step::Authorize && !is_in_trouble(report, sent) => {
                Some(format!("request {id} arrived {arrived} times"))
            }
            _ => None,
        }
    });
    let is_known = |seen: &&Seen| {
        let sent = seen.send.and_then(|send| report.sends.get(send));
        sent.is_some_and(|sent| sent.step.request() == (&*seen.method, &*seen.path))
    };
    let strangers = report.seen.iter().filter(|seen| !is_known(seen));
    let strangers = strangers.map(|seen| format!("nobody sent {seen:?}"));
    sends.chain(strangers).collect()
}

fn is_forged(issued: &HashSet<(usize, &str)>, sent: &Sent) -> bool {
    let token = match &sent.outcome {
        Outcome::Answer(response) => access_token(response),
        Outcome::NotSent | Outcome::Broken(_) | Outcome::Hung => None,
    };
    token.is_some_and(|token| !issued.contains(&(sent.id, &*token)))
}

fn is_in_trouble(report: &Report, sent: &Sent) -> bool {
    let flow = report.flow_of(sent.id);
    flow.is_some_and(|flow| report.is_disturbed(flow, |_| true))
}

/// I5: each flow ends as it must, each answer to a token request has the form of RFC 6749, and the upstream answers requests at
/// other paths.
pub(super) fn liveness(report: &Report) -> Vec<String> {
    let flows = report.flows.iter().filter(|flow| !may_end(report, flow));
    let flows = flows.map(|flow| {
        let mut sends = report.sends.iter();
        let last = sends.rfind(|it| it.flow == flow.id && it.step != Step::Elsewhere);
        let last = last.map(|sent| (sent.id, sent.step));
        let Flow { id, kind, end, .. } = flow;
        format!("flow {id} ({kind:?}) ended in {end:?} after {last:?}")
    });
    let tokens = report.sends.iter().filter(|sent| sent.step == Step::Token);
    let answers = tokens.filter_map(|sent| {
        let what = match &sent.outcome {
            Outcome::Answer(response) => oauth_error(response).err()?,
            Outcome::Hung => "no answer".to_owned(),
            Outcome::NotSent | Outcome::Broken(_) => return None,
        };
        Some(format!("request {} of flow {}: {what}", sent.id, sent.flow))
    });
    let elsewhere = report.sends.iter().filter_map(|sent| {
        let flow = report.flow_of(sent.id)?;
        let is_touched = report.is_disturbed(flow, |it| it != Place::Store);
        let is_sent = !matches!(sent.outcome, Outcome::NotSent);
        let is_lost =
            sent.step == Step::Elsewhere && is_sent && sent.outcome.upstream_answered().is_none();
        let what = format!("request {} at another path got {:?}", sent.id, sent.outcome);
        (is_lost && !is_touched).then_some(what)
    });
    flows.chain(answers).chain(elsewhere).collect()
}

fn may_end(report: &Report, flow: &Flow) -> bool {
    let is_disturbed = report.is_disturbed(flow, |_| true);
    match (&flow.end, flow.kind) {
        (End::Error(_), Kind::NoChallenge) => true,
        (_, Kind::NoChallenge) if !is_disturbed => false,
        (End::Token(_), _) => flow.kind != Kind::NoChallenge,
        (End::Error(_), _) => is_disturbed,
        (End::Broken | End::Truncated, _) => {
            report.is_disturbed(flow, |it| matches!(it, Place::Answers | Place::Gate))
        }
        (End::Malformed(_) | End::Hung, _) => false,
    }
}

/// The error of an answer to a token request; `Ok("")` if it has a token. `Err` says why it is neither.
pub(super) fn oauth_error(response: &Response) -> Result<String, String> {
    if response.status == 200 && access_token(response).is_some() {
        return Ok(String::new());
    }
    let document: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let error = document["error"].as_str();
    let is_kept = response.header("cache-control") != Some("no-store");
    match error {
        Some(error) if response.status >= 400 && !is_kept => Ok(error.to_owned()),
        _ => Err(format!("neither a token nor an OAuth error: {response}")),
    }
}
