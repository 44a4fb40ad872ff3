//! Message bodies. They are streamed, unless a part of them has to be read first ([`Body::peek`]).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::server::in_flight::{Place, UploadPlace};
use crate::server::watch::Watch;
use crate::upstream::{Download, Lookalike, Upload};

/// The body of a request or a response that the gate forwards or creates.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// The bytes that were read already, or that the gate wrote. They are sent first.
    ready: Bytes,
    rest: Rest,
    /// Records the progress of a request body, for the upstream connection.
    upload: Option<Arc<Upload>>,
    /// The place in flight of a request body, until it is dropped.
    upload_place: Option<UploadPlace>,
    /// The place of an answer. It stays occupied until the body is written to the client.
    #[expect(dead_code, reason = "only dropped, never read")]
    place: Option<Place>,
}

/// The part of a body after the bytes that are ready.
#[derive(Debug, Default)]
enum Rest {
    /// Nothing. The length of the body is known.
    #[default]
    Nothing,
    /// Nothing, because [`Body::peek`] has read the end. The body came without a length, and is sent without one.
    Ended,
    /// The rest of a client's body. `watch` records while the gate waits for it. Becomes `Ended` or `Broken` when it is read
    /// ahead, and `Nothing` when it is sent.
    Client { body: Incoming, watch: Arc<Watch> },
    /// The rest of an upstream's body. Becomes the same states.
    Upstream {
        body: Download<Box<Body>>,
        patience: Patience,
    },
    /// [`Body::peek`] found an error. The next reader gets it.
    Broken {
        error: Option<Error>,
        /// The size hint of the missing rest.
        hint: SizeHint,
    },
}

impl Rest {
    /// The next frame, including trailers.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Nothing | Self::Ended => Poll::Ready(None),
            Self::Client { body, watch } => {
                let polled = Pin::new(body).poll_frame(cx);
                match &polled {
                    Poll::Pending => watch.waits_for_body(),
                    Poll::Ready(Some(Ok(frame))) => {
                        watch.has_body(frame.data_ref().map_or(0, Bytes::len));
                    }
                    Poll::Ready(Some(Err(_)) | None) => watch.has_body(0),
                }
                polled.map_err(Error::from)
            }
            Self::Upstream { body, patience } => {
                let polled = Pin::new(body).poll_frame(cx);
                if polled.is_ready() {
                    patience.timer = None;
                } else if patience.is_over(cx) {
                    return Poll::Ready(Some(Err(Error::Stalled)));
                }
                polled.map_err(Error::from)
            }
            // A body that broke off must never look complete.
            Self::Broken { error, .. } => Poll::Ready(error.take().map(Err)),
        }
    }

    /// Whether it is known without polling that no more frames follow.
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Client { body, .. } => body.is_end_stream(),
            Self::Upstream { body, .. } => body.is_end_stream(),
            Self::Ended | Self::Broken { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Ended => SizeHint::default(),
            Self::Client { body, .. } => body.size_hint(),
            Self::Upstream { body, .. } => body.size_hint(),
            Self::Broken { hint, .. } => *hint,
        }
    }
}

/// Why a body is incomplete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The connection broke, or the framing is invalid.
    #[error("the body breaks off")]
    Broken(#[from] hyper::Error),
    /// The upstream was silent for too long.
    #[error("the body stalls")]
    Stalled,
}

/// The time for which the upstream may be silent.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    /// Runs while the gate waits for a frame.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).is_ready()
    }
}

