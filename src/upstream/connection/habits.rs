//! Tests of the behaviour of hyper that `line.rs` relies on, numbered as in its documentation. They use hyper alone,
//! over an in-memory pipe.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex};
use tokio::task::coop::{consume_budget, has_budget_remaining, unconstrained};

use super::{BUFFER, builder};

/// The default capacity of the pipe in each direction, in bytes.
const PIPE: usize = 4096;

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request body that the test supplies piece by piece. Clones share it.
#[derive(Clone, Debug, Default)]
struct Upload(Arc<Mutex<Coming>>);

#[derive(Debug, Default)]
struct Coming {
    pieces: VecDeque<&'static str>,
    has_ended: bool,
    reader: Option<Waker>,
}

impl Upload {
    fn none() -> Self {
        let none = Self::default();
        none.end();
        none
    }

    fn add(&self, piece: &'static str) {
        self.change(|coming| coming.pieces.push_back(piece));
    }

    fn end(&self) {
        self.change(|coming| coming.has_ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Coming)) {
        let coming = &mut *self.0.lock().unwrap();
        change(coming);
        if let Some(reader) = coming.reader.take() {
            reader.wake();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let coming = &mut *self.0.lock().unwrap();
        match coming.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            None if coming.has_ended => Poll::Ready(None),
            None => {
                coming.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let coming = self.0.lock().unwrap();
        coming.pieces.is_empty() && coming.has_ended
    }
}

type Outcome = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// A pending response, polled without a waker.
struct Promised(Pin<Box<dyn Future<Output = Outcome> + Send>>);

impl Promised {
    fn look(&mut self) -> Option<Outcome> {
        now(&mut self.0)
    }
}

/// hyper's end of a pipe, and the upstream's.
struct Line {
    sender: SendRequest<Upload>,
    connection: Connection<TokioIo<DuplexStream>, Upload>,
    upstream: DuplexStream,
}

/// The output of the future, if it is ready.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl Line {
    fn new(pipe: usize) -> Self {
        let (ours, upstream) = duplex(pipe);
        let (sender, connection) = now(builder().handshake(TokioIo::new(ours)))
            .unwrap()
            .unwrap();
        Self {
            sender,
            connection,
            upstream,
        }
    }

    /// A connection that has served a request, like those in the pool.
    fn used() -> Self {
        let mut line = Self::new(PIPE);
        let mut promised = line.send("GET", Upload::none());
        line.turn();
        line.answer(OK);
        line.turn();
        let mut body = promised.look().unwrap().unwrap().into_body();
        assert_eq!(line.piece(&mut body).unwrap(), "ok");
        assert_eq!(line.read(), GET);
        line
    }

    fn send(&mut self, method: &str, body: Upload) -> Promised {
        let request = Request::builder().method(method).uri("/").body(body);
        Promised(Box::pin(self.sender.try_send_request(request.unwrap())))
    }

    /// Polls the connection. Returns whether it has ended.
    fn turn(&mut self) -> bool {
        now(&mut self.connection).is_some()
    }

    /// Polls the body, the connection, and the body again, like `Line::poll_body`. `None`: no frame is ready, or the
    /// body has ended.
    fn piece(&mut self, body: &mut Incoming) -> Option<Bytes> {
        let mut ask =
            || match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(frame)) => Some(frame.unwrap().into_data().unwrap()),
                Poll::Ready(None) | Poll::Pending => None,
            };
        ask().or_else(|| {
            self.turn();
            ask()
        })
    }

    /// Sends the text from the upstream, all at once.
    fn answer(&mut self, text: &str) {
        let sent = Pin::new(&mut self.upstream)
            .poll_write(&mut Context::from_waker(Waker::noop()), text.as_bytes());
        assert!(matches!(sent, Poll::Ready(Ok(length)) if length == text.len()));
    }

    /// Fills the pipe from the upstream. Returns the number of bytes that it accepts.
    fn fill(&mut self) -> usize {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut taken = 0;
        while let Poll::Ready(length) = Pin::new(&mut self.upstream).poll_write(cx, &[b'x'; 1024]) {
            taken += length.unwrap();
        }
        taken
    }

    /// Reads the bytes that have reached the upstream.
    fn read(&mut self) -> String {
        let mut room = [0; PIPE];
        let mut room = ReadBuf::new(&mut room);
        let _here = Pin::new(&mut self.upstream)
            .poll_read(&mut Context::from_waker(Waker::noop()), &mut room);
        String::from_utf8(room.filled().to_vec()).unwrap()
    }
}

