//! A TCP proxy with faults that a test switches while connections run: [`FaultProxy::set`], for each direction. It reads no
//! protocol, so it works in front of Redis, of an upstream and of a gate.

mod pump;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::http::PATIENCE;
use super::port::{Accepting, Port, reset};

/// How long loops wait between two checks.
const LOOK: Duration = Duration::from_millis(5);

/// What happens to bytes of one direction, on existing connections and on new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    Pass,
    /// Each chunk waits this long, and the next one behind it.
    Delay(Duration),
    /// This many bytes every ten milliseconds.
    Drip(usize),
    /// Nothing is read; everything is delivered after the fault, as by a network that was interrupted.
    Hold,
    /// Everything is read and lost. A connection that has lost bytes never carries any again in that direction.
    BlackHole,
    /// The receiver sees the end of the stream, and everything after it is lost. The other direction continues.
    HalfClose,
    /// Existing connections are reset, and new ones as soon as they are accepted. For one direction the same as for both.
    Reset,
    /// New connections are refused; existing ones continue. For one direction the same as for both.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// Bytes of one direction since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) received: usize,
    /// Those that were passed on.
    pub(crate) delivered: usize,
}

pub(crate) struct FaultProxy {
    shared: Arc<Shared>,
    accepting: Mutex<Option<Accepting>>,
    port: Port,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    target: SocketAddr,
    to_server: Fault,
    to_client: Fault,
    accepted: usize,
    up: Traffic,
    down: Traffic,
    /// The open connections, by number. `true`: it has to be reset.
    connections: BTreeMap<usize, bool>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1, and passes everything to that address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let state = State {
            target,
            to_server: Fault::Pass,
            to_client: Fault::Pass,
            accepted: 0,
            up: Traffic::default(),
            down: Traffic::default(),
            connections: BTreeMap::new(),
        };
        let proxy = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
            }),
            accepting: Mutex::new(None),
            port: Port::free(),
        };
        proxy.listen();
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Changes where new connections lead to.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.shared.state().target = target;
    }

    /// Sets the fault of both directions, for every byte that arrives from now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.change(|state| (state.to_server, state.to_client) = (fault, fault));
    }

    /// Sets the fault of one direction.
    pub(crate) fn set_on(&self, direction: Direction, fault: Fault) {
        self.change(|state| match direction {
            Direction::ToServer => state.to_server = fault,
            Direction::ToClient => state.to_client = fault,
        });
    }

    /// Ends the faults. Connections that were reset, half-closed or have lost bytes do not recover.
    pub(crate) fn heal(&self) {
        self.set(Fault::Pass);
    }

    /// Resets the existing connections, once. Returns how many there were, when they are gone.
    pub(crate) fn cut(&self) -> usize {
        let numbers: Vec<usize> = {
            let connections = &mut self.shared.state().connections;
            for cut in connections.values_mut() {
                *cut = true;
            }
            connections.keys().copied().collect()
        };
        let is_open = || {
            let state = self.shared.state();
            numbers.iter().any(|it| state.connections.contains_key(it))
        };
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if !is_open() {
                return numbers.len();
            }
            thread::sleep(LOOK);
        }
        panic!("connections are still open");
    }

    /// The number of accepted connections, with those that were reset at once.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.shared.state().connections.len()
    }

    pub(crate) fn traffic(&self, direction: Direction) -> Traffic {
        *self.shared.state().traffic(direction)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (resets, refuses) = {
            let mut state = self.shared.state();
            change(&mut state);
            (state.has(Fault::Reset), state.has(Fault::Refuse))
        };
        if refuses {
            self.close();
        } else {
            self.listen();
        }
        if resets {
            self.cut();
        }
    }

    fn listen(&self) {
        let mut accepting = self.accepting();
        if accepting.is_none() {
            let shared = Arc::clone(&self.shared);
            *accepting = Some(self.port.accept(move |client| shared.welcome(client)));
        }
    }

    fn close(&self) {
        if let Some(accepting) = self.accepting().take() {
            accepting.stop();
        }
    }

    fn accepting(&self) -> MutexGuard<'_, Option<Accepting>> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.close();
        let connections = &mut self.shared.state().connections;
        for cut in connections.values_mut() {
            *cut = true;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn welcome(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state();
        state.accepted += 1;
        if state.has(Fault::Reset) {
            return reset(&client);
        }
        let (number, target) = (state.accepted, state.target);
        state.connections.insert(number, false);
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            pump::carry(&shared, number, &client, target);
            drop(client); // before the connection counts as gone
            shared.state().connections.remove(&number);
        });
    }
}

impl State {
    fn has(&self, fault: Fault) -> bool {
        self.to_server == fault || self.to_client == fault
    }

    fn traffic(&mut self, direction: Direction) -> &mut Traffic {
        match direction {
            Direction::ToServer => &mut self.up,
            Direction::ToClient => &mut self.down,
        }
    }
}
