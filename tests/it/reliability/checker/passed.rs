//! What passes at other paths (I4, and I5 during faults of the store), and what is left after the faults (I8).

use super::{TOKEN, answer, disturb, honest, seen, violates};
use crate::support::http::Response;
use crate::support::ledger::{Outcome, Passed, Place, Report, Sent, Step, Usage};
use crate::support::params::Params;

const REQUEST: &str = "POST /api/things?a=%7E HTTP/1.1\r\nHost: gate.test\r\nX-Send: 3\r\nX-Odd: a  b\r\nX-Odd: c\r\n\
                       Content-Length: 4\r\n\r\n\0\r\n\t";
const ANSWER: &str = "HTTP/1.1 207 Several\r\nX-Send: 3\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok";

/// The honest flow sends this request, and gets this answer. The upstream has received and sent the others.
fn pass(report: &mut Report, [received, sent]: [&str; 2]) {
    report.sends.push(Sent {
        id: 3,
        flow: 0,
        step: Step::Elsewhere,
        params: Params::default(),
        bytes: REQUEST.as_bytes().to_vec(),
        outcome: Outcome::Answer(Response::parse(ANSWER.as_bytes().to_vec())),
    });
    report.seen.push(seen(3, "POST", "/api/things"));
    report.passed.push(Passed {
        send: 3,
        request: received.as_bytes().to_vec(),
        answer: sent.as_bytes().to_vec(),
    });
}

#[test]
fn what_passes_with_the_declared_changes_violates_nothing() {
    for received in [
        REQUEST.to_owned(),
        REQUEST.replace("X-Odd", "x-odd"),
        REQUEST.replace("Host:", "Connection: close\r\nHost:"),
        REQUEST.replace("Host:", "x-forwarded-for: 127.0.0.1\r\nHost:"),
        REQUEST.replace("Host:", "accept-encoding: identity\r\nHost:"),
    ] {
        violates(&[], |it| pass(it, [&received, ANSWER]));
    }
    let date = ANSWER.replace("X-Send", "Date: now\r\nX-Send");
    violates(&[], |it| pass(it, [REQUEST, &date]));
}

#[test]
fn a_request_that_is_changed_on_its_way_violates_i4() {
    for (from, to) in [
        ("POST", "PUT"),
        ("%7E", "~"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("gate.test", "upstream.test"),
        ("a  b", "a b"),
        ("X-Odd: a  b\r\nX-Odd: c", "X-Odd: c\r\nX-Odd: a  b"),
        ("X-Odd: c\r\n", ""),
        ("Host:", "X-More: 1\r\nHost:"),
        ("\0\r\n\t", "\0\n\t\t"),
    ] {
        let received = REQUEST.replacen(from, to, 1);
        assert_ne!(received, REQUEST);
        violates(&["I4"], |it| pass(it, [&received, ANSWER]));
    }
}

#[test]
fn an_answer_that_is_changed_on_its_way_violates_i4() {
    for (from, to) in [
        ("207", "200"),
        ("a=1", "a=2"),
        ("Set-Cookie: a=1\r\n", ""),
        (
            "Set-Cookie: a=1\r\nSet-Cookie: b=2",
            "Set-Cookie: b=2\r\nSet-Cookie: a=1",
        ),
        (
            "Content-Length",
            "Cache-Control: no-store\r\nContent-Length",
        ),
        ("\r\n\r\nok", "\r\n\r\nno"),
    ] {
        let sent = ANSWER.replacen(from, to, 1);
        assert_ne!(sent, ANSWER);
        violates(&["I4"], |it| pass(it, [REQUEST, &sent]));
    }
}

#[test]
fn a_post_at_another_path_that_arrives_twice_violates_i2() {
    violates(&["I2"], |report| {
        pass(report, [REQUEST, ANSWER]);
        report.seen.push(seen(3, "POST", "/api/things"));
    });
}

#[test]
fn faults_of_the_store_excuse_sign_ins_but_not_requests_at_other_paths() {
    let refused = |report: &mut Report| {
        pass(report, [REQUEST, ANSWER]);
        report.sends[3].outcome = answer(503, &[], "busy");
    };
    violates(&["I5"], refused);
    for (place, violated) in [
        (Place::Store, &["I5"][..]),
        (Place::Behind, &[]),
        (Place::Gate, &[]),
    ] {
        violates(violated, |report| {
            refused(report);
            disturb(report, place);
        });
    }
}

#[test]
fn what_is_left_after_the_faults_violates_i8() {
    let before = Usage {
        process: 1,
        memory: 40 << 20,
        descriptors: 40,
        threads: 4,
        busy: 0,
    };
    let with =
        |after: Usage| move |report: &mut Report| report.gates[0].usage = Some([before, after]);
    violates(&[], with(before));
    for (memory, descriptors, threads, busy) in [
        (120, 40, 4, 0),
        (40, 80, 4, 0),
        (40, 40, 5, 0),
        (40, 40, 4, 1),
    ] {
        let after = Usage {
            process: 1,
            memory: memory << 20,
            descriptors,
            threads,
            busy,
        };
        violates(&["I8"], with(after));
    }
}

#[test]
fn the_token_of_a_flow_may_travel_to_other_paths() {
    let mut report = honest();
    pass(&mut report, [REQUEST, ANSWER]);
    let with_token = REQUEST.replace("Host:", &format!("Authorization: Bearer {TOKEN}\r\nHost:"));
    report.sends[3].bytes = with_token.clone().into_bytes();
    report.passed[0].request = with_token.into_bytes();
    assert_eq!(report.check(), []);
}
