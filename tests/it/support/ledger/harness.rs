//! Runs flows through gates, and a script of faults beside them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::client::Clients;
use super::upstream::Upstream;
use super::{Disturbance, Flow, GateRun, Kind, Place, Report};
use crate::support::fault::FaultProxy;
use crate::support::gate::Gate;
use crate::support::http::Request;
use crate::support::rig::Config;
use crate::support::scripted::Scripted;

/// Flows that run at the same time.
const CLIENTS: usize = 8;
const LOOK: Duration = Duration::from_millis(5);

pub(crate) struct Harness {
    upstream: Upstream,
    /// Between the gates and the upstream.
    network: FaultProxy,
    config: String,
    gates: Vec<Mutex<Gate>>,
    /// Gate processes that have ended.
    ended: Mutex<Vec<GateRun>>,
    clients: Clients,
    /// The number of flows.
    flows: usize,
    disturbances: Mutex<Vec<Disturbance>>,
}

impl Harness {
    /// That many gates with the same configuration, in front of one upstream.
    pub(crate) fn start(gates: usize, config: Config<'_>) -> Self {
        let upstream = Upstream::start();
        let network = FaultProxy::to(upstream.scripted.address());
        let keys = format!(
            "url = \"http://{}\"\n{}",
            network.address(),
            config.upstream
        );
        // All clients come from one network, and every event is logged.
        let store = format!("network_rate = 100000\nper_network = 1.0\n{}", config.store);
        let log = format!("level = \"debug\"\n{}", config.log);
        let server = format!("drain = \"1s\"\n{}", config.server);
        let config = Config {
            server: &server,
            upstream: &keys,
            store: &store,
            log: &log,
            ..config
        };
        let config = config.render(&upstream.scripted);
        let mut gates: Vec<_> = (0..gates).map(|_| Gate::start(&config)).collect();
        let bases: Vec<_> = gates.iter_mut().map(|it| it.address("server")).collect();
        Self {
            clients: Clients::of(bases),
            gates: gates.into_iter().map(Mutex::new).collect(),
            upstream,
            network,
            config,
            flows: 0,
            ended: Mutex::default(),
            disturbances: Mutex::default(),
        }
    }

    /// Clients that go around the gate.
    pub(crate) fn bypassed() -> Self {
        let mut harness = Self::start(0, Config::default());
        harness.clients = Clients::of([harness.network.address()]);
        harness
    }

    /// Runs these flows, a few at a time, and the script beside them. Returns when all flows and the script have ended.
    pub(crate) fn run(mut self, kinds: &[Kind], script: impl FnOnce(&Self) + Send) -> Report {
        self.flows = kinds.len();
        let waiting: VecDeque<_> = kinds.iter().copied().enumerate().collect();
        let waiting = Mutex::new(waiting);
        let next = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.pop_front()
        };
        let client = || {
            let flow = |(id, kind)| self.clients.run(id, kind);
            std::iter::from_fn(&next).map(flow).collect::<Vec<Flow>>()
        };
        let mut flows: Vec<Flow> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            script(&self);
            let flows = clients.into_iter().map(thread::ScopedJoinHandle::join);
            flows
                .flat_map(|flows| flows.expect("a client does not panic"))
                .collect()
        });
        flows.sort_by_key(|flow| flow.id);
        self.report(flows)
    }

    fn report(self, flows: Vec<Flow>) -> Report {
        let mut runs = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for gate in self.gates {
            let mut gate = gate.into_inner().unwrap_or_else(PoisonError::into_inner);
            if gate.has_ended().is_some() {
                continue; // it was killed and not started again
            }
            let metrics = Some(settled(&mut gate));
            gate.signal("TERM"); // writes the rest of its log
            gate.wait_for_end();
            let log = gate.stop();
            runs.push(GateRun { log, metrics });
        }
        Report {
            flows,
            sends: self.clients.sends(),
            seen: self.upstream.seen(),
            issued: self.upstream.issued(),
            redeemed: self.upstream.redeemed(),
            gates: runs,
            disturbances: self
                .disturbances
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            outputs: Vec::new(),
        }
    }

    /// For scripts: the way from the gates to the upstream.
    pub(crate) fn network(&self) -> &FaultProxy {
        &self.network
    }

    /// For scripts: the upstream. Its answers on single requests can be replaced.
    pub(crate) fn upstream(&self) -> &Scripted {
        &self.upstream.scripted
    }

    /// For scripts: the upstream redeems the codes of that many token requests without answering.
    pub(crate) fn lose_tokens(&self, answers: usize) {
        self.upstream.lose(answers);
    }

    pub(crate) fn gate(&self, number: usize) -> MutexGuard<'_, Gate> {
        self.gates[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// For scripts: waits until that many more flows have ended, or all.
    pub(crate) fn wait_for(&self, flows: usize) {
        let ended = || self.clients.ended.load(Ordering::SeqCst);
        let enough = self.flows.min(ended() + flows);
        while ended() < enough {
            thread::sleep(LOOK);
        }
    }

    /// Runs a part of the script that causes faults and ends them.
    pub(crate) fn disturb(&self, place: Place, during: impl FnOnce()) {
        let from = self.clients.tick();
        during();
        let until = self.clients.tick();
        let disturbance = Disturbance { place, from, until };
        self.disturbances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(disturbance);
    }

    /// For scripts: waits until the gates say that their stores answer.
    pub(crate) fn wait_for_stores(&self) {
        for gate in 0..self.gates.len() {
            self.gate(gate).wait_for_store();
        }
    }

    /// Kills a gate (SIGKILL).
    pub(crate) fn kill(&self, number: usize) {
        let log = self.gate(number).stop();
        let run = GateRun { log, metrics: None };
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(run);
    }

    /// Starts a gate again after [`Harness::kill`], at another address.
    pub(crate) fn restart(&self, number: usize) {
        let mut gate = self.gate(number);
        *gate = Gate::start(&self.config);
        self.clients.moved(number, gate.address("server"));
    }
}

/// The metrics, when the gate has counted all that it did.
fn settled(gate: &mut Gate) -> String {
    for _ in 0..1500 {
        if gate.metric("pkce_gate_connections") == 0 {
            break;
        }
        thread::sleep(4 * LOOK);
    }
    let admin = gate.address("admin");
    let metrics = Request::get(&format!("http://{admin}/metrics")).send();
    metrics.text().to_owned()
}
