mod any_order;

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::*;

/// Everything here completes much faster, or never.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The kernel's buffer size where a test must fill it quickly; the kernel doubles it.
const NARROW: usize = 16 * 1024;

pub(super) async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    SockRef::from(&listener)
        .set_recv_buffer_size(NARROW)
        .unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    ours.set_nodelay(true).unwrap();
    SockRef::from(&ours).set_send_buffer_size(NARROW).unwrap();
    (ours, listener.accept().await.unwrap().0)
}

/// A socket of a running batch.
async fn running() -> (Socket, Peer) {
    let batch = Batch::default();
    TaskTracker::new().spawn(batch.clone().run());
    socket_of(&batch).await
}

/// A socket of a batch that does not run: only direct writes reach the peer.
async fn by_itself() -> (Socket, Peer) {
    socket_of(&Batch::default()).await
}

async fn socket_of(batch: &Batch) -> (Socket, Peer) {
    let (ours, peer) = connection().await;
    (batch.socket(ours), Peer(peer.into_std().unwrap()))
}

/// The other end. It reads with system calls and not through the runtime, so a test can read in the middle of a turn.
struct Peer(std::net::TcpStream);

impl Peer {
    /// The bytes received so far; `None` if there are none and more may come.
    fn look(&mut self) -> Option<Vec<u8>> {
        let mut piece = vec![0; 64 * 1024];
        match self.0.read(&mut piece) {
            Ok(length) => {
                piece.truncate(length);
                Some(piece)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads `length` bytes, or all until the end.
    async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut came = Vec::new();
        let reads = async {
            while came.len() < length {
                match self.look() {
                    Some(piece) if piece.is_empty() => return,
                    Some(piece) => came.extend(piece),
                    None => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let read = timeout(PATIENCE, reads).await;
        assert!(read.is_ok(), "{} of {length} bytes came", came.len());
        came
    }
}

/// Test data in which lost, doubled or moved parts are noticed.
fn bytes(length: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect()
}

fn kept(socket: &Socket) -> usize {
    match &lock(&socket.out.pending).kept {
        Kept::Nothing | Kept::Broken(_) => 0,
        Kept::UntilTurn(bytes) | Kept::Stuck(bytes) => bytes.len(),
    }
}

#[derive(Default)]
pub(super) struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn write(self: &Arc<Self>, socket: &mut Socket, buf: &[u8]) -> Poll<io::Result<usize>> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(socket).poll_write(&mut Context::from_waker(&waker), buf)
    }

    fn flush(self: &Arc<Self>, socket: &mut Socket) -> Poll<io::Result<()>> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(socket).poll_flush(&mut Context::from_waker(&waker))
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) async fn wait(&self) {
        let waits = async {
            while self.times() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waits)
            .await
            .expect("the waker must be woken");
    }
}

/// Bytes of a write that is kept.
const SMALL: usize = 5;

/// Writes until the kernel accepts no more. Returns the number of bytes.
fn fill(socket: &mut Socket, content: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match Arc::<Woken>::default().write(socket, &content[written..]) {
            Poll::Ready(length) => written += length.unwrap(),
            Poll::Pending => return written,
        }
        assert!(
            content.len() - written > MOST,
            "the kernel accepts everything"
        );
    }
}

#[tokio::test]
async fn small_writes_are_sent_together_at_the_end_of_the_turn() {
    let (mut socket, mut peer) = running().await;
    yield_now().await;
    for _turn in 0..3 {
        socket.write_all(b"one ").await.unwrap();
        socket.write_all(b"two ").await.unwrap();
        let pieces = [IoSlice::new(b"three "), IoSlice::new(b"four")];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 10);
        socket.flush().await.unwrap();
        assert_eq!(peer.look(), None, "the turn is not over");
        yield_now().await;
        assert_eq!(peer.read(18).await, b"one two three four");
    }
}

#[tokio::test]
async fn bytes_written_before_the_batch_runs_are_sent() {
    let batch = Batch::default();
    let (mut socket, mut peer) = socket_of(&batch).await;
    socket.write_all(b"early").await.unwrap();
    TaskTracker::new().spawn(batch.run());
    assert_eq!(peer.read(5).await, b"early");
}

