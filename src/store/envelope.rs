//! Handles that contain their record: sealed, with the time until which they are valid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::operations::{Held, Spilled, StoreError};
use super::seal::{Sealer, Unopened};
use crate::clock::WallClock;
use crate::flow::wire::{Reader, Wire, Writer};
use crate::flow::{BoundCode, ClientState, Handle, HandleKey, PendingAuthorization, Purpose};

/// By how much the wall clocks of replicas may differ. A handle from further in the future is refused.
pub(super) const LEEWAY: Duration = Duration::from_mins(1);

/// The most characters of a sign-in's handle that has the client's state in it. Servers limit `state`, and logins copy it into
/// URLs of their own.
const LONGEST_STATE: usize = 512;

/// The place for which the state of a sign-in is sealed. Longer than the places in Redis, so never equal to one.
fn spilled_from(handle: &Handle) -> Vec<u8> {
    [b"state of ", &handle.digest().as_bytes()[..]].concat()
}

/// Makes and opens such handles for one upstream.
pub(crate) struct Envelopes {
    pub(super) key: HandleKey,
    pub(super) sealer: Sealer,
    clock: WallClock,
    /// Handles that were made in the future.
    from_future: AtomicU64,
}

/// Why a handle cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// It was valid once.
    Expired,
    Forged,
    /// It contains no record.
    Short,
}

/// The record of a handle.
pub(super) struct Opened<R> {
    pub(super) record: R,
    /// How much longer it is valid. `None`: it is not, or it was made in the future.
    pub(super) left: Option<Duration>,
}

/// The times of a record, in milliseconds since 1970.
struct Times {
    made: u64,
    expires: u64,
}

impl Envelopes {
    pub(crate) fn new(key: HandleKey, sealer: Sealer, clock: WallClock) -> Self {
        Self {
            key,
            sealer,
            clock,
            from_future: AtomicU64::new(0),
        }
    }

    /// The number of handles that were made in the future: the clock of another replica, or this one, is wrong.
    pub(super) fn made_ahead(&self) -> u64 {
        self.from_future.load(Ordering::Relaxed)
    }

    pub(super) fn seal(
        &self,
        purpose: Purpose,
        record: impl Wire,
        lifetime: Duration,
    ) -> Result<Handle, StoreError> {
        let made = self.clock.millis();
        let expires = made.saturating_add(millis(lifetime));
        let record = (Times { made, expires }, record);
        let sealed = self.sealer.seal(purpose, b"", &record)?;
        self.key.wrap(purpose, &sealed).ok_or(StoreError::TooLong)
    }

    /// A sign-in in its handle. If that would be longer than [`LONGEST_STATE`], the client's state is left out of it and returned
    /// beside it.
    pub(super) fn seal_sign_in(
        &self,
        pending: &PendingAuthorization,
        lifetime: Duration,
    ) -> Result<Held, StoreError> {
        let whole = self.seal(Purpose::State, pending.clone(), lifetime);
        let fits = |handle: &Handle| handle.expose().len() <= LONGEST_STATE;
        match whole {
            Ok(handle) if fits(&handle) || pending.state.as_str().is_none() => {
                return Ok(Held::Handle(handle));
            }
            Ok(_) | Err(StoreError::TooLong) => {}
            Err(error) => return Err(error),
        }
        let without = PendingAuthorization {
            state: ClientState::InCookie,
            ..pending.clone()
        };
        let handle = self.seal(Purpose::State, without, lifetime)?;
        let place = spilled_from(&handle);
        let sealed = self.sealer.seal(Purpose::State, &place, &pending.state)?;
        Ok(Held::Spilled(Box::new(Spilled {
            handle,
            sealed: URL_SAFE_NO_PAD.encode(sealed),
            lifetime,
        })))
    }

    /// The state that was left out of this handle. `None`: it is altered, or not of this handle.
    pub(super) fn spilled_state(&self, handle: &Handle, sealed: &str) -> Option<ClientState> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let place = spilled_from(handle);
        let opened = self.sealer.open(Purpose::State, &place, &sealed);
        opened
            .ok()
            .filter(|state: &ClientState| state.as_str().is_some())
    }

    pub(super) fn open<R: Wire>(
        &self,
        purpose: Purpose,
        handle: &Handle,
    ) -> Result<Opened<R>, Dead> {
        let sealed = handle.sealed().ok_or(Dead::Short)?;
        let opened = self.sealer.open(purpose, b"", &sealed);
        let (times, record) = opened.map_err(|why| match why {
            Unopened::ForeignKey => Dead::Expired,
            Unopened::Forged => Dead::Forged,
        })?;
        let left = self.left(&times);
        Ok(Opened { record, left })
    }

    /// The same for the handle of a code.
    pub(super) fn open_code(&self, handle: &Handle) -> Result<Opened<BoundCode>, Dead> {
        match handle.purpose() {
            Purpose::State => Err(Dead::Forged),
            purpose @ (Purpose::Code | Purpose::Device | Purpose::PushedRequest) => {
                self.open(purpose, handle)
            }
        }
    }

    fn left(&self, times: &Times) -> Option<Duration> {
        let now = self.clock.millis();
        if times.made > now {
            self.from_future.fetch_add(1, Ordering::Relaxed);
        }
        let is_made = times.made <= now.saturating_add(millis(LEEWAY));
        let left = times.expires.checked_sub(now).filter(|left| *left > 0);
        left.filter(|_| is_made).map(Duration::from_millis)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Wire for Times {
    fn write(&self, to: &mut Writer) -> Option<()> {
        (self.made, self.expires).write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (made, expires) = Wire::read(from)?;
        Some(Self { made, expires })
    }
}
