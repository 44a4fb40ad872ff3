//! Message bodies: streamed where nobody has to look, bounded where somebody does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::server::watch::Watch;
use crate::upstream::Upload;

/// A body on its way through the gate, in either direction.
#[derive(Debug, Default)]
pub struct Body {
    /// What was read already, or what we wrote ourselves.
    ready: Bytes,
    /// What is still to come.
    rest: Option<Incoming>,
    /// How it broke off, when a look at it found that it did: told again to whoever reads on.
    broken: Option<Error>,
    /// The client's connection, told while we wait for its bytes.
    watch: Option<Arc<Watch>>,
    /// How long the upstream may be silent.
    patience: Option<Patience>,
    /// Told how far it has come, for whoever waits for the other side.
    upload: Option<Arc<Upload>>,
    /// Whatever has to live until the last byte is through: a place in flight, a pooled connection.
    held: Option<Box<dyn Held>>,
}

/// Why a body has no proper end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke, or what came over it is no body.
    #[error("the body breaks off")]
    Broken(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("the body stalls")]
    Stalled,
}

/// How long nothing may come.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    /// Runs while we wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).is_ready()
    }
}

/// Something that lives as long as a body. `finished` tells that the body came to its proper end.
pub trait Held: Send + std::fmt::Debug {
    /// The last frame is through; dropped without it, the body was cut off.
    fn finished(&mut self);
}

/// What [`Body::peek`] found.
#[derive(Debug)]
pub enum Peeked {
    /// The whole body, which also stands ready to be sent on.
    Whole(Bytes),
    /// It is longer than the limit.
    TooLong,
    /// The other side stopped in the middle.
    Broken,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            ready: bytes.into(),
            ..Self::default()
        }
    }

    /// A client's request body: while we wait for it, the client's connection counts as waiting.
    pub fn from_client(incoming: Incoming, watch: Arc<Watch>) -> Self {
        Self {
            rest: Some(incoming),
            watch: Some(watch),
            ..Self::default()
        }
    }

    /// Tells of the pieces that are still to come; none when all is here.
    pub fn upload(&mut self) -> Option<Arc<Upload>> {
        self.rest
            .as_ref()
            .filter(|rest| !HttpBody::is_end_stream(*rest))?;
        Some(Arc::clone(self.upload.get_or_insert_default()))
    }

    /// An upstream's response body: between two pieces of it no more than `patience` may pass.
    pub fn from_upstream(incoming: Incoming, patience: Duration) -> Self {
        Self {
            rest: Some(incoming),
            patience: Some(Patience {
                limit: patience,
                timer: None,
            }),
            ..Self::default()
        }
    }

    /// Keeps something alive until the body ends.
    #[must_use]
    pub fn holding(mut self, mut held: Box<dyn Held>) -> Self {
        if HttpBody::is_end_stream(&self) {
            // Nobody polls a body that has nothing to give: its end is now.
            held.finished();
            return self;
        }
        self.held = Some(held);
        self
    }

    /// Whether the last byte has gone out.
    fn is_through(&self) -> bool {
        self.ready.is_empty()
            && self.broken.is_none()
            && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    /// Tells what is held of the end as soon as it is known: nobody polls on when a Content-Length is used up.
    fn tell_end(&mut self) {
        if let Some(upload) = &self.upload
            && self.is_through()
        {
            upload.finish();
        }
        if self.is_through()
            && let Some(mut held) = self.held.take()
        {
            held.finished();
        }
    }

    /// What was read of it and not yet sent on.
    pub fn read(&self) -> Bytes {
        self.ready.clone()
    }

    /// The same bytes replaced by others; what is held stays held.
    #[must_use]
    pub fn replaced(mut self, bytes: Vec<u8>) -> Self {
        self.ready = bytes.into();
        self.rest = None;
        self.broken = None;
        self.tell_end();
        self
    }

    /// Reads up to `limit` bytes without consuming them: the body can be sent on afterwards, byte for byte and with
    /// the framing that it came with.
    pub async fn peek(&mut self, limit: usize) -> Peeked {
        let mut read = BytesMut::from(&*std::mem::take(&mut self.ready));
        while let Some(rest) = self.rest.as_mut() {
            if read.len() > limit {
                self.ready = read.freeze();
                return Peeked::TooLong;
            }
            let mut waiting = Frames {
                rest,
                watch: self.watch.as_deref(),
                patience: self.patience.as_mut(),
            };
            match waiting.frame().await {
                None => break,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    self.ready = read.freeze();
                    self.broken = Some(error);
                    return Peeked::Broken;
                }
            }
        }
        self.ready = read.freeze();
        if self.ready.len() > limit {
            Peeked::TooLong
        } else {
            Peeked::Whole(self.ready.clone())
        }
    }
}

/// The frames of a body that is still coming. Of a client's, its connection is told when we wait; an upstream's runs out
/// of time.
struct Frames<'a> {
    rest: &'a mut Incoming,
    watch: Option<&'a Watch>,
    patience: Option<&'a mut Patience>,
}

impl HttpBody for Frames<'_> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut *self.rest).poll_frame(cx);
        if let Some(watch) = self.watch {
            if polled.is_pending() {
                watch.waits_for_body();
            } else {
                let bytes = match &polled {
                    Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
                    Poll::Ready(_) | Poll::Pending => 0,
                };
                watch.has_body(bytes);
            }
        }
        if let Some(patience) = self.patience.as_deref_mut() {
            if polled.is_ready() {
                patience.timer = None;
            } else if patience.is_over(cx) {
                return Poll::Ready(Some(Err(Error::Stalled)));
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Error::from)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if !this.ready.is_empty() {
            let ready = std::mem::take(&mut this.ready);
            this.tell_end();
            return Poll::Ready(Some(Ok(Frame::data(ready))));
        }
        if let Some(broken) = this.broken.take() {
            // What broke off before its end must never look whole.
            if let Some(upload) = &this.upload {
                upload.break_off();
            }
            return Poll::Ready(Some(Err(broken)));
        }
        if let Some(rest) = this.rest.as_mut() {
            loop {
                let mut frames = Frames {
                    rest,
                    watch: this.watch.as_deref(),
                    patience: this.patience.as_mut(),
                };
                match ready!(Pin::new(&mut frames).poll_frame(cx)) {
                    // Trailers end here: hyper filters none of the names that must not travel in them.
                    Some(Ok(frame)) if frame.is_trailers() => {}
                    Some(frame) => {
                        match &this.upload {
                            Some(upload) if frame.is_ok() => upload.advance(),
                            Some(upload) => upload.break_off(),
                            None => {}
                        }
                        this.tell_end();
                        return Poll::Ready(Some(frame));
                    }
                    None => break,
                }
            }
            this.rest = None;
        }
        this.tell_end();
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        // While something is held the end has to be polled for, so that it is told.
        self.held.is_none() && self.is_through()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.ready.len() as u64;
        match self.rest.as_ref().map(HttpBody::size_hint) {
            None => SizeHint::with_exact(ready),
            Some(rest) => match rest.exact() {
                Some(rest) => SizeHint::with_exact(ready + rest),
                None => SizeHint::default(),
            },
        }
    }
}
