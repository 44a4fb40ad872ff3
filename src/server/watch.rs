//! What a connection is waiting for, and since when: one small state instead of a timer per request.
//!
//! hyper's own header timeout covers one of five waits, and is silently dropped without a Timer. Here the socket and
//! the bodies say what they wait for, and the worker's rounds look once in a while whether it has been too long. Which
//! states there are, and what leads from one to the other: `watch/wait.rs`.

mod wait;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;

use super::patience::Patience;
use super::peer::Held;
use super::settings::Settings;
use wait::{Phase, Shared, Step, Wait, Writes};
pub(super) use wait::{Spare, Spared};

/// A body may come as slowly as this, in bytes per second, for as long as it takes. One that drips in is over after
/// `body_read`.
const BODY_RATE: u64 = 500;

/// Why the gate closes a connection by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client took too long.
    Late,
    /// Its place was needed.
    Spared,
}

/// Shared by the socket, the bodies and the task of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Clock,
    /// How much of its time it may take.
    patience: Arc<Patience>,
    wait: Shared<Wait>,
    writes: Shared<Writes>,
    /// How many milliseconds the client has kept us waiting for the body of this request, less those that the bytes which
    /// came are worth.
    debt: AtomicU64,
    answers: Mutex<Answers>,
    cut: OnceLock<Cut>,
    /// What it has of the places of requests, and all of its network; a proxy's counts for none.
    held: Held,
    network: OnceLock<Arc<Held>>,
}

/// What is kept for answers that have ended, until their bytes are written.
#[derive(Debug)]
enum Answers {
    Unwritten(Vec<Arc<dyn Keep>>),
    /// The connection is gone: nothing will be written.
    Gone,
}

/// Something that is kept for an answer: to be dropped when that is written.
pub(super) trait Keep: fmt::Debug + Send + Sync {}

impl Watch {
    /// For a connection that was just accepted. The clock is read at each change, so it should be one that costs little.
    pub(crate) fn new(clock: Clock, patience: Arc<Patience>) -> Self {
        let wait = Wait {
            phase: Phase::FirstByte,
            since: clock.now(),
        };
        Self {
            clock,
            patience,
            wait: Shared::new(wait),
            writes: Shared::new(Writes::Flow),
            debt: AtomicU64::new(0),
            answers: Mutex::new(Answers::Unwritten(Vec::new())),
            cut: OnceLock::new(),
            held: Held::default(),
            network: OnceLock::new(),
        }
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

    /// Returns the phase that it ends, if it ends one.
    fn step(&self, step: Step) -> Option<Wait> {
        let before = self.wait.get();
        let phase = before.phase.after(step)?;
        let since = self.clock.now();
        self.wait.set(Wait { phase, since });
        Some(before)
    }

    /// The connection has a place now: until then nothing could be read from it.
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

    /// We want more of a request body than is here.
    pub(crate) fn waits_for_body(&self) {
        self.step(Step::BodyWanted);
    }

    /// So many bytes more of it came, or the end of it.
    pub(crate) fn has_body(&self, bytes: usize) {
        if let Some(ended) = self.step(Step::BodyCame) {
            let waited = self.clock.now().as_millis() - ended.since.as_millis();
            let worth = u64::try_from(bytes)
                .unwrap_or(u64::MAX)
                .saturating_mul(1000)
                / BODY_RATE;
            let worth = self.patience.of_millis(worth);
            let debt = self.debt.load(Ordering::Relaxed) + waited;
            self.debt
                .store(debt.saturating_sub(worth), Ordering::Relaxed);
        }
    }

    /// hyper has all of its response, or it is given up.
    pub(crate) fn response_ended(&self) {
        self.step(Step::AnswerEnded);
    }

    /// How well the connection can be spared. `None`: not at all, it is not the client that is waited for.
    pub(super) fn spare(&self) -> Option<Spared> {
        if let Writes::Stuck(since) = self.writes.get() {
            let spare = Spare::Unread;
            return Some(Spared { spare, since });
        }
        let Wait { phase, since } = self.wait.get();
        let spare = match phase {
            Phase::Idle => Spare::Idle,
            Phase::FirstByte => Spare::Silent,
            Phase::Head => Spare::Head,
            Phase::Body => Spare::Body,
            Phase::Answer => return None,
        };
        Some(Spared { spare, since })
    }

    /// Keeps what an answer has that has ended until it is written: its bytes may lie in hyper's buffers. Where the request was
    /// given up there is no answer, and after the connection nothing is written: then it is dropped at once.
    pub(super) fn keep_until_written(&self, kept: Arc<dyn Keep>) {
        if !self.wait.get().phase.is_answering()
            && let Answers::Unwritten(all) = &mut *self.answers()
        {
            all.push(kept);
        }
    }

    /// Everything that hyper had is written.
    fn all_written(&self) {
        // With another request being answered there may be more of its answer than hyper had.
        if !self.wait.get().phase.is_answering()
            && let Answers::Unwritten(all) = &mut *self.answers()
        {
            all.clear();
        }
    }

    /// The gate closes the connection.
    pub(super) fn cuts(&self, why: Cut) {
        self.cut.get_or_init(|| why);
    }

    /// Whether the gate has closed it, and why.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// The connection is gone, with all that it held.
    pub(super) fn connection_ended(&self) {
        *self.answers() = Answers::Gone;
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the connection may go on like this; `None`: its time is over.
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
        let write_left = match self.writes.get() {
            Writes::Flow => Duration::MAX,
            Writes::Stuck(since) => self
                .patience
                .of(settings.body_read)
                .checked_sub(now.since(since))?,
        };
        let left = allowed.checked_sub(now.since(since))?.min(write_left);
        (!left.is_zero()).then_some(left)
    }
}

/// A client's socket that tells its watch what happens.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    socket: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    /// The socket of the connection that the watch is for.
    pub(crate) fn new(socket: T, watch: Arc<Watch>) -> Self {
        Self { socket, watch }
    }

    fn wrote<R>(&self, polled: Poll<R>) -> Poll<R> {
        let writes = &self.watch.writes;
        match (&polled, writes.get()) {
            (Poll::Ready(_), _) => writes.set(Writes::Flow),
            (Poll::Pending, Writes::Flow) => writes.set(Writes::Stuck(self.watch.clock.now())),
            (Poll::Pending, Writes::Stuck(_)) => {}
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
        // hyper asks for it when its own buffer is empty, and not before (`watch/habits.rs`).
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
