//! Places among the requests on their way: what is held for an answer counts until the client's socket has taken it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::watch::Watch;

/// How many requests are on their way to one upstream, or have an answer that is not written yet.
#[derive(Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// At this moment.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A place for one more request of the connection that the watch is for, unless `limit` are taken.
    pub fn enter(&self, limit: usize, watch: &Arc<Watch>) -> Option<Place> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.0));
        (before < limit).then(|| Place {
            counted: Some(counted),
            watch: Arc::clone(watch),
        })
    }
}

/// A place. Dropped while the request is still being answered it is free at once: nothing of the upstream's is left. Dropped
/// when the answer has ended it is free as soon as all of that has been written to the client's socket: until then the bytes
/// lie in hyper's buffers, for as long as a client likes that does not read.
#[derive(Debug)]
pub struct Place {
    counted: Option<Counted>,
    watch: Arc<Watch>,
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
