//! Connections for one call at a time. `WAIT` holds up everything that is sent after it on the same connection, so a write that
//! waits for replicas shares none.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Entrance, lock};
use super::failed::Failed;
use super::target::Address;
use crate::store::settings::WAITING_WRITES;

/// Connections that are kept for later calls.
const SPARE: usize = 4;

#[derive(Debug)]
pub(super) struct Leases {
    spare: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            spare: Mutex::default(),
            // Further writes wait for their turn, within their deadline.
            permits: Arc::new(Semaphore::new(WAITING_WRITES)),
        }
    }
}

/// A connection for one call only. Dropping it closes the connection; the server then forgets what it has not carried out.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Leases {
    /// A connection to this server; opens one if none is spare.
    pub(super) async fn take(&self, entrance: &Entrance, to: &Address) -> Result<Lease, Failed> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_never_closed| Failed::Unreachable)?;
        let connection = match self.spare(to) {
            Some(spare) => spare,
            None => entrance.open(to).await?,
        };
        Ok(Lease {
            connection,
            _permit: permit,
        })
    }

    fn spare(&self, to: &Address) -> Option<Connection> {
        let mut spare = lock(&self.spare);
        // Those to an earlier master are of no use any more.
        spare.retain(|spare| !spare.is_over() && spare.address() == to);
        spare.pop()
    }

    /// Keeps a connection on which nothing is outstanding.
    pub(super) fn give_back(&self, lease: Lease) {
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE && !lease.connection.is_over() {
            spare.push(lease.connection);
        }
    }
}