#[test]
fn habit_1_a_request_is_queued_until_one_poll_of_the_connection_writes_it() {
    let mut line = Line::new(PIPE);
    let mut promised = line.send("GET", Upload::none());
    assert!(promised.look().is_none());
    assert_eq!(line.read(), "");
    assert!(!line.turn());
    assert_eq!(line.read(), GET);
}

#[test]
fn habit_2_the_poll_that_reads_the_head_makes_the_response_ready() {
    for head in [
        OK,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        let mut line = Line::new(PIPE);
        let mut promised = line.send("GET", Upload::none());
        assert!(!line.turn());
        assert!(promised.look().is_none());
        line.answer(head);
        assert!(
            promised.look().is_none(),
            "nothing but the connection reads"
        );
        line.turn();
        assert!(promised.look().unwrap().is_ok(), "{head}");
    }
}

#[test]
fn habit_3_a_response_is_returned_before_the_request_body_has_ended() {
    let (mut line, upload) = (Line::new(PIPE), Upload::default());
    let mut promised = line.send("POST", upload.clone());
    line.turn();
    line.answer(OK);
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    upload.add("late");
    assert_eq!(line.piece(&mut body).unwrap(), "ok");
    line.turn();
    upload.end();
    line.turn();
    assert_eq!(line.read(), format!("{POST}4\r\nlate\r\n0\r\n\r\n"));
}

#[test]
fn habit_4_a_close_or_an_unrequested_response_is_noticed_before_anything_is_written() {
    let early = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    for unasked in ["", early, "x"] {
        let mut line = Line::used();
        assert!(line.sender.is_ready());
        line.answer(unasked);
        if unasked.is_empty() {
            now(poll_shutdown(&mut line.upstream)).unwrap();
        }
        let mut promised = line.send("GET", Upload::none());
        assert!(line.turn(), "the connection has ended");
        assert_eq!(line.read(), "", "after {unasked:?}");
        let mut failed = comes_back(line, &mut promised);
        assert!(failed.take_message().is_some(), "{unasked:?}");
    }
}

async fn poll_shutdown(upstream: &mut DuplexStream) {
    std::future::poll_fn(|cx| Pin::new(&mut *upstream).poll_shutdown(cx))
        .await
        .unwrap();
}

/// The error of the request, at the latest after the connection is dropped.
fn comes_back(line: Line, promised: &mut Promised) -> TrySendError<Request<Upload>> {
    drop(line.connection);
    promised.look().unwrap().unwrap_err()
}

#[test]
fn habit_5_only_a_request_of_which_nothing_was_written_is_returned() {
    let mut line = Line::new(PIPE);
    let mut promised = line.send("POST", Upload::default());
    assert!(comes_back(line, &mut promised).take_message().is_some());

    let mut line = Line::new(PIPE);
    let mut promised = line.send("POST", Upload::default());
    line.turn();
    assert!(promised.look().is_none());
    assert!(comes_back(line, &mut promised).take_message().is_none());

    // A partly written request is not returned.
    let mut line = Line::new(1);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    assert_eq!(line.read(), "G");
    assert!(comes_back(line, &mut promised).take_message().is_none());
}

