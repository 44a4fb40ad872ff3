//! Rules per upstream, overridden per client, with end dates.

use std::collections::HashMap;

use crate::oauth::{ClientId, Digest, ResponseType};

use super::namesakes::{self, Namesake, Namesakes};
use super::rule::{ClientRule, Mode, Rule};

/// Whom a request may concern, as far as it says.
#[derive(Debug, Clone, Copy)]
pub struct Concern<'a> {
    /// The clients that it names, in any reading.
    pub names: &'a [String],
    /// The clients whose codes or sign-ins stand in it ([`ClientId::digest`]).
    pub owners: &'a [Digest],
    /// Whether that is all: nothing in it could not be read.
    pub is_certain: bool,
}

/// All rules of one upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    default: Rule,
    clients: HashMap<Digest, ClientRule>,
    namesakes: Namesakes,
    any: Any,
}

/// What every request asks about all the rules, found once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
struct Any {
    response_without_code: bool,
    upstream_codes: bool,
    enforced_upstream_codes: bool,
    judged: bool,
    /// Refused or rewritten.
    touched: bool,
    /// Sent on as it came.
    watched: bool,
}

impl Any {
    fn with(self, rule: &Rule) -> Self {
        let yields_none = |response_type: &ResponseType| !response_type.yields_code();
        let enforced = rule.mode == Mode::Enforce;
        let handles = rule.uses_handles();
        Self {
            response_without_code: self.response_without_code
                || rule.response_types.iter().any(yields_none),
            upstream_codes: self.upstream_codes || !handles,
            enforced_upstream_codes: self.enforced_upstream_codes || enforced && !handles,
            judged: self.judged || rule.mode != Mode::Off,
            touched: self.touched || enforced || handles,
            watched: self.watched || !rule.may_change_requests(),
        }
    }

    /// What has to be asked while sign-ins live that were begun when `earlier` was so.
    fn after(self, earlier: Self) -> Self {
        Self {
            response_without_code: self.response_without_code || earlier.response_without_code,
            upstream_codes: self.upstream_codes || earlier.upstream_codes,
            // Codes that travel as they are belong to clients that may be enforced by now.
            enforced_upstream_codes: self.enforced_upstream_codes
                || earlier.enforced_upstream_codes
                || self.touched && earlier.upstream_codes,
            judged: self.judged || earlier.judged,
            touched: self.touched || earlier.touched,
            watched: self.watched || earlier.watched,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Rule::default(), [])
    }
}

impl Rules {
    /// The upstream's rule and its clients' exceptions, by [`crate::oauth::ClientId::digest`].
    pub fn new(default: Rule, clients: impl IntoIterator<Item = (Digest, ClientRule)>) -> Self {
        let mut clients: HashMap<Digest, ClientRule> = clients.into_iter().collect();
        let namesakes = Namesakes::new(&default, &clients);
        if !namesakes.is_empty() {
            namesakes::meet_alike(&mut clients);
        }
        let rules = Self {
            default,
            clients,
            namesakes,
            any: Any::default(),
        };
        rules.alone()
    }

