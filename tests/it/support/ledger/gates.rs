//! I6: what the gates logged, what they counted, and what clients and the upstream saw, is the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Flow, GateRun, Outcome, Report, Sent, Step};

/// How often each series was counted: its labels in the order of their names, as `decision=allowed endpoint=token …`.
type Counts = BTreeMap<String, usize>;

/// The metrics that are made from the same events as log lines: their names, the event, and labels with their fields.
const COUNTED: [(&str, &str, &[&str]); 2] = [
    (
        "pkce_gate_decisions_total",
        "decision",
        &["decision", "endpoint", "upstream", "violation"],
    ),
    (
        "pkce_gate_requests_total",
        "answered",
        &["endpoint", "status", "upstream"],
    ),
];

pub(super) fn honesty(report: &Report) -> Vec<String> {
    let runs = report.gates.iter().enumerate();
    let counts = runs.flat_map(|(number, run)| {
        let found = log_and_metrics(run).into_iter();
        found.map(move |what| format!("gate {number}: {what}"))
    });
    // A killed gate took log lines with it.
    let is_complete = report.gates.iter().all(|run| !run.was_killed);
    let flows = report
        .flows
        .iter()
        .filter(|_| is_complete && !report.gates.is_empty());
    let decisions = decisions(&report.gates);
    let receipts = report.receipts();
    let mut of_flow = BTreeMap::<usize, Vec<&Sent>>::new();
    for sent in &report.sends {
        of_flow.entry(sent.flow).or_default().push(sent);
    }
    let flows = flows.flat_map(|flow| {
        let sends = of_flow.get(&flow.id).map_or(&[][..], Vec::as_slice);
        log_and_ledgers(report, (flow, sends), &decisions, &receipts)
    });
    counts.chain(flows).collect()
}

/// The lines of that event.
fn lines<'r>(run: &'r GateRun, event: &'r str) -> impl Iterator<Item = Value> + 'r {
    let lines = run.log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(move |line| line["event"] == event)
}

fn log_and_metrics(run: &GateRun) -> Vec<String> {
    let Some(metrics) = &run.metrics else {
        return vec![];
    };
    let mut wrong = Vec::new();
    let dropped = "pkce_gate_log_lines_dropped_total";
    if counted(metrics, dropped).values().any(|lines| *lines > 0) {
        wrong.push("log lines were lost".to_owned());
    }
    for (metric, event, fields) in COUNTED {
        let (logged, counted) = (logged(run, event, fields), counted(metrics, metric));
        for series in logged.keys().chain(counted.keys()) {
            let (log, metric) = (logged.get(series), counted.get(series));
            if log != metric {
                wrong.push(format!("{series}: {log:?} lines, counted {metric:?}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup(); // a series that is in both was compared twice
    wrong
}

fn logged(run: &GateRun, event: &str, fields: &[&str]) -> Counts {
    let mut counts = Counts::new();
    // A request without an answer has no status, and is not counted.
    let answered =
        lines(run, event).filter(|line| event != "answered" || !line["status"].is_null());
    for line in answered {
        let labels = fields.iter().map(|field| match line[field].as_u64() {
            Some(status) => format!("{field}={}xx", status / 100),
            None => format!("{field}={}", line[field].as_str().unwrap_or_default()),
        });
        let series = labels.collect::<Vec<_>>().join(" ");
        *counts.entry(series).or_default() += 1;
    }
    counts
}

fn counted(metrics: &str, name: &str) -> Counts {
    let series = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let labels = labels.trim_matches(['{', '}']).split(',');
        let mut labels: Vec<_> = labels.map(|label| label.replace('"', "")).collect();
        labels.sort();
        Some((labels.join(" "), value.parse().ok()?))
    });
    series.filter(|(_, count)| *count > 0).collect()
}

/// A flow's decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Decisions {
    allowed: usize,
    refused: usize,
}

/// Decisions by flow and endpoint. An impostor's count for the flow that it is about.
fn decisions(runs: &[GateRun]) -> BTreeMap<(String, String), Decisions> {
    let mut found = BTreeMap::<_, Decisions>::new();
    for line in runs.iter().flat_map(|run| lines(run, "decision")) {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let client = text("client");
        let flow = client.split('-').next().unwrap_or_default().to_owned();
        let of_flow = found.entry((flow, text("endpoint"))).or_default();
        match text("decision").as_str() {
            "refused" => of_flow.refused += 1,
            _ => of_flow.allowed += 1,
        }
    }
    found
}

fn log_and_ledgers(
    report: &Report,
    (flow, sends): (&Flow, &[&Sent]),
    decisions: &BTreeMap<(String, String), Decisions>,
    receipts: &[usize],
) -> Vec<String> {
    let of = |endpoint: &str| {
        let key = (flow.client().to_owned(), endpoint.to_owned());
        decisions.get(&key).copied().unwrap_or_default()
    };
    let (authorization, token) = (of("authorization"), of("token"));
    let sends = |step: Step| sends.iter().filter(move |sent| sent.step == step);
    let arrived: usize = sends(Step::Token).map(|sent| receipts[sent.id]).sum();
    let by_gate = sends(Step::Token).filter(|sent| is_by_gate(sent)).count();
    let errors = sends(Step::Authorize).filter(|sent| is_error(sent)).count();
    let wrong = if report.is_disturbed(flow, |_| true) {
        arrived > token.allowed
    } else {
        (token.allowed, token.refused) != (arrived, by_gate) || authorization.refused != errors
    };
    let what = format!(
        "{}: {token:?} and {authorization:?} in the log, but {arrived} token requests arrived; the gates answered {by_gate} of \
         them themselves, and {errors} authorization requests with an error",
        flow.client()
    );
    wrong.then_some(what).into_iter().collect()
}

fn is_by_gate(sent: &Sent) -> bool {
    matches!(sent.outcome, Outcome::Answer(_)) && sent.outcome.upstream_answered().is_none()
}

/// An error page, or a redirect with an error.
fn is_error(sent: &Sent) -> bool {
    let Outcome::Answer(response) = &sent.outcome else {
        return false;
    };
    let location = response.header("location").unwrap_or_default();
    is_by_gate(sent) && (response.status >= 400 || location.contains("error="))
}
