//! The composition root: builds a running gate from settings.
//!
//! All sockets are bound before anything is served, so that a conflict fails the start and tests can use port 0. Each
//! worker is a thread with its own runtime, listeners and upstream connections; the stores are shared.

mod counts;
pub(crate) mod open_files;
mod reload;
mod service;
mod sites;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, InForce, Readiness};
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Shared;
use crate::server::{self, Crowd, Lifecycle, Places};
use crate::store::{MemoryStore, Store};
use crate::telemetry::{Event, Telemetry};

pub(crate) use counts::promote;
use counts::{Counts, Lost};
use open_files::{Need, TooFew};
use reload::Reload;
pub(crate) use reload::Source;
pub use reload::sha256;
use sites::{Maker, Unusable};
use worker::{Orders, Worker, runtime};

/// The drain time is divided by this for the period in which new connections are still accepted, because load balancers
/// must first notice that the gate is not ready.
const STILL_ACCEPTING: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot listen on {address}: {source}{}", taken(source))]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// TLS to an upstream cannot be set up.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("no random bytes available: {0}")]
    Entropy(SysError),
    /// The limit on open files is too low.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The file of the review cannot be read, and it says which clients are enforced.
    #[error(transparent)]
    Promotions(#[from] Lost),
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
}

/// What probably has the address.
fn taken(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        "\nhelp: another program listens there, or a gate that was told to stop still completes requests"
    } else {
        ""
    }
}

/// A gate with open sockets that does not serve yet.
pub(crate) struct App {
    /// The configuration as written, and with limits reduced to the available descriptors.
    configs: (Config, Config),
    shared: Arc<Shared>,
    maker: Maker,
    /// For each worker, one listener per address.
    listeners: Vec<Vec<TcpListener>>,
    admin: TcpListener,
    /// Each address once, as `server` or `admin`.
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl App {
    /// Opens everything that can fail.
    pub(crate) fn bind(
        config: Config,
        telemetry: Telemetry,
        clock: Clock,
    ) -> Result<Self, StartError> {
        Self::bind_with(config, telemetry, clock, None)
    }

    /// `instead`: makes the store of each upstream, in tests.
    fn bind_with(
        mut config: Config,
        telemetry: Telemetry,
        clock: Clock,
        instead: Option<Box<dyn Fn(MemoryStore) -> Store + Send + Sync>>,
    ) -> Result<Self, StartError> {
        let written = config.clone();
        if let Some(fewer) = Need::of(&config).fit(&mut config, open_files::raise())? {
            telemetry.tell(&fewer);
        }
        let maker = Maker {
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            instead,
            deployments: Mutex::default(),
        };
        let snapshot = maker.snapshot(&config, None)?;
        let (listeners, mut addresses) = listen(&config.server)?;
        let refused = |source| StartError::Listen {
            address: config.admin.listen,
            source,
        };
        let admin = server::bind(config.admin.listen, false).map_err(refused)?;
        addresses.push(("admin", admin.local_addr().map_err(refused)?));
        let seed = SysRng.try_next_u32().map_err(StartError::Entropy)?;
        Ok(Self {
            shared: Arc::new(Shared::new(snapshot, clock, telemetry, seed)),
            maker,
            configs: (written, config),
            listeners,
            admin,
            addresses,
        })
    }

    /// Serves until `stop` is cancelled, and then until all current requests are answered or the drain time has passed.
    /// `now` ends the drain at once. If there is a `source`, the configuration is reloaded when it changes.
    pub(crate) fn run(
        self,
        source: Option<Source>,
        stop: &CancellationToken,
        now: &CancellationToken,
    ) -> Result<(), StartError> {
        let telemetry = self.shared.telemetry.clone();
        let readiness = Readiness::default();
        let (written, config) = self.configs;
        let text = source.as_ref().map(|source| source.text.as_str());
        let in_force = InForce::new(&sha256(text.unwrap_or_default()), written.fixed());
        let admin = Admin::new(
            Arc::clone(&self.shared),
            readiness.clone(),
            in_force.clone(),
        );
        let runtime = runtime().map_err(StartError::Thread)?;
        let file = config.review.snapshot.clone();
        let counts = runtime.block_on(Counts::restore(&self.shared, file))?;
        let gone = CancellationToken::new();
        let admin = admin::spawn(self.admin, admin, gone.clone()).map_err(StartError::Thread)?;
        for (what, address) in self.addresses {
            telemetry.tell(&Event::Listening { what, address });
        }
        let life = Lifecycle {
            closing: CancellationToken::new(),
            tasks: self.shared.settlements.clone(),
            crowd: Crowd::new(Places::of(&config.server)),
        };
        let (orders, receiver) = watch::channel(Orders::of(&config));
        let mut threads = vec![admin];
        for listeners in self.listeners {
            let worker = Worker::new(
                Arc::clone(&self.shared),
                receiver.clone(),
                life.clone(),
                gone.clone(),
            );
            threads.push(worker.spawn(listeners).map_err(StartError::Thread)?);
        }
        readiness.set_ready(true);
        let mut reload = Reload {
            maker: self.maker,
            shared: self.shared,
            crowd: life.crowd.clone(),
            orders,
            in_force,
            config: written,
            signals: counts.signals(),
            overlap: None,
            refused: None,
        };
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = reload.watch(source) => {}
                () = counts.keep() => {}
            }
            let limit = reload.config.server.drain;
            drain(limit, &telemetry, &readiness, now, &life).await;
        });
        gone.cancel();
        for thread in threads {
            // A worker that panicked outside of a request has nothing left to do.
            drop(thread.join());
        }
        runtime.block_on(counts.finish());
        Ok(())
    }
}

/// Becomes unready, continues to accept for a while, then closes connections and waits for them.
async fn drain(
    limit: Duration,
    telemetry: &Telemetry,
    readiness: &Readiness,
    now: &CancellationToken,
    life: &Lifecycle,
) {
    readiness.set_ready(false);
    telemetry.tell(&Event::Draining {
        limit_seconds: limit.as_secs(),
    });
    let still_accepting = limit / STILL_ACCEPTING;
    tokio::select! {
        () = sleep(still_accepting) => {}
        () = now.cancelled() => {}
    }
    life.closing.cancel();
    life.tasks.close();
    tokio::select! {
        _late = timeout(limit.saturating_sub(still_accepting), life.tasks.wait()) => {}
        () = now.cancelled() => {}
    }
    let cut_off = life.tasks.len();
    telemetry.tell(&Event::Stopped { cut_off });
}

/// The listeners of each worker, and all addresses with the name `server`.
type Listening = (Vec<Vec<TcpListener>>, Vec<(&'static str, SocketAddr)>);

/// Opens one listener per worker and address. For port 0, the first listener of an address determines the port.
fn listen(settings: &server::Settings) -> Result<Listening, StartError> {
    let mut workers: Vec<Vec<TcpListener>> = Vec::new();
    let mut addresses = Vec::new();
    workers.resize_with(settings.workers.max(1), Vec::new);
    let shared = workers.len() > 1;
    for &configured in &settings.listen {
        // Workers share an address with `SO_REUSEPORT`, which would also share it with another gate. As each gate has
        // its own store, half of the sign-ins would fail.
        let refused = |source| StartError::Listen {
            address: configured,
            source,
        };
        server::must_be_free(configured).map_err(refused)?;
        let mut address = configured;
        for worker in &mut workers {
            let listener = server::bind(address, shared).map_err(refused)?;
            address = listener.local_addr().map_err(refused)?;
            worker.push(listener);
        }
        addresses.push(("server", address));
    }
    Ok((workers, addresses))
}
