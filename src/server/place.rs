//! Places among the requests on their way: what is held for an answer counts until the client's socket has taken it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::peer::{Held, has_room, scarce};
use super::watch::{Keep, Watch};

/// How many requests are on their way to one upstream, or have an answer that is not written yet.
///
/// Each network has a share of the places. Those whose body is still on its way have half of them, and each
/// network a share of that: a client that sends its body slowly, or not at all, keeps out only others that do the same.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    all: Arc<AtomicUsize>,
    uploads: Arc<AtomicUsize>,
}

/// The share of uploads in all places.
const UPLOADS: usize = 2;

impl InFlight {
    /// At this moment.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// How many places are free of `limit`, for requests and for those whose body is on its way; `None` where there are plenty.
    pub(super) fn free(&self, limit: usize) -> [Option<usize>; 2] {
        let taken = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        [
            scarce(taken(&self.all), limit),
            scarce(taken(&self.uploads), most_uploads(limit)),
        ]
    }

    /// A place for one more request of the connection that the watch is for, unless `limit` are taken, or its network has its
    /// share.
    pub(crate) fn enter(&self, limit: usize, watch: &Arc<Watch>) -> Option<Place> {
        let one = One::of(&self.all, What::Request, watch, limit)?;
        Some(Place(Some(Arc::new(one))))
    }

    /// The same for a request whose body is still on its way, and the place of that.
    pub(crate) fn enter_upload(
        &self,
        limit: usize,
        watch: &Arc<Watch>,
    ) -> Option<(Place, UploadPlace)> {
        let mut upload = One::of(&self.uploads, What::Upload, watch, most_uploads(limit))?;
        let request = Arc::new(One::of(&self.all, What::Request, watch, limit)?);
        upload.with = Some(Arc::clone(&request));
        let upload = UploadPlace(Box::new(upload));
        Some((Place(Some(request)), upload))
    }
}

fn most_uploads(limit: usize) -> usize {
    (limit / UPLOADS).max(1)
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Request,
    Upload,
}

impl What {
    fn of(self, held: &Held) -> &AtomicUsize {
        match self {
            Self::Request => &held.requests,
            Self::Upload => &held.uploads,
        }
    }
}

/// One that is counted: altogether, of its connection and of the network of that. No longer when it is dropped.
#[derive(Debug)]
pub(super) struct One {
    all: Arc<AtomicUsize>,
    watch: Arc<Watch>,
    what: What,
    /// Of an upload the request that it belongs to.
    with: Option<Arc<Self>>,
}

impl One {
    fn of(all: &Arc<AtomicUsize>, what: What, watch: &Arc<Watch>, limit: usize) -> Option<Self> {
        let one = Self {
            all: Arc::clone(all),
            watch: Arc::clone(watch),
            what,
            with: None,
        };
        let taken = all.fetch_add(1, Ordering::Relaxed);
        let own = one.own().map(|own| own.fetch_add(1, Ordering::Relaxed));
        one.held().fetch_add(1, Ordering::Relaxed);
        // Dropped, it is counted no more.
        let has_place = taken < limit && own.is_none_or(|own| has_room(own, taken, limit));
        has_place.then_some(one)
    }

    /// What its connection has of them.
    fn held(&self) -> &AtomicUsize {
        self.what.of(self.watch.held())
    }

    /// What its network has of them.
    fn own(&self) -> Option<&AtomicUsize> {
        Some(self.what.of(self.watch.network()?))
    }

    /// The answer has ended, or there is none.
    fn end(self: Arc<Self>) {
        let watch = Arc::clone(&self.watch);
        watch.keep_until_written(self);
    }
}

impl Keep for One {}

impl Drop for One {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.held().fetch_sub(1, Ordering::Relaxed);
        if let Some(own) = self.own() {
            own.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The place of a body on its way. A server may answer before it has all of the body: until that is through, or given up, its
/// request has its place, because the connection to the upstream is taken for as long.
#[derive(Debug)]
pub(crate) struct UploadPlace(#[expect(dead_code, reason = "it is there to be dropped")] Box<One>);

/// A place. Dropped while the request is still being answered it is free at once: nothing of the upstream's is left. Dropped
/// when the answer has ended it is free as soon as all of that has been written to the client's socket: until then the bytes
/// lie in hyper's buffers, for as long as a client likes that does not read.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<One>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(one) = self.0.take() {
            one.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// Of a connection whose request is being answered, from a network of its own or from a proxy.
    fn watch(is_proxy: bool) -> Arc<Watch> {
        let watch = Watch::new(Clock::manual().0, Arc::default());
        if !is_proxy {
            watch.is_of(Arc::default());
        }
        watch.request_begins();
        Arc::new(watch)
    }

    fn most(enter: impl FnMut() -> Option<Place>) -> Vec<Place> {
        std::iter::from_fn(enter).take(100).collect()
    }

    #[test]
    fn one_network_leaves_a_quarter_of_the_places_and_another_one_leaves_some_of_that() {
        let in_flight = InFlight::default();
        let watches: Vec<_> = (0..3).map(|_| watch(false)).collect();
        let one = most(|| in_flight.enter(16, &watches[0]));
        assert_eq!(one.len(), 12);
        let two = most(|| in_flight.enter(16, &watches[1]));
        assert_eq!(two.len(), 3);
        assert_eq!(most(|| in_flight.enter(16, &watches[2])).len(), 1);
        drop(one);
        assert_eq!(most(|| in_flight.enter(16, &watches[2])).len(), 9);
    }

    #[test]
    fn a_proxy_has_all_places_and_uploads_have_half_of_them() {
        let (in_flight, proxy, one) = (InFlight::default(), watch(true), watch(false));
        let upload = |watch: &Arc<Watch>| in_flight.enter_upload(16, watch);
        let own: Vec<_> = std::iter::from_fn(|| upload(&one)).collect();
        assert_eq!(own.len(), 6, "of the half");
        let others: Vec<_> = std::iter::from_fn(|| upload(&proxy)).collect();
        assert_eq!((others.len(), in_flight.count()), (2, 8), "half");
        assert_eq!(most(|| in_flight.enter(16, &proxy)).len(), 8, "all");
        drop(own);
        assert!(upload(&one).is_some());
    }

    #[test]
    fn a_request_that_is_answered_before_its_body_is_through_keeps_its_place() {
        let (in_flight, watch) = (InFlight::default(), watch(false));
        let (place, upload) = in_flight.enter_upload(1, &watch).unwrap();
        drop(place);
        assert_eq!(in_flight.count(), 1);
        assert!(in_flight.enter(1, &watch).is_none());
        drop(upload);
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn what_has_ended_or_was_refused_is_counted_no_more() {
        let (in_flight, watch) = (InFlight::default(), watch(false));
        for _ in 0..100 {
            let taken = in_flight.enter_upload(1, &watch);
            assert!(taken.is_some());
            assert!(in_flight.enter_upload(1, &watch).is_none());
            assert!(in_flight.enter(1, &watch).is_none());
        }
        let (held, own) = (watch.held(), watch.network().unwrap());
        let counts = [
            &*in_flight.all,
            &*in_flight.uploads,
            &held.requests,
            &held.uploads,
            &own.requests,
            &own.uploads,
        ];
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [0; 6]);
    }
}
