//! The body of a response. At its end the connection returns to the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Line;
use super::idle::Idle;
use super::upload::Outgoing;

/// How many frames are read of an abandoned body, if they are already received, so that the connection need not be
/// closed.
const UNWANTED: usize = 4;

/// A response body. Reading it drives the connection that it comes over, which can serve another request after the end
/// of the body. If it is dropped earlier, with more to come, the connection is closed.
#[derive(Debug)]
pub(crate) struct Download<B: Outgoing> {
    body: Incoming,
    /// `None` after the end. Boxed, so that passing the body on moves one pointer.
    line: Option<Box<Line<B>>>,
    /// The pool to which the connection returns; `None`: it must not be reused.
    home: Option<Arc<Idle<B>>>,
}

impl<B: Outgoing> Download<B> {
    pub(super) fn new(
        body: Incoming,
        line: Option<Box<Line<B>>>,
        home: Option<Arc<Idle<B>>>,
    ) -> Self {
        let mut download = Self { body, line, home };
        // An empty body is never polled, so it ends here.
        if download.body.is_end_stream() {
            download.end();
        }
        download
    }

    fn end(&mut self) {
        if let (Some(line), Some(home)) = (self.line.take(), self.home.take()) {
            home.keep(line);
        }
    }
}

impl<B: Outgoing> Drop for Download<B> {
    fn drop(&mut self) {
        let (Some(mut line), Some(home)) = (self.line.take(), self.home.take()) else {
            return;
        };
        for _ in 0..UNWANTED {
            let piece = line.poll_body(&mut self.body, &mut Context::from_waker(Waker::noop()));
            if self.body.is_end_stream() || matches!(piece, Poll::Ready(None)) {
                return home.keep(line);
            }
            if !matches!(piece, Poll::Ready(Some(Ok(_)))) {
                return;
            }
        }
    }
}

impl<B: Outgoing> Body for Download<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = ready!(match &mut this.line {
            Some(line) => line.poll_body(&mut this.body, cx),
            None => Pin::new(&mut this.body).poll_frame(cx),
        });
        match &frame {
            // A body with a `Content-Length` is not polled after its last byte, so the end is noticed here.
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            Some(Ok(_)) | None => this.end(),
            Some(Err(_)) => this.line = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
