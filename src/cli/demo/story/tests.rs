use super::super::ledger::Message;
use super::*;

fn message(pairs: &[(&str, &str)]) -> Message {
    let pairs = pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Message {
        line: String::new(),
        pairs: pairs.collect(),
    }
}

type Said<'s> = &'s [(&'s str, &'s str)];

fn ledger(exchanges: &[(Party, Party, Said<'_>, Said<'_>)]) -> Ledger {
    let ledger = Ledger::default();
    for (from, to, request, answer) in exchanges {
        ledger.record(Exchange {
            number: ledger.number(),
            from: *from,
            to: *to,
            request: message(request),
            status: 302,
            answer: message(answer),
        });
    }
    ledger
}

fn gather(ledger: &Ledger) -> Story {
    Story::gather(ledger, vec!["mine".to_owned()], &[])
}

#[test]
fn a_story_contains_only_the_exchanges_of_its_sign_in() {
    use Party::{Application, Browser, Gate, Upstream};
    let ledger = ledger(&[
        (Browser, Gate, &[("state", "mine")], &[("state", "handle")]),
        (Browser, Gate, &[("state", "theirs")], &[("state", "other")]),
        (
            Gate,
            Upstream,
            &[("state", "handle")],
            &[("code", "c"), ("state", "handle")],
        ),
        (
            Gate,
            Upstream,
            &[("state", "other")],
            &[("code", "d"), ("state", "other")],
        ),
        (
            Application,
            Gate,
            &[("code", "unknown"), ("client_id", "mine")],
            &[],
        ),
        (Gate, Upstream, &[("code", "c")], &[]),
    ]);
    let numbers: Vec<usize> = gather(&ledger).exchanges().map(|e| e.number).collect();
    assert_eq!(numbers, [1, 3, 6]);
}

#[test]
fn a_leaked_code_is_noticed() {
    use Party::{Browser, Gate, Upstream};
    let behind: (_, _, Said<'_>, Said<'_>) = (
        Gate,
        Upstream,
        &[("state", "mine")],
        &[("code", "c"), ("state", "mine")],
    );
    let before = |code| (Browser, Gate, [("state", "mine")], [("code", code)]);
    let kept = |code| {
        let (from, to, request, answer) = before(code);
        let ledger = ledger(&[(from, to, &request, &answer), behind]);
        gather(&ledger).code_stayed_behind_the_gate().kept
    };
    assert!(kept("handle"));
    assert!(!kept("c"));
    assert!(!gather(&ledger(&[])).code_stayed_behind_the_gate().kept);
}

#[test]
fn a_story_without_a_verdict_is_not_as_expected() {
    let story = gather(&ledger(&[]));
    assert!(!story.with_promises(vec![Promise::new(true, "x")]).is_kept());
}
