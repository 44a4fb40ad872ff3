//! Rules per upstream, overridden per client, with end dates.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::oauth::{ClientId, ClientIdentity, Digest, ResponseType};

use super::namesakes::{self, Namesake, Namesakes};
use super::rule::{ClientRule, Codes, Mode, Rule};

/// The clients that a request may concern.
#[derive(Debug, Clone, Copy)]
pub struct Concern<'a> {
    /// The clients that it names, in any reading.
    pub names: &'a [String],
    /// The clients whose codes or handles it contains ([`ClientId::digest`]).
    pub owners: &'a [Digest],
    /// Whether the lists are complete: all of the request could be read.
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

/// Facts about all rules, computed once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
struct Any {
    response_without_code: bool,
    upstream_codes: bool,
    enforced_upstream_codes: bool,
    judged: bool,
    /// Some client's requests are refused or rewritten.
    touched: bool,
    /// Some client's requests are forwarded unchanged.
    watched: bool,
}

impl Any {
    fn with(self, rule: &Rule) -> Self {
        let yields_none = |response_type: &ResponseType| !response_type.yields_code();
        let enforced = rule.mode == Mode::Enforce;
        let (handles, passes) = (rule.uses_handles(), rule.lets_codes_through());
        Self {
            response_without_code: self.response_without_code
                || rule.response_types.iter().any(yields_none),
            upstream_codes: self.upstream_codes || passes,
            enforced_upstream_codes: self.enforced_upstream_codes || enforced && passes,
            judged: self.judged || rule.mode != Mode::Off,
            touched: self.touched || enforced || handles,
            watched: self.watched || !rule.may_change_requests(),
        }
    }

    /// The facts while sign-ins are in progress that began under the configuration with the facts `earlier`.
    fn after(self, earlier: Self) -> Self {
        Self {
            response_without_code: self.response_without_code || earlier.response_without_code,
            upstream_codes: self.upstream_codes || earlier.upstream_codes,
            // Codes that were not replaced may belong to clients that are enforced by now.
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
    /// From the upstream's rule and its clients' exceptions, by [`crate::oauth::ClientId::digest`].
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

    /// These rules with clients that are enforced before their upstream is (`promote`). Only clients in report mode are promoted, and
    /// none whose mode is configured.
    #[must_use]
    pub fn promoting<'c>(self, clients: impl IntoIterator<Item = &'c str>) -> Self {
        if self.default.mode != Mode::Report {
            return self;
        }
        let Self {
            default,
            clients: mut all,
            any,
            ..
        } = self;
        for id in clients {
            match all.entry(ClientId::new(id).digest()) {
                Entry::Vacant(place) => {
                    let rule = default.enforced();
                    place.insert(ClientRule {
                        promoted: Some(rule.clone()),
                        ..ClientRule::lasting(id, rule)
                    });
                }
                Entry::Occupied(mut place) => {
                    let client = place.get_mut();
                    if let Some(rule) = client.promoted.clone() {
                        // An exception ends as without the promotion.
                        client.afterwards = Rule {
                            mode: rule.mode,
                            codes: if client.afterwards.codes == Codes::Handle {
                                Codes::Handle
                            } else {
                                rule.codes
                            },
                            ..client.afterwards.clone()
                        };
                        client.rule = rule;
                    }
                }
            }
        }
        Self::new(default, all).after_facts(any)
    }

    /// These rules while sign-ins and codes may exist that began under `earlier` rules. A sign-in keeps its handles or the
    /// upstream's values to its end. Whether its requests are refused depends on the current rule.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        self.after_facts(earlier.any)
    }

    fn after_facts(self, earlier: Any) -> Self {
        let any = self.any.after(earlier);
        Self { any, ..self }
    }

    /// These rules when all such sign-ins have ended.
    #[must_use]
    pub fn alone(self) -> Self {
        let exceptions = self.clients.values();
        let exceptions = exceptions.flat_map(|client| [&client.rule, &client.afterwards]);
        let all = std::iter::once(&self.default).chain(exceptions);
        let any = all.fold(Any::default(), Any::with);
        Self { any, ..self }
    }

    /// Today's rule for a client by its name. If the default is laxer than some client's rule, a name that some server would take
    /// for that client (other case, blanks, accents, a NUL) gets only what both allow.
    pub fn of_name(&self, id: &ClientId, today: u64) -> &Rule {
        match self.namesake(id) {
            Some(namesake) => self.of_namesake(namesake),
            None => self.of(Some(id.digest()), today),
        }
    }