#[test]
fn habit_6_one_poll_yields_a_frame_and_one_frame_of_bounded_size_is_read_ahead() {
    let mut line = Line::new(PIPE);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    line.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    for piece in ["one", "two", "three"] {
        line.answer(piece);
        assert_eq!(line.piece(&mut body).unwrap(), piece);
    }
    let mut taken = 0;
    for _ in 0..100 {
        taken += line.fill();
        line.turn();
    }
    assert!(taken <= 2 * PIPE, "{taken}: more than one piece ahead");

    let mut line = Line::new(16 * BUFFER);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    line.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    let pieces = (0..50).map(|_| {
        line.fill();
        line.piece(&mut body).unwrap().len()
    });
    assert!(pieces.max() < Some(2 * BUFFER));
}

#[test]
fn habit_7_a_body_ends_with_its_last_byte_or_its_last_chunk() {
    let mut line = Line::new(PIPE);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    line.answer(OK);
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    assert!(!body.is_end_stream());
    assert_eq!(line.piece(&mut body).unwrap(), "ok");
    assert!(body.is_end_stream());

    let mut line = Line::new(PIPE);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    line.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n");
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    assert_eq!(line.piece(&mut body).unwrap(), "ok");
    assert!(line.piece(&mut body).is_none());
    assert!(now(frame(&mut body)).is_none(), "more may come");
    line.answer("0\r\n\r\n");
    assert!(line.piece(&mut body).is_none());
    assert!(now(frame(&mut body)).unwrap().is_none(), "no more comes");

    for empty in [
        "204 No Content\r\n\r\n",
        "200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut line = Line::new(PIPE);
        let mut promised = line.send("GET", Upload::none());
        line.turn();
        line.answer(&format!("HTTP/1.1 {empty}"));
        line.turn();
        assert!(promised.look().unwrap().unwrap().body().is_end_stream());
        assert!(line.sender.is_ready(), "{empty}");
    }
}

async fn frame(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[test]
fn habit_8_the_sender_is_ready_at_the_end_of_the_exchange_if_the_connection_is_kept() {
    for (head, is_kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", true),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n", false),
    ] {
        let mut line = Line::new(PIPE);
        let mut promised = line.send("GET", Upload::none());
        line.turn();
        let is_chunked = head.contains("chunked");
        let body = if is_chunked {
            "2\r\nok\r\n0\r\n\r\n"
        } else {
            "ok"
        };
        line.answer(&format!("{head}\r\n{body}"));
        line.turn();
        let mut body = promised.look().unwrap().unwrap().into_body();
        assert_eq!(line.piece(&mut body).unwrap(), "ok");
        if is_chunked {
            assert!(line.piece(&mut body).is_none());
        }
        assert_eq!(line.sender.is_ready(), is_kept, "{head}");
    }

    let (mut line, upload) = (Line::new(PIPE), Upload::default());
    let mut promised = line.send("POST", upload.clone());
    line.turn();
    line.answer(OK);
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    assert_eq!(line.piece(&mut body).unwrap(), "ok");
    assert!(!line.sender.is_ready(), "the request is still being sent");
}

#[test]
fn habit_9_a_connection_without_its_sender_ends_with_its_exchange() {
    let (mut line, upload) = (Line::new(PIPE), Upload::default());
    let mut promised = line.send("POST", upload.clone());
    line.turn();
    line.answer(OK);
    line.turn();
    let mut body = promised.look().unwrap().unwrap().into_body();
    assert_eq!(line.piece(&mut body).unwrap(), "ok");
    let Line {
        sender,
        mut connection,
        upstream: _upstream,
    } = line;
    drop(sender);
    assert!(
        now(&mut connection).is_none(),
        "the request is still being sent"
    );
    upload.end();
    assert!(now(&mut connection).is_some());
}

#[tokio::test]
async fn habit_10_a_task_without_budget_gets_pending_for_a_ready_response() {
    let mut line = Line::new(PIPE);
    let mut promised = line.send("GET", Upload::none());
    line.turn();
    line.answer(OK);
    line.turn();
    std::future::poll_fn(|cx| {
        while has_budget_remaining() {
            let _used = pin!(consume_budget()).poll(cx);
        }
        assert!(promised.0.as_mut().poll(cx).is_pending());
        assert!(pin!(unconstrained(&mut promised.0)).poll(cx).is_ready());
        Poll::Ready(())
    })
    .await;
}
