//! One worker: a thread with its own runtime, listeners and upstream connections.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::rounds::Rounds;
use crate::config::Config;
use crate::gateway::site::Destination;
use crate::gateway::{Gateway, Shared};
use crate::http::body::Body;
use crate::server::{self, Lifecycle};
use crate::socket::{Batch, WorkerLoop};
use crate::upstream::Client;

use super::service;

/// How often expired records and idle connections are removed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The configuration of workers, besides the gateway's part.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub(super) server: server::Settings,
    /// The shortest time limit that the worker's rounds enforce.
    pub(super) shortest: Duration,
    /// Each worker that has adopted the configuration adds a permit.
    pub(super) taken_up: Arc<Semaphore>,
}

impl Orders {
    pub(super) fn of(config: &Config) -> Self {
        let responses = config.upstreams.iter().map(|u| u.connection.response);
        Self {
            server: config.server.clone(),
            shortest: responses.fold(config.server.shortest(), Duration::min),
            taken_up: Arc::new(Semaphore::new(0)),
        }
    }
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    orders: watch::Receiver<Orders>,
    life: Lifecycle,
    gone: CancellationToken,
    own: WorkerLoop,
    /// Connections to upstreams whose request is still being sent after the response has ended.
    upstream_tasks: TaskTracker,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        orders: watch::Receiver<Orders>,
        life: Lifecycle,
        gone: CancellationToken,
    ) -> Self {
        let shortest = orders.borrow().shortest;
        Self {
            own: WorkerLoop {
                rounds: Rounds::new(shared.clock.clone(), shortest),
                batch: Batch::default(),
            },
            upstream_tasks: TaskTracker::new(),
            shared,
            orders,
            life,
            gone,
        }
    }

    pub(super) fn spawn(self, listeners: Vec<TcpListener>) -> io::Result<JoinHandle<()>> {
        let runtime = runtime()?;
        thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || runtime.block_on(self.run(listeners)))
    }

    async fn run(mut self, listeners: Vec<TcpListener>) {
        let gateway = Gateway::new(Arc::clone(&self.shared), |to| self.client(to));
        let gateway = Arc::new(gateway);
        let worker = Arc::new(service::Worker {
            gateway: Arc::clone(&gateway),
            telemetry: self.shared.telemetry.clone(),
        });
        let settings = Arc::new(ArcSwap::from_pointee(self.settings()));
        TaskTracker::new().spawn(self.own.batch.clone().run());
        for listener in listeners {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                continue;
            };
            let accept = server::accept(
                listener,
                Arc::clone(&settings),
                self.own.clone(),
                self.life.clone(),
                Arc::clone(&worker),
            );
            self.life.tasks.spawn(accept);
        }
        let mut tick = interval(HOUSEKEEPING);
        let mut look = interval(self.own.rounds.interval());
        let mut is_closing = false;
        loop {
            tokio::select! {
                () = self.gone.cancelled() => return gateway.stop(),
                _ = tick.tick() => gateway.keep_house(&self.upstream_tasks),
                _ = look.tick() => {
                    self.own.rounds.look();
                    gateway.relieve(&self.life.crowd);
                }
                Ok(()) = self.orders.changed() => {
                    self.own.rounds.shorten(self.orders.borrow().shortest);
                    look = interval(self.own.rounds.interval());
                    settings.store(Arc::new(self.settings()));
                    gateway.adopt(|to| self.client(to));
                    self.orders.borrow().taken_up.add_permits(1);
                }
                // Idle connections close now.
                () = self.life.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    self.own.rounds.look();
                }
            }
        }
    }

    fn settings(&mut self) -> server::Settings {
        let settings = self.orders.borrow_and_update().server.clone();
        settings.at_least(&self.own.rounds)
    }

    fn client(&self, to: &Destination) -> Client<Box<Body>> {
        Client::new(
            to.connector.clone(),
            &to.settings,
            to.most_idle,
            self.own.clone(),
            self.upstream_tasks.clone(),
        )
    }
}

pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
