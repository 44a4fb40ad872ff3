//! What a token request asks for, as far as the review counts it once the upstream has accepted it. Anyone can send token requests, but
//! the upstream accepts only real ones.

use http::Response;

use crate::gateway::exchange::Exchange;
use crate::gateway::subject::About;
use crate::http::body::Body;
use crate::oauth::ClientId;
use crate::policy::Violation;
use crate::telemetry::Event;
use crate::upstream::UpstreamError;

/// A token request that is forwarded.
#[derive(Debug, Default)]
pub(super) struct Asks {
    client: Option<ClientId>,
    /// Whether its code belongs to no sign-in that the gate knows.
    is_code_unknown: bool,
}

impl Asks {
    /// A request with a code.
    pub(super) fn for_code(about: &About<'_>, violation: Option<&Violation>) -> Self {
        let client = about.client.as_deref();
        Self {
            client: client.cloned(),
            is_code_unknown: violation == Some(&Violation::UnknownCode),
        }
    }

    /// Counts what the upstream accepted.
    pub(super) fn answered(
        &self,
        exchange: &Exchange<'_>,
        answer: &Result<Response<Body>, UpstreamError>,
    ) {
        let is_accepted = answer.as_ref().is_ok_and(|it| it.status().is_success());
        if is_accepted && self.is_code_unknown {
            exchange.shared.telemetry.tell(&Event::UnknownCodeAccepted {
                request: exchange.id,
                upstream: &exchange.site.state.telemetry,
                client: self.client.as_ref().map(ClientId::as_str),
            });
        }
    }
}
