//! The part of the page about one upstream.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::chart::chart;
use super::codes::{self, Code};
use super::model::{AlsoSeen, Authorization, Gates, Redemption, Reviewed, Upstream, Verdict};
use super::wanted::{Sort, Wanted};

/// What the template gets about an upstream. `rows`: the most that are shown. `used`: the codes that the page has to explain.
pub(super) fn section(
    upstream: &Upstream,
    number: usize,
    wanted: &Wanted,
    rows: usize,
    used: &mut BTreeSet<Code>,
) -> Value {
    let element = format!("clients-{number}");
    let clients = chosen(upstream, wanted);
    let pages = clients.len().div_ceil(rows).max(1);
    let page = wanted.page.min(pages - 1);
    let shown = clients.iter().skip(page * rows).take(rows);
    let shown: Vec<Value> = shown.map(|client| row(client, used)).collect();
    let to_page = |page: usize| wanted.with_page(page).link(&element);
    context! {
        number,
        name => &upstream.name,
        mode => &upstream.mode,
        headline => Value::from(Serde(&upstream.headline)),
        promotion => Value::from(Serde(&upstream.promotion)),
        waiting => upstream.promotion.waiting(),
        waits_for => upstream.promotion.waits_for.iter().map(|client| visible(client)).collect::<Vec<_>>(),
        gates => upstream.gates.as_ref().map(Gates::text),
        control => Value::from(Serde(&upstream.control)),
        state_text => upstream.control.state.to_string(),
        also_seen => upstream.also_seen.iter().map(also).collect::<Vec<_>>(),
        chart => chart(&upstream.days),
        filters => filters(upstream, wanted, &element),
        sorts => sorts(wanted, &element),
        verdict_text => wanted.verdict.map(|verdict| verdict.to_string()),
        all_clients => wanted.with_verdict(None).link(&element),
        routes => Value::from(Serde(&upstream.routes)),
        has_rows => !upstream.clients.is_empty(),
        rows => shown,
        all => clients.len(),
        page => page + 1,
        pages,
        previous => (page > 0).then(|| to_page(page - 1)),
        next => (page + 1 < pages).then(|| to_page(page + 1)),
    }
}

/// The clients that the link asks for, in its order.
fn chosen<'u>(upstream: &'u Upstream, wanted: &Wanted) -> Vec<&'u Reviewed> {
    let clients = upstream.clients.iter();
    let mut clients: Vec<&Reviewed> = clients
        .filter(|client| {
            wanted
                .verdict
                .is_none_or(|verdict| client.verdict == verdict)
        })
        .collect();
    match wanted.sort {
        Sort::Urgent => {}
        Sort::Name => clients.sort_by(|one, other| one.client_id.cmp(&other.client_id)),
        Sort::SignIns => clients.sort_by_key(|client| Reverse(client.sign_ins)),
        Sort::LastSeen => clients.sort_by(|one, other| other.last_seen.cmp(&one.last_seen)),
    }
    clients
}

fn filters(upstream: &Upstream, wanted: &Wanted, element: &str) -> Vec<Value> {
    let verdicts = Verdict::ALL.map(Some);
    let all = [None].into_iter().chain(verdicts);
    all.map(|verdict| {
        let clients = upstream.clients.iter();
        let count = clients.filter(|client| verdict.is_none_or(|only| client.verdict == only));
        context! {
            text => verdict.map_or_else(|| "all".to_owned(), |verdict| verdict.to_string()),
            count => count.count(),
            link => wanted.with_verdict(verdict).link(element),
            is_current => wanted.verdict == verdict,
        }
    })
    .collect()
}

fn sorts(wanted: &Wanted, element: &str) -> Vec<Value> {
    let all = Sort::ALL.map(|sort| {
        context! {
            text => sort.text(),
            link => wanted.with_sort(sort).link(element),
            is_current => wanted.sort == sort,
        }
    });
    Vec::from(all)
}

fn also(seen: &AlsoSeen) -> Value {
    let clients = seen.clients.iter().map(|client| visible(client));
    context! {
        name => &seen.name,
        section => &seen.section,
        number => seen.number,
        first_seen => seen.first_seen.as_deref().map(time),
        last_seen => seen.last_seen.as_deref().map(time),
        clients => clients.collect::<Vec<_>>(),
    }
}

fn row(client: &Reviewed, used: &mut BTreeSet<Code>) -> Value {
    let why = codes::pieces(&client.why);
    let linked = why.iter().filter(|piece| piece.is_code);
    let linked = linked.map(|piece| piece.text);
    let hints = client.hints.iter().map(String::as_str);
    used.extend(linked.chain(hints).filter_map(codes::find));
    context! {
        client_id => visible(&client.client_id),
        kind => Value::from(Serde(client.kind)),
        redirect_origin => &client.redirect_origin,
        exception => Value::from(Serde(&client.exception)),
        promotion => Value::from(Serde(&client.promotion)),
        promoted => client.promotion.as_ref().map(|promotion| time(&promotion.since)),
        verdict => client.verdict.label(),
        verdict_text => client.verdict.to_string(),
        why => Value::from(Serde(&why)),
        hints => client.hints.iter().map(|hint| Value::from(Serde(codes::pieces(hint)))).collect::<Vec<_>>(),
        sign_ins => client.sign_ins,
        failing => client.failing,
        challenges => challenges(&client.authorization),
        redeemed => redeemed(&client.redemption),
        first_seen => client.first_seen.as_deref().map(time),
        last_seen => client.last_seen.as_deref().map(time),
        last_bad => client.last_bad.as_deref().map(time),
    }
}

/// The kinds of challenges that were sent.
fn challenges(sent: &Authorization) -> Vec<String> {
    kinds(&[
        (sent.s256, "S256"),
        (sent.plain, "plain"),
        (sent.malformed, "malformed"),
        (sent.none, "without"),
    ])
}

/// With which verifiers codes were redeemed.
fn redeemed(sent: &Redemption) -> Vec<String> {
    kinds(&[
        (sent.verified, "verified"),
        (sent.unverified, "unverified"),
        (sent.uncertain, "uncertain"),
    ])
}

/// What occurred, each with its number.
fn kinds(all: &[(u32, &str)]) -> Vec<String> {
    let occurred = all.iter().filter(|(number, _)| *number > 0);
    occurred
        .map(|(number, kind)| format!("{number} {kind}"))
        .collect()
}

/// A name that a client chose. Characters that change the direction or are invisible become escapes, so that no name looks like another.
fn visible(name: &str) -> String {
    let changes = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let mut shown = String::with_capacity(name.len());
    for letter in name.chars() {
        if changes(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// A time in RFC 3339, and to the minute for people.
pub(super) fn time(written: &str) -> Value {
    let minute = |whole: &str| Some(format!("{} {}", whole.get(..10)?, whole.get(11..16)?));
    context! {
        exact => written,
        text => minute(written).unwrap_or_else(|| written.to_owned()),
    }
}
