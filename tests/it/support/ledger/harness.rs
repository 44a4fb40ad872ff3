//! Runs flows through gates, and a script of faults beside them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::client::Clients;
use super::upstream::Upstream;
use super::{Disturbance, End, Flow, GateRun, Kind, Place, Report, Usage};
use crate::support::balancer::{Balancer, Ports};
use crate::support::fault::FaultProxy;
use crate::support::fixture::free_port;
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
    /// Of all gates, without their ports.
    config: String,
    ports: Vec<Ports>,
    gates: Vec<Mutex<Gate>>,
    balancer: Option<Balancer>,
    /// What the gates used before the first fault.
    before: Mutex<Vec<Usage>>,
    /// Gate processes that have ended.
    ended: Mutex<Vec<GateRun>>,
    clients: Clients,
    /// The number of flows.
    flows: usize,
    disturbances: Mutex<Vec<Disturbance>>,
    /// How long a client waits after a flow that failed.
    pause: Duration,
}

impl Harness {
    /// That many gates with the same configuration, in front of one upstream.
    pub(crate) fn start(gates: usize, config: Config<'_>) -> Self {
        Self::with_drain("1s", gates, config)
    }

    /// Two gates behind `HAProxy`, which sends each request of a client to the next one.
    pub(crate) fn balanced(config: Config<'_>) -> Self {
        // They still accept connections until the health check has seen that they stop.
        let server = format!("trusted_proxies = [\"127.0.0.1/32\"]\n{}", config.server);
        let config = Config {
            server: &server,
            ..config
        };
        let mut harness = Self::with_drain("15s", 2, config);
        let ports = [harness.ports[0], harness.ports[1]];
        let balancer = Balancer::start(free_port(), ports);
        harness.clients = Clients::behind(balancer.address());
        harness.balancer = Some(balancer);
        harness
    }

    fn with_drain(drain: &str, gates: usize, config: Config<'_>) -> Self {
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
        let server = format!("drain = \"{drain}\"\n{}", config.server);
        let config = Config {
            server: &server,
            upstream: &keys,
            store: &store,
            log: &log,
            ..config
        };
        let config = config.render(&upstream.scripted);
        let ports: Vec<_> = (0..gates).map(|_| Ports::free()).collect();
        let started = ports.iter().map(|ports| Gate::start(&at(*ports, &config)));
        Self {
            gates: started.map(Mutex::new).collect(),
            clients: Clients::of(ports.iter().map(|it| it.address())),
            ports,
            balancer: None,
            before: Mutex::default(),
            upstream,
            network,
            config,
            flows: 0,
            ended: Mutex::default(),
            disturbances: Mutex::default(),
            pause: Duration::ZERO,
        }
    }

