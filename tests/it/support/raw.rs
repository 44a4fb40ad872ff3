//! A client that sends exactly the given bytes and keeps exactly the received ones, over any number of requests.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::http::{PATIENCE, Response};
use super::wire::{Framing, end_of_body, end_of_head};

pub(crate) struct Connection {
    stream: TcpStream,
    /// Received bytes of the next answer.
    buffered: Vec<u8>,
}

/// The bytes of an answer whose connection ended before it was complete.
#[derive(Debug)]
pub(crate) struct Cut(pub(crate) Vec<u8>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the connection is accepted"))
    }

    /// From this local address.
    pub(crate) fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
        let socket = socket.expect("a socket");
        let source = SocketAddr::new(source, 0);
        socket
            .bind(&source.into())
            .expect("every loopback address can be bound");
        let connected = socket.connect(&address.into());
        connected.expect("the connection is accepted");
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

    /// `false`: the peer has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next answer, including interim ones.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response()
            .unwrap_or_else(|cut| panic!("no whole answer: \"{}\"", cut.0.escape_ascii()))
    }

    pub(crate) fn try_response(&mut self) -> Result<Response, Cut> {
        self.read_message(false)
    }

    /// The answer to a HEAD request, which has no body.
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

    /// Reads until the bytes satisfy `enough`, or the connection ends.
    pub(crate) fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        while !enough(&self.buffered) && self.read_more() {}
        &self.buffered
    }

    /// Everything until the peer closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.buffered)
    }

    /// Closes the sending direction; answers can still be read.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).ok(); // the peer may have closed already
    }

    /// `false`: the peer has closed the connection.
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
            Err(_) => false, // a reset counts as an end
        }
    }
}
