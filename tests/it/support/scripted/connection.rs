//! One connection: reads requests, records them, and answers as the script says.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::PoisonError;

use super::{Act, Received, Shared, Stream, Then};
use crate::support::port::reset;
use crate::support::wire::{Framing, end_of_body, end_of_head, field};

/// Serves until the script or the peer ends the connection.
pub(super) fn serve(shared: &Shared, number: usize, tcp: TcpStream) {
    let control = tcp.try_clone().expect("a socket can be shared");
    let mut reader = Reader {
        stream: (shared.wrap)(tcp),
        buffered: Vec::new(),
    };
    let mut first = true;
    loop {
        let idle = shared.state().idle.filter(|_| !first);
        control.set_read_timeout(idle).expect("a timeout is set");
        let Some(head) = reader.head() else { return };
        control.set_read_timeout(None).expect("a timeout is set");
        first = false;
        match answer(shared, number, &mut reader, head) {
            Some(Then::GoOn) => {}
            Some(Then::Stall) => return while reader.read_more() {},
            Some(Then::Reset) => return reset(&control),
            Some(Then::Close) | None => return,
        }
    }
}

/// `None`: the peer has closed the connection.
fn answer(shared: &Shared, number: usize, reader: &mut Reader, head: Vec<u8>) -> Option<Then> {
    let framing = Framing::of_request(&head);
    let closes =
        field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let (index, act) = shared.begin(Received {
        connection: number,
        head,
        body: Vec::new(),
        complete: false,
    });
    if let Act::Interrupt(bytes, then) = act {
        reader.stream.write_all(&bytes).ok()?;
        return Some(then);
    }
    reader.body(framing, |body, complete| {
        shared.progress(index, body, complete);
    })?;
    if !matches!(act, Act::Serve) {
        shared.note(index);
    }
    match act {
        Act::Serve => {
            reader.stream.write_all(&shared.serve(index)).ok()?;
            Some(if closes { Then::Close } else { Then::GoOn })
        }
        Act::Say(bytes, then) | Act::Interrupt(bytes, then) => {
            reader.stream.write_all(&bytes).ok()?;
            Some(then)
        }
        Act::Compute(answerer) => {
            let answer = (answerer.0)(&shared.received(index));
            reader.stream.write_all(&answer).ok()?;
            Some(if closes { Then::Close } else { Then::GoOn })
        }
        Act::Feed(feed) => {
            let feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
            let mut pieces = feed.iter();
            if let Some(first) = pieces.next() {
                reader.stream.write_all(&that_closes(first)).ok()?;
            }
            for piece in pieces {
                reader.stream.write_all(&piece).ok()?;
            }
            Some(Then::Close)
        }
    }
}

/// The beginning of an answer after which the connection closes, and says so. Otherwise the gate may send the next request on it.
fn that_closes(mut begin: Vec<u8>) -> Vec<u8> {
    const CLOSE: &[u8] = b"Connection: close\r\n";
    let status_line = begin.windows(2).position(|two| two == b"\r\n");
    if begin.starts_with(b"HTTP/1.1 ")
        && let Some(end) = status_line
    {
        begin.splice(end + 2..end + 2, CLOSE.iter().copied());
    }
    begin
}

struct Reader {
    stream: Box<dyn Stream>,
    buffered: Vec<u8>,
}

impl Reader {
    fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = end_of_head(&self.buffered) {
                let rest = self.buffered.split_off(end);
                return Some(std::mem::replace(&mut self.buffered, rest));
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Calls `show` with the part of the body that has arrived, until it is complete.
    fn body(&mut self, framing: Framing, mut show: impl FnMut(&[u8], bool)) -> Option<()> {
        loop {
            if let Some(end) = end_of_body(framing, &self.buffered) {
                let rest = self.buffered.split_off(end);
                show(&self.buffered, true);
                self.buffered = rest;
                return Some(());
            }
            show(&self.buffered, false);
            if !self.read_more() {
                return None;
            }
        }
    }

    /// `false`: the connection has ended, or was idle for too long.
    fn read_more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        loop {
            return match self.stream.read(&mut piece) {
                Ok(length) => {
                    self.buffered.extend_from_slice(&piece[..length]);
                    length > 0
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => false,
            };
        }
    }
}