    /// Clients wait that long after a flow that failed. Without it, most of many flows fail during faults: that is quick.
    pub(crate) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
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
        self.run_next(next, script)
    }

    /// Runs flows of these kinds in turn until the script has ended. Each client pauses between two flows.
    pub(crate) fn run_during(
        mut self,
        kinds: &[Kind],
        script: impl FnOnce(&Self) + Send,
    ) -> Report {
        self.flows = usize::MAX;
        let (begun, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let next = || {
            thread::sleep(20 * LOOK);
            let id = begun.fetch_add(1, Ordering::SeqCst);
            let kind = kinds[id % kinds.len()];
            (!is_over.load(Ordering::SeqCst)).then_some((id, kind))
        };
        self.run_next(next, |harness| {
            let run = AssertUnwindSafe(|| script(harness));
            let ended = catch_unwind(run);
            is_over.store(true, Ordering::SeqCst); // or the flows would never end
            ended.unwrap_or_else(|panic| resume_unwind(panic));
        })
    }

    fn run_next(
        self,
        next: impl Fn() -> Option<(usize, Kind)> + Sync,
        script: impl FnOnce(&Self) + Send,
    ) -> Report {
        let client = || {
            let flow = |(id, kind)| {
                let flow = self.clients.run(id, kind);
                if !matches!(flow.end, End::Token(_)) && kind != Kind::NoChallenge {
                    thread::sleep(self.pause);
                }
                flow
            };
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
        drop(self.balancer); // it keeps connections to the gates
        let mut runs = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.before.into_inner();
        let before = before.unwrap_or_else(PoisonError::into_inner);
        for gate in self.gates {
            let mut gate = gate.into_inner().unwrap_or_else(PoisonError::into_inner);
            if gate.has_ended().is_some() {
                continue; // it was killed and not started again
            }
            let metrics = Some(settled(&mut gate));
            let program = gate.program();
            let before = before.iter().find(|usage| usage.process == program);
            let usage = before.map(|before| [*before, rested(&mut gate, before)]);
            gate.signal("TERM"); // writes the rest of its log
            gate.wait_for_end();
            let log = gate.stop();
            runs.push(GateRun {
                log,
                metrics,
                was_killed: false,
                usage,
            });
        }
        Report {
            flows,
            sends: self.clients.sends(),
            seen: self.upstream.seen(),
            issued: self.upstream.issued(),
            redeemed: self.upstream.redeemed(),
            passed: self.upstream.passed(),
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
        let enough = self.flows.min(ended().saturating_add(flows));
        while ended() < enough {
            thread::sleep(LOOK);
        }
    }

    /// Runs a part of the script that causes faults and ends them.
    pub(crate) fn disturb(&self, place: Place, during: impl FnOnce()) {
        self.measure();
        let from = self.clients.tick();
        during();
        let until = self.clients.tick();
        let disturbance = Disturbance { place, from, until };
        self.disturbances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(disturbance);
    }

    /// For scripts: waits until the gates say that their stores answer, and until every worker has noticed. On a busy machine a
    /// worker may find out that its connection was reset only when it uses it for the next request, which then fails.
    pub(crate) fn wait_for_stores(&self) {
        for gate in 0..self.gates.len() {
            self.gate(gate).wait_for_store();
        }
        self.wait_for(12);
    }

    /// For scripts: waits until the gates store nothing any more, because it expired.
    pub(crate) fn wait_for_no_records(&self) {
        for gate in 0..self.gates.len() {
            let stored = || {
                let kinds = ["unfollowed", "pending", "code", "tombstone"];
                let name = "pkce_gate_store_records{upstream=\"scripted\",kind=";
                let stored =
                    kinds.map(|kind| self.gate(gate).metric(&format!("{name}\"{kind}\"}}")));
                stored.iter().sum::<usize>()
            };
            let looks = Duration::from_mins(5).as_millis() / LOOK.as_millis() / 20;
            let mut looks = 0..looks;
            while stored() > 0 {
                assert!(looks.next().is_some(), "{} records are left", stored());
                thread::sleep(20 * LOOK);
            }
        }
    }

    /// For scripts: whether all flows have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.clients.ended.load(Ordering::SeqCst) >= self.flows
    }

    /// What the gates use before the first fault, under load.
    fn measure(&self) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_empty() {
            let gates = (0..self.gates.len()).map(|gate| self.gate(gate));
            *before = gates.map(|gate| Usage::of(gate.program(), 0)).collect();
        }
    }

    /// Kills a gate (SIGKILL).
    pub(crate) fn kill(&self, number: usize) {
        self.end(number, true);
    }

    /// Stops a gate (SIGTERM), and waits until it has ended.
    pub(crate) fn stop(&self, number: usize) {
        let mut gate = self.gate(number);
        gate.signal("TERM");
        gate.wait_for_end();
        drop(gate);
        self.end(number, false);
    }

    fn end(&self, number: usize, was_killed: bool) {
        let log = self.gate(number).stop();
        let run = GateRun {
            log,
            was_killed,
            ..GateRun::default()
        };
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(run);
    }

    /// Starts a gate again after [`Harness::kill`] or [`Harness::stop`]. Returns when it gets requests.
    pub(crate) fn restart(&self, number: usize) {
        *self.gate(number) = Gate::start(&at(self.ports[number], &self.config));
        if let Some(balancer) = &self.balancer {
            balancer.wait_for(number);
        }
    }

    /// Changes the configuration of a gate while it runs, and waits until it is in force. It is the first one changed.
    pub(crate) fn reconfigure(&self, number: usize, change: impl FnOnce(&str) -> String) {
        let config = change(&self.config);
        assert_ne!(config, self.config);
        self.gate(number).reload(&at(self.ports[number], &config));
    }

    /// The proxy in front of two gates.
    pub(crate) fn balancer(&self) -> &Balancer {
        self.balancer.as_ref().expect("the gates are balanced")
    }
}

/// The configuration with these ports.
fn at(ports: Ports, config: &str) -> String {
    let listens = [
        ("[\"127.0.0.1:0\"]", ports.server, "[\"127.0.0.1:PORT\"]"),
        ("\"127.0.0.1:0\"", ports.admin, "\"127.0.0.1:PORT\""),
    ];
    let mut config = config.to_owned();
    for (from, port, to) in listens {
        assert!(config.contains(from), "{config}");
        config = config.replacen(from, &to.replace("PORT", &port.to_string()), 1);
    }
    config
}

/// What the gate uses when the load is over: within a minute no more than before the faults.
fn rested(gate: &mut Gate, before: &Usage) -> Usage {
    let mut usage = Usage::of(gate.program(), busy(gate));
    for _ in 0..600 {
        if usage.beyond(before).is_empty() {
            break;
        }
        thread::sleep(20 * LOOK);
        usage = Usage::of(gate.program(), busy(gate));
    }
    usage
}

fn busy(gate: &mut Gate) -> usize {
    let in_flight = "pkce_gate_in_flight{upstream=\"scripted\"}";
    gate.metric("pkce_gate_connections") + gate.metric(in_flight)
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