#[tokio::test]
async fn sockets_of_one_turn_do_not_mix() {
    let batch = Batch::default();
    TaskTracker::new().spawn(batch.clone().run());
    let (mut one, mut first) = socket_of(&batch).await;
    let (mut two, mut second) = socket_of(&batch).await;
    // Each turn reuses the buffers of the turn before.
    for turn in 0..4_u8 {
        let (long, short) = ([turn; 100], [turn + 100; 10]);
        one.write_all(&long).await.unwrap();
        two.write_all(&short).await.unwrap();
        one.write_all(&short).await.unwrap();
        assert_eq!(first.read(110).await, [&long[..], &short].concat());
        assert_eq!(second.read(10).await, short);
    }
}

#[tokio::test]
async fn a_large_write_is_sent_directly_after_the_kept_bytes() {
    let content = bytes(3 * MOST);
    for (kept, large) in [
        (0, MOST + 1),
        (1, MOST),
        (3000, MOST + 1 - 3000),
        (MOST, 2 * MOST),
    ] {
        let (mut socket, mut peer) = by_itself().await;
        socket.write_all(&content[..kept]).await.unwrap();
        assert_eq!(peer.look(), None, "{kept} bytes are kept");
        let all = kept + large;
        socket.write_all(&content[kept..all]).await.unwrap();
        assert!(peer.read(all).await == content[..all], "{kept} and {large}");
    }
}

