//! The body of a response, which brings its connection back to the pool.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::idle::Idle;
use super::line::Line;

/// As many pieces are read of a body that nobody wants, if they are here already, so that its connection need not be closed.
const UNWANTED: usize = 4;

/// A response body. Reading it moves the connection that it comes over; at its end the connection can serve another
/// request. Dropped before, with more to come, it closes the connection.
#[derive(Debug)]
pub(crate) struct Download<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    body: Incoming,
    /// Until the end. Boxed: whoever hands the body on moves a pointer.
    line: Option<Box<Line<B>>>,
    /// Where it goes then; `None`: nowhere.
    home: Option<Arc<Idle<B>>>,
}

impl<B> Download<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn new(
        body: Incoming,
        line: Option<Box<Line<B>>>,
        home: Option<Arc<Idle<B>>>,
    ) -> Self {
        let mut download = Self { body, line, home };
        // Nobody polls a body that has nothing to give: its end is now.
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

impl<B> Drop for Download<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
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

impl<B> Body for Download<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
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
            // Nobody polls on when a Content-Length is used up.
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
