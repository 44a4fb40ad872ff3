//! The handle of a sign-in that begins, and the cookies that the browser gets for it.

use http::HeaderValue;

use crate::clock;
use crate::flow::submission::Sign;
use crate::flow::{Handle, PendingAuthorization};
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::settings::Correlation;
use crate::gateway::sign_in_cookies::{self, SignInCookies};
use crate::store::{Held, Place, StoreError};

/// A sign-in whose record is stored.
pub(super) struct Begun {
    pub(super) handle: Handle,
    mark: String,
    /// The cookies of the browser from now on, of both kinds.
    states: SignInCookies,
    flows: SignInCookies,
    /// The `Set-Cookie` values.
    pub(super) cookies: Vec<HeaderValue>,
}

/// Why a sign-in cannot begin.
pub(super) enum NotBegun {
    Store(StoreError),
    /// No cookie can keep its state.
    StateTooLong,
}

impl Begun {
    /// How the upstream, or the browser, repeats which sign-in it is.
    pub(super) fn sign(&self, exchange: &Exchange<'_>) -> Sign<'_> {
        let handle = &self.handle;
        match exchange.site.settings.correlation {
            Correlation::State => Sign::State(handle),
            Correlation::Cookie => Sign::Mark {
                handle,
                mark: &self.mark,
            },
        }
    }

    /// Gives the request the cookies that its browser will have: its answer may end the sign-in.
    pub(super) fn bring_cookies(&self, request: &mut Received) {
        request.states = self.states.clone();
        request.flows = self.flows.clone();
    }
}

/// Stores the record under a new handle.
pub(super) async fn begin(
    exchange: &Exchange<'_>,
    request: &Received,
    pending: &PendingAuthorization,
    place: Place,
) -> Result<Begun, NotBegun> {
    let held = exchange.store().hold(place, pending, exchange.network());
    let (handle, spilled) = match held.await.map_err(NotBegun::Store)? {
        Held::Handle(handle) => (handle, None),
        Held::Spilled(spilled) => (spilled.handle.clone(), Some(spilled)),
        // The store does not return these for a handle.
        Held::New | Held::Again | Held::Conflict => {
            return Err(NotBegun::Store(StoreError::Unreachable));
        }
    };
    let (mut states, mut flows) = (request.states.clone(), request.flows.clone());
    let kept =
        spilled.map(|kept| states.add(&kept.handle, &kept.sealed, kept.lifetime, clock::wall()));
    let mut cookies = match kept {
        Some(None) => return Err(NotBegun::StateTooLong),
        Some(Some(set)) => set,
        None => Vec::new(),
    };
    let mut mark = String::new();
    if exchange.site.settings.correlation == Correlation::Cookie {
        mark = sign_in_cookies::name(&handle);
        let lifetime = exchange.store().lifetime();
        let set = flows.add(&handle, handle.expose(), lifetime, clock::wall());
        cookies.extend(set.unwrap_or_default());
    }
    Ok(Begun {
        handle,
        mark,
        states,
        flows,
        cookies,
    })
}
