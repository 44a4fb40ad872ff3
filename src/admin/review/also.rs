//! The controls beside PKCE about which the same traffic says something. They are observed only.

use super::model::AlsoSeen;
use crate::clock;
use crate::policy::Rules;
use crate::telemetry::tally::{NO_CLIENT, Name, Neighbour, Row, Times};

/// The most clients that are named.
const MOST: usize = 5;

/// Each control: its code, its name, and the section that it is from.
const CONTROLS: [(Neighbour, [&str; 3]); 4] = [
    (
        Neighbour::Implicit,
        [
            "implicit",
            "access tokens in authorization responses (implicit)",
            "RFC 9700 section 2.1.2",
        ],
    ),
    (
        Neighbour::Password,
        [
            "password_grant",
            "tokens for the password of a user",
            "RFC 9700 section 2.4",
        ],
    ),
    (
        Neighbour::Plain,
        [
            "plain",
            "challenges with the method plain",
            "RFC 7636 section 4.2",
        ],
    ),
    (
        Neighbour::Unauthenticated,
        [
            "no_client_authentication",
            "tokens without client authentication, for clients that have a secret",
            "RFC 9700 section 2.5",
        ],
    ),
];

/// What was seen of each control.
pub(super) fn also_seen(rules: &Rules, rows: &[(Name, Row)]) -> Vec<AlsoSeen> {
    CONTROLS
        .into_iter()
        .map(|(neighbour, text)| {
            let seen = rows
                .iter()
                .filter_map(|(name, row)| Some((name, *row.also.as_ref()?.of(neighbour), row)));
            let seen = seen.filter(|(name, times, row)| {
                times.number > 0
                    && (neighbour != Neighbour::Unauthenticated || has_secret(rules, name, row))
            });
            control(text, seen.map(|(name, times, _)| (name, times)).collect())
        })
        .collect()
}

/// Whether another request of the client was authenticated, or it is configured as confidential.
fn has_secret(rules: &Rules, name: &Name, row: &Row) -> bool {
    let is = |known: &str| matches!(name, Name::Client(client) if **client == *known);
    let mut configured = rules.clients();
    let also = row.also.as_ref();
    also.is_some_and(|also| also.last_authenticated > 0) && !is(NO_CLIENT)
        || configured.any(|client| client.is_confidential && is(&client.id))
}

fn control(text: [&str; 3], seen: Vec<(&Name, Times)>) -> AlsoSeen {
    let [code, name, section] = text;
    let mut all = Times::default();
    for (_, times) in &seen {
        all.add(times);
    }
    let named = seen.into_iter().filter_map(|(name, times)| match name {
        Name::Client(client) if **client != *NO_CLIENT => Some((client.to_string(), times)),
        Name::Client(_)
        | Name::Origin(_)
        | Name::Unrequested(_)
        | Name::Route(_)
        | Name::Others => None,
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|(one, of_one), (other, of_other)| {
        let by_number = of_other.number.cmp(&of_one.number);
        by_number.then_with(|| one.cmp(other))
    });
    let clients = named.into_iter().map(|(client, _)| client);
    let time = |seconds: u64| (seconds > 0).then(|| clock::written_at(seconds));
    AlsoSeen {
        code: code.to_owned(),
        name: name.to_owned(),
        section: section.to_owned(),
        number: all.number,
        first_seen: time(all.first),
        last_seen: time(all.last),
        clients: clients.take(MOST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ClientId;
    use crate::policy::{ClientRule, Rule};

    fn row(also: &serde_json::Value) -> Row {
        let row = serde_json::json!({
            "first_seen": 1, "last_seen": 9, "last_good": 0, "last_bad": 0, "origin": null, "days": [], "also": also,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn the_clients_with_most_requests_are_named() {
        let rows: Vec<_> = (1..9_u32)
            .map(|number| {
                let times = serde_json::json!({ "number": number, "first": 100 - number, "last": 100 + number });
                (
                    Name::Client(format!("c{number}").into()),
                    row(&serde_json::json!({ "password": times })),
                )
            })
            .collect();
        let seen = also_seen(&Rules::default(), &rows);
        let password = &seen[1];
        assert_eq!((&*password.code, password.number), ("password_grant", 36));
        assert_eq!(password.clients, ["c8", "c7", "c6", "c5", "c4"]);
        let times = (
            password.first_seen.as_deref(),
            password.last_seen.as_deref(),
        );
        assert_eq!(
            times,
            (Some("1970-01-01T00:01:32Z"), Some("1970-01-01T00:01:48Z"))
        );
        assert_eq!((seen[0].number, &seen[0].last_seen), (0, &None));
    }

    #[test]
    fn only_clients_that_have_a_secret_need_authentication() {
        let id = ClientId::new("configured");
        let client = ClientRule {
            is_confidential: true,
            ..ClientRule::lasting(id.as_str(), Rule::default())
        };
        let rules = Rules::new(Rule::default(), [(id.digest(), client)]);
        let times = serde_json::json!({ "number": 1, "first": 5, "last": 5 });
        let rows = ["public", "configured", "authenticated", NO_CLIENT].map(|name| {
            let authenticated = if name == "authenticated" || name == NO_CLIENT {
                7
            } else {
                0
            };
            let also = serde_json::json!({ "unauthenticated": times, "last_authenticated": authenticated });
            (Name::Client(name.into()), row(&also))
        });
        let seen = also_seen(&rules, &rows);
        assert_eq!(seen[3].number, 2);
        assert_eq!(seen[3].clients, ["authenticated", "configured"]);
    }
}
