//! The request that an answer belongs to ([`Asked`]), and the reason why an answer must not be sent ([`Unsafe`]).

use crate::answer::carrier::Ours;
use crate::flow::{Handle, Key};
use crate::oauth::Digest;
use crate::policy::{Rule, Violation};
use crate::store::{Pending, StoreError};
use crate::suspicion::Said;

use crate::gateway::exchange::Exchange;
use crate::gateway::received::Sent;

/// The request that is being answered.
#[derive(Clone, Default)]
pub(in crate::gateway) struct Asked<'a> {
    /// Its parts that the answer may repeat.
    pub(in crate::gateway) sent: Box<Sent>,
    /// The digest of the browser's cookie.
    pub(in crate::gateway) browser: Option<Digest>,
    /// The pending authorization that this very request began.
    pub(in crate::gateway) begun: Option<Key>,
    /// The handle that the request was forwarded with.
    pub(in crate::gateway) handle: Option<&'a Handle>,
    /// Whether the request was on an authorization path.
    pub(in crate::gateway) at_authorization: bool,
    /// Whether its `request_uri` is the one that its sign-in began with, and so names no other client.
    pub(in crate::gateway) is_pushed: bool,
    /// Whether the upstream was asked not to compress its answer.
    pub(in crate::gateway) is_plain: bool,
}

impl Asked<'_> {
    /// Whether the answer is likely to carry a code: the request was on an authorization path, or a POST.
    pub(super) fn follows_login(&self) -> bool {
        self.at_authorization || self.sent.is_post
    }

    /// The sign-in whose authorization request this is: the request began it, or followed the redirect that began it.
    pub(super) fn authorization(&self) -> Option<Key> {
        let is_first = self.at_authorization && !self.sent.is_post;
        let handle = self.handle.filter(|_| is_first);
        self.begun.clone().or_else(|| handle.map(Key::from))
    }

    /// The sign-in that the request began or continued.
    pub(super) fn own(&self) -> Option<Key> {
        self.begun.clone().or_else(|| self.handle.map(Key::from))
    }

    /// The rule for an answer that belongs to a sign-in of `client`. If the request may be an authorization request of another
    /// client, on any path, the stricter rule of the two applies: the sign-in of a lax client must not be a way around the rule
    /// of another one.
    pub(super) fn rule_of<'g>(&self, exchange: &Exchange<'g>, client: Digest) -> &'g Rule {
        let rules = exchange.rules();
        let own = exchange.rule(Some(client));
        if !rules.any_exception() {
            return own;
        }
        let said = self.sent.said(&exchange.site.state.key);
        let is_named = said.said.has(Said::CLIENT_ID);
        // A request object may name any client.
        let by_reference = is_named && said.said.has(Said::REQUEST) && !self.is_pushed;
        let other = if said.unreadable.is_some() || by_reference {
            Some(exchange.strictest())
        } else if is_named && said.said.has(Said::OF_AUTHORIZATION) {
            exchange.strictest_of_names(&said.clients)
        } else {
            None
        };
        other.map_or(own, |other| rules.stricter(own, other))
    }

    /// The key and the handle by which carriers recognise handles in the answer.
    pub(super) fn ours<'o>(&'o self, exchange: &Exchange<'o>) -> Ours<'o> {
        Ours {
            key: &exchange.site.state.key,
            sent: self.handle,
        }
    }
}

/// Why an answer must not be sent to the client.
pub(super) struct Unsafe<'g> {
    pub(super) violation: Violation,
    /// The sign-in to discard if the answer is refused.
    pub(super) pending: Option<Key>,
    /// The rule of the client that it concerns. `None`: it belongs to no sign-in.
    pub(super) rule: Option<&'g Rule>,
    pub(super) whose: Whose,
}

/// Whose answer it is, for the log.
pub(super) enum Whose {
    /// The answer of a sign-in of this client.
    Client(Digest),
    /// That of a sign-in which did not begin here: its code leads to this URL.
    Unrequested(Box<str>),
    Unknown,
}

impl From<Option<Digest>> for Whose {
    fn from(client: Option<Digest>) -> Self {
        client.map_or(Self::Unknown, Self::Client)
    }
}

impl<'g> Unsafe<'g> {
    pub(super) fn stray(why: &'static str) -> Self {
        Self {
            violation: Violation::UnboundCodeInResponse(why),
            pending: None,
            rule: None,
            whose: Whose::Unknown,
        }
    }

    /// The store failed, or has no room for the code. The answer may concern any client.
    pub(super) fn in_doubt(exchange: &Exchange<'g>, error: StoreError) -> Self {
        Self {
            violation: error.into(),
            pending: None,
            rule: Some(exchange.strictest()),
            whose: Whose::Unknown,
        }
    }
}

/// The sign-in with this key.
pub(super) async fn pending<'g>(exchange: &Exchange<'g>, key: &Key) -> Result<Pending, Unsafe<'g>> {
    let found = exchange.store().pending(key).await;
    found.map_err(|error| Unsafe::in_doubt(exchange, error))
}
