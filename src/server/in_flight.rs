//! Places for requests in flight. A place is kept until the response has been written to the client's socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::peer::{Held, has_room, scarce};
use super::watch::{Keep, Watch};

/// The number of requests that are in flight to one upstream, or whose response is not written yet.
///
/// Each network has a share of the places. Requests whose body is still being received may take half of them, and each
/// network a share of that half: a client that sends its body slowly, or not at all, only keeps out others that do the
/// same.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    all: Arc<AtomicUsize>,
    uploads: Arc<AtomicUsize>,
}

/// The fraction of all places that uploads may take.
const UPLOADS: usize = 2;

impl InFlight {
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// The free places of `limit` for requests and for uploads; `None` while they are not scarce.
    pub(super) fn free(&self, limit: usize) -> [Option<usize>; 2] {
        let taken = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        [
            scarce(taken(&self.all), limit),
            scarce(taken(&self.uploads), most_uploads(limit)),
        ]
    }

    /// Takes a place for a request on the connection of this watch. `None`: `limit` places are taken, or the network's
    /// share is used up.
    pub(crate) fn enter(&self, limit: usize, watch: &Arc<Watch>) -> Option<Place> {
        let one = One::of(&self.all, |held| &held.requests, watch, limit)?;
        Some(Place(Some(Arc::new(one))))
    }

    /// Takes a place for a request whose body is still being received, and a place for the upload.
    pub(crate) fn enter_upload(
        &self,
        limit: usize,
        watch: &Arc<Watch>,
    ) -> Option<(Place, UploadPlace)> {
        let most = most_uploads(limit);
        let mut upload = One::of(&self.uploads, |held| &held.uploads, watch, most)?;
        let request = Arc::new(One::of(&self.all, |held| &held.requests, watch, limit)?);
        upload.with = Some(Arc::clone(&request));
        let upload = UploadPlace(Box::new(upload));
        Some((Place(Some(request)), upload))
    }
}

fn most_uploads(limit: usize) -> usize {
    (limit / UPLOADS).max(1)
}

/// Which of the counts of a connection or network a place belongs to.
type CountOf = fn(&Held) -> &AtomicUsize;

/// One counted place: in total, for its connection and for its network. Given back on drop.
#[derive(Debug)]
pub(super) struct One {
    all: Arc<AtomicUsize>,
    watch: Arc<Watch>,
    count_of: CountOf,
    /// For an upload: the place of its request.
    with: Option<Arc<Self>>,
}

impl One {
    fn of(
        all: &Arc<AtomicUsize>,
        count_of: CountOf,
        watch: &Arc<Watch>,
        limit: usize,
    ) -> Option<Self> {
        let one = Self {
            all: Arc::clone(all),
            watch: Arc::clone(watch),
            count_of,
            with: None,
        };
        let taken = all.fetch_add(1, Ordering::Relaxed);
        let own = one.own().map(|own| own.fetch_add(1, Ordering::Relaxed));
        one.held().fetch_add(1, Ordering::Relaxed);
        // Given back by the drop if there is no room.
        let has_place = taken < limit && own.is_none_or(|own| has_room(own, taken, limit));
        has_place.then_some(one)
    }

    fn held(&self) -> &AtomicUsize {
        (self.count_of)(&self.watch.held)
    }

    /// The count for its network; `None` for a proxy.
    fn own(&self) -> Option<&AtomicUsize> {
        Some((self.count_of)(self.watch.network.get()?))
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

/// The place of an upload. A server may respond before it has the whole body; until the body is sent or given up, the
/// place of the request stays taken as well, because the connection to the upstream is.
#[derive(Debug)]
pub(crate) struct UploadPlace(#[expect(dead_code, reason = "held for its drop")] Box<One>);

/// The place of a request. If it is dropped while the request is still being answered, it is free at once: nothing of a
/// response is buffered. If it is dropped after the response has ended, it is free when the response is written to the
/// client's socket: until then its bytes are in hyper's buffers, for as long as the client does not read.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<One>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(one) = self.0.take() {
            Arc::clone(&one.watch).keep_until_written(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// The watch of a connection whose request is being answered, from a different network each time, or from a proxy.
    fn watch(is_proxy: bool) -> Arc<Watch> {
        let watch = Watch::new(Clock::manual().0, Arc::default());
        if !is_proxy {
            watch.network.get_or_init(Arc::default);
        }
        watch.request_begins();
        Arc::new(watch)
    }

    fn most(enter: impl FnMut() -> Option<Place>) -> Vec<Place> {
        std::iter::from_fn(enter).take(100).collect()
    }

    #[test]
    fn a_network_leaves_a_quarter_of_the_places_and_a_second_one_a_part_of_that() {
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
        assert_eq!(own.len(), 6, "three quarters of the half");
        let others: Vec<_> = std::iter::from_fn(|| upload(&proxy)).collect();
        assert_eq!((others.len(), in_flight.count()), (2, 8), "half");
        assert_eq!(most(|| in_flight.enter(16, &proxy)).len(), 8, "all");
        drop(own);
        assert!(upload(&one).is_some());
    }

    #[test]
    fn a_request_answered_before_the_end_of_its_body_keeps_its_place() {
        let (in_flight, watch) = (InFlight::default(), watch(false));
        let (place, upload) = in_flight.enter_upload(1, &watch).unwrap();
        drop(place);
        assert_eq!(in_flight.count(), 1);
        assert!(in_flight.enter(1, &watch).is_none());
        drop(upload);
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn ended_and_refused_requests_are_not_counted() {
        let (in_flight, watch) = (InFlight::default(), watch(false));
        for _ in 0..100 {
            let taken = in_flight.enter_upload(1, &watch);
            assert!(taken.is_some());
            assert!(in_flight.enter_upload(1, &watch).is_none());
            assert!(in_flight.enter(1, &watch).is_none());
        }
        let (held, own) = (&watch.held, watch.network.get().unwrap());
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
