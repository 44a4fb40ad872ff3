//! A client that sends exactly the bytes it is given, and reads exactly what comes back, over as many requests as a test
//! likes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::http::{PATIENCE, Response};
use super::wire::{Framing, end_of_body, end_of_head};

pub(crate) struct Connection {
    stream: TcpStream,
    /// What came and belongs to the next answer.
    buffered: Vec<u8>,
}

/// A connection ended in the middle of an answer; what had come of it.
#[derive(Debug)]
pub(crate) struct Cut(pub(crate) Vec<u8>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("somebody listens there"))
    }

    /// From that address of this machine.
    pub(crate) fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
        let socket = socket.expect("a socket");
        let source = SocketAddr::new(source, 0);
        socket
            .bind(&source.into())
            .expect("all of loopback is here");
        let connected = socket.connect(&address.into());
        connected.expect("somebody listens there");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option is set");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout is set");
        Self {
            stream,
            buffered: Vec::new(),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes), "the bytes are sent");
    }

    /// `false`: the other side has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next answer, interim ones included.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response()
            .unwrap_or_else(|cut| panic!("no whole answer: \"{}\"", cut.0.escape_ascii()))
    }

    pub(crate) fn try_response(&mut self) -> Result<Response, Cut> {
        self.read_message(false)
    }

    /// The answer to a HEAD request: it has no body, whatever its head says.
    pub(crate) fn response_to_head(&mut self) -> Result<Response, Cut> {
        self.read_message(true)
    }

    fn read_message(&mut self, to_head: bool) -> Result<Response, Cut> {
        let head = loop {
            match end_of_head(&self.buffered) {
                Some(end) => break end,
                None if self.read_more() => {}
                None => return Err(Cut(std::mem::take(&mut self.buffered))),
            }
        };
        let framing = if to_head {
            Framing::Length(0)
        } else {
            Framing::of_response(&self.buffered[..head])
        };
        loop {
            if let Some(end) = end_of_body(framing, &self.buffered[head..]) {
                let rest = self.buffered.split_off(head + end);
                return Ok(Response::parse(std::mem::replace(&mut self.buffered, rest)));
            }
            if !self.read_more() {
                let came = std::mem::take(&mut self.buffered);
                return match framing {
                    Framing::UntilClose => Ok(Response::parse(came)),
                    Framing::Length(_) | Framing::Chunked => Err(Cut(came)),
                };
            }
        }
    }

    /// Reads until so much of the answer is there, or the connection ends.
    pub(crate) fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        while !enough(&self.buffered) && self.read_more() {}
        &self.buffered
    }

    /// Everything until the other side closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.buffered)
    }

    /// Nothing more will be sent; answers can still be read.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).ok(); // the other side may have gone
    }

    /// `false`: the other side has closed the connection.
    fn read_more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(length) => {
                self.buffered.extend_from_slice(&piece[..length]);
                true
            }
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                panic!(
                    "nothing more after {PATIENCE:?}, and the connection is open; so far: \"{}\"",
                    self.buffered.escape_ascii()
                )
            }
            Err(_) => false, // a reset is an end, too
        }
    }
}
