//! Where calls go: one server, or the master that Sentinel names. A place has at most one connection that calls share, which is
//! opened when it is needed; writes that wait for replicas have others (`lease.rs`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::connection::{Connection, Entrance, lock};
use super::failed::Failed;
use super::lease::{Lease, Leases};
use super::target::Address;

#[derive(Debug, Clone)]
pub(super) enum Way {
    At(Address),
    /// The master that is named so by one of these sentinels.
    Master(Vec<Address>, Arc<str>),
}

/// A worker's access to one server.
#[derive(Debug)]
pub(super) struct Place {
    way: Way,
    entrance: Arc<Entrance>,
    /// Shared by all workers.
    pub(super) breaker: Arc<Breaker>,
    live: Mutex<Option<Arc<Connection>>>,
    /// One caller at a time opens a connection; the others then use it.
    opening: tokio::sync::Mutex<()>,
    leases: Leases,
}

impl Place {
    pub(super) fn new(way: Way, entrance: Arc<Entrance>, breaker: Arc<Breaker>) -> Self {
        Self {
            way,
            entrance,
            breaker,
            live: Mutex::new(None),
            opening: tokio::sync::Mutex::new(()),
            leases: Leases::default(),
        }
    }

    fn live(&self) -> Option<Arc<Connection>> {
        lock(&self.live).clone().filter(|live| !live.is_over())
    }

    /// The connection; opens one if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Failed> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let _opening = self.opening.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let opened = match &self.way {
            Way::At(address) => self.entrance.open(address).await?,
            Way::Master(sentinels, name) => master(&self.entrance, sentinels, name).await?,
        };
        let opened = Arc::new(opened);
        *lock(&self.live) = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// A connection to the same server as this one, for one call alone.
    pub(super) async fn lease(&self, as_to: &Connection) -> Result<Lease, Failed> {
        self.leases.take(&self.entrance, as_to.address()).await
    }

    /// For a later call. Nothing may be outstanding on it.
    pub(super) fn give_back(&self, lease: Lease) {
        self.leases.give_back(lease);
    }

    /// Leaves a server that is not the master any more, though it accepts writes: after `SENTINEL FAILOVER` the old master does so
    /// for some seconds, and what it accepts then is lost.
    pub(super) async fn follow(&self) {
        let (Way::Master(sentinels, name), Some(live)) = (&self.way, self.live()) else {
            return;
        };
        let elected = elected(&self.entrance, sentinels, name).await;
        if elected.is_some_and(|address| address != *live.address()) {
            self.leave(&live);
        }
    }

    /// The next call opens a new connection. Calls that wait on this one still get their answers.
    pub(super) fn leave(&self, connection: &Arc<Connection>) {
        let mut live = lock(&self.live);
        if live
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, connection))
        {
            *live = None;
        }
    }

    /// As [`Place::leave`], whatever the connection is.
    pub(super) fn leave_any(&self) {
        *lock(&self.live) = None;
    }
}

/// How long to wait for the other sentinels once a master is found.
const GRACE: Duration = Duration::from_millis(50);

enum Step {
    Named(Option<Address>),
    Opened(Address, Result<Connection, Failed>),
}

/// A server that sentinels name.
struct Candidate {
    address: Address,
    votes: usize,
    connection: Option<Connection>,
}

/// Asks all sentinels at once, and connects to every server that they name. Of those that confirm to be a master, the one that
/// most sentinels name wins. After a failover some sentinels name the old master for a while, and it may be stopped, be a replica
/// by now, or still believe that it is the master.
async fn master(
    entrance: &Arc<Entrance>,
    sentinels: &[Address],
    name: &Arc<str>,
) -> Result<Connection, Failed> {
    let mut steps = questions(entrance, sentinels, name);
    let (mut candidates, mut failed) = (Vec::<Candidate>::new(), Failed::Unreachable);
    let mut patience = None;
    loop {
        let step = match patience {
            None => steps.join_next().await,
            Some(until) => timeout_at(until, steps.join_next()).await.unwrap_or(None),
        };
        match step {
            None => break,
            Some(Ok(Step::Named(Some(address)))) => {
                if let Some(known) = candidates.iter_mut().find(|c| c.address == address) {
                    known.votes += 1;
                } else {
                    let (entrance, to) = (Arc::clone(entrance), address.clone());
                    steps.spawn(async move {
                        let opened = open_master(&entrance, &to).await;
                        Step::Opened(to, opened)
                    });
                    candidates.push(Candidate {
                        address,
                        votes: 1,
                        connection: None,
                    });
                }
            }
            Some(Ok(Step::Opened(address, Ok(connection)))) => {
                patience = patience.or_else(|| Some(Instant::now() + GRACE));
                let candidate = candidates.iter_mut().find(|c| c.address == address);
                if let Some(candidate) = candidate {
                    candidate.connection = Some(connection);
                }
            }
            Some(Ok(Step::Opened(_, Err(why)))) => failed = why,
            Some(Ok(Step::Named(None)) | Err(_)) => {}
        }
        let is_elected = |c: &Candidate| c.connection.is_some() && c.votes * 2 > sentinels.len();
        if candidates.iter().any(is_elected) {
            break;
        }
    }
    candidates.sort_by_key(|candidate| candidate.votes);
    let best = candidates.into_iter().rev().find_map(|c| c.connection);
    best.ok_or(failed)
}

/// The address that most of the sentinels name. `None`: there is no such address, or they cannot be asked.
async fn elected(
    entrance: &Arc<Entrance>,
    sentinels: &[Address],
    name: &Arc<str>,
) -> Option<Address> {
    let mut steps = questions(entrance, sentinels, name);
    let mut named = Vec::new();
    while let Some(step) = steps.join_next().await {
        if let Ok(Step::Named(Some(address))) = step {
            named.push(address.clone());
            let votes = named.iter().filter(|other| **other == address).count();
            if votes * 2 > sentinels.len() {
                return Some(address);
            }
        }
    }
    None
}

fn questions(entrance: &Arc<Entrance>, sentinels: &[Address], name: &Arc<str>) -> JoinSet<Step> {
    let mut steps = JoinSet::new();
    for sentinel in sentinels {
        let (entrance, sentinel, name) = (Arc::clone(entrance), sentinel.clone(), Arc::clone(name));
        steps.spawn(async move {
            let named = ask_sentinel(&entrance, &sentinel, &name).await;
            Step::Named(named.ok().flatten())
        });
    }
    steps
}

/// The address of the master. The password is sent only to a sentinel that asks for one.
async fn ask_sentinel(
    entrance: &Entrance,
    sentinel: &Address,
    name: &str,
) -> Result<Option<Address>, Failed> {
    let connection = entrance.bare(sentinel).await?;
    let question = ["GET-MASTER-ADDR-BY-NAME", name];
    let mut answer = connection.ask_for("SENTINEL", &question).await;
    if let Err(Failed::Refused(text)) = &answer
        && text.starts_with("NOAUTH")
    {
        entrance.sign_in(&connection).await?;
        answer = connection.ask_for("SENTINEL", &question).await;
    }
    let answer = answer?;
    let [host, port] = answer.list() else {
        return Ok(None);
    };
    let port = port.text().and_then(|port| port.parse().ok());
    Ok(host.text().zip(port).map(|(host, port)| Address {
        host: host.to_owned(),
        port,
    }))
}

async fn open_master(entrance: &Entrance, address: &Address) -> Result<Connection, Failed> {
    let connection = entrance.open(address).await?;
    if connection.role().await?.is_master {
        Ok(connection)
    } else {
        Err(Failed::Unreachable)
    }
}