#[tokio::test]
async fn buffers_are_returned_to_the_batch() {
    let (mut socket, mut peer) = running().await;
    for large in [0, 2 * MOST] {
        socket.write_all(b"small").await.unwrap();
        socket.write_all(&bytes(large)).await.unwrap();
        peer.read(5 + large).await;
        yield_now().await;
        let is_kept = !matches!(lock(&socket.out.pending).kept, Kept::Nothing);
        assert!(!is_kept, "{large}");
        assert_eq!(lock(&socket.batch.0).buffers.len(), 1, "{large}");
        assert!(lock(&socket.batch.0).sockets.is_empty(), "{large}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_blocks_the_writer_and_no_buffer_grows() {
    const PIECE: usize = 1000;
    let (mut socket, mut peer) = running().await;
    let content = bytes(4 * 1024 * 1024);
    let woken = Arc::<Woken>::default();
    let (mut written, mut waited) = (0, 0);
    // The kernel may find more room after it has reported none.
    while waited < 50 {
        match woken.write(&mut socket, &content[written..][..PIECE]) {
            Poll::Ready(length) => {
                written += length.unwrap();
                waited = 0;
                yield_now().await;
            }
            Poll::Pending => {
                waited += 1;
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(kept(&socket) <= PIECE, "more than one piece is kept");
        assert!(written < content.len() / 2, "the writer never waits");
    }
    assert!(woken.flush(&mut socket).is_pending());
    let before = woken.times();
    sleep(Duration::from_millis(20)).await;
    if woken.times() > before {
        // The kernel has found more room.
        let write = woken.write(&mut socket, &content[written..][..PIECE]);
        assert!(write.is_ready(), "woken without room");
        written += PIECE;
    }

    let reader = TaskTracker::new().spawn(async move { peer.read(usize::MAX).await });
    let writes = async {
        for piece in content[written..].chunks(PIECE) {
            socket.write_all(piece).await.unwrap();
        }
        socket.flush().await.unwrap();
        drop(socket);
    };
    timeout(PATIENCE, writes)
        .await
        .expect("the writer must continue");
    assert!(reader.await.unwrap() == content, "all of it, in order");
}

/// If a turn could not send the kept bytes, the writer is woken, so that it can wait for the flush that had already
/// succeeded.
#[tokio::test]
async fn the_writer_is_woken_when_there_is_room_again() {
    let (mut socket, mut peer) = running().await;
    let content = bytes(1024 * 1024);
    let mut written = 0;
    // On a busy machine the kernel may find more room after it has reported none.
    let woken = loop {
        written += fill(&mut socket, &content[written..]);
        let woken = Arc::<Woken>::default();
        let small = woken.write(&mut socket, &content[written..][..SMALL]);
        assert!(small.is_ready(), "the write must be kept");
        written += SMALL;
        assert!(woken.flush(&mut socket).is_ready());
        yield_now().await;
        if kept(&socket) > 0 {
            break woken;
        }
    };
    let before = written - SMALL;
    assert!(peer.read(before).await == content[..before]);
    woken.wait().await;
    assert!(woken.flush(&mut socket).is_ready());
    assert!(peer.read(SMALL).await == content[before..written]);
}

/// A connection may move to another task, which then waits for the bytes that the first one wrote.
#[tokio::test]
async fn the_last_waiting_task_is_woken() {
    let (mut socket, mut peer) = running().await;
    let content = bytes(1024 * 1024);
    let mut written = 0;
    let last = loop {
        written += fill(&mut socket, &content[written..]);
        let (first, last) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let small = first.write(&mut socket, &content[written..][..SMALL]);
        assert!(small.is_ready(), "the write must be kept");
        written += SMALL;
        match last.write(&mut socket, &content[written..][..2 * MOST]) {
            Poll::Pending => break last,
            Poll::Ready(length) => written += length.unwrap(),
        }
    };
    yield_now().await;
    let before = written - SMALL;
    assert!(peer.read(before).await == content[..before]);
    last.wait().await;
}

#[tokio::test]
async fn a_shutdown_sends_the_kept_bytes_first() {
    let (mut socket, mut peer) = by_itself().await;
    socket.write_all(b"last words").await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(peer.read(usize::MAX).await, b"last words");
}

#[tokio::test]
async fn a_shutdown_waits_for_room() {
    let (mut socket, mut peer) = running().await;
    let content = bytes(1024 * 1024);
    let written = fill(&mut socket, &content);
    let rest = &content[written..written + MOST];
    let woken = Arc::<Woken>::default();
    assert!(
        woken.write(&mut socket, rest).is_ready(),
        "the write must be kept"
    );
    let reader = TaskTracker::new().spawn(async move {
        sleep(Duration::from_millis(10)).await;
        peer.read(usize::MAX).await
    });
    timeout(PATIENCE, socket.shutdown()).await.unwrap().unwrap();
    assert!(reader.await.unwrap() == content[..written + MOST]);
}

#[tokio::test]
async fn a_reset_is_an_error_of_the_next_write_and_of_the_next_flush() {
    let (mut socket, peer) = running().await;
    SockRef::from(&peer.0)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let woken = Arc::<Woken>::default();
    assert!(
        woken.write(&mut socket, b"lost").is_ready(),
        "the write must be kept"
    );
    assert!(woken.flush(&mut socket).is_ready());
    woken.wait().await;
    for _ in 0..2 {
        assert!(matches!(woken.flush(&mut socket), Poll::Ready(Err(_))));
        let written = woken.write(&mut socket, b"x");
        assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
        let written = woken.write(&mut socket, &bytes(2 * MOST));
        assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
    }
    assert!(socket.shutdown().await.is_err());
    assert_eq!(kept(&socket), 0);
}

#[tokio::test]
async fn the_kept_bytes_of_a_dropped_socket_are_sent_before_the_end() {
    let (mut socket, mut peer) = running().await;
    socket.write_all(b"last words").await.unwrap();
    drop(socket);
    assert_eq!(peer.read(usize::MAX).await, b"last words");
}

#[tokio::test]
async fn a_socket_may_be_dropped_at_any_time() {
    let batch = Batch::default();
    let (mut early, _peer) = socket_of(&batch).await;
    early.write_all(b"small").await.unwrap();
    drop(early);
    TaskTracker::new().spawn(batch.clone().run());

    let (mut stuck, mut peer) = socket_of(&batch).await;
    let content = bytes(1024 * 1024);
    let written = fill(&mut stuck, &content);
    stuck.write_all(b"small").await.unwrap();
    yield_now().await;
    drop(stuck);
    assert!(peer.read(usize::MAX).await == content[..written]);

    let (mut broken, peer) = socket_of(&batch).await;
    SockRef::from(&peer.0)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    broken.write_all(b"small").await.unwrap();
    drop(broken);
    yield_now().await;

    let (mut after, mut peer) = socket_of(&batch).await;
    after.write_all(b"after").await.unwrap();
    assert_eq!(peer.read(5).await, b"after");
}
