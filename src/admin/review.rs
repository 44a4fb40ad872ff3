//! The review: which clients would break under enforcement, and the state of the control per upstream. Made from the tally and the
//! configuration on each request.

mod also;
mod chart;
mod codes;
mod control;
mod model;
pub(super) mod page;
mod promotion;
mod routes;
mod section;
mod verdict;
mod wanted;

use std::collections::HashSet;

use crate::clock::{self, date};
use crate::gateway::site::{self, Counted, Site};
use crate::gateway::snapshot::Snapshot;
use crate::oauth::ClientId;
use crate::policy::{ClientRule, Mode};
use crate::telemetry::tally::{DAYS, NO_CLIENT, Name, Numbers, Row};

pub(crate) use model::{AlsoSeen, Kind, Ratchet, Review, Reviewed, State, Upstream, Verdict};
use model::{Authorization, Daily, Exception, Gates, Headline, Redemption};

/// The days that the headline is about.
const WINDOW: u64 = 7;

const DAY: u64 = 86_400;

/// The review of all upstreams. `counted`: what the gates counted at each of them. `now`: seconds since 1970.
pub(crate) fn review(snapshot: &Snapshot, counted: &[Counted], now: u64) -> Review {
    Review {
        generated: written(now),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        upstreams: snapshot
            .sites
            .iter()
            .zip(counted)
            .map(|(site, counted)| upstream(site, counted, now))
            .collect(),
    }
}

fn upstream(site: &Site, counted: &Counted, now: u64) -> Upstream {
    let rules = &site.settings.rules;
    let mut rows = counted.rows.clone();
    let routes = routes::routes(&site.settings, &rows);
    rows.retain(|(name, _)| !matches!(name, Name::Route(_)));
    let known: HashSet<Name> = rows.iter().map(|(name, _)| name.clone()).collect();
    for configured in rules.clients() {
        let name = Name::Client(configured.id.as_str().into());
        if !known.contains(&name) {
            rows.push((name, Row::default()));
        }
    }
    let began = rows.iter().map(|(_, row)| row.first_seen);
    let began = began.filter(|seen| *seen > 0).min().unwrap_or(now);
    let reporting = site.reporting_since(began, now);
    let promotions = site.promotions();
    let mut clients: Vec<Reviewed> = rows
        .iter()
        .map(|(name, row)| match name {
            Name::Client(id) => Reviewed {
                promotion: promotions
                    .get(&**id)
                    .map(|of| promotion::promotion(of, now)),
                ..client(site, name, row, now)
            },
            Name::Unrequested(origin) => {
                let is_known = rows.iter().any(|(_, row)| row.has_origin(origin));
                unrequested(client(site, name, row, now), row, is_known)
            }
            Name::Origin(_) | Name::Route(_) | Name::Others => client(site, name, row, now),
        })
        .collect();
    clients.sort_by(|one, other| {
        let key = |client: &Reviewed| (client.verdict, std::cmp::Reverse(client.failing));
        key(one)
            .cmp(&key(other))
            .then_with(|| other.sign_ins.cmp(&one.sign_ins))
            .then_with(|| one.client_id.cmp(&other.client_id))
    });
    Upstream {
        name: site.settings.name.clone(),
        mode: rules.default_rule().mode.as_str().to_owned(),
        gates: counted.gates.map(gates),
        control: control::control(rules, &clients, reporting, today(now)),
        promotion: promotion::ratchet(
            site.settings.promote,
            &promotions,
            rules,
            &site.promotions_wait_for(&rows, now),
        ),
        headline: headline(&clients, rules.default_rule().mode),
        also_seen: also::also_seen(rules, &rows),
        days: days(&rows, now),
        routes,
        clients,
    }
}

fn gates(gates: site::Gates) -> Gates {
    match gates {
        site::Gates::All { others, unreadable } => Gates {
            counted: others + 1,
            is_complete: gates.are_complete(),
            unreadable,
        },
        site::Gates::This => Gates {
            counted: 1,
            is_complete: false,
            unreadable: 0,
        },
    }
}

fn client(site: &Site, name: &Name, row: &Row, now: u64) -> Reviewed {
    let rules = &site.settings.rules;
    let (client_id, kind) = match name {
        Name::Client(id) if **id == *NO_CLIENT => ("", Kind::None),
        Name::Client(id) => (&**id, Kind::Client),
        Name::Origin(origin) => (&**origin, Kind::Origin),
        Name::Unrequested(origin) => (&**origin, Kind::Unrequested),
        Name::Route(_) | Name::Others => ("", Kind::Others),
    };
    let today = today(now);
    let configured = rules.client(&ClientId::new(client_id));
    let configured = configured.filter(|_| kind == Kind::Client);
    let rule = match kind {
        Kind::Client => rules.of_name(&ClientId::new(client_id), today),
        Kind::None | Kind::Origin | Kind::Unrequested | Kind::Others => rules.default_rule(),
    };
    let (all, window) = (row.since(0), row.since(today.saturating_sub(WINDOW - 1)));
    let exception = configured
        .filter(|client| client.until.is_some())
        .map(|client| exception(client, today));
    let judged = verdict::verdict(rule, row, exception.as_ref(), now);
    let time = |seconds: u64| (seconds > 0).then(|| written(seconds));
    Reviewed {
        client_id: client_id.to_owned(),
        kind,
        verdict: judged.verdict,
        why: judged.why,
        mode: rule.mode.as_str().to_owned(),
        exception,
        promotion: None,
        first_seen: time(row.first_seen),
        last_seen: time(row.last_seen),
        last_good: time(row.last_good),
        last_bad: time(row.last_bad),
        mended_since: verdict::mended_since(row).map(written),
        waits_until: verdict::waits_until(row, now).map(written),
        redirect_origin: row.origin.as_deref().map(str::to_owned),
        authorization: Authorization {
            s256: all.s256,
            plain: all.plain,
            malformed: all.malformed,
            none: all.none,
        },
        redemption: Redemption {
            verified: all.verified,
            unverified: all.unverified,
            uncertain: all.uncertain,
            violations: row
                .violations_since(0)
                .into_iter()
                .map(|(code, number)| (code.to_owned(), number))
                .collect(),
        },
        hints: row
            .hints_since(verdict::matters_from(row, now))
            .into_iter()
            .map(|(code, _)| code.to_owned())
            .collect(),
        sign_ins: window.sign_ins(),
        failed: window.refused,
        failing: window.failing(),
    }
}

