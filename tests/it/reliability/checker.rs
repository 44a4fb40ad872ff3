//! The checker names each violation: a report of one honest flow, with one contradiction in it.

mod passed;

use serde_json::json;

use crate::support::client::Authorization;
use crate::support::http::Response;
use crate::support::ledger::{
    Disturbance, End, Flow, GateRun, Issued, Kind, Outcome, Output, Place, Redeemed, Report, Seen,
    Sent, Step,
};
use crate::support::params::{Params, unguessable};
use crate::support::rig::REDIRECT_URI;

const CODE: &str = "up-the-code-of-the-upstream";
const TOKEN: &str = "at-the-token-of-the-upstream";
const HANDLE: &str = "the-handle-that-the-client-has";
const STATE_HANDLE: &str = "the-handle-in-place-of-the-state";

fn answer(status: u16, fields: &[&str], body: &str) -> Outcome {
    let fields: Vec<_> = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let fields = fields.concat();
    let text = format!("HTTP/1.1 {status} Something\r\n{fields}\r\n{body}");
    Outcome::Answer(Response::parse(text.into_bytes()))
}

fn seen(send: usize, method: &str, path: &str) -> Seen {
    Seen {
        send: Some(send),
        method: method.to_owned(),
        path: path.to_owned(),
    }
}

