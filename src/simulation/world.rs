//! Everything that actors share: gates with their stores, the upstream, the ledger, the clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::dice::Dice;
use super::gate::{Gate, digest_of, handle_key};
use super::kernel::Kernel;
use super::ledger::{Breach, Excuses, Ledger, Where};
use super::servers::{EPOCH, Line, SETTLES, Servers, Troubles};
use super::upstream::Upstream;
use crate::clock::{Clock, ManualClock, Timestamp, WallClock};
use crate::network::Network;
use crate::store::{
    Deployment, Envelopes, Keyspace, MemoryStore, Mutation, RedisStore, SealKeys, SealedStore,
    Sealer, Settings, SignIns, Store,
};

/// The store of all gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One gate.
    Memory,
    /// `claims = "local"`, with this number of gates, which restart.
    Sealed(usize),
    /// Redis, with this number of gates.
    Redis(SignIns, usize),
    /// The same, where the replica must have each write (`min_replicas`).
    Replicated(SignIns, usize),
}

impl Kind {
    /// Where sign-ins are, the number of gates, and `min_replicas`. `None`: without Redis.
    fn redis(self) -> Option<(SignIns, usize, u32)> {
        match self {
            Self::Memory | Self::Sealed(_) => None,
            Self::Redis(sign_ins, gates) => Some((sign_ins, gates, 0)),
            Self::Replicated(sign_ins, gates) => Some((sign_ins, gates, 1)),
        }
    }
}

/// A rule that is broken on purpose, to show that the simulator notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// A token releases the code instead of burning it.
    ReleasesAll,
    Server(Mutation),
}

/// A run is a function of this.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) flows: u64,
    pub(super) kind: Kind,
    /// The upstream redeems a code as often as it is asked.
    pub(super) is_lax: bool,
    /// How many of ten thousand commands to a server have each kind of trouble.
    pub(super) troubles: u64,
    /// How many of ten thousand claims and releases arrive after their deadline.
    pub(super) late: u64,
    /// How many of ten thousand requests the upstream answers with each kind of error.
    pub(super) errors: u64,
    /// How many of ten thousand flows are attacked.
    pub(super) attacks: u64,
    pub(super) broken: Option<Broken>,
    /// The flow whose trace is kept.
    pub(super) watched: Option<u64>,
}

/// What happened in a run.
#[derive(Debug)]
pub(super) struct Report {
    /// A hash of everything that happened, in order.
    pub(super) trace: u64,
    /// Answers and violations by name, with their numbers.
    pub(super) counts: std::collections::BTreeMap<&'static str, u64>,
    /// What happened against I1 and I2, but is not promised.
    pub(super) excused: std::collections::BTreeMap<&'static str, u64>,
    pub(super) breaches: Vec<Breach>,
    /// The trace of the watched flow.
    pub(super) watched: Vec<String>,
    pub(super) steps: u64,
    /// Virtual time.
    pub(super) took: Duration,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) kernel: Kernel,
    gates: RefCell<Vec<Gate>>,
    servers: Option<Arc<Servers>>,
    clock: Clock,
    clocks: Clocks,
    pub(super) upstream: RefCell<Upstream>,
    pub(super) ledger: RefCell<Ledger>,
    /// When servers failed over last.
    upheaval: Cell<Option<u64>>,
    pub(super) ended: Cell<u64>,
    trace: Cell<u64>,
    watched: RefCell<Vec<String>>,
}

/// The clocks that have to be moved.
struct Clocks {
    monotonic: ManualClock,
    /// The wall clock of each gate, and by how many milliseconds it is ahead of the slowest.
    walls: Vec<(ManualClock, u64)>,
}

impl Clocks {
    fn show(&self, now: u64) {
        self.monotonic.show(Timestamp::from_millis(now));
        for (wall, ahead) in &self.walls {
            wall.show(Timestamp::from_millis(EPOCH + now + ahead));
        }
    }
}

