//! The servers of the Redis store, and the network to them: a master, and after a failover for a while the old one, too.
//!
//! A command may be refused, delayed, lost, or carried out without an answer; after its deadline it may still be carried out, but
//! never twice. At a failover the new master lacks the last writes and has a `run_id` of its own. Some gates go on with the old
//! one until they notice. A write that waits for a replica ([`Call::replicas`]) is lost by no failover, and replicas follow the new
//! master only: the old one gets no more confirmations.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use super::dice::Dice;
use super::kernel::Timers;
use crate::oauth::Digest;
use crate::store::{Answer, Call, Failed, Mutation, Server, StandIn, Value};

/// The time on the clock of the servers at the beginning of a run, in milliseconds since 1970.
pub(super) const EPOCH: u64 = 1_700_000_000_000;
/// How long a gate waits for an answer, in milliseconds.
const DEADLINE: u64 = 250;
/// The most that a replica may be behind its master, in milliseconds.
const BEHIND: u64 = 3_000;
/// How long it may take until a gate notices a failover, and until the old master is gone.
const UNNOTICED: u64 = 10_000;
/// So long after a failover all gates use the same server, and no command is on its way to the old one.
pub(super) const SETTLES: u64 = 20_000;

pub(super) struct Servers {
    timers: Timers,
    troubles: Troubles,
    state: Mutex<State>,
}

/// How much goes wrong, in ten thousand commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Troubles {
    /// Of each kind.
    pub(super) each: u64,
    /// Claims and releases that arrive after their deadline.
    pub(super) late: u64,
}

struct State {
    dice: Dice,
    /// By generation. All but the newest are about to go.
    servers: BTreeMap<u64, Server>,
    newest: u64,
    /// When a gate notices the newest generation.
    notices: Vec<u64>,
    /// When the older servers are gone.
    gone: u64,
    /// Commands on their way to a server whose sender has given up, by their time of arrival.
    late: BTreeMap<(u64, u64), (u64, Call)>,
    sent: u64,
    /// The last codes that were bound: by which gate, with which key, and on which run.
    bound: VecDeque<(usize, Vec<u8>, String)>,
}

/// How many of the last bindings are remembered, so that a gate can ask for its own.
const BINDINGS: usize = 64;

/// What happens to a command.
enum Fate {
    /// It is answered after so many milliseconds, half of which it takes to arrive.
    Answered(u64),
    Refused(Failed),
    /// Lost on the way.
    Lost,
    /// Carried out, but the answer is lost.
    Unanswered(Failed),
    /// It arrives so many milliseconds after the deadline.
    Late(u64),
}

impl Servers {
    pub(super) fn new(
        timers: Timers,
        seed: u64,
        gates: usize,
        troubles: Troubles,
        mutation: Option<Mutation>,
    ) -> Self {
        let state = State {
            dice: Dice::of(seed, u64::MAX),
            servers: BTreeMap::from([(0, Server::new("a0", mutation))]),
            newest: 0,
            notices: vec![0; gates],
            gone: 0,
            late: BTreeMap::new(),
            sent: 0,
            bound: VecDeque::new(),
        };
        Self {
            timers,
            troubles,
            state: Mutex::new(state),
        }
    }

    /// A replica takes over.
    pub(super) fn fail_over(&self) {
        let now = self.timers.now();
        let state = &mut *self.state.lock().unwrap();
        let behind = state.dice.below(BEHIND);
        let run = format!("a{}", state.newest + 1);
        let since = (EPOCH + now).saturating_sub(behind);
        let replica = state.servers[&state.newest].replica(&run, since);
        let old = state.newest;
        state.servers.retain(|generation, _| *generation == old);
        state.newest += 1;
        state.servers.insert(state.newest, replica);
        for notices in &mut state.notices {
            *notices = now + state.dice.below(UNNOTICED);
        }
        state.gone = now + state.dice.below(UNNOTICED);
    }

    /// The server run on which this gate has just bound the code with this key, or got it again. Another gate may have bound it on
    /// another one.
    pub(super) fn run_of(&self, gate: usize, code: Digest) -> Option<String> {
        let key = code_key(code);
        let state = self.state.lock().unwrap();
        let mut bound = state.bound.iter().rev();
        let own = bound.find(|(by, of, _)| (*by, of) == (gate, &key));
        own.map(|(_, _, run)| run.clone())
    }

    /// The server runs on which the code with this key was bound and is claimed: several after a failover that lost its trace.
    pub(super) fn claimed_on(&self, code: Digest) -> BTreeSet<String> {
        let key = code_key(code);
        let state = self.state.lock().unwrap();
        let servers = state.servers.values();
        servers
            .filter_map(|server| server.claimed_on(&key))
            .collect()
    }

    async fn send(&self, gate: usize, call: Call) -> Result<Value, Failed> {
        match self.fate(&call) {
            Fate::Answered(takes) => {
                self.timers.sleep(takes / 2).await;
                let answer = self.carry_out(gate, &call);
                if call.replicas > 0 && answer.is_ok() && !self.is_confirmed(gate).await {
                    return Err(Failed::TooFewReplicas);
                }
                self.timers.sleep(takes - takes / 2).await;
                answer
            }
            Fate::Refused(why) => {
                self.timers.sleep(1).await;
                Err(why)
            }
            Fate::Lost => {
                self.timers.sleep(DEADLINE).await;
                Err(Failed::Deadline)
            }
            Fate::Unanswered(why) => {
                self.timers.sleep(1).await;
                let _lost = self.carry_out(gate, &call);
                self.timers.sleep(DEADLINE).await;
                Err(why)
            }
            Fate::Late(after) => {
                self.delay(gate, call, DEADLINE + after);
                self.timers.sleep(DEADLINE).await;
                Err(Failed::Deadline)
            }
        }
    }