/// The result of [`Body::peek`].
#[derive(Debug)]
pub(crate) enum Peeked {
    /// The whole body. It can still be sent.
    Whole(Bytes),
    /// The body is longer than the limit.
    TooLong,
    /// The peer broke off before the end.
    Broken,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            ready: bytes.into(),
            ..Self::default()
        }
    }

    /// A request body from a client. While the gate waits for it, the client's connection counts as waiting.
    pub(crate) fn from_client(incoming: Incoming, watch: &Arc<Watch>) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self {
            rest: Rest::Client {
                body: incoming,
                watch: Arc::clone(watch),
            },
            ..Self::default()
        }
    }

    /// Starts recording the progress of the body, and whether it could be parsed as a request. `None`: the whole body is read,
    /// and could not. Call it once, before the body is sent.
    pub(crate) fn upload(&mut self) -> Option<Arc<Upload>> {
        let mut lookalike = Lookalike::default();
        let is_suspect = lookalike.feed(&self.ready);
        let is_coming = !self.is_all_read();
        if !is_coming && !is_suspect {
            return None;
        }
        let upload = Arc::new(Upload::after(lookalike));
        self.upload = Some(Arc::clone(&upload));
        Some(upload)
    }

    /// Occupies the place until the body is dropped.
    pub(crate) fn keep(&mut self, place: UploadPlace) {
        self.upload_place = Some(place);
    }

    /// A response body from an upstream. `patience`: the longest time between two frames.
    pub(crate) fn from_upstream(
        body: Download<Box<Self>>,
        patience: Duration,
        place: Place,
    ) -> Self {
        Self {
            rest: Rest::Upstream {
                body,
                patience: Patience {
                    limit: patience,
                    timer: None,
                },
            },
            place: Some(place),
            ..Self::default()
        }
    }

    /// Whether the last byte was sent.
    fn is_through(&self) -> bool {
        self.ready.is_empty() && self.rest.is_end_stream()
    }

    /// Records the end as soon as it is known: hyper does not poll again after Content-Length bytes.
    fn tell_end(&mut self) {
        if let Some(upload) = &self.upload
            && self.is_through()
        {
            upload.finish();
        }
    }

    /// Whether the body was read to its end without an error.
    pub(crate) fn is_all_read(&self) -> bool {
        matches!(self.rest, Rest::Ended) || self.rest.is_end_stream()
    }

    /// Whether the size hint says that the body has at most this many bytes.
    pub(crate) fn is_at_most(&self, bytes: usize) -> bool {
        let upper = HttpBody::size_hint(self).upper();
        upper.is_some_and(|upper| usize::try_from(upper).is_ok_and(|upper| upper <= bytes))
    }

    /// The bytes that were read and not yet sent.
    pub(crate) fn read(&self) -> Bytes {
        self.ready.clone()
    }

    /// Replaces the whole body.
    pub(crate) fn replace(&mut self, bytes: Vec<u8>) {
        self.ready = bytes.into();
        self.rest = Rest::Nothing;
        self.tell_end();
    }

    /// Reads up to `limit` bytes without consuming them: the body can be sent afterwards, unchanged and with its original
    /// framing.
    pub(crate) async fn peek(&mut self, limit: usize) -> Peeked {
        self.peek_unless(limit, |_| false).await
    }

    /// The same, but stops with [`Peeked::TooLong`] as soon as `enough` returns true for the bytes read so far.
    pub(crate) async fn peek_unless(
        &mut self,
        limit: usize,
        mut enough: impl FnMut(&[u8]) -> bool,
    ) -> Peeked {
        if matches!(self.rest, Rest::Broken { .. }) {
            return Peeked::Broken;
        }
        while !matches!(self.rest, Rest::Nothing) {
            if self.ready.len() > limit || enough(&self.ready) {
                return Peeked::TooLong;
            }
            match poll_fn(|cx| self.rest.poll_frame(cx)).await {
                None if self.rest.is_end_stream() => self.rest = Rest::Nothing,
                None => {
                    self.rest = Rest::Ended;
                    break;
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        append(&mut self.ready, data, limit);
                    }
                }
                Some(Err(error)) => {
                    let (error, hint) = (Some(error), self.rest.size_hint());
                    self.rest = Rest::Broken { error, hint };
                    return Peeked::Broken;
                }
            }
        }
        if self.ready.len() > limit {
            Peeked::TooLong
        } else {
            Peeked::Whole(self.ready.clone())
        }
    }
}

/// Adds a piece to what was read of a body. The first piece is not copied. The buffer grows to at most `limit`, the most
/// bytes that are read, or to the bytes received.
fn append(read: &mut Bytes, piece: Bytes, limit: usize) {
    if read.is_empty() {
        *read = piece;
        return;
    }
    let mut all = Vec::from(std::mem::take(read));
    let length = all.len() + piece.len();
    if length > all.capacity() {
        all.reserve_exact((2 * length).min(limit).max(length) - all.len());
    }
    all.extend_from_slice(&piece);
    *read = all.into();
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
        loop {
            match ready!(this.rest.poll_frame(cx)) {
                // Trailers are dropped: hyper does not filter the names that are not allowed in them.
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(Ok(frame)) => {
                    if let Some(upload) = &this.upload {
                        upload.advance(frame.data_ref().map_or(&[], |data| data));
                    }
                    this.tell_end();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    if let Some(upload) = &this.upload {
                        upload.break_off();
                    }
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.rest = Rest::Nothing;
                    this.tell_end();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_through()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(self.ready.len() as u64 + rest),
            None => SizeHint::default(),
        }
    }
}
