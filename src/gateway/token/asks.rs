//! What a token request asks for, as far as the review counts it once the upstream has accepted it. Anyone can send token requests, but
//! the upstream accepts only real ones.

use http::Response;

use crate::clock;
use crate::gateway::exchange::Exchange;
use crate::gateway::subject::About;
use crate::http::body::Body;
use crate::oauth::{ClientId, ClientIdentity, CodeKind};
use crate::policy::Violation;
use crate::telemetry::Event;
use crate::telemetry::tally::{Accepted, Neighbour};
use crate::upstream::UpstreamError;

/// A token request that is forwarded.
#[derive(Debug, Default)]
pub(super) struct Asks {
    client: Option<ClientId>,
    /// Whether its code belongs to no sign-in that the gate knows.
    is_code_unknown: bool,
    /// Whether its verifier is that of the challenge with which its sign-in began.
    is_verified: bool,
    grant: Grant,
    is_authenticated: bool,
}

/// A kind of grant, as far as the review tells them apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Grant {
    Code,
    Refresh,
    Password,
    #[default]
    Other,
}

impl Asks {
    /// A request with a code.
    pub(super) fn for_code(
        about: &About<'_>,
        violation: Option<&Violation>,
        kind: CodeKind,
        is_authenticated: bool,
    ) -> Self {
        Self {
            client: about.client.as_deref().cloned(),
            is_code_unknown: violation == Some(&Violation::UnknownCode),
            is_verified: violation.is_none() && about.method.is_some() && !about.is_uncertain,
            grant: match kind {
                CodeKind::Authorization => Grant::Code,
                CodeKind::Device | CodeKind::PushedRequest => Grant::Other,
            },
            is_authenticated,
        }
    }

    /// A request without a code.
    pub(super) fn for_other(
        client: Option<&ClientIdentity>,
        grant_type: Option<&str>,
        is_authenticated: bool,
    ) -> Self {
        Self {
            client: client.map(|client| client.id().clone()),
            is_code_unknown: false,
            is_verified: false,
            grant: match grant_type {
                Some("password") => Grant::Password,
                Some("refresh_token") => Grant::Refresh,
                Some(_) | None => Grant::Other,
            },
            is_authenticated,
        }
    }

    /// Counts what the upstream accepted.
    pub(super) fn answered(
        &self,
        exchange: &Exchange<'_>,
        answer: &Result<Response<Body>, UpstreamError>,
    ) {
        if !answer.as_ref().is_ok_and(|it| it.status().is_success()) {
            return;
        }
        let client = self.client.as_ref().map(ClientId::as_str);
        if self.is_code_unknown {
            exchange.shared.telemetry.tell(&Event::UnknownCodeAccepted {
                request: exchange.id,
                upstream: &exchange.site.state.telemetry,
                client,
            });
        }
        let neighbour = match self.grant {
            Grant::Password => Some(Neighbour::Password),
            Grant::Code | Grant::Refresh if !self.is_authenticated => {
                Some(Neighbour::Unauthenticated)
            }
            Grant::Code | Grant::Refresh | Grant::Other => None,
        };
        let accepted = Accepted {
            client,
            is_verified: self.is_verified,
            is_authenticated: self.is_authenticated,
            neighbour,
        };
        let tally = exchange.site.state.telemetry.tally();
        tally.note_accepted(&accepted, clock::wall());
    }
}