fn log() -> String {
    let of = |event: &str, endpoint: &str| json!({ "event": event, "upstream": "u", "endpoint": endpoint });
    let decision = |endpoint: &str| {
        let mut line = of("decision", endpoint);
        (line["decision"], line["client"]) = ("allowed".into(), "flow0".into());
        line
    };
    let answered = |endpoint: &str, status: u16| {
        let mut line = of("answered", endpoint);
        line["status"] = status.into();
        line
    };
    let lines = [
        decision("authorization"),
        answered("authorization", 303),
        answered("authorization", 302),
        decision("token"),
        answered("token", 200),
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

const METRICS: &str = r#"
pkce_gate_decisions_total{upstream="u",endpoint="authorization",decision="allowed",violation=""} 1
pkce_gate_decisions_total{upstream="u",endpoint="token",decision="allowed",violation=""} 1
pkce_gate_requests_total{upstream="u",endpoint="authorization",status="3xx"} 2
pkce_gate_requests_total{upstream="u",endpoint="token",status="2xx"} 1
pkce_gate_log_lines_dropped_total 0
"#;

fn killed() -> GateRun {
    GateRun {
        was_killed: true,
        ..GateRun::default()
    }
}

/// Everything that one honest flow leaves behind.
fn honest() -> Report {
    let authorization = Authorization::new(REDIRECT_URI, None).with("client_id", "flow0");
    let state = authorization.state().unwrap_or_default();
    let back = format!("Location: {REDIRECT_URI}?code={HANDLE}&state={state}");
    let token = json!({ "access_token": TOKEN }).to_string();
    let form = authorization.redemption(HANDLE).with("client_id", "flow0");
    let entry = format!("Location: /authorize?state={STATE_HANDLE}");
    let steps = [
        (
            Step::Authorize,
            authorization.params.clone(),
            answer(303, &[&entry], ""),
        ),
        (
            Step::Authorize,
            Params::default().with("state", STATE_HANDLE),
            answer(302, &[&back, "X-Send: 1"], ""),
        ),
        (
            Step::Token,
            form,
            answer(200, &["X-Send: 2", "Cache-Control: no-store"], &token),
        ),
    ];
    let sends = steps
        .into_iter()
        .enumerate()
        .map(|(id, (step, params, outcome))| Sent {
            id,
            flow: 0,
            step,
            params,
            bytes: Vec::new(),
            outcome,
        });
    let flow = Flow {
        id: 0,
        kind: Kind::Honest,
        authorization,
        begun: 10,
        ended: 20,
        end: End::Token(TOKEN.to_owned()),
    };
    Report {
        flows: vec![flow],
        sends: sends.collect(),
        seen: vec![seen(1, "GET", "/authorize"), seen(2, "POST", "/token")],
        issued: vec![Issued {
            code: CODE.to_owned(),
            send: 1,
        }],
        redeemed: vec![Redeemed {
            code: CODE.to_owned(),
            send: 2,
            token: TOKEN.to_owned(),
        }],
        gates: vec![GateRun {
            log: log(),
            metrics: Some(METRICS.to_owned()),
            ..GateRun::default()
        }],
        ..Report::default()
    }
}

/// The report with this contradiction violates these invariants and no others.
#[track_caller]
fn violates(invariants: &[&str], forge: impl FnOnce(&mut Report)) {
    let mut report = honest();
    forge(&mut report);
    let found = report.check();
    let mut named: Vec<_> = found.iter().map(|it| it.invariant).collect();
    named.dedup();
    assert_eq!(named, invariants, "{found:#?}");
}

fn form(report: &mut Report, change: impl FnOnce(Params) -> Params) {
    let params = &mut report.sends[2].params;
    *params = change(std::mem::take(params));
}

fn disturb(report: &mut Report, place: Place) {
    let (from, until) = (15, 30);
    report.disturbances.push(Disturbance { place, from, until });
}

#[test]
fn an_honest_flow_violates_nothing() {
    violates(&[], |_| {});
}

#[test]
fn a_token_without_the_verifier_client_or_redirect_uri_violates_i1() {
    violates(&["I1"], |it| form(it, |form| form.without("code_verifier")));
    violates(&["I1"], |it| {
        form(it, |form| form.with("code_verifier", &unguessable()));
    });
    violates(&["I1"], |it| {
        form(it, |form| form.with("client_id", "flow0-other"));
    });
    violates(&["I1"], |it| {
        form(it, |form| form.with("redirect_uri", "https://evil.test/"));
    });
    violates(&["I1"], |it| form(it, |form| form.without("redirect_uri")));
}

#[test]
fn a_token_for_a_flow_without_a_challenge_violates_i1() {
    let strip = |report: &mut Report| {
        let authorization = report.flows[0].authorization.clone();
        report.flows[0].authorization = authorization.without_challenge();
    };
    violates(&["I1"], strip);
    violates(&["I1"], |report| {
        strip(report);
        form(report, |form| form.without("code_verifier"));
    });
}

#[test]
fn a_token_for_the_code_of_another_flow_violates_i1() {
    violates(&["I1"], |report| {
        let mut other = honest().flows.remove(0);
        other.id = 1;
        other.authorization = other.authorization.with("code_challenge", "another");
        other.kind = Kind::NoChallenge;
        other.end = End::Error("never finished".to_owned());
        report.flows.push(other);
        let mut begun = report.sends[1].clone();
        (begun.id, begun.flow, begun.outcome) = (3, 1, Outcome::Broken(vec![]));
        report.sends.push(begun);
        report.issued[0].send = 3;
        // The log of the other flow's gate was lost.
        report.gates.push(killed());
    });
    violates(&["I1"], |it| {
        it.redeemed[0].code = "up-nobody-was-given-this".to_owned();
    });
}

#[test]
fn a_code_that_is_redeemed_twice_violates_i2() {
    violates(&["I2"], |it| it.redeemed.push(it.redeemed[0].clone()));
}

#[test]
fn a_post_that_arrives_twice_violates_i2_even_during_a_fault() {
    let twice = |report: &mut Report| report.seen.push(report.seen[1].clone());
    violates(&["I2", "I6"], twice);
    violates(&["I2", "I6"], |report| {
        twice(report);
        disturb(report, Place::Behind);
    });
}

#[test]
fn a_request_that_nobody_sent_violates_i3() {
    for send in [None, Some(99), Some(0)] {
        violates(&["I3"], |report| {
            let seen = seen(0, "POST", "/elsewhere");
            report.seen.push(Seen { send, ..seen });
        });
    }
}

#[test]
fn a_get_that_arrives_twice_violates_i3_unless_there_was_a_fault() {
    let twice = |report: &mut Report| report.seen.push(report.seen[0].clone());
    violates(&["I3"], twice);
    violates(&[], |report| {
        twice(report);
        disturb(report, Place::Behind);
    });
}

#[test]
fn an_answer_to_another_request_violates_i3() {
    violates(&["I3"], |report| {
        let state = report.flows[0].authorization.state().unwrap_or_default();
        let back = format!("Location: {REDIRECT_URI}?code={HANDLE}&state={state}");
        report.sends[1].outcome = answer(302, &[&back, "X-Send: 7"], "");
    });
}

#[test]
fn a_token_that_the_upstream_did_not_issue_for_the_request_violates_i3() {
    violates(&["I3"], |report| {
        let body = json!({ "access_token": "at-another-token" }).to_string();
        let fields = ["X-Send: 2", "Cache-Control: no-store"];
        report.sends[2].outcome = answer(200, &fields, &body);
    });
}

#[test]
fn an_answer_of_the_upstream_to_a_request_that_did_not_arrive_violates_i3() {
    violates(&["I3", "I6"], |report| drop(report.seen.pop()));
    violates(&["I3"], |report| drop(report.seen.remove(0)));
}

#[test]
fn a_request_that_arrives_without_being_sent_violates_i3() {
    violates(&["I3"], |it| it.sends[2].outcome = Outcome::NotSent);
}

#[test]
fn a_flow_without_a_fault_that_does_not_end_in_a_token_violates_i5() {
    let ends = [
        End::Hung,
        End::Broken,
        End::Truncated,
        End::Malformed(String::new()),
        End::Error("invalid_grant".to_owned()),
    ];
    for end in ends {
        violates(&["I5"], |report| report.flows[0].end = end);
    }
}

#[test]
fn during_a_fault_a_flow_ends_in_a_token_or_an_error() {
    for (end, place, violated) in [
        (
            End::Error("server_error".to_owned()),
            Place::Behind,
            &[][..],
        ),
        (End::Truncated, Place::Answers, &[]),
        (End::Broken, Place::Answers, &[]),
        (End::Truncated, Place::Behind, &["I5"]),
        (End::Broken, Place::Gate, &[]),
        (End::Broken, Place::Behind, &["I5"]),
        (End::Hung, Place::Gate, &["I5"]),
        (End::Malformed(String::new()), Place::Behind, &["I5"]),
    ] {
        violates(violated, |report| {
            report.flows[0].end = end;
            disturb(report, place);
        });
    }
}

#[test]
fn a_fault_excuses_only_flows_that_it_touched() {
    violates(&["I5"], |report| {
        disturb(report, Place::Behind);
        let flow = &mut report.flows[0];
        (flow.begun, flow.ended) = (31, 40);
        flow.end = End::Error("server_error".to_owned());
    });
}

#[test]
fn a_token_for_a_flow_without_pkce_violates_i5() {
    violates(&["I5"], |report| report.flows[0].kind = Kind::NoChallenge);
}

#[test]
fn an_answer_that_is_neither_token_nor_error_violates_i5() {
    violates(&["I5"], |report| report.sends[2].outcome = Outcome::Hung);
    for (status, fields, body) in [
        (200, "Cache-Control: no-store", "{}"),
        (
            200,
            "Cache-Control: no-store",
            "{\"error\":\"invalid_grant\"}",
        ),
        (400, "Cache-Control: no-store", "<p>Bad request"),
        (400, "Pragma: none", "{\"error\":\"invalid_grant\"}"),
    ] {
        violates(&["I5"], |report| {
            report.sends[2].outcome = answer(status, &["X-Send: 2", fields], body);
        });
    }
}

#[test]
fn a_log_that_differs_from_the_metrics_violates_i6() {
    for line in log().lines() {
        violates(&["I6"], |report| {
            let log = &mut report.gates[0].log;
            *log = log.replacen(&format!("{line}\n"), "", 1);
        });
    }
    for (from, to) in [
        ("status=\"2xx\"} 1", "status=\"2xx\"} 2"),
        (
            "endpoint=\"token\",decision=\"allowed\"",
            "endpoint=\"token\",decision=\"refused\"",
        ),
        ("dropped_total 0", "dropped_total 3"),
    ] {
        violates(&["I6"], |report| {
            let metrics = METRICS.replace(from, to);
            assert_ne!(metrics, METRICS);
            report.gates[0].metrics = Some(metrics);
        });
    }
}

#[test]
fn a_token_request_that_arrives_without_a_decision_violates_i6() {
    let silent = |report: &mut Report| {
        let run = &mut report.gates[0];
        let keep = |text: &str| -> String {
            let is_it = |line: &&str| line.contains("decision") && line.contains("token");
            let kept = text.lines().filter(|line| !is_it(line));
            kept.map(|line| format!("{line}\n"))
                .collect::<Vec<_>>()
                .concat()
        };
        run.log = keep(&run.log);
        run.metrics = Some(keep(METRICS));
    };
    violates(&["I6"], silent);
    violates(&["I6"], |report| {
        silent(report);
        disturb(report, Place::Behind);
    });
}

#[test]
fn a_killed_gate_took_log_lines_with_it() {
    violates(&[], |report| {
        report.gates.push(killed());
        let run = &mut report.gates[0];
        (run.metrics, run.was_killed) = (None, true);
        run.log.clear();
    });
}

#[test]
fn a_secret_in_an_output_violates_i7() {
    let report = honest();
    let authorization = &report.flows[0].authorization;
    let state = authorization.state().unwrap_or_default();
    for secret in [
        CODE,
        TOKEN,
        HANDLE,
        STATE_HANDLE,
        state,
        &authorization.verifier,
    ] {
        let forge = |leak: &dyn Fn(&mut Report, &str)| {
            let mut report = report.clone();
            leak(&mut report, secret);
            let found = report.check();
            assert_eq!(found.len(), 1, "{secret}: {found:#?}");
            assert_eq!(found[0].invariant, "I7", "{found:#?}");
        };
        forge(&|report, secret| report.gates[0].log += secret);
        forge(&|report, secret| {
            report.gates[0]
                .metrics
                .as_mut()
                .expect("metrics")
                .push_str(secret);
        });
        forge(&|report, secret| {
            let bytes = [b"\0\xff", secret.as_bytes(), b"\0"].concat();
            let name = "what Redis stores".to_owned();
            report.outputs.push(Output { name, bytes });
        });
    }
}

#[test]
fn a_code_of_the_upstream_or_a_verifier_at_a_client_violates_i7() {
    let verifier = honest().flows[0].authorization.verifier.clone();
    assert_ne!(verifier, CODE);
    violates(&["I7"], |report| {
        let page = format!("<a href=\"?code={CODE}\">");
        report.sends[0].outcome = answer(303, &[], &page);
    });
    violates(&["I7"], |report| {
        let verifier = report.flows[0].authorization.verifier.clone();
        report.sends[0].outcome = Outcome::Broken(verifier.into_bytes());
    });
}
