//! What a connection waits for, and since when: one small state instead of a timer for each request.
//!
//! hyper's header timeout covers one of five waits, and has no effect without a timer. Here the socket and the bodies
//! record what they wait for, and the worker's rounds check regularly whether it takes too long. The states and
//! transitions are in `watch/wait.rs`.

mod wait;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{Clock, Timestamp};

use super::peer::Held;
use super::settings::Settings;
use super::time_limits::Patience;
pub(super) use wait::{Phase, Wait};
use wait::{Shared, Step};

/// The minimum rate of a request body, in bytes per second. A body that stays below it is given up after `body_read`.
const BODY_RATE: u64 = 500;

/// Why the gate closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It exceeded a time limit.
    Late,
    /// Its place was needed, or its peer's share is used up.
    Spared,
}

/// The state of one connection, shared by its socket, bodies and task.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Clock,
    /// The factor for its time limits.
    patience: Arc<Patience>,
    wait: Shared<Wait>,
    stuck: Shared<Option<Timestamp>>,
    /// Milliseconds that the client has let the gate wait for the body of this request, minus the time that the
    /// received bytes may take.
    debt: AtomicU64,
    /// What to keep until responses that have ended are written. `None`: the connection has ended, so nothing more will be
    /// written.
    unwritten: Mutex<Option<Vec<Arc<dyn Keep>>>>,
    cut: OnceLock<Cut>,
    /// The places of requests that the connection holds, and those of all its network, which is not set for a proxy.
    pub(super) held: Held,
    pub(super) network: OnceLock<Arc<Held>>,
}

/// Something to keep until a response is written, and then to drop.
pub(super) trait Keep: fmt::Debug + Send + Sync {}

impl Watch {
    /// For a connection that was just accepted. The clock is read at each transition, so it should be a cheap one.
    pub(crate) fn new(clock: Clock, patience: Arc<Patience>) -> Self {
        let wait = Wait {
            phase: Phase::FirstByte,
            since: clock.now(),
        };
        Self {
            clock,
            patience,
            wait: Shared::new(wait),
            stuck: Shared::new(None),
            debt: AtomicU64::new(0),
            unwritten: Mutex::new(Some(Vec::new())),
            cut: OnceLock::new(),
            held: Held::default(),
            network: OnceLock::new(),
        }
    }

    /// Makes a transition. Returns the previous wait if the phase has changed.
    fn step(&self, step: Step) -> Option<Wait> {
        let before = self.wait.get();
        let phase = before.phase.after(step)?;
        let since = self.clock.now();
        self.wait.set(Wait { phase, since });
        Some(before)
    }

    /// The connection has got a place. Before that nothing could be read from it, so its time starts again.
    pub(super) fn is_accepted(&self) {
        self.step(Step::Accepted);
    }

    pub(super) fn has_bytes(&self) {
        self.step(Step::Bytes);
    }

    /// A request head is complete.
    pub(crate) fn request_begins(&self) {
        self.debt.store(0, Ordering::Relaxed);
        self.step(Step::HeadEnded);
    }

    /// More of the request body is needed than has been received.
    pub(crate) fn waits_for_body(&self) {
        self.step(Step::BodyWanted);
    }

    /// So many bytes of the body were received, or its end.
    pub(crate) fn has_body(&self, bytes: usize) {
        if let Some(ended) = self.step(Step::BodyCame) {
            let waited = self.clock.now().as_millis() - ended.since.as_millis();
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let worth = self
                .patience
                .of_millis(bytes.saturating_mul(1000) / BODY_RATE);
            let debt = self.debt.load(Ordering::Relaxed) + waited;
            self.debt
                .store(debt.saturating_sub(worth), Ordering::Relaxed);
        }
    }

    /// hyper has the whole response, or the request was given up.
    pub(crate) fn response_ended(&self) {
        self.step(Step::AnswerEnded);
    }

    /// What the connection waits for, if that is its client, so that it can be closed. A client that does not read its
    /// responses is waited for in [`Phase::Answer`], the least dispensable.
    pub(super) fn spare(&self) -> Option<Wait> {
        if let Some(since) = self.stuck.get() {
            let phase = Phase::Answer;
            return Some(Wait { phase, since });
        }
        Some(self.wait.get()).filter(|wait| wait.phase != Phase::Answer)
    }

