//! Message bodies: streamed where nobody has to look, bounded where somebody does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::server::place::{Place, UploadPlace};
use crate::server::watch::Watch;
use crate::upstream::{Download, Lookalike, Upload};

/// A body on its way through the gate, in either direction.
#[derive(Debug, Default)]
pub struct Body {
    /// What was read already, or what we wrote ourselves.
    ready: Bytes,
    /// What is still to come.
    rest: Option<Rest>,
    /// Whether nothing more is to come: of a body in chunks that is known when its end was read.
    is_ended: bool,
    /// How it broke off, when a look at it found that it did: told again to whoever reads on.
    broken: Option<Error>,
    /// The client's connection, told while we wait for its bytes.
    watch: Option<Arc<Watch>>,
    /// How long the upstream may be silent.
    patience: Option<Patience>,
    /// Told how far it has come, for whoever waits for the other side.
    upload: Option<Arc<Upload>>,
    /// A place in flight, for as long as there is a body; it sees to it itself that it is not free before the body is written.
    _place: Option<Place>,
    /// The place of a request's body that is still on its way.
    _upload_place: Option<UploadPlace>,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Rest {
    Client(Incoming),
    Upstream(Download<Box<Body>>),
}

impl Rest {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::Client(body) => Pin::new(body).poll_frame(cx),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
        }
    }
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
    pub fn from_client(incoming: Incoming, watch: &Arc<Watch>) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self {
            rest: Some(Rest::Client(incoming)),
            watch: Some(Arc::clone(watch)),
            ..Self::default()
        }
    }

    /// Tells of the pieces that are still to come, and of a body that could be read as a request; none when all is here and
    /// could not. To be asked once, before the body goes out.
    pub fn upload(&mut self) -> Option<Arc<Upload>> {
        let mut lookalike = Lookalike::default();
        let is_suspect = lookalike.feed(&self.ready);
        let is_coming = !self.has_ended();
        if !is_coming && !is_suspect {
            return None;
        }
        let upload = Arc::new(Upload::after(lookalike));
        self.upload = Some(Arc::clone(&upload));
        Some(upload)
    }

    /// Has that place until it is through.
    pub fn keep(&mut self, place: UploadPlace) {
        *self = Self {
            _upload_place: Some(place),
            ..std::mem::take(self)
        };
    }

    /// An upstream's response body: between two pieces of it no more than `patience` may pass.
    pub fn from_upstream(body: Download<Box<Self>>, patience: Duration, place: Place) -> Self {
        Self {
            rest: Some(Rest::Upstream(body)),
            _place: Some(place),
            patience: Some(Patience {
                limit: patience,
                timer: None,
            }),
            ..Self::default()
        }
    }

    /// Whether the last byte has gone out.
    fn is_through(&self) -> bool {
        self.ready.is_empty()
            && self.broken.is_none()
            && self.rest.as_ref().is_none_or(Rest::is_end_stream)
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
    pub fn is_all_read(&self) -> bool {
        self.broken.is_none() && self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.is_ended || self.rest.as_ref().is_none_or(Rest::is_end_stream)
    }

    /// Whether it says that it is no longer than that.
    pub fn is_at_most(&self, bytes: usize) -> bool {
        let upper = HttpBody::size_hint(self).upper();
        upper.is_some_and(|upper| usize::try_from(upper).is_ok_and(|upper| upper <= bytes))
    }

    /// What was read of it and not yet sent on.
    pub fn read(&self) -> Bytes {
        self.ready.clone()
    }

    /// Other bytes in place of all that there are.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.ready = bytes.into();
        self.rest = None;
        self.broken = None;
        self.tell_end();
    }

    /// Reads up to `limit` bytes without consuming them: the body can be sent on afterwards, byte for byte and with
    /// the framing that it came with.
    pub async fn peek(&mut self, limit: usize) -> Peeked {
        self.peek_unless(limit, |_| false).await
    }

    /// The same; but as soon as `enough` says so of what is there, the rest may come when it is sent on. What is too long is so
    /// from then on, too.
    pub async fn peek_unless(
        &mut self,
        limit: usize,
        mut enough: impl FnMut(&[u8]) -> bool,
    ) -> Peeked {
        let mut read = Gathered::from(std::mem::take(&mut self.ready));
        while let Some(rest) = self.rest.as_mut() {
            if read.len() > limit || enough(read.so_far()) {
                self.ready = read.whole();
                return Peeked::TooLong;
            }
            let mut waiting = Frames {
                rest,
                watch: self.watch.as_deref(),
                patience: self.patience.as_mut(),
            };
            match waiting.frame().await {
                None => {
                    self.is_ended = true;
                    break;
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        read.push(data, limit);
                    }
                }
                Some(Err(error)) => {
                    self.ready = read.whole();
                    self.broken = Some(error);
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

/// The frames of a body that is still coming. Of a client's, its connection is told when we wait; an upstream's runs out
/// of time.
struct Frames<'a> {
    rest: &'a mut Rest,
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
        let polled = self.rest.poll_frame(cx);
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
                        match (&this.upload, &frame) {
                            (Some(upload), Ok(frame)) => {
                                upload.advance(frame.data_ref().map_or(&[], |data| data));
                            }
                            (Some(upload), Err(_)) => upload.break_off(),
                            (None, _) => {}
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
        self.is_through()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.ready.len() as u64;
        match self.rest.as_ref().map(Rest::size_hint) {
            None => SizeHint::with_exact(ready),
            Some(rest) => match rest.exact() {
                Some(rest) => SizeHint::with_exact(ready + rest),
                None => SizeHint::default(),
            },
        }
    }
}
