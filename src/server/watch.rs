//! What a connection is waiting for, and since when: one small state instead of a timer per request.
//!
//! hyper's own header timeout covers one of five waits, and is silently dropped without a Timer. Here the socket and
//! the bodies say what they wait for, and the worker's rounds look once in a while whether it has been too long.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{Clock, Timestamp};

use super::Settings;
use super::crowd::{Patience, Spare};
use super::peer::Held;
use super::place::One;

/// A body may come as slowly as this, in bytes per second, for as long as it takes. One that drips in is over after
/// `body_read`.
const BODY_RATE: u64 = 500;

/// Why the gate closes a connection by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The client took too long.
    Late,
    /// Its place was needed.
    Spared,
}

/// What the other side owes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its first byte.
    FirstByte,
    /// Nothing: a kept-alive connection.
    Idle,
    /// The rest of a request head.
    Head,
    /// More of a request body.
    Body,
    /// Nothing: it is our turn.
    Ours,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::FirstByte,
        Self::Idle,
        Self::Head,
        Self::Body,
        Self::Ours,
    ];
}

/// Shared by the socket, the bodies and the task of one connection.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    /// How much of its time it may take.
    patience: Arc<Patience>,
    /// Phase in the low three bits, milliseconds above.
    state: AtomicU64,
    /// How many milliseconds the client has kept us waiting for the body of this request, less those that the bytes which
    /// came are worth.
    debt: AtomicU64,
    /// Since when a write has been stuck, plus one; zero: none is.
    stuck_write: AtomicU64,
    /// The places of answers that have ended and are not written yet.
    unwritten: Mutex<Vec<Arc<One>>>,
    /// There are some: what is asked at each write costs one load.
    has_unwritten: AtomicBool,
    /// The connection is no more: nothing will be written.
    has_ended: AtomicBool,
    cut: OnceLock<Cut>,
    /// What it has of the places of requests, and all of its network; a proxy's counts for none.
    held: Held,
    network: OnceLock<Arc<Held>>,
}

impl Watch {
    /// For a connection that was just accepted. The clock is read at each change, so it should be one that costs little.
    pub fn new(clock: Clock, patience: Arc<Patience>) -> Self {
        let watch = Self {
            clock,
            patience,
            state: AtomicU64::new(0),
            debt: AtomicU64::new(0),
            stuck_write: AtomicU64::new(0),
            unwritten: Mutex::default(),
            has_unwritten: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            cut: OnceLock::new(),
            held: Held::default(),
            network: OnceLock::new(),
        };
        watch.enter(Phase::FirstByte);
        watch
    }

    /// It comes from a network that has that.
    pub(super) fn is_of(&self, network: Arc<Held>) {
        let _first = self.network.set(network);
    }

    /// What it has itself.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// What the network has that it comes from; none if that is a proxy.
    pub(super) fn network(&self) -> Option<&Arc<Held>> {
        self.network.get()
    }

    fn enter(&self, phase: Phase) {
        self.state.store(
            self.clock.now().as_millis() << 3 | phase as u64,
            Ordering::Relaxed,
        );
    }

    fn phase(&self) -> (Phase, Timestamp) {
        let state = self.state.load(Ordering::Relaxed);
        // They are in the order of their numbers.
        let number = usize::try_from(state & 7).unwrap_or_default();
        let phase = Phase::ALL.get(number).copied().unwrap_or(Phase::Ours);
        (phase, Timestamp::from_millis(state >> 3))
    }

    /// The connection has a place now: until then nothing could be read from it.
    pub(super) fn is_accepted(&self) {
        self.enter(Phase::FirstByte);
    }

    /// A request head is complete.
    pub fn request_begins(&self) {
        self.debt.store(0, Ordering::Relaxed);
        self.enter(Phase::Ours);
    }

    /// hyper has all of its response, or it is given up.
    pub fn response_ended(&self) {
        self.enter(Phase::Idle);
    }

    /// How well the connection can be spared, and since when it has been so. `None`: not at all, it is not the client that is
    /// waited for.
    pub(super) fn spare(&self) -> Option<(Spare, Timestamp)> {
        if let Some(since) = self.stuck_write.load(Ordering::Relaxed).checked_sub(1) {
            return Some((Spare::Unread, Timestamp::from_millis(since)));
        }
        let (phase, since) = self.phase();
        let spare = match phase {
            Phase::Idle => Spare::Idle,
            Phase::FirstByte => Spare::Silent,
            Phase::Head => Spare::Head,
            Phase::Body => Spare::Body,
            Phase::Ours => return None,
        };
        Some((spare, since))
    }

    /// Whether a request is being answered.
    fn is_answering(&self) -> bool {
        match self.phase().0 {
            Phase::Body | Phase::Ours => true,
            Phase::FirstByte | Phase::Idle | Phase::Head => false,
        }
    }

    /// Whether bytes of an answer that has ended may lie here. (There is no answer where the request was given up.)
    pub(super) fn has_more_to_write(&self) -> bool {
        !self.is_answering() && !self.has_ended.load(Ordering::Acquire)
    }

    /// The place of an answer: free when that is written.
    pub(super) fn keep_until_written(&self, one: Arc<One>) {
        self.unwritten().push(one);
        self.has_unwritten.store(true, Ordering::Release);
    }

    /// Everything that hyper had is written.
    fn all_written(&self) {
        // With another request being answered there may be more of its answer than hyper had.
        if self.has_unwritten.load(Ordering::Acquire) && !self.is_answering() {
            self.has_unwritten.store(false, Ordering::Release);
            self.unwritten().clear();
        }
    }