impl World {
    pub(super) fn new(plan: Plan) -> Rc<Self> {
        let kernel = Kernel::default();
        let mut dice = Dice::of(plan.seed, u64::MAX - 2);
        let gates = match plan.kind {
            Kind::Memory => 1,
            Kind::Sealed(gates) | Kind::Redis(_, gates) | Kind::Replicated(_, gates) => gates,
        };
        let mutation = match plan.broken {
            Some(Broken::Server(mutation)) => Some(mutation),
            Some(Broken::ReleasesAll) | None => None,
        };
        let (clock, monotonic) = Clock::manual();
        // Below the leeway of a minute.
        let walls = (0..gates).map(|_| (Clock::manual().1, dice.below(40_000)));
        let clocks = Clocks {
            monotonic,
            walls: walls.collect(),
        };
        clocks.show(0);
        let servers = || {
            let timers = kernel.timers.clone();
            let troubles = Troubles {
                each: plan.troubles,
                late: plan.late,
            };
            Servers::new(timers, plan.seed, gates, troubles, mutation)
        };
        let is_redis = plan.kind.redis().is_some();
        let excuses = Excuses {
            forgets_bindings: match plan.kind {
                Kind::Memory | Kind::Replicated(..) => false,
                Kind::Sealed(_) | Kind::Redis(..) => true,
            },
            local_claims: matches!(plan.kind, Kind::Sealed(_)),
        };
        let world = Self {
            plan,
            servers: is_redis.then(|| Arc::new(servers())),
            kernel,
            gates: RefCell::default(),
            clock,
            clocks,
            upstream: RefCell::new(Upstream::new(plan.seed, plan.errors, plan.is_lax)),
            ledger: RefCell::new(Ledger::new(excuses)),
            upheaval: Cell::new(None),
            ended: Cell::new(0),
            trace: Cell::new(0xcbf2_9ce4_8422_2325),
            watched: RefCell::default(),
        };
        let fresh = (0..gates).map(|number| world.gate_process(number, 0));
        let fresh: Vec<Gate> = fresh.collect();
        *world.gates.borrow_mut() = fresh;
        Rc::new(world)
    }

