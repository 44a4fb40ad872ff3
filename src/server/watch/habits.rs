//! Test of the behaviour of hyper that `watch.rs` relies on, with hyper alone.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that has sent one request and accepts `room` bytes. Records how many it had accepted at each flush.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    has_asked: bool,
    room: usize,
    taken: usize,
    flushed_at: Vec<usize>,
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let seen = &mut *self.0.lock().unwrap();
        if std::mem::replace(&mut seen.has_asked, true) {
            return Poll::Pending;
        }
        buf.put_slice(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let seen = &mut *self.0.lock().unwrap();
        let takes = buf.len().min(seen.room);
        seen.room -= takes;
        seen.taken += takes;
        if takes == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Ok(takes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let seen = &mut *self.0.lock().unwrap();
        seen.flushed_at.push(seen.taken);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn hyper_flushes_only_when_its_buffer_is_written() {
    let client = Client::default();
    let service = service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; 1000]))))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(client.clone()), service);
    let mut connection = pin!(connection);
    for _ in 0..100 {
        client.0.lock().unwrap().room += 100;
        let _goes_on = connection
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }
    let seen = client.0.lock().unwrap();
    assert!(seen.taken > 1000, "{}", seen.taken);
    // It may also flush before it has anything to write.
    let early = |at: &&usize| **at != 0 && **at != seen.taken;
    assert_eq!(seen.flushed_at.iter().find(early), None);
    assert!(seen.flushed_at.contains(&seen.taken));
}