    /// The gate closes the connection.
    pub(super) fn cuts(&self, why: Cut) {
        self.cut.get_or_init(|| why);
    }

    /// Whether the gate has closed it, and why.
    pub fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// The connection is gone, with all that it held.
    pub(super) fn connection_ended(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.unwritten().clear();
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, Vec<Arc<One>>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// We want more of a request body than is here.
    pub fn waits_for_body(&self) {
        if self.phase().0 == Phase::Ours {
            self.enter(Phase::Body);
        }
    }

    /// So many bytes more of it came, or the end of it.
    pub fn has_body(&self, bytes: usize) {
        if let (Phase::Body, since) = self.phase() {
            let waited = self.clock.now().as_millis() - since.as_millis();
            let worth = u64::try_from(bytes)
                .unwrap_or(u64::MAX)
                .saturating_mul(1000)
                / BODY_RATE;
            let worth = self.patience.of_millis(worth);
            let debt = self.debt.load(Ordering::Relaxed) + waited;
            self.debt
                .store(debt.saturating_sub(worth), Ordering::Relaxed);
            self.enter(Phase::Ours);
        }
    }

    pub(super) fn has_bytes(&self) {
        match self.phase().0 {
            Phase::FirstByte | Phase::Idle => self.enter(Phase::Head),
            Phase::Head | Phase::Body | Phase::Ours => {}
        }
    }

    /// How long the connection may go on like this; `None`: its time is over.
    pub fn time_left(&self, settings: &Settings) -> Option<Duration> {
        let now = self.clock.now();
        let (phase, since) = self.phase();
        let allowed = match phase {
            Phase::FirstByte => self.patience.of(settings.first_byte),
            Phase::Idle => self.patience.of(settings.idle),
            Phase::Head => self.patience.of(settings.header_read),
            Phase::Body => {
                let debt = Duration::from_millis(self.debt.load(Ordering::Relaxed));
                self.patience.of(settings.body_read).checked_sub(debt)?
            }
            Phase::Ours => Duration::MAX,
        };
        let stuck = self.stuck_write.load(Ordering::Relaxed);
        let write_left = match stuck.checked_sub(1) {
            None => Duration::MAX,
            Some(since) => self
                .patience
                .of(settings.body_read)
                .checked_sub(now.since(Timestamp::from_millis(since)))?,
        };
        let left = allowed.checked_sub(now.since(since))?.min(write_left);
        (!left.is_zero()).then_some(left)
    }
}

/// A client's socket that tells its watch what happens.
#[derive(Debug)]
pub struct Watched<T> {
    socket: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    /// The socket of the connection that the watch is for.
    pub fn new(socket: T, watch: Arc<Watch>) -> Self {
        Self { socket, watch }
    }

    fn wrote<R>(&self, polled: Poll<R>) -> Poll<R> {
        if polled.is_ready() {
            self.watch.stuck_write.store(0, Ordering::Relaxed);
        } else if self.watch.stuck_write.load(Ordering::Relaxed) == 0 {
            self.watch
                .stuck_write
                .store(self.watch.clock.now().as_millis() + 1, Ordering::Relaxed);
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
        // A socket that keeps small writes says only here that it could not write them.
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        // hyper asks for it when its own buffer is empty, and not before.
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
    use super::super::place::{InFlight, Place};
    use super::testing::settings;
    use super::*;
    use std::task::Waker;

    /// Takes what is written, and gets none of it out while the flag says so.
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
            "bytes that drip do not extend the time for a head"
        );
        watch.has_bytes();
        assert_eq!(step(1), None);
        watch.request_begins();
        assert!(step(1000).is_some(), "our own turn has no limit here");
        watch.waits_for_body();
        watch.waits_for_body();
        assert_eq!(step(19), Some(1));
        watch.has_body(5000);
        watch.waits_for_body();
        assert_eq!(step(10), Some(1), "a second for each 500 bytes of a body");
        watch.has_body(1);
        watch.waits_for_body();
        assert_eq!(step(0), Some(1), "bytes that drip do not extend it");
        assert_eq!(step(2), None);
        watch.response_ended();
        assert_eq!(step(59), Some(1));
        assert_eq!(step(1), None);
    }

    /// The places of a connection, and how many of them are taken.
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
    fn a_place_is_free_when_the_answer_is_written_and_not_when_it_has_ended() {
        let mut places = Places::new();
        let place = places.request();
        places.flush(false); // hyper does that, too, while it has nothing yet
        assert_eq!(places.in_flight.count(), 1);
        places.answer(place);
        places.flush(true);
        assert_eq!(places.in_flight.count(), 1);
        places.flush(false);
        assert_eq!(places.in_flight.count(), 0);
    }

    #[test]
    fn a_place_whose_answer_lies_before_that_to_the_next_request_is_not_free_before_both_are_written()
     {
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
    fn a_place_without_an_answer_and_those_of_a_connection_that_is_gone_are_free_at_once() {
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
    fn there_are_as_many_places_as_the_limit_says() {
        let places = Places::new();
        let taken = [places.request(), places.request(), places.request()];
        assert!(places.in_flight.enter(3, &places.watch).is_none());
        assert_eq!(places.in_flight.count(), 3);
        drop(taken);
        assert!(places.in_flight.enter(3, &places.watch).is_some());
    }

    #[test]
    fn what_was_written_and_does_not_go_out_has_the_time_of_a_write() {
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