    /// Keeps `kept` until the response that has ended is written, because its bytes may be in hyper's buffers. If the
    /// request was given up, or the connection has ended, nothing will be written, and it is dropped at once.
    pub(super) fn keep_until_written(&self, kept: Arc<dyn Keep>) {
        if !self.wait.get().phase.is_within_request()
            && let Some(all) = &mut *self.unwritten()
        {
            all.push(kept);
        }
    }

    /// hyper's buffer is written.
    fn all_written(&self) {
        // While another request is being answered, hyper may not have the whole response yet.
        if !self.wait.get().phase.is_within_request()
            && let Some(all) = &mut *self.unwritten()
        {
            all.clear();
        }
    }

    /// Records why the gate closes the connection.
    pub(super) fn cuts(&self, why: Cut) {
        self.cut.get_or_init(|| why);
    }

    /// Why the gate has closed the connection, if it has.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// Drops everything that was kept: the connection has ended.
    pub(super) fn connection_ended(&self) {
        *self.unwritten() = None;
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<Vec<Arc<dyn Keep>>>> {
        let unwritten = self.unwritten.lock();
        unwritten.unwrap_or_else(PoisonError::into_inner)
    }

    /// The remaining time of the current waits. `None`: a time limit is exceeded.
    pub(crate) fn time_left(&self, settings: &Settings) -> Option<Duration> {
        let now = self.clock.now();
        let Wait { phase, since } = self.wait.get();
        let allowed = match phase {
            Phase::FirstByte => self.patience.of(settings.first_byte),
            Phase::Idle => self.patience.of(settings.idle),
            Phase::Head => self.patience.of(settings.header_read),
            Phase::Body => {
                let debt = Duration::from_millis(self.debt.load(Ordering::Relaxed));
                self.patience.of(settings.body_read).checked_sub(debt)?
            }
            Phase::Answer => Duration::MAX,
        };
        let body_read = self.patience.of(settings.body_read);
        let write_left = match self.stuck.get() {
            None => Duration::MAX,
            Some(since) => body_read.checked_sub(now.since(since))?,
        };
        let left = allowed.checked_sub(now.since(since))?.min(write_left);
        (!left.is_zero()).then_some(left)
    }
}

/// A client's socket that records its activity in a [`Watch`].
#[derive(Debug)]
pub(crate) struct Watched<T> {
    socket: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(crate) fn new(socket: T, watch: Arc<Watch>) -> Self {
        Self { socket, watch }
    }

