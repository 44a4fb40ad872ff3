//! I7: the secrets of all flows, searched in everything that others can read.

use std::collections::HashMap;

use super::{Report, Step};
use crate::support::client::access_token;
use crate::support::params::{Params, encode};

/// Bytes of a secret by which it is found. All secrets are longer and random from the fourth byte on.
const KEY: usize = 16;

struct Secret {
    what: &'static str,
    value: String,
}

/// Secrets by their first bytes.
#[derive(Default)]
struct Index(HashMap<[u8; KEY], Vec<Secret>>);

impl Index {
    fn add(&mut self, what: &'static str, value: &str) {
        assert!(value.is_empty() || value.len() >= KEY, "{what} {value}");
        for value in [value.to_owned(), encode(value)] {
            if let Some(key) = value.as_bytes().first_chunk::<KEY>() {
                let secrets = self.0.entry(*key).or_default();
                if secrets.iter().all(|known| known.value != value) {
                    secrets.push(Secret { what, value });
                }
            }
        }
    }

    fn found<'i>(&'i self, bytes: &'i [u8]) -> impl Iterator<Item = &'i Secret> {
        (0..bytes.len()).flat_map(move |at| {
            let rest = &bytes[at..];
            let known = rest.first_chunk::<KEY>().and_then(|key| self.0.get(key));
            let known = known.into_iter().flatten();
            known.filter(|secret| rest.starts_with(secret.value.as_bytes()))
        })
    }
}

/// No output has a secret; clients do not receive the upstream's codes, or verifiers.
pub(super) fn secrecy(report: &Report) -> Vec<String> {
    let (mut from_all, mut from_clients) = (Index::default(), Index::default());
    for issued in &report.issued {
        from_all.add("the upstream's code", &issued.code);
        from_clients.add("the upstream's code", &issued.code);
    }
    for redeemed in &report.redeemed {
        from_all.add("token", &redeemed.token);
    }
    for flow in &report.flows {
        let state = flow.authorization.state().unwrap_or_default();
        from_all.add("state", state);
        from_all.add("verifier", &flow.authorization.verifier);
        from_clients.add("verifier", &flow.authorization.verifier);
    }
    for sent in &report.sends {
        if let (Step::Token, Some(code)) = (sent.step, sent.params.get("code")) {
            from_all.add("handle", code);
        }
        if let super::Outcome::Answer(response) = &sent.outcome {
            let location = response.header("location").unwrap_or_default();
            let (_, query) = location.split_once('?').unwrap_or_default();
            let answered = Params::from_query(query);
            from_all.add("handle", answered.get("state").unwrap_or_default());
            from_all.add("handle", answered.get("code").unwrap_or_default());
            from_all.add("token", &access_token(response).unwrap_or_default());
        }
    }
    let mut wrong = Vec::new();
    let mut search = |place: &str, bytes: &[u8], index: &Index| {
        let found = index.found(bytes);
        wrong.extend(found.map(|it| format!("{} {} is in {place}", it.what, it.value)));
    };
    for sent in &report.sends {
        let place = format!("the answer to request {}", sent.id);
        search(&place, sent.outcome.received(), &from_clients);
    }
    for (number, run) in report.gates.iter().enumerate() {
        search(
            &format!("the log of gate {number}"),
            run.log.as_bytes(),
            &from_all,
        );
        let metrics = run.metrics.as_deref().unwrap_or_default();
        search(
            &format!("the metrics of gate {number}"),
            metrics.as_bytes(),
            &from_all,
        );
    }
    for output in &report.outputs {
        search(&output.name, &output.bytes, &from_all);
    }
    wrong.sort();
    wrong.dedup();
    wrong
}
