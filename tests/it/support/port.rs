//! The port of a test server that stops listening and listens again.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// How long an accept loop waits between two checks.
const LOOK: Duration = Duration::from_millis(1);

/// A free port of 127.0.0.1. It is bound without listening, so that nothing else gets it while its server refuses connections.
pub(crate) struct Port {
    reserved: Socket,
}

impl Port {
    pub(crate) fn free() -> Self {
        Self {
            reserved: bound(([127, 0, 0, 1], 0).into()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.reserved.local_addr().expect("the socket is bound");
        address.as_socket().expect("an IP address")
    }

    /// Lets the kernel complete connections: `backlog` and one more, until they are accepted.
    pub(crate) fn listen(&self, backlog: i32) -> Listening {
        let socket = bound(self.address());
        socket.listen(backlog).expect("the port is ours");
        Listening(socket.into())
    }

    /// Accepts connections on a thread.
    pub(crate) fn accept(&self, mut welcome: impl FnMut(TcpStream) + Send + 'static) -> Accepting {
        let listener = self.listen(1024);
        listener.set_nonblocking(true).expect("an option is set");
        let is_closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_closing);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).expect("an option is set");
                        welcome(stream);
                    }
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        Accepting { thread, is_closing }
    }
}

/// A listener that the kernel forgets when it is dropped. To close its descriptor would not be enough: a child process that
/// another test is starting has a copy of each descriptor until it executes its program, and the port would listen as long.
pub(crate) struct Listening(TcpListener);

impl Deref for Listening {
    type Target = TcpListener;

    fn deref(&self) -> &TcpListener {
        &self.0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        SockRef::from(&self.0).shutdown(Shutdown::Both).ok();
    }
}

/// A thread that accepts connections.
pub(crate) struct Accepting {
    thread: JoinHandle<()>,
    is_closing: Arc<AtomicBool>,
}

impl Accepting {
    /// Returns when the port refuses connections.
    pub(crate) fn stop(self) {
        self.is_closing.store(true, Ordering::Release);
        self.thread.join().expect("the accept loop does not panic");
    }
}

/// A bound socket that does not listen yet.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option is set");
    socket.bind(&address.into()).expect("the port is free");
    socket
}

/// The close that follows sends a RST.
pub(crate) fn reset(stream: &TcpStream) {
    let linger = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("an option is set");
}

#[test]
fn a_port_opens_again_while_a_new_process_has_a_copy_of_its_listener() {
    let port = Port::free();
    let listening = port.listen(1);
    let copy = listening.try_clone().expect("a descriptor");
    drop(listening);
    TcpStream::connect(port.address()).expect_err("the port is closed");
    let again = port.listen(1);
    TcpStream::connect(port.address()).expect("the port is open");
    again.accept().expect("a connection");
    drop(copy);
}