    fn wrote<R>(&self, polled: Poll<R>) -> Poll<R> {
        let stuck = &self.watch.stuck;
        if polled.is_ready() {
            stuck.set(None);
        } else if stuck.get().is_none() {
            stuck.set(Some(self.watch.clock.now()));
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.watch.has_bytes();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket that delays small writes only reports here that it could not write them.
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        // hyper flushes only when its own buffer is empty (`watch/habits.rs`).
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.watch.all_written();
        }
        self.wrote(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.wrote(polled)
    }
}

#[cfg(test)]
mod habits;
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in super::super) fn settings() -> Settings {
        Settings {
            listen: Vec::new(),
            workers: 1,
            trusted_proxies: Vec::new(),
            drain: Duration::ZERO,
            connections: 1,
            connections_per_peer: 1,
            header_bytes: 8192,
            headers: 64,
            first_byte: Duration::from_secs(5),
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(20),
            idle: Duration::from_mins(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_flight::{InFlight, Place};
    use super::testing::settings;
    use super::*;
    use std::task::Waker;

    /// Accepts writes, but cannot flush them while the flag is true.
    struct Keeps(bool);

    impl Keeps {
        fn out(&self) -> Poll<io::Result<()>> {
            if self.0 {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        }
    }

    impl AsyncWrite for Keeps {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.out()
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.out()
        }
    }

    #[test]
    fn each_wait_has_its_own_limit() {
        let (clock, hand) = Clock::manual();
        let watch = Watch::new(clock, Arc::default());
        let step = |seconds| {
            hand.advance(Duration::from_secs(seconds));
            watch.time_left(&settings()).map(|left| left.as_secs())
        };
        assert_eq!(step(4), Some(1));
        watch.has_bytes();
        assert_eq!(
            step(9),
            Some(1),
            "further bytes do not extend the time for a head"
        );
        watch.has_bytes();
        assert_eq!(step(1), None);
        watch.request_begins();
        assert!(step(1000).is_some(), "answering has no time limit here");
        watch.waits_for_body();
        watch.waits_for_body();
        assert_eq!(step(19), Some(1));
        watch.has_body(5000);
        watch.waits_for_body();
        assert_eq!(
            step(10),
            Some(1),
            "each 500 bytes of a body give one second"
        );
        watch.has_body(1);
        watch.waits_for_body();
        assert_eq!(
            step(0),
            Some(1),
            "single bytes do not extend the time for a body"
        );
        assert_eq!(step(2), None);
        watch.response_ended();
        assert_eq!(step(59), Some(1));
        assert_eq!(step(1), None);
    }

    /// A connection whose requests take places.
    struct Places {
        in_flight: InFlight,
        watch: Arc<Watch>,
        socket: Watched<Keeps>,
    }

    impl Places {
        fn new() -> Self {
            let watch = Arc::new(Watch::new(Clock::manual().0, Arc::default()));
            Self {
                in_flight: InFlight::default(),
                socket: Watched::new(Keeps(true), Arc::clone(&watch)),
                watch,
            }
        }

        fn request(&self) -> Place {
            self.watch.request_begins();
            self.in_flight.enter(3, &self.watch).unwrap()
        }

        fn answer(&self, place: Place) {
            self.watch.response_ended();
            drop(place);
        }

        fn flush(&mut self, is_stuck: bool) {
            self.socket.socket.0 = is_stuck;
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = Pin::new(&mut self.socket).poll_flush(cx);
            assert_eq!(polled.is_pending(), is_stuck);
        }
    }

    #[test]
    fn a_place_is_free_when_the_response_is_written_not_when_it_has_ended() {
        let mut places = Places::new();
        let place = places.request();
        places.flush(false); // hyper may also flush before it has a response
        assert_eq!(places.in_flight.count(), 1);
        places.answer(place);
        places.flush(true);
        assert_eq!(places.in_flight.count(), 1);
        places.flush(false);
        assert_eq!(places.in_flight.count(), 0);
    }

    #[test]
    fn a_place_is_kept_while_the_response_to_the_next_request_is_unwritten() {
        let mut places = Places::new();
        let first = places.request();
        places.answer(first);
        let second = places.request();
        places.flush(false);
        assert_eq!(places.in_flight.count(), 2);
        places.answer(second);
        places.flush(false);
        assert_eq!(places.in_flight.count(), 0);
    }

    #[test]
    fn places_without_a_response_or_a_connection_are_free_at_once() {
        let places = Places::new();
        drop(places.request());
        assert_eq!(places.in_flight.count(), 0, "given up");
        let (first, second) = (places.request(), places.request());
        places.answer(first);
        places.watch.connection_ended();
        assert_eq!(places.in_flight.count(), 1);
        places.answer(second);
        assert_eq!(places.in_flight.count(), 0);
    }

    #[test]
    fn the_limit_is_the_number_of_places() {
        let places = Places::new();
        let taken = [places.request(), places.request(), places.request()];
        assert!(places.in_flight.enter(3, &places.watch).is_none());
        assert_eq!(places.in_flight.count(), 3);
        drop(taken);
        assert!(places.in_flight.enter(3, &places.watch).is_some());
    }

    #[test]
    fn an_unfinished_flush_has_the_time_limit_of_a_write() {
        type Ask = fn(Pin<&mut Watched<Keeps>>, &mut Context<'_>) -> Poll<io::Result<()>>;
        let asks: [Ask; 2] = [AsyncWrite::poll_flush, AsyncWrite::poll_shutdown];
        for ask in asks {
            let (clock, hand) = Clock::manual();
            let watch = Arc::new(Watch::new(clock, Arc::default()));
            let mut socket = Watched::new(Keeps(true), Arc::clone(&watch));
            let mut ask = |is_stuck| {
                socket.socket.0 = is_stuck;
                let polled = ask(
                    Pin::new(&mut socket),
                    &mut Context::from_waker(Waker::noop()),
                );
                assert_eq!(polled.is_pending(), is_stuck);
            };
            watch.request_begins();
            for _ in 0..3 {
                ask(true);
                hand.advance(Duration::from_secs(19));
                assert!(watch.time_left(&settings()).is_some());
                ask(false);
            }
            ask(true);
            hand.advance(Duration::from_secs(10));
            ask(true);
            hand.advance(Duration::from_secs(10));
            assert_eq!(watch.time_left(&settings()), None);
        }
    }
}
