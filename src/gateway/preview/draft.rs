//! A request as the gate would receive it.

use bytes::Bytes;
use http::{HeaderMap, Method, header};

use crate::flow::HandleKey;
use crate::gateway::concern;
use crate::gateway::settings::Settings;
use crate::http::Limits;
use crate::http::body::Peeked;
use crate::http::headers;
use crate::oauth::{ClientId, client};
use crate::policy::{Concern, Rule, Violation};
use crate::suspicion::{Look, Suspicion};

use super::found::{Check, Found};

/// A request, with the upstream that the route gives.
pub(in crate::gateway) struct Draft<'c, 'r> {
    pub(in crate::gateway) settings: &'c Settings,
    pub(in crate::gateway) limits: Limits,
    pub(in crate::gateway) today: u64,
    pub(in crate::gateway) key: HandleKey,
    pub(in crate::gateway) method: &'r Method,
    /// As the route has matched it.
    pub(in crate::gateway) path: &'r str,
    /// `None`: the target has no `?`.
    pub(in crate::gateway) query: Option<&'r str>,
    pub(in crate::gateway) headers: &'r HeaderMap,
    pub(in crate::gateway) body: &'r Bytes,
}

impl<'c> Draft<'c, '_> {
    /// The query, empty if there is none.
    pub(in crate::gateway) fn query(&self) -> &str {
        self.query.unwrap_or_default()
    }

    /// The body, as far as the gate would read it.
    pub(in crate::gateway) fn peeked(&self) -> Peeked {
        if self.body.len() > self.limits.form_bytes {
            Peeked::TooLong
        } else {
            Peeked::Whole(self.body.clone())
        }
    }

    /// The scan of the request, for names. Codes and handles of sign-ins say nothing without the store.
    pub(in crate::gateway) fn said(&self, headers: &HeaderMap) -> Suspicion {
        let head = concern::Head {
            path: self.path,
            query: self.query(),
            headers,
        };
        let declared = concern::body_of(headers);
        let body = concern::scanned(declared, &self.peeked(), self.body);
        concern::said(head, body, &self.key, Look::Names)
    }

    /// Whether enforced clients may have codes of the upstream.
    pub(in crate::gateway) fn codes_travel(&self) -> bool {
        self.settings.rules.any_enforced_upstream_codes()
    }

    pub(in crate::gateway) fn authorization(&self) -> Option<&[u8]> {
        headers::value(self.headers, header::AUTHORIZATION)
    }

    /// The rule of a client by its name.
    pub(in crate::gateway) fn rule_of(&self, client: Option<&ClientId>) -> &'c Rule {
        let rules = &self.settings.rules;
        match client {
            Some(client) => rules.of_name(client, self.today),
            None => rules.default_rule(),
        }
    }

    pub(in crate::gateway) fn strictest(&self) -> &'c Rule {
        self.settings.rules.strictest(self.today)
    }

    /// The rule for a request whose client is not certain, by the names in it.
    pub(in crate::gateway) fn concerned(&self, said: &Suspicion) -> &'c Rule {
        let rules = &self.settings.rules;
        if !rules.default_is_laxer() {
            return rules.default_rule();
        }
        let concern = Concern {
            names: &said.clients,
            owners: &[],
            is_certain: concern::is_complete(said),
        };
        rules.concerned(&concern, self.today)
    }

    /// The client that the request names, read loosely. `None` also if the rest of a malformed request could be in the name.
    pub(in crate::gateway) fn names(&self) -> Option<ClientId> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte);
        let named =
            client::named_loosely(self.authorization(), [self.query().as_bytes(), self.body]);
        named.filter(|client| client.as_str().bytes().all(is_plain))
    }

    /// A request that cannot be parsed as one unambiguous request.
    pub(in crate::gateway) fn unreadable(&self, violation: Violation) -> Found<'c> {
        let rule = self.concerned(&self.said(self.headers));
        Found::wrong(Check::Parses, violation, self.names(), rule)
    }
}