    /// These while sign-ins and codes may live that were let in by `earlier` ones. A sign-in travels to its end as it began, with
    /// handles or with the upstream's values; whether it is refused is said by its client's rule of today.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        let any = self.any.after(earlier.any);
        Self { any, ..self }
    }

    /// These when all such sign-ins are over.
    #[must_use]
    pub fn alone(self) -> Self {
        let exceptions = self.clients.values();
        let exceptions = exceptions.flat_map(|client| [&client.rule, &client.afterwards]);
        let all = std::iter::once(&self.default).chain(exceptions);
        let any = all.fold(Any::default(), Any::with);
        Self { any, ..self }
    }

    /// The rule for a client by its name, today. Where the default is laxer than some client, a name that some server would
    /// take for that client (other case, blanks, accents, a NUL) gets what both allow.
    pub fn of_name(&self, id: &ClientId, today: u64) -> &Rule {
        match self.namesake(id) {
            Some(namesake) => self.of_namesake(namesake),
            None => self.of(Some(id.digest()), today),
        }
    }

    /// Under what the rule is found for a name that some server would take for a configured client's. `None`: it is such a
    /// client's very own name, or no client's, or it does not matter because no client has a stricter rule than the default.
    pub fn namesake(&self, id: &ClientId) -> Option<Namesake> {
        if self.namesakes.is_empty() || self.clients.contains_key(&id.digest()) {
            return None;
        }
        self.namesakes.of(id.as_str())
    }

    /// The rule for a name that was found to be such a one.
    pub fn of_namesake(&self, namesake: Namesake) -> &Rule {
        self.namesakes.rule(namesake).unwrap_or(&self.default)
    }

    /// The rule for a request that belongs to no client for sure. Where nobody is judged more strictly than the default rule
    /// says, that one. Else the strictest of those whom the request names, or whose code or sign-in it holds; if it names
    /// nobody, or cannot be read, the strictest of all.
    pub fn concerned(&self, concern: &Concern<'_>, today: u64) -> &Rule {
        let strictest = self.strictest(today);
        if self.default.mode >= strictest.mode {
            return &self.default;
        }
        if !concern.is_certain {
            return strictest;
        }
        self.named(concern, today).unwrap_or(strictest)
    }

    /// The strictest rule of those whom a request names. `None`: it names nobody.
    pub fn named(&self, concern: &Concern<'_>, today: u64) -> Option<&Rule> {
        let by_name = concern.names.iter();
        let by_name = by_name.map(|id| self.of_name(&ClientId::new(id), today));
        let by_code = concern.owners.iter();
        let by_code = by_code.map(|client| self.of(Some(*client), today));
        let all = by_name.chain(by_code);
        all.reduce(|a, b| self.stricter(a, b))
    }

    /// The rule for clients that have none of their own.
    pub fn default_rule(&self) -> &Rule {
        &self.default
    }

    /// The rule that holds for a client today; an exception ends by itself.
    pub fn of(&self, client: Option<Digest>, today: u64) -> &Rule {
        match client.and_then(|client| self.clients.get(&client)) {
            None => &self.default,
            Some(client) if client.until.is_some_and(|until| until < today) => &client.afterwards,
            Some(client) => &client.rule,
        }
    }

    /// Of two rules that could apply to one request (the client that it names, the client that the code belongs to, two readings
    /// of one name) the stricter one holds: naming a lax client is no way around. Where neither is the stricter one in
    /// everything, what all clients and the default allow.
    pub fn stricter<'r>(&'r self, a: &'r Rule, b: &'r Rule) -> &'r Rule {
        if std::ptr::eq(a, b) {
            return a;
        }
        let both = a.meet(b);
        if both == *b {
            b
        } else if both == *a {
            a
        } else {
            self.of_namesake(Namesake::anybody())
        }
    }

    /// Whether some client has a stricter rule than the default.
    pub fn default_is_laxer(&self) -> bool {
        !self.namesakes.is_empty()
    }

    /// The strictest rule of any client today.
    pub fn strictest(&self, today: u64) -> &Rule {
        let clients = self.clients.keys().map(|id| self.of(Some(*id), today));
        clients.fold(&self.default, |a, b| if b.mode > a.mode { b } else { a })
    }

    /// Whether any client may ask for a response without a code, which no sign-in of ours has to be found for.
    pub fn any_response_without_code(&self) -> bool {
        self.any.response_without_code
    }

    /// Whether a client of that name is configured, or one that some server takes for the same.
    pub fn has_client(&self, id: &ClientId) -> bool {
        self.clients.contains_key(&id.digest()) || self.namesake(id).is_some()
    }

    /// Whether some client has a rule of its own.
    pub fn any_exception(&self) -> bool {
        !self.clients.is_empty()
    }

    /// The exceptions, as written.
    pub fn clients(&self) -> impl Iterator<Item = &ClientRule> {
        self.clients.values()
    }

    /// Whether any client's codes travel as the upstream issued them.
    pub fn any_upstream_codes(&self) -> bool {
        self.any.upstream_codes
    }

    /// Whether any client that is enforced has its codes travel as the upstream issued them.
    pub fn any_enforced_upstream_codes(&self) -> bool {
        self.any.enforced_upstream_codes
    }

    /// Whether nothing is rewritten and nothing refused, whoever asks: not one byte may change.
    pub fn observes_only(&self) -> bool {
        !self.any.touched
    }

    /// Whether the requests of some client are sent on as they came.
    pub fn any_watched(&self) -> bool {
        self.any.watched
    }

    /// Whether nothing is ever judged: the upstream is passed through.
    pub fn all_off(&self) -> bool {
        !self.any.judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ClientId;
    use crate::policy::Codes;

    #[test]
    fn an_exception_holds_through_its_last_day_and_not_a_day_longer() {
        let lax = Rule {
            mode: Mode::Report,
            ..Rule::default()
        };
        let client = ClientId::new("erp").digest();
        let exception = ClientRule {
            id: "erp".to_owned(),
            rule: lax,
            until: Some(100),
            afterwards: Rule::default(),
            owner: None,
            reason: None,
        };
        let rules = Rules::new(Rule::default(), [(client, exception)]);
        for (today, mode) in [
            (99, Mode::Report),
            (100, Mode::Report),
            (101, Mode::Enforce),
        ] {
            assert_eq!(rules.of(Some(client), today).mode, mode, "{today}");
        }
        assert_eq!(rules.of(None, 99).mode, Mode::Enforce);
        assert_eq!(
            rules.of(Some(ClientId::new("other").digest()), 99).mode,
            Mode::Enforce
        );
    }

    #[test]
    fn what_is_asked_of_all_rules_is_asked_of_each() {
        let (modes, codes) = (
            [Mode::Off, Mode::Report, Mode::Enforce],
            [Codes::Handle, Codes::Upstream],
        );
        let rules: Vec<Rule> = modes
            .into_iter()
            .flat_map(|mode| codes.map(|codes| (mode, codes)))
            .flat_map(|(mode, codes)| {
                ["code", "id_token"].map(|response_type| Rule {
                    mode,
                    codes,
                    response_types: vec![ResponseType::parse(response_type)],
                    ..Rule::default()
                })
            })
            .collect();
        for (default, rule, afterwards) in rules.iter().flat_map(|default| {
            let rest = rules.iter().rev().zip(rules.iter().skip(3));
            rest.map(move |(rule, afterwards)| (default, rule, afterwards))
        }) {
            let exception = ClientRule {
                id: "a".to_owned(),
                rule: rule.clone(),
                until: Some(1),
                afterwards: afterwards.clone(),
                owner: None,
                reason: None,
            };
            let client = ClientId::new("a").digest();
            let asked = Rules::new(default.clone(), [(client, exception)]);
            let all = [default, rule, afterwards];
            let any = |is: fn(&Rule) -> bool| all.into_iter().any(is);
            let upstream = |rule: &Rule| !rule.uses_handles();
            assert_eq!(asked.any_upstream_codes(), any(upstream));
            assert_eq!(
                asked.any_enforced_upstream_codes(),
                any(|rule| rule.mode == Mode::Enforce && !rule.uses_handles())
            );
            assert_eq!(
                asked.observes_only(),
                !any(|rule| rule.mode == Mode::Enforce || rule.uses_handles())
            );
            assert_eq!(asked.all_off(), !any(|rule| rule.mode != Mode::Off));
            assert_eq!(
                asked.any_watched(),
                any(|rule| rule.mode != Mode::Enforce && !rule.uses_handles())
            );
            assert_eq!(
                asked.any_response_without_code(),
                any(|rule| !rule.response_types.iter().any(ResponseType::yields_code))
            );
        }
    }

    #[test]
    fn of_two_rules_the_stricter_one_holds() {
        let rules = Rules::default();
        let (lax, strict) = (
            Rule {
                mode: Mode::Off,
                ..Rule::default()
            },
            Rule::default(),
        );
        assert_eq!(rules.stricter(&lax, &strict), &strict);
        assert_eq!(rules.stricter(&strict, &lax), &strict);
    }
}
