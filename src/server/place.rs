//! Places among the requests on their way: what is held for an answer counts until the client's socket has taken it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::peer::Peer;
use super::watch::Watch;

/// How many requests are on their way to one upstream, or have an answer that is not written yet.
#[derive(Debug, Default)]
pub struct InFlight {
    all: Arc<AtomicUsize>,
    uploads: Arc<Uploads>,
}

/// Requests whose body is still on its way. They have a share of the places, and each peer has a share of theirs: who sends
/// its body slowly, or not at all, keeps out nobody but others that do the same.
#[derive(Debug, Default)]
struct Uploads {
    all: AtomicUsize,
    peers: Mutex<HashMap<Peer, usize>>,
}

/// The share of uploads in all places, and that of a peer.
const UPLOADS: usize = 2;
const OF_A_PEER: usize = 8;

impl InFlight {
    /// At this moment.
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// A place for one more request of the connection that the watch is for, unless `limit` are taken. `upload`: who is still
    /// sending its body.
    pub fn enter(&self, limit: usize, watch: &Arc<Watch>, upload: Option<Peer>) -> Option<Place> {
        let upload = match upload {
            Some(peer) => Some(self.uploads.enter(limit, peer)?),
            None => None,
        };
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.all));
        (before < limit).then(|| Place {
            counted: Some(counted),
            watch: Arc::clone(watch),
            _upload: upload,
        })
    }
}

impl Uploads {
    fn enter(self: &Arc<Self>, limit: usize, peer: Peer) -> Option<UploadPlace> {
        let mut peers = self.peers();
        let all = self.all.load(Ordering::Relaxed);
        let own = peers.entry(peer).or_default();
        let has_share = peer != Peer::Proxy && *own >= (limit / OF_A_PEER).max(1);
        if has_share || all >= (limit / UPLOADS).max(1) {
            if *own == 0 {
                peers.remove(&peer);
            }
            return None;
        }
        *own += 1;
        self.all.store(all + 1, Ordering::Relaxed);
        Some(UploadPlace {
            uploads: Arc::clone(self),
            peer,
        })
    }

    fn peers(&self) -> std::sync::MutexGuard<'_, HashMap<Peer, usize>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of an upload, among those.
#[derive(Debug)]
struct UploadPlace {
    uploads: Arc<Uploads>,
    peer: Peer,
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut peers = self.uploads.peers();
        self.uploads.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(own) = peers.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// A place. Dropped while the request is still being answered it is free at once: nothing of the upstream's is left. Dropped
/// when the answer has ended it is free as soon as all of that has been written to the client's socket: until then the bytes
/// lie in hyper's buffers, for as long as a client likes that does not read.
#[derive(Debug)]
pub struct Place {
    counted: Option<Counted>,
    watch: Arc<Watch>,
    /// Where the body was still on its way.
    _upload: Option<UploadPlace>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(counted) = self.counted.take() {
            self.watch.keep_until_written(counted);
        }
    }
}

/// One of those that are counted; no longer when it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// Of a connection whose request is being answered.
    fn watch() -> Arc<Watch> {
        let watch = Watch::new(Clock::manual().0, Arc::default());
        watch.request_begins();
        Arc::new(watch)
    }

    #[test]
    fn uploads_leave_half_of_the_places_to_others_and_a_peer_leaves_most_uploads_to_others() {
        let (in_flight, watch) = (InFlight::default(), watch());
        let enter = |upload| in_flight.enter(16, &watch, upload);
        let one = [enter(Some(Peer::V4([1; 4]))), enter(Some(Peer::V4([1; 4])))];
        assert!(one.iter().all(Option::is_some));
        assert!(enter(Some(Peer::V4([1; 4]))).is_none(), "an eighth");
        let proxy: Vec<_> = (0..6).map(|_| enter(Some(Peer::Proxy))).collect();
        assert!(proxy.iter().all(Option::is_some), "it has no share");
        assert!(enter(Some(Peer::Proxy)).is_none(), "half");
        assert!(enter(Some(Peer::V4([2; 4]))).is_none(), "half");
        let others: Vec<_> = (0..8).map(|_| enter(None)).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(enter(None).is_none(), "all");
        drop(one);
        assert!(enter(Some(Peer::V4([2; 4]))).is_some());
    }

    #[test]
    fn what_has_ended_is_counted_no_more() {
        let (in_flight, watch) = (InFlight::default(), watch());
        for _ in 0..100 {
            assert!(in_flight.enter(1, &watch, Some(Peer::V4([1; 4]))).is_some());
        }
        assert_eq!(in_flight.count(), 0);
        assert!(in_flight.uploads.peers().is_empty());
        assert_eq!(in_flight.uploads.all.load(Ordering::Relaxed), 0);
    }
}
