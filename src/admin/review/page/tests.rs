use serde_json::{Value, json};

use super::*;
use crate::policy::Hint;

const MIB: usize = 1024 * 1024;

/// A client whose row is as long as a row can be.
fn client(number: usize, name: &str) -> Value {
    let time = "2026-11-29T21:05:00Z";
    let most = u32::MAX;
    json!({
        "client_id": format!("{number:05}{name}"),
        "kind": "client",
        "verdict": if number.is_multiple_of(2) { "would_break" } else { "ready" },
        "why": format!("token_request_elsewhere ({most}), response_mode_not_allowed ({most}), unbound_code_in_response ({most}); 20 good sign-ins since 2024-10-03 23:59 UTC; ready from 2024-10-04 12:00 UTC on if no bad one follows"),
        "mode": "report",
        "exception": null,
        "promotion": { "state": "proposed", "since": time, "is_downgraded": true },
        "first_seen": time, "last_seen": time, "last_good": time, "last_bad": time, "mended_since": time,
        "waits_until": time,
        "redirect_origin": format!("https://{}", "&".repeat(504)),
        "authorization": { "s256": most, "plain": most, "malformed": most, "none": most },
        "redemption": { "verified": most, "unverified": most, "uncertain": most, "violations": {} },
        "hints": Hint::ALL.map(Hint::code),
        "sign_ins": most, "failed": most, "failing": most,
    })
}

fn upstream(name: &str, clients: &[Value]) -> Value {
    let days: Vec<Value> = (1..=30)
        .map(|day| json!({ "day": format!("2026-11-{day:02}"), "sign_ins": u32::MAX, "failing": day }))
        .collect();
    json!({
        "name": name,
        "mode": "report",
        "gates": { "counted": 64, "is_complete": true, "unreadable": 0 },
        "control": {
            "name": "n", "recommended": "r", "state": "not_met", "risk": "high", "cvss": { "low": 7.0, "high": 8.9 }, "why": "w",
            "evidence": [], "remediation": "r", "clauses": [],
        },
        "also_seen": [{
            "code": "plain", "name": "n", "section": "s", "number": u32::MAX, "first_seen": "2026-11-29T21:05:00Z",
            "last_seen": "2026-11-29T21:05:00Z", "clients": vec!["\"".repeat(512); 5],
        }],
        "headline": {
            "text": "t", "clients": clients.len(), "uncertain": 0, "server_initiated": 0, "ready": 0, "would_break": 0, "could_be_required": 0, "not_seen": 0, "exempt": 0,
            "sign_ins": 0, "failed": 0, "failing": 0,
        },
        "days": days,
        "promotion": { "promote": "propose after 7d", "proposed": 9, "enforced": 9, "to_paste": "\\\"".repeat(3 * 1024), "waits_for": vec!["\"".repeat(512); 5] },
        "routes": { "allow": [], "is_complete": false, "denies": false, "toml": format!("  \"{}\",\n", "/administrat".repeat(8)).repeat(200) },
        "clients": clients,
    })
}

fn review(upstreams: &[Value]) -> Review {
    let document =
        json!({ "generated": "2026-11-29T21:05:00Z", "version": "1", "upstreams": upstreams });
    serde_json::from_value(document).unwrap()
}

#[test]
fn a_page_has_less_than_one_mib_however_many_clients_there_are() {
    let name = "\"".repeat(507);
    let clients: Vec<Value> = (0..10_000).map(|number| client(number, &name)).collect();
    let review_of = |upstreams: usize| {
        let clients = &clients[..clients.len() / upstreams];
        let all: Vec<Value> = (0..upstreams)
            .map(|number| upstream(&format!("upstream-{number}"), clients))
            .collect();
        review(&all)
    };
    for upstreams in [1, 2, SECTIONS, SECTIONS + 1, 100] {
        let review = review_of(upstreams);
        for query in ["", "verdict=ready&sort=name&page=7", "upstream=upstream-0"] {
            let page = page(&review, query);

            assert!(
                page.len() < MIB,
                "{} bytes of {upstreams} for {query}",
                page.len()
            );
            assert!(page.ends_with("</html>"), "it is complete");
            let rows = page.matches("<span class=\"verdict ").count();
            let expected = if upstreams <= SECTIONS || query.starts_with("upstream") {
                ROWS
            } else {
                0
            };
            assert_eq!(rows, expected, "{upstreams} {query}");
        }
    }
}

#[test]
fn links_of_one_of_several_upstreams_keep_it() {
    let clients: Vec<Value> = (0..300).map(|number| client(number, "")).collect();
    let review = review(&[upstream("one", &clients), upstream("two", &clients)]);
    let page = page(&review, "upstream=two&verdict=would_break&sort=name&page=1");
    assert!(!page.contains("id=\"clients-1\""), "only that upstream");
    for link in [
        // The filter, the order and the pages.
        "upstream=two&amp;verdict=ready&amp;sort=name#clients-2",
        "upstream=two&amp;sort=name#clients-2",
        "upstream=two&amp;verdict=would_break#clients-2",
        "upstream=two&amp;verdict=would_break&amp;sort=name#clients-2",
        // The other upstream, in the same way.
        "upstream=one&amp;verdict=would_break&amp;sort=name#upstream-1",
    ] {
        // The template engine escapes slashes, too.
        let link = format!("href=\"&#x2f;review?{link}\"");
        assert!(page.contains(&link), "{link}");
    }
    for target in page.split("href=\"#").skip(1) {
        let target = target.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}

/// A right-to-left mark would show the name `evil` as `live`.
#[test]
fn names_cannot_look_like_others() {
    let review = review(&[upstream("one", &[client(0, "\u{202e}evil\u{0}")])]);
    let page = page(&review, "");
    assert!(page.contains("00000\\u{202e}evil\\u{0}"), "{page}");
    assert!(!page.contains('\u{202e}'));
}
