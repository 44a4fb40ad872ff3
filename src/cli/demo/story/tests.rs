use http::{Request, Response};

use super::super::ledger::Ledger;
use super::*;

/// The exchanges of the sign-in with the state `mine`. Each exchange has the query of its request and of its redirect.
async fn gathered(exchanges: &[(Party, Party, &str, &str)]) -> Vec<Exchange> {
    let ledger = Ledger::default();
    for (from, to, request, answer) in exchanges {
        let request = Request::get(format!("/?{request}"));
        let exchange = ledger.begin(*from, *to, &request.body(String::new()).unwrap());
        let answer = Response::builder().header("location", format!("/?{answer}"));
        ledger
            .end(exchange, &answer.body(String::new()).unwrap())
            .await;
    }
    gather(ledger.all().await, vec!["mine".to_owned()])
}

#[tokio::test]
async fn a_story_contains_only_the_exchanges_of_its_sign_in() {
    use Party::{Application, Browser, Gate, Upstream};
    let exchanges = gathered(&[
        (Browser, Gate, "state=mine", "state=handle"),
        (Browser, Gate, "state=theirs", "state=other"),
        (Gate, Upstream, "state=handle", "code=c&state=handle"),
        (Gate, Upstream, "state=other", "code=d&state=other"),
        (Application, Gate, "code=unknown&client_id=mine", ""),
        (Gate, Upstream, "code=c", ""),
    ])
    .await;
    let numbers: Vec<usize> = exchanges.iter().map(|e| e.number).collect();
    assert_eq!(numbers, [0, 2, 5]);
}

#[tokio::test]
async fn a_leaked_code_is_noticed() {
    use Party::{Browser, Gate, Upstream};
    for (code, kept) in [("code=handle", true), ("code=c", false)] {
        let exchanges = gathered(&[
            (Browser, Gate, "state=mine", code),
            (Gate, Upstream, "state=mine", "code=c&state=mine"),
        ])
        .await;
        assert_eq!(code_stayed_behind_the_gate(&exchanges).kept, kept);
    }
    assert!(!code_stayed_behind_the_gate(&[]).kept);
}

#[test]
fn a_story_without_a_verdict_is_not_as_expected() {
    assert!(!Story::new(Vec::new(), vec![Outcome::new(true, "x")]).kept);
}
