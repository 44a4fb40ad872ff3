//! Message bodies: streamed where nobody has to look, bounded where somebody does.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::server::place::{Place, UploadPlace};
use crate::server::watch::Watch;
use crate::upstream::{Download, Lookalike, Upload};

/// A body on its way through the gate, in either direction.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// What was read already, or what we wrote ourselves: it goes out first.
    ready: Bytes,
    rest: Rest,
    /// Told how far it has come, for whoever waits for the other side.
    upload: Option<Arc<Upload>>,
    taken: Taken,
}

/// What comes after the bytes that are ready.
#[derive(Debug, Default)]
enum Rest {
    /// Nothing, and it is known how long the body is.
    #[default]
    Nothing,
    /// Nothing, because [`Body::peek`] has read the end. It came without a length, and is sent on without one.
    Ended,
    /// What a client still sends. Its connection is told while we wait for it. Leads to `Ended` and `Broken` when it is read ahead, and
    /// to `Nothing` when it is sent on.
    Client { body: Incoming, watch: Arc<Watch> },
    /// What the upstream still sends, which may not be silent for too long. Leads to the same.
    Upstream {
        body: Download<Box<Body>>,
        patience: Patience,
    },
    /// An end that is none, found by [`Body::peek`]: told to whoever reads on. Leads to `Nothing` then.
    Broken {
        error: Error,
        /// Of what was still to come.
        hint: SizeHint,
    },
}

/// The place in flight that is taken for as long as there is the body.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "it is there to be dropped")]
enum Taken {
    #[default]
    None,
    /// That of a request's body.
    Upload(UploadPlace),
    /// That of an answer: it sees to it itself that it is not free before the body is written.
    Answer(Place),
}

impl Rest {
    /// The next piece, trailers included.
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
            Self::Broken { .. } => {
                // What broke off before its end must never look whole.
                let told = std::mem::take(self).broken();
                Poll::Ready(told.map(Err))
            }
        }
    }

    fn broken(self) -> Option<Error> {
        match self {
            Self::Broken { error, .. } => Some(error),
            Self::Nothing | Self::Ended | Self::Client { .. } | Self::Upstream { .. } => None,
        }
    }

    /// Whether it is known without another look that nothing more comes.
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

/// Why a body has no proper end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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

/// What [`Body::peek`] found.
#[derive(Debug)]
pub(crate) enum Peeked {
    /// The whole body, which also stands ready to be sent on.
    Whole(Bytes),
    /// It is longer than the limit.
    TooLong,
    /// The other side stopped in the middle.
    Broken,
}

impl Body {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// These bytes.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            ready: bytes.into(),
            ..Self::default()
        }
    }

    /// A client's request body: while we wait for it, the client's connection counts as waiting.
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

    /// Tells of the pieces that are still to come, and of a body that could be read as a request; none when all is here and
    /// could not. To be asked once, before the body goes out.
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

    /// Has that place until it is through.
    pub(crate) fn keep(&mut self, place: UploadPlace) {
        self.taken = Taken::Upload(place);
    }

    /// An upstream's response body: between two pieces of it no more than `patience` may pass.
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
            taken: Taken::Answer(place),
            ..Self::default()
        }
    }

    /// Whether the last byte has gone out.
    fn is_through(&self) -> bool {
        self.ready.is_empty() && self.rest.is_end_stream()
    }

    /// Tells of the end as soon as it is known: nobody polls on when a Content-Length is used up.
    fn tell_end(&mut self) {
        if let Some(upload) = &self.upload
            && self.is_through()
        {
            upload.finish();
        }
    }

    /// Whether it was read to its end, and nothing broke off.
    pub(crate) fn is_all_read(&self) -> bool {
        matches!(self.rest, Rest::Ended) || self.rest.is_end_stream()
    }

    /// Whether it says that it is no longer than that.
    pub(crate) fn is_at_most(&self, bytes: usize) -> bool {
        let upper = HttpBody::size_hint(self).upper();
        upper.is_some_and(|upper| usize::try_from(upper).is_ok_and(|upper| upper <= bytes))
    }

    /// What was read of it and not yet sent on.
    pub(crate) fn read(&self) -> Bytes {
        self.ready.clone()
    }

    /// Other bytes in place of all that there are.
    pub(crate) fn replace(&mut self, bytes: Vec<u8>) {
        self.ready = bytes.into();
        self.rest = Rest::Nothing;
        self.tell_end();
    }

    /// Reads up to `limit` bytes without consuming them: the body can be sent on afterwards, byte for byte and with
    /// the framing that it came with.
    pub(crate) async fn peek(&mut self, limit: usize) -> Peeked {
        self.peek_unless(limit, |_| false).await
    }

    /// The same; but as soon as `enough` says so of what is there, the rest may come when it is sent on. What is too long is so
    /// from then on, too.
    pub(crate) async fn peek_unless(
        &mut self,
        limit: usize,
        mut enough: impl FnMut(&[u8]) -> bool,
    ) -> Peeked {
        if matches!(self.rest, Rest::Broken { .. }) {
            return Peeked::Broken;
        }
        let mut read = Gathered::from(std::mem::take(&mut self.ready));
        while !matches!(self.rest, Rest::Nothing) {
            if read.len() > limit || enough(read.so_far()) {
                self.ready = read.whole();
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
                        read.push(data, limit);
                    }
                }
                Some(Err(error)) => {
                    self.ready = read.whole();
                    let hint = self.rest.size_hint();
                    self.rest = Rest::Broken { error, hint };
                    return Peeked::Broken;
                }
            }
        }
        self.ready = read.whole();
        if self.ready.len() > limit {
            Peeked::TooLong
        } else {
            Peeked::Whole(self.ready.clone())
        }
    }
}

/// Pieces of a body, put together. Most bodies come in one, which is not copied.
struct Gathered {
    only: Bytes,
    several: Vec<u8>,
}

impl Gathered {
    /// `limit`: of what may be read. No more memory is taken than that, or than there is.
    fn push(&mut self, piece: Bytes, limit: usize) {
        if self.len() == 0 {
            self.only = piece;
            return;
        }
        let only = std::mem::take(&mut self.only);
        let length = self.several.len() + only.len() + piece.len();
        if length > self.several.capacity() {
            let room = (2 * length).min(limit).max(length);
            self.several.reserve_exact(room - self.several.len());
        }
        self.several.extend_from_slice(&only);
        self.several.extend_from_slice(&piece);
    }

    fn len(&self) -> usize {
        self.only.len() + self.several.len()
    }

    fn so_far(&self) -> &[u8] {
        if self.several.is_empty() {
            &self.only
        } else {
            &self.several
        }
    }

    fn whole(self) -> Bytes {
        if self.several.is_empty() {
            self.only
        } else {
            self.several.into()
        }
    }
}

impl From<Bytes> for Gathered {
    fn from(only: Bytes) -> Self {
        Self {
            only,
            several: Vec::new(),
        }
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
        loop {
            match ready!(this.rest.poll_frame(cx)) {
                // Trailers end here: hyper filters none of the names that must not travel in them.
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
