//! The composition root: settings in, a running gate out.
//!
//! Every socket is bound before anything is served, so that a conflict fails the start and tests can use port 0. Each
//! worker is a thread with a runtime, listeners and upstream connections of its own; the stores are shared.

pub mod descriptors;
mod service;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, Readiness};
use crate::clock::Clock;
use crate::clock::rounds::Rounds;
use crate::config::Config;
use crate::flow::HandleKey;
use crate::gateway::site::Site;
use crate::gateway::{Gateway, Shared};
use crate::server::{self, Crowd, Lifecycle, Places};
use crate::socket::Batch;
use crate::store::{MemoryStore, Store};
use crate::telemetry::{Event, Telemetry};
use crate::upstream::{Client, Connector, TlsError};

use descriptors::{Need, TooFew};
use service::Worker;

/// How often expired records and unused connections are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// The share of the drain time in which new connections are still accepted: whoever routes to us has to notice first.
const STILL_ACCEPTING: u32 = 5;

/// Why the gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS to an upstream.
    #[error("upstream {name:?}: {source}")]
    Tls {
        /// Name of the upstream.
        name: String,
        /// Why.
        source: TlsError,
    },
    /// The operating system gave no random bytes.
    #[error("no randomness: {0}")]
    Entropy(SysError),
    /// Too few files may be open.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// No thread or no runtime.
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
}

/// A gate whose sockets are open and which serves nothing yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    shared: Arc<Shared>,
    connectors: Vec<Connector>,
    /// For each worker one listener per address.
    listeners: Vec<Vec<TcpListener>>,
    admin: TcpListener,
    addresses: Vec<SocketAddr>,
    admin_address: SocketAddr,
    clock: Clock,
}

impl App {
    /// Opens everything that can fail.
    pub fn bind(config: Config, telemetry: Telemetry, clock: Clock) -> Result<Self, StartError> {
        Self::bind_with(config, telemetry, clock, Store::Memory)
    }

    /// With what `store` makes of each upstream's memory.
    fn bind_with(
        mut config: Config,
        telemetry: Telemetry,
        clock: Clock,
        store: impl Fn(MemoryStore) -> Store,
    ) -> Result<Self, StartError> {
        if let Some(fewer) = Need::of(&config).fit(&mut config, descriptors::raise())? {
            telemetry.tell(&Event::FewDescriptors {
                limit: fewer.limit,
                needed: fewer.needed,
                connections: fewer.connections,
                in_flight: fewer.in_flight,
            });
        }
        let (mut sites, mut connectors) = (Vec::new(), Vec::new());
        for upstream in &config.upstreams {
            let name = &upstream.gateway.name;
            let connector =
                Connector::new(&upstream.connection).map_err(|source| StartError::Tls {
                    name: name.clone(),
                    source,
                })?;
            connectors.push(connector);
            let memory = MemoryStore::new(
                config.store.clone(),
                HandleKey::for_upstream(name),
                clock.clone(),
            );
            let store = Arc::new(store(memory));
            sites.push(Arc::new(Site::new(
                upstream.gateway.clone(),
                telemetry.metrics().upstream(name),
                &upstream.connection,
                store,
            )));
        }
        let (listeners, addresses) = listen(&config.server)?;
        let admin = open(config.admin.listen, false)?;
        let admin_address = local(&admin, config.admin.listen)?;
        let seed = SysRng.try_next_u32().map_err(StartError::Entropy)?;
        let trusted = config.server.trusted_proxies.clone();
        let shared = Shared::new(
            sites,
            config.limits,
            trusted,
            clock.clone(),
            telemetry,
            seed,
        );
        let shared = Arc::new(shared);
        Ok(Self {
            config,
            shared,
            connectors,
            listeners,
            admin,
            addresses,
            admin_address,
            clock,
        })
    }

