//! Each worker has a link of its own: connections belong to the runtime of the thread that opened them.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use tokio::runtime::{Handle, Id};

use super::link::{Deployment, Link};

/// The links of all workers to one deployment.
pub(super) struct Workers(Arc<Deployment>);

/// A link of this thread, for one deployment and one runtime.
struct Own {
    runtime: Id,
    deployment: Weak<Deployment>,
    link: Arc<Link>,
}

thread_local! {
    static LINKS: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

impl Workers {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        Self(deployment)
    }

    pub(super) fn deployment(&self) -> &Arc<Deployment> {
        &self.0
    }

    /// The link of the runtime that calls this. Must be called within one.
    pub(super) fn link(&self) -> Arc<Link> {
        let runtime = Handle::current().id();
        LINKS.with_borrow_mut(|links| {
            // A configuration that is not in force any more takes its connections with it.
            links.retain(|own| own.runtime == runtime && own.deployment.strong_count() > 0);
            let is_it = |own: &&Own| std::ptr::eq(own.deployment.as_ptr(), Arc::as_ptr(&self.0));
            if let Some(own) = links.iter().find(is_it) {
                return Arc::clone(&own.link);
            }
            let link = Arc::new(Link::new(Arc::clone(&self.0)));
            links.push(Own {
                runtime,
                deployment: Arc::downgrade(&self.0),
                link: Arc::clone(&link),
            });
            link
        })
    }
}
