//! Carries the bytes of one connection: a thread for each direction.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::{Direction, Fault, LOOK, Shared};
use crate::support::port::reset;

/// The most bytes between two checks of the fault.
const PIECE: usize = 16 * 1024;
/// The longest wait in a socket operation between two such checks.
const BLINK: Duration = Duration::from_millis(20);
/// How long the target may take to accept.
const CONNECT: Duration = Duration::from_secs(10);
/// Time between two pieces of a drip.
const DRIP: Duration = Duration::from_millis(10);

/// Why a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender closed it, and so its receiver has seen the end.
    Closed,
    /// The connection was reset, by a peer or by a fault.
    Reset,
}

/// What became of bytes, or of the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Lost,
    Ended(End),
}

struct Pump<'a> {
    shared: &'a Shared,
    number: usize,
    direction: Direction,
    from: &'a TcpStream,
    to: &'a TcpStream,
}

/// Returns when both directions have ended. If the target cannot be reached, the client is reset.
pub(super) fn carry(shared: &Shared, number: usize, client: &TcpStream, target: SocketAddr) {
    let Ok(server) = TcpStream::connect_timeout(&target, CONNECT) else {
        return reset(client);
    };
    for stream in [client, &server] {
        stream.set_nodelay(true).expect("an option is set");
        stream
            .set_read_timeout(Some(BLINK))
            .expect("a timeout is set");
        stream
            .set_write_timeout(Some(BLINK))
            .expect("a timeout is set");
    }
    let pump = |direction, from, to| Pump {
        shared,
        number,
        direction,
        from,
        to,
    };
    let up = pump(Direction::ToServer, client, &server);
    let down = pump(Direction::ToClient, &server, client);
    thread::scope(|scope| {
        scope.spawn(|| up.run());
        down.run();
    });
    if shared.state().connections.get(&number) == Some(&true) {
        reset(client);
        reset(&server);
    }
}

impl Pump<'_> {
    fn run(&self) {
        match self.pump() {
            End::Closed => drop(self.to.shutdown(Shutdown::Write)), // it may be closed already
            End::Reset => self.reset_all(),
        }
    }

    fn pump(&self) -> End {
        let (mut has_lost, mut is_half_closed) = (false, false);
        let mut piece = vec![0; PIECE];
        loop {
            if self.is_cut() {
                return End::Reset;
            }
            if self.fault() == Fault::HalfClose && !is_half_closed {
                self.to.shutdown(Shutdown::Write).ok(); // it may be closed already
                is_half_closed = true;
            }
            if self.fault() == Fault::Hold && !has_lost {
                thread::sleep(LOOK);
                continue;
            }
            let length = match (&mut &*self.from).read(&mut piece) {
                Ok(length) => length,
                Err(error) if is_timeout(error.kind()) => continue,
                Err(_) => return End::Reset,
            };
            self.shared.state().traffic(self.direction).received += length;
            let fate = if has_lost || is_half_closed {
                Fate::Lost
            } else {
                self.deliver(&piece[..length])
            };
            match fate {
                Fate::Ended(end) => return end,
                Fate::Delivered | Fate::Lost if length == 0 => {
                    let is_silent = fate == Fate::Lost && !is_half_closed;
                    return if is_silent {
                        self.wait_for_cut()
                    } else {
                        End::Closed
                    };
                }
                Fate::Delivered => {}
                Fate::Lost => has_lost = true,
            }
        }
    }

    /// Passes bytes on as the fault says. The end of the stream, no bytes, waits like bytes do.
    fn deliver(&self, mut bytes: &[u8]) -> Fate {
        let mut waited = Duration::ZERO;
        loop {
            if self.is_cut() {
                return Fate::Ended(End::Reset);
            }
            let (size, pause) = match self.fault() {
                Fault::Delay(delay) if waited < delay => {
                    let pause = LOOK.min(delay.saturating_sub(waited));
                    thread::sleep(pause);
                    waited += pause;
                    continue;
                }
                Fault::Pass | Fault::Refuse | Fault::Delay(_) => (bytes.len(), Duration::ZERO),
                Fault::Drip(size) => (size.min(bytes.len()), DRIP),
                Fault::Hold | Fault::Reset => {
                    thread::sleep(LOOK);
                    continue;
                }
                Fault::BlackHole | Fault::HalfClose => return Fate::Lost,
            };
            match (&mut &*self.to).write(&bytes[..size]) {
                Ok(written) => {
                    self.shared.state().traffic(self.direction).delivered += written;
                    bytes = &bytes[written..];
                }
                Err(error) if is_timeout(error.kind()) => {}
                Err(_) => return Fate::Ended(End::Reset),
            }
            if bytes.is_empty() {
                return Fate::Delivered;
            }
            thread::sleep(pause);
        }
    }

    /// For a connection that must not end by itself: the end of its stream is lost, too.
    fn wait_for_cut(&self) -> End {
        while !self.is_cut() {
            thread::sleep(LOOK);
        }
        End::Reset
    }

    fn fault(&self) -> Fault {
        let state = self.shared.state();
        match self.direction {
            Direction::ToServer => state.to_server,
            Direction::ToClient => state.to_client,
        }
    }

    fn is_cut(&self) -> bool {
        self.shared.state().connections.get(&self.number) != Some(&false)
    }

    /// Both directions end, and both peers get a RST.
    fn reset_all(&self) {
        let mut state = self.shared.state();
        if let Some(cut) = state.connections.get_mut(&self.number) {
            *cut = true;
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    [
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::Interrupted,
    ]
    .contains(&kind)
}