    /// `WAIT` after a command of this gate: whether the replicas have it within the deadline.
    async fn is_confirmed(&self, gate: usize) -> bool {
        let now = self.timers.now();
        let (written, takes) = {
            let state = &mut *self.state.lock().unwrap();
            let Some(generation) = state.generation(gate, now) else {
                return false;
            };
            let written = state.servers.get(&generation).map(Server::written);
            let takes = (!state.dice.often(self.troubles.each)).then(|| state.dice.below(6));
            (written.map(|written| (generation, written)), takes)
        };
        let (Some((generation, written)), Some(takes)) = (written, takes) else {
            self.timers.sleep(DEADLINE).await;
            return false;
        };
        self.timers.sleep(takes).await;
        let is_master = {
            let state = &mut *self.state.lock().unwrap();
            let is_master = generation == state.newest;
            if let Some(server) = state.servers.get_mut(&generation).filter(|_| is_master) {
                server.confirm(written);
            }
            is_master
        };
        if !is_master {
            self.timers.sleep(DEADLINE).await;
        }
        is_master
    }

    fn fate(&self, call: &Call) -> Fate {
        let dice = &mut self.state.lock().unwrap().dice;
        let kinds = [
            Fate::Refused(Failed::Unreachable),
            Fate::Refused(Failed::Full),
            Fate::Lost,
            Fate::Unanswered(Failed::Unreachable),
            Fate::Unanswered(Failed::Deadline),
        ];
        for kind in kinds {
            if dice.often(self.troubles.each) {
                return kind;
            }
        }
        // These have one key and five or three arguments.
        let is_about_claim = call.script.is_some() && [9, 7].contains(&call.words.len());
        let late = if is_about_claim {
            self.troubles.late
        } else {
            self.troubles.each
        };
        if dice.often(late) {
            return Fate::Late(dice.below(5_000));
        }
        let slow = if dice.often(100) { 200 } else { 4 };
        Fate::Answered(dice.below(slow))
    }

    fn carry_out(&self, gate: usize, call: &Call) -> Result<Value, Failed> {
        let now = self.timers.now();
        let state = &mut *self.state.lock().unwrap();
        state.catch_up(now);
        let generation = state.generation(gate, now).ok_or(Failed::Unreachable)?;
        let answer = state.run(generation, now, call);
        // Only to bind a code, a script has two keys.
        if let [_, _, keys, _, code, ..] = call.words.as_slice()
            && keys == b"2"
            && let Some(run) = state.servers[&generation].run_of(code)
        {
            state.bound.push_back((gate, code.clone(), run));
            if state.bound.len() > BINDINGS {
                state.bound.pop_front();
            }
        }
        answer
    }

    fn delay(&self, gate: usize, call: Call, by: u64) {
        let now = self.timers.now();
        let state = &mut *self.state.lock().unwrap();
        state.sent += 1;
        if let Some(generation) = state.generation(gate, now) {
            state
                .late
                .insert((now + by, state.sent), (generation, call));
        }
    }
}

impl State {
    /// The server that a gate takes for the master. `None`: it is gone.
    fn generation(&self, gate: usize, now: u64) -> Option<u64> {
        let notices = self
            .notices
            .get(gate)
            .is_some_and(|notices| *notices <= now);
        match self.newest.checked_sub(1) {
            Some(old) if !notices => (now < self.gone).then_some(old),
            Some(_) | None => Some(self.newest),
        }
    }

    /// Carries out what has arrived meanwhile. Only a later command can see the difference.
    fn catch_up(&mut self, now: u64) {
        while let Some(first) = self.late.first_entry()
            && first.key().0 <= now
        {
            let ((at, _), (generation, call)) = first.remove_entry();
            let is_gone = generation < self.newest && at >= self.gone;
            if !is_gone {
                let _nobody_waits = self.run(generation, at, &call);
            }
        }
    }

    fn run(&mut self, generation: u64, now: u64, call: &Call) -> Result<Value, Failed> {
        let server = self.servers.get_mut(&generation);
        server.ok_or(Failed::Unreachable)?.run(EPOCH + now, call)
    }
}

/// A gate's way to the servers.
pub(super) struct Line {
    pub(super) servers: Arc<Servers>,
    pub(super) gate: usize,
}

impl StandIn for Line {
    fn answer(&self, call: Call) -> Answer {
        let (servers, gate) = (Arc::clone(&self.servers), self.gate);
        Box::pin(async move { servers.send(gate, call).await })
    }
}

fn code_key(code: Digest) -> Vec<u8> {
    let hex = code.as_bytes().iter().map(|byte| format!("{byte:02x}"));
    let hex = hex.collect::<Vec<_>>().concat();
    format!("{{pkce-gate:sim}}:c:{hex}").into_bytes()
}