    /// The readings of a token request's client that count for its rule, the strictest of which applies. If a reading is a configured
    /// client, or similar to one, only such readings count: in Basic authentication `erp@example.com` is written
    /// `erp%40example.com`.
    pub fn counted<'c>(
        &self,
        client: Option<&'c ClientIdentity>,
    ) -> impl Iterator<Item = &'c ClientId> {
        let readings = move || client.into_iter().flat_map(ClientIdentity::readings);
        let any_known = readings().any(|id| self.has_client(id));
        readings().filter(move |id| !any_known || self.has_client(id))
    }

    /// Today's rule for the client that a token request names.
    pub fn of_identity(&self, client: Option<&ClientIdentity>, today: u64) -> &Rule {
        let each = self.counted(client).map(|id| self.of_name(id, today));
        each.reduce(|a, b| self.stricter(a, b))
            .unwrap_or(&self.default)
    }

    /// The key of the rule for a name that some server would take for a configured client. `None`: it is exactly a client's name,
    /// or similar to none, or no client has a stricter rule than the default.
    pub fn namesake(&self, id: &ClientId) -> Option<Namesake> {
        if self.namesakes.is_empty() || self.clients.contains_key(&id.digest()) {
            return None;
        }
        self.namesakes.of(id.as_str())
    }

    /// The rule for such a name.
    pub fn of_namesake(&self, namesake: Namesake) -> &Rule {
        self.namesakes.rule(namesake).unwrap_or(&self.default)
    }

    /// The rule for a request whose client is not certain. If no client is judged more strictly than the default, the default
    /// rule. Else the strictest rule of the clients in `concern`; if there are none, or the request cannot be read, the strictest
    /// of all.
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

    /// The strictest rule of the clients in `concern`. `None`: there are none.
    pub fn named(&self, concern: &Concern<'_>, today: u64) -> Option<&Rule> {
        let by_name = concern.names.iter();
        let by_name = by_name.map(|id| self.of_name(&ClientId::new(id), today));
        let by_code = concern.owners.iter();
        let by_code = by_code.map(|client| self.of(Some(*client), today));
        let all = by_name.chain(by_code);
        all.reduce(|a, b| self.stricter(a, b))
    }

    /// The rule for clients without an exception.
    pub fn default_rule(&self) -> &Rule {
        &self.default
    }

    /// Today's rule for a client.
    pub fn of(&self, client: Option<Digest>, today: u64) -> &Rule {
        match client.and_then(|client| self.clients.get(&client)) {
            None => &self.default,
            Some(client) if client.until.is_some_and(|until| until < today) => &client.afterwards,
            Some(client) => &client.rule,
        }
    }

    /// The stricter of two rules that could apply to one request (of the client that it names, of the client that the code was
    /// issued to, of two readings of one name), so that naming a lax client is not a way around. If neither is stricter in every
    /// respect, the rule that allows only what the default and all clients allow.
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
            self.of_namesake(Namesake::any_client())
        }
    }

    /// Whether some client has a stricter rule than the default.
    pub fn default_is_laxer(&self) -> bool {
        !self.namesakes.is_empty()
    }

    /// The strictest rule of any client today.
    pub fn strictest(&self, today: u64) -> &Rule {
        let clients = self.clients.keys().map(|id| self.of(Some(*id), today));
        let mut strictest = &self.default;
        for rule in clients {
            if strictest.mode == Mode::Enforce {
                break; // there may be thousands
            }
            strictest = strictest.stricter(rule);
        }
        strictest
    }

    /// Whether any client may use a response type without a code.
    pub fn any_response_without_code(&self) -> bool {
        self.any.response_without_code
    }

    /// Whether the name is that of a configured client, or one that some server takes for it.
    pub fn has_client(&self, id: &ClientId) -> bool {
        self.clients.contains_key(&id.digest()) || self.namesake(id).is_some()
    }

    /// Whether this client can be promoted: its mode is not configured, and it has no exception with an end.
    pub fn may_promote(&self, id: &ClientId) -> bool {
        let known = self.client(id);
        known.is_none_or(|client| client.promoted.is_some() && client.until.is_none())
    }

    /// Whether this client stays enforced if it was promoted: its mode is not configured.
    pub fn keeps_promotion(&self, id: &ClientId) -> bool {
        let known = self.client(id);
        known.is_none_or(|client| client.promoted.is_some())
    }

    /// Whether there are exceptions.
    pub fn any_exception(&self) -> bool {
        !self.clients.is_empty()
    }

    /// The exception of a client.
    pub fn client(&self, id: &ClientId) -> Option<&ClientRule> {
        self.clients.get(&id.digest())
    }

    /// The exceptions.
    pub fn clients(&self) -> impl Iterator<Item = &ClientRule> {
        self.clients.values()
    }

    /// Whether any client may get a code that is not replaced by a handle.
    pub fn any_upstream_codes(&self) -> bool {
        self.any.upstream_codes
    }

    /// Whether any enforced client may.
    pub fn any_enforced_upstream_codes(&self) -> bool {
        self.any.enforced_upstream_codes
    }

    /// Whether no client's requests are rewritten or refused: every byte is forwarded unchanged.
    pub fn observes_only(&self) -> bool {
        !self.any.touched
    }

    /// Whether some client's requests are forwarded unchanged.
    pub fn any_watched(&self) -> bool {
        self.any.watched
    }

    /// Whether all clients are in mode off.
    pub fn all_off(&self) -> bool {
        !self.any.judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ClientId;

    #[test]
    fn an_exception_applies_through_its_last_day() {
        let lax = Rule {
            mode: Mode::Report,
            ..Rule::default()
        };
        let client = ClientId::new("erp").digest();
        let exception = ClientRule {
            until: Some(100),
            afterwards: Rule::default(),
            ..ClientRule::lasting("erp", lax)
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
    fn facts_about_all_rules_consider_every_rule() {
        let (modes, codes) = (
            [Mode::Off, Mode::Report, Mode::Enforce],
            [Codes::Handle, Codes::Upstream],
        );
        let rules: Vec<Rule> = modes
            .into_iter()
            .flat_map(|mode| codes.map(|codes| (mode, codes)))
            .flat_map(|(mode, codes)| {
                ["code", "id_token", "code id_token"].map(|response_type| Rule {
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
                until: Some(1),
                afterwards: afterwards.clone(),
                ..ClientRule::lasting("a", rule.clone())
            };
            let client = ClientId::new("a").digest();
            let asked = Rules::new(default.clone(), [(client, exception)]);
            let all = [default, rule, afterwards];
            let any = |is: fn(&Rule) -> bool| all.into_iter().any(is);
            let upstream = Rule::lets_codes_through;
            assert_eq!(asked.any_upstream_codes(), any(upstream));
            assert_eq!(
                asked.any_enforced_upstream_codes(),
                any(|rule| rule.mode == Mode::Enforce && rule.lets_codes_through())
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
    fn the_stricter_of_two_rules_applies() {
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