    /// A new process of this gate, which remembers nothing.
    fn gate_process(&self, number: usize, life: u64) -> Gate {
        let settings = Settings {
            network_rate: 1,
            ..Settings::DEFAULT
        };
        let key = handle_key();
        let memory = MemoryStore::new(&settings, key.clone(), self.clock.clone());
        let memory = Arc::new(memory);
        let sealer = || {
            let keys = SealKeys::of(&[("a", [1; 32])]);
            Sealer::new(keys, "sim", "https://login.example")
        };
        let wall = || WallClock::Manual(self.clocks.walls[number].0.clone());
        let store = match (self.plan.kind.redis(), &self.servers) {
            (Some((sign_ins, _, min_replicas)), Some(servers)) => {
                let way = Line {
                    servers: Arc::clone(servers),
                    gate: number,
                };
                let deployment = Deployment::simulated(Arc::new(way), &self.clock);
                let deployment = deployment.with_min_replicas(min_replicas);
                let envelopes = Envelopes::new(key, sealer(), wall());
                Store::Redis(Box::new(RedisStore::new(
                    &settings,
                    envelopes,
                    sign_ins,
                    Keyspace::new(Arc::new(deployment), "pkce-gate", "sim"),
                    memory,
                )))
            }
            _ if matches!(self.plan.kind, Kind::Sealed(_)) => {
                let store = SealedStore::new(&settings, sealer(), key, wall(), memory);
                Store::Sealed(store)
            }
            _ => Store::Memory(memory),
        };
        Gate {
            store: Arc::new(store),
            number,
            life,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.kernel.timers.now()
    }

    pub(super) fn gate(&self, dice: &mut Dice) -> Gate {
        let gates = self.gates.borrow();
        gates[dice.index(gates.len())].clone()
    }

    /// Whether all gates have agreed about the servers since this time.
    pub(super) fn is_calm_since(&self, begin: u64) -> bool {
        let agreed = |at: u64| at + SETTLES < begin;
        self.upheaval.get().is_none_or(agreed)
    }

    /// One of a few networks, so that some begin too many sign-ins. `None`: it is unknown, as for most.
    pub(super) fn network(&self, dice: &mut Dice) -> Option<Network> {
        let gates = self.gates.borrow().len() as u64;
        let network = Network::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        // The rate is that of a gate.
        dice.often(1_500 * gates).then_some(network)
    }

    /// Whether a gate that did not begin a sign-in of a client without handles knows it.
    pub(super) fn shares_records(&self) -> bool {
        match self.plan.kind {
            Kind::Memory | Kind::Redis(..) | Kind::Replicated(..) => true,
            Kind::Sealed(_) => false,
        }
    }

    /// Where this gate has bound a code of the upstream.
    pub(super) fn bound_at(&self, gate: &Gate, raw: &str) -> Where {
        match &self.servers {
            Some(servers) => {
                let run = servers.run_of(gate.number, digest_of(raw));
                run.unwrap_or_else(|| "nowhere".to_owned())
            }
            None => Self::place(gate),
        }
    }

    /// The server runs on which a code was bound and is claimed. None without Redis.
    pub(super) fn claimed_on(&self, raw: &str) -> BTreeSet<String> {
        let servers = self.servers.as_ref();
        servers.map_or_else(BTreeSet::new, |servers| servers.claimed_on(digest_of(raw)))
    }

    /// The process of a gate.
    pub(super) fn place(gate: &Gate) -> Where {
        format!("gate {}, life {}", gate.number, gate.life)
    }

    /// Adds to the trace.
    pub(super) fn note(&self, flow: u64, what: &str) {
        let now = self.now();
        let mut trace = self.trace.get();
        let numbers = [now, flow].map(u64::to_le_bytes);
        for byte in numbers.as_flattened().iter().chain(what.as_bytes()) {
            trace = (trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.trace.set(trace);
        if self.plan.watched == Some(flow) {
            self.watched
                .borrow_mut()
                .push(format!("{now:>9} ms  {what}"));
        }
    }

    /// Restarts and failovers, until all flows have ended.
    async fn upheaval(self: Rc<Self>) {
        let mut dice = Dice::of(self.plan.seed, u64::MAX - 3);
        let mut swept = 0;
        while self.ended.get() < self.plan.flows {
            self.kernel.timers.sleep(dice.between(2_000, 20_000)).await;
            swept += 1;
            if swept % 4 == 0 {
                self.gates
                    .borrow()
                    .iter()
                    .for_each(|gate| gate.store.sweep());
            }
            match (self.plan.kind, &self.servers) {
                (_, Some(servers)) if dice.often(3_000) => {
                    servers.fail_over();
                    self.upheaval.set(Some(self.now()));
                    self.ledger.borrow_mut().count("failover");
                }
                (Kind::Sealed(gates), _) if dice.often(1_000) => {
                    let number = dice.index(gates);
                    let life = self.gates.borrow()[number].life + 1;
                    let fresh = self.gate_process(number, life);
                    self.gates.borrow_mut()[number] = fresh;
                    self.ledger.borrow_mut().count("restart");
                }
                _ => {}
            }
        }
    }

    /// Runs all flows, each a task that `begin` makes.
    pub(super) fn run<F>(self: &Rc<Self>, begin: impl Fn(Rc<Self>, u64) -> F + 'static) -> Report
    where
        F: Future<Output = ()> + 'static,
    {
        // The Redis store asks for the runtime that it runs in.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _within = runtime.enter();
        self.kernel.spawn(Rc::clone(self).upheaval());
        let world = Rc::clone(self);
        self.kernel.spawn(async move {
            let mut dice = Dice::of(world.plan.seed, u64::MAX - 4);
            for flow in 0..world.plan.flows {
                world.kernel.timers.sleep(dice.below(200)).await;
                world.kernel.spawn(begin(Rc::clone(&world), flow));
            }
        });
        let mut steps = 0;
        while self.kernel.step(|now| self.clocks.show(now)) {
            steps += 1;
        }
        let ledger = self.ledger.borrow();
        Report {
            trace: self.trace.get(),
            counts: ledger.counts.clone(),
            excused: ledger.excused.clone(),
            breaches: ledger.breaches.clone(),
            watched: self.watched.take(),
            steps,
            took: Duration::from_millis(self.now()),
        }
    }
}
