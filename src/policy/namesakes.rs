//! Client names that some server takes for a configured client (other case, blanks, accents), and the rule that applies to them.

use std::collections::HashMap;

use crate::oauth::Digest;
use crate::spelling::skeleton;

use super::rule::{ClientRule, Rule};

/// The longest `client_id` that is compared. Servers do not store longer ones.
const LONGEST_ID: usize = 2048;

/// The key of the rule for such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Namesake(Digest);

impl Namesake {
    /// The key for a name that servers may take for any client.
    pub(super) fn any_client() -> Self {
        Self(Digest::of("namesake", &[]))
    }

    fn of(key: &str) -> Self {
        Self(Digest::of("namesake", &[key.as_bytes()]))
    }
}

/// For each skeleton of a client name, the rule that allows only what the default and all clients with that skeleton allow, now
/// and after their exceptions end. Empty if no client has a stricter rule than the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Namesakes(HashMap<Namesake, Rule>);

impl Namesakes {
    pub(super) fn new(default: &Rule, clients: &HashMap<Digest, ClientRule>) -> Self {
        let mut rules = HashMap::new();
        for client in clients.values() {
            let keys = [
                Some(skeleton(&client.id)),
                number(&client.id).map(str::to_owned),
            ];
            let names = keys.iter().flatten().map(|key| Namesake::of(key));
            // `meet` is idempotent, so equal keys do no harm.
            for name in names.chain([Namesake::any_client()]) {
                let rule: &mut Rule = rules.entry(name).or_insert_with(|| default.clone());
                *rule = rule.meet(&client.rule).meet(&client.afterwards);
            }
        }
        if rules.values().all(|rule| rule == default) {
            rules.clear();
        }
        Self(rules)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key for a name that some server may take for a configured client. `None`: no server does.
    pub(super) fn of(&self, name: &str) -> Option<Namesake> {
        // RFC 6749 appendix A.1 allows only visible ASCII. How servers read other characters, or truncate long names, is unknown.
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if name.len() > LONGEST_ID || !name.bytes().all(is_visible) {
            return Some(Namesake::any_client());
        }
        let known = |key: &str| Some(Namesake::of(key)).filter(|name| self.0.contains_key(name));
        let (alike, number) = (known(&skeleton(name)), number(name).and_then(known));
        match (alike, number) {
            (Some(one), Some(other)) if one != other => Some(Namesake::any_client()),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn rule(&self, namesake: Namesake) -> Option<&Rule> {
        self.0.get(&namesake)
    }
}

/// Restricts clients whose names some server takes for one another to what all of them are allowed.
pub(super) fn meet_alike(clients: &mut HashMap<Digest, ClientRule>) {
    let mut alike: HashMap<String, Vec<Digest>> = HashMap::new();
    for (digest, client) in &*clients {
        alike.entry(skeleton(&client.id)).or_default().push(*digest);
    }
    for group in alike.values().filter(|group| group.len() > 1) {
        let members = group.iter().filter_map(|digest| clients.get(digest));
        let rules = members.flat_map(|client| [&client.rule, &client.afterwards]);
        let Some(all) = rules.cloned().reduce(|a, b| a.meet(&b)) else {
            continue;
        };
        for digest in group {
            if let Some(client) = clients.get_mut(digest) {
                client.rule = client.rule.meet(&all);
                client.afterwards = client.afterwards.meet(&all);
            }
        }
    }
}

/// The leading digits of an identifier, without sign and zeros: some databases compare identifiers as numbers.
fn number(id: &str) -> Option<&str> {
    let id = id.trim_start().trim_start_matches(['+', '0']);
    let end = id.find(|c: char| !c.is_ascii_digit()).unwrap_or(id.len());
    id.get(..end).filter(|digits| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Codes, Mode};
    use super::super::rules::Rules;
    use super::*;
    use crate::oauth::{ClientId, CodeChallengeMethod, ResponseMode, ResponseType};
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    fn rule() -> impl Strategy<Value = Rule> {
        let modes = select(vec![Mode::Off, Mode::Report, Mode::Enforce]);
        let codes = select(vec![Codes::Handle, Codes::Upstream]);
        let types = subsequence(vec!["code", "token", "code id_token"], 0..=3);
        let reply = subsequence(vec![ResponseMode::Query, ResponseMode::FormPost], 0..=2);
        let grants = subsequence(vec!["authorization_code", "password"], 0..=2);
        let assumed = select(vec![None, Some(CodeChallengeMethod::S256)]);
        let flags = (any::<bool>(), any::<bool>(), 128usize..300);
        (modes, codes, types, reply, grants, assumed, flags).prop_map(
            |(mode, codes, types, response_modes, grants, assume_method, flags)| Rule {
                reads_request_objects: false,
                mode,
                codes,
                challenge_required: flags.0,
                plain_allowed: flags.1,
                assume_method,
                verifier_max: flags.2,
                response_types: types.into_iter().map(ResponseType::parse).collect(),
                response_modes,
                grants: grants.into_iter().map(str::to_owned).collect(),
                redirect_uris: Vec::new(),
            },
        )
    }

    /// Whether a rule allows nothing that the other one does not.
    fn gives_no_more(rule: &Rule, other: &Rule) -> bool {
        let grants = |rule: &Rule, grant: &str| {
            rule.grants.is_empty() || rule.grants.iter().any(|known| known == grant)
        };
        rule.mode >= other.mode
            && rule.challenge_required >= other.challenge_required
            && rule.plain_allowed <= other.plain_allowed
            && (rule.assume_method.is_none() || rule.assume_method == other.assume_method)
            && rule.verifier_max <= other.verifier_max
            && rule
                .response_types
                .iter()
                .all(|it| other.response_types.contains(it))
            && rule
                .response_modes
                .iter()
                .all(|it| other.response_modes.contains(it))
            && ["authorization_code", "password", "another"]
                .iter()
                .all(|grant| !grants(rule, grant) || grants(other, grant))
    }

    fn rules(default: Rule, clients: &[(&str, Rule)]) -> Rules {
        let client = |(id, rule): &(&str, Rule)| {
            let client = ClientRule {
                id: (*id).to_owned(),
                is_confidential: false,
                rule: rule.clone(),
                until: None,
                afterwards: rule.clone(),
                owner: None,
                reason: None,
            };
            (ClientId::new(id).digest(), client)
        };
        Rules::new(default, clients.iter().map(client))
    }

    proptest! {
        #[test]
        fn the_meet_of_two_rules_allows_no_more_than_either(a in rule(), b in rule()) {
            let both = a.meet(&b);
            prop_assert!(gives_no_more(&both, &a) && gives_no_more(&both, &b));
            prop_assert_eq!(&both.meet(&a), &both);
            prop_assert_eq!(&a.meet(&a), &a);
        }

        #[test]
        fn a_name_in_another_spelling_gives_no_more_than_the_clients_own_and_the_default(
            default in rule(), client in rule(), other in rule(),
            name in select(vec!["PUB", "pub ", "p\u{fc}b", "pub\0", "P\u{200b}ub"]),
        ) {
            let rules = rules(default.clone(), &[("pub", client.clone()), ("other", other)]);
            let alike = rules.of_name(&ClientId::new(name), 0);
            if rules.default_is_laxer() {
                prop_assert!(gives_no_more(alike, &client) && gives_no_more(alike, &default));
            } else {
                prop_assert_eq!(alike, &default);
                prop_assert!(gives_no_more(&default, &client));
            }
            prop_assert_eq!(rules.of_name(&ClientId::new("pub"), 0), &client);
            prop_assert_eq!(rules.of_name(&ClientId::new("somebody"), 0), &default);
        }

        #[test]
        fn the_stricter_of_two_rules_allows_no_more_than_either(default in rule(), a in rule(), b in rule()) {
            let rules = rules(default, &[("a", a), ("b", b)]);
            let (a, b) = (rules.of_name(&ClientId::new("a"), 0), rules.of_name(&ClientId::new("b"), 0));
            let stricter = rules.stricter(a, b);
            prop_assert!(gives_no_more(stricter, a) && gives_no_more(stricter, b));
        }
    }

    #[test]
    fn clients_with_similar_names_are_allowed_no_more_than_each_other() {
        let enforced = Rule::default();
        let lax = Rule {
            mode: Mode::Report,
            ..Rule::default()
        };
        let rules = rules(lax.clone(), &[("spa", lax.clone()), ("SPA", enforced)]);
        for (name, mode) in [
            ("spa", Mode::Enforce),
            ("SPA", Mode::Enforce),
            ("b", Mode::Report),
        ] {
            assert_eq!(rules.of_name(&ClientId::new(name), 0).mode, mode, "{name}");
        }
    }

    #[test]
    fn names_that_databases_compare_as_numbers_are_equal() {
        let lax = Rule {
            mode: Mode::Report,
            ..Rule::default()
        };
        let rules = rules(lax, &[("1234", Rule::default()), ("0077", Rule::default())]);
        for (name, mode) in [
            ("1234", Mode::Enforce),
            ("01234", Mode::Enforce),
            ("+1234", Mode::Enforce),
            ("1234.0", Mode::Enforce),
            ("77", Mode::Enforce),
            ("12345", Mode::Report),
            ("x1234", Mode::Report),
        ] {
            assert_eq!(rules.of_name(&ClientId::new(name), 0).mode, mode, "{name}");
        }
    }
}