fn exception(client: &ClientRule, today: u64) -> Exception {
    Exception {
        until: client.until.map(date::format),
        owner: client.owner.clone(),
        reason: client.reason.clone(),
        has_ended: client.until.is_some_and(|until| until < today),
    }
}

/// A row of codes without a request. Each is a sign-in that fails, unless it may belong to one that was counted already.
fn unrequested(reviewed: Reviewed, row: &Row, is_known: bool) -> Reviewed {
    let judged = verdict::unrequested(row, is_known);
    let (sign_ins, failed, failing) = if is_known {
        (0, 0, 0)
    } else {
        (reviewed.failing, reviewed.failed, reviewed.failing)
    };
    Reviewed {
        verdict: judged.verdict,
        why: judged.why,
        sign_ins,
        failed,
        failing,
        ..reviewed
    }
}

/// `mode`: that of clients without an exception.
fn headline(clients: &[Reviewed], mode: Mode) -> Headline {
    let is_client = |client: &&Reviewed| client.kind != Kind::Others || client.authorization.any();
    let count = |verdict| {
        let clients = clients.iter().filter(is_client);
        clients.filter(|client| client.verdict == verdict).count()
    };
    let sum = |number: fn(&Reviewed) -> u32| {
        clients
            .iter()
            .fold(0_u32, |sum, client| sum.saturating_add(number(client)))
    };
    let (sign_ins, failing) = (sum(|client| client.sign_ins), sum(|client| client.failing));
    let failed = sum(|client| client.failed);
    let would_break = count(Verdict::WouldBreak);
    let (uncertain, server_initiated) =
        (count(Verdict::Uncertain), count(Verdict::ServerInitiated));
    let (all, days) = (clients.iter().filter(is_client), WINDOW);
    let all = all.filter(|row| row.kind != Kind::Unrequested).count();
    let text = if clients.is_empty() {
        "No client has been seen yet".to_owned()
    } else if mode == Mode::Enforce {
        format!(
            "{would_break} of {all} clients fail; {failed} of {sign_ins} sign-ins of the last {days} days were refused"
        )
    } else {
        format!(
            "{would_break} of {all} clients would break; enforcing every client would have failed {failing} of {sign_ins} sign-ins of \
             the last {days} days"
        )
    };
    let text = text + &beside(uncertain, server_initiated);
    Headline {
        text,
        clients: all,
        uncertain,
        server_initiated,
        ready: count(Verdict::Ready),
        would_break,
        could_be_required: count(Verdict::CouldBeRequired),
        not_seen: count(Verdict::NotSeen),
        exempt: count(Verdict::Exempt),
        sign_ins,
        failed,
        failing,
    }
}

/// What the headline adds about rows that do not break, and are not good either.
fn beside(uncertain: usize, server_initiated: usize) -> String {
    let uncertain = (uncertain > 0).then(|| format!("; {uncertain} cannot be judged for certain"));
    let server_initiated = (server_initiated > 0).then(|| {
        let addresses = match server_initiated {
            1 => "another address".to_owned(),
            number => format!("{number} other addresses"),
        };
        format!("; the server sends codes without a request to {addresses}")
    });
    uncertain.unwrap_or_default() + &server_initiated.unwrap_or_default()
}

/// The last days, of all rows. Codes without a request count as sign-ins that fail, if they belong to none that was counted.
fn days(rows: &[(Name, Row)], now: u64) -> Vec<Daily> {
    let today = today(now);
    let is_known = |origin: &str| rows.iter().any(|(_, row)| row.has_origin(origin));
    let (unrequested, rows): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|(name, _)| matches!(name, Name::Unrequested(_)));
    let unrequested: Vec<_> = unrequested
        .into_iter()
        .filter(|(name, _)| matches!(name, Name::Unrequested(origin) if !is_known(origin)))
        .collect();
    let days = (today.saturating_sub(DAYS - 1)..=today).map(|day| {
        let sum = |rows: &[&(Name, Row)]| {
            let mut numbers = Numbers::default();
            let all = rows.iter().flat_map(|(_, row)| &row.days);
            all.filter(|known| known.day == day)
                .for_each(|known| numbers.add(&known.numbers));
            numbers
        };
        let (clients, server) = (sum(&rows), sum(&unrequested).failing());
        Daily {
            day: date::format(day),
            sign_ins: clients.sign_ins().saturating_add(server),
            failing: clients.failing().saturating_add(server),
        }
    });
    days.collect()
}

fn today(now: u64) -> u64 {
    now / DAY
}

fn written(seconds: u64) -> String {
    clock::written_at(seconds)
}

#[cfg(test)]
mod tests;