    /// Where clients connect.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where health and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `stop` and then until the requests at hand are answered or the drain time is over. A second
    /// `stop`, `now`, ends at once.
    pub fn run(self, stop: &CancellationToken, now: &CancellationToken) -> Result<(), StartError> {
        let telemetry = self.shared.telemetry().clone();
        let readiness = Readiness::default();
        let admin = Admin::new(
            self.shared.sites.clone(),
            telemetry.clone(),
            readiness.clone(),
        );
        let admin = admin::spawn(self.admin, admin).map_err(StartError::Thread)?;
        for (what, address) in self
            .addresses
            .iter()
            .map(|a| ("server", *a))
            .chain([("admin", self.admin_address)])
        {
            telemetry.tell(&Event::Listening { what, address });
        }
        let life = Lifecycle {
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            crowd: Crowd::new(Places {
                all: self.config.server.connections,
                per_peer: self.config.server.connections_per_peer,
                proxies: self.config.server.trusted_proxies.clone(),
            }),
        };
        let settings = &self.config.server;
        let gone = CancellationToken::new();
        // No more than requests in flight, over all workers: that many descriptors there are.
        let most_idle = self.config.limits.in_flight.div_ceil(self.listeners.len());
        let mut workers = Vec::new();
        for listeners in self.listeners {
            let upstream_tasks = TaskTracker::new();
            let rounds = Rounds::new(self.clock.clone(), shortest(&self.config));
            let batch = Batch::default();
            let clients =
                self.connectors
                    .iter()
                    .zip(&self.config.upstreams)
                    .map(|(connector, upstream)| {
                        Client::new(
                            connector.clone(),
                            (&upstream.connection, most_idle),
                            (rounds.clone(), batch.clone()),
                            upstream_tasks.clone(),
                        )
                    });
            let gateway = Arc::new(Gateway::new(Arc::clone(&self.shared), clients.collect()));
            let worker = Worker::new(gateway, telemetry.clone());
            let (life, gone) = (life.clone(), gone.clone());
            let thread = worker_thread(
                worker,
                listeners,
                settings.clone(),
                (rounds, batch),
                (life, gone),
            );
            workers.push(thread.map_err(StartError::Thread)?);
        }
        readiness.set_ready(true);
        let drain = Drain {
            limit: self.config.server.drain,
            telemetry: &telemetry,
            readiness: &readiness,
        };
        runtime()
            .map_err(StartError::Thread)?
            .block_on(drain.wait(stop, now, &life));
        gone.cancel();
        for worker in workers {
            // A worker that panicked outside of a request has nothing left to hand over.
            drop(worker.join());
        }
        admin.stop();
        Ok(())
    }
}

/// How a gate ends.
struct Drain<'a> {
    limit: Duration,
    telemetry: &'a Telemetry,
    readiness: &'a Readiness,
}

impl Drain<'_> {
    /// Not ready, still serving, then closing, then the end.
    async fn wait(&self, stop: &CancellationToken, now: &CancellationToken, life: &Lifecycle) {
        stop.cancelled().await;
        self.readiness.set_ready(false);
        self.telemetry.tell(&Event::Draining { limit: self.limit });
        let still_accepting = self.limit / STILL_ACCEPTING;
        tokio::select! {
            () = sleep(still_accepting) => {}
            () = now.cancelled() => {}
        }
        life.closing.cancel();
        life.tasks.close();
        tokio::select! {
            _late = timeout(self.limit.saturating_sub(still_accepting), life.tasks.wait()) => {}
            () = now.cancelled() => {}
        }
        self.telemetry.tell(&Event::Stopped {
            cut_off: life.tasks.len(),
        });
    }
}

fn worker_thread(
    worker: Worker,
    listeners: Vec<TcpListener>,
    settings: server::Settings,
    (rounds, batch): (Rounds, Batch),
    (life, gone): (Lifecycle, CancellationToken),
) -> io::Result<JoinHandle<()>> {
    let runtime = runtime()?;
    let run = async move {
        let worker = Arc::new(worker);
        TaskTracker::new().spawn(batch.clone().run());
        for listener in listeners {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                continue;
            };
            let accept = server::accept(
                listener,
                settings.clone(),
                (rounds.clone(), batch.clone()),
                life.clone(),
                Arc::clone(&worker),
            );
            life.tasks.spawn(accept);
        }
        let mut tick = interval(HOUSEKEEPING);
        let mut look = interval(rounds.interval());
        let mut is_closing = false;
        loop {
            tokio::select! {
                () = gone.cancelled() => return worker.stop(),
                _ = tick.tick() => worker.keep_house(),
                _ = look.tick() => {
                    rounds.look();
                    worker.relieve(&life.crowd);
                }
                // Connections that wait for nothing in particular end now.
                () = life.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    rounds.look();
                }
            }
        }
    };
    thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || runtime.block_on(run))
}

/// The shortest limit that is kept by a worker's rounds.
fn shortest(config: &Config) -> Duration {
    let responses = config.upstreams.iter().map(|u| u.connection.response);
    responses.fold(config.server.shortest(), Duration::min)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// One listener per worker and address. The first one of an address decides the port where it is 0.
fn listen(
    settings: &server::Settings,
) -> Result<(Vec<Vec<TcpListener>>, Vec<SocketAddr>), StartError> {
    let mut workers: Vec<Vec<TcpListener>> = Vec::new();
    let mut addresses = Vec::new();
    workers.resize_with(settings.workers.max(1), Vec::new);
    let shared = workers.len() > 1;
    for &configured in &settings.listen {
        // Workers share an address in a way that would share it with another gate as well, and each has a store of its
        // own: half of the sign-ins would fail.
        server::must_be_free(configured).map_err(|source| StartError::Listen {
            address: configured,
            source,
        })?;
        let mut address = configured;
        for worker in &mut workers {
            let listener = open(address, shared)?;
            address = local(&listener, configured)?;
            worker.push(listener);
        }
        addresses.push(address);
    }
    Ok((workers, addresses))
}

fn open(address: SocketAddr, shared: bool) -> Result<TcpListener, StartError> {
    server::bind(address, shared).map_err(|source| StartError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })
}
