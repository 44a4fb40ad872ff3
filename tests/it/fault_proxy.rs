//! The proxy that injects faults does what its faults say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::fault::{Direction, Fault, FaultProxy, Traffic};
use crate::support::http::PATIENCE;

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);
/// Longer than any test.
const LONG: Duration = Duration::from_hours(1);

/// Sends every byte back, with this byte in front of each connection's first one.
fn echo(greeting: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                // The client may be gone already.
                let _ = to.write_all(&[greeting]);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("the proxy accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout is set");
    stream
}

/// A connection over which the greeting has arrived.
fn greeted(proxy: &FaultProxy) -> TcpStream {
    let mut stream = connect(proxy);
    assert_eq!(read(&mut stream, 1), b">");
    stream
}

#[track_caller]
fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("bytes arrive");
    bytes
}

#[track_caller]
fn goes_round(stream: &mut TcpStream) {
    stream.write_all(b"ping").expect("bytes are sent");
    assert_eq!(read(stream, 4), b"ping");
}

#[track_caller]
fn is_silent(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(SILENCE))
        .expect("a timeout is set");
    let error = stream.read(&mut [0]).expect_err("nothing arrives");
    assert!(
        [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
        "{error}"
    );
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout is set");
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("still not so");
}

#[track_caller]
fn is_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).expect_err("the connection is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[track_caller]
fn has_ended(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).expect("the stream ends"), 0);
}

fn proxy() -> FaultProxy {
    FaultProxy::to(echo(b'>'))
}

#[test]
fn without_a_fault_bytes_and_ends_pass_and_are_counted() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    goes_round(&mut stream);
    let big: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut writer = stream.try_clone().expect("a socket can be shared");
    let sent = big.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).expect("bytes are sent");
        writer.shutdown(Shutdown::Write).expect("it is open");
    });
    assert!(read(&mut stream, big.len()) == big, "the same bytes");
    has_ended(&mut stream);
    writing.join().expect("it does not panic");
    let traffic = |received| Traffic {
        received,
        delivered: received,
    };
    assert_eq!(proxy.traffic(Direction::ToServer), traffic(1_000_004));
    assert_eq!(proxy.traffic(Direction::ToClient), traffic(1_000_005));
    assert_eq!(proxy.accepted(), 1);
    wait_until(|| proxy.open() == 0);
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = FaultProxy::to(listener.local_addr().expect("an address"));
    let client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("a connection");
    let linger = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    linger.expect("an option is set");
    drop(client);
    is_reset(&mut server);
}

#[test]
fn delayed_bytes_come_late_but_come() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    proxy.set_on(Direction::ToClient, Fault::Delay(LONG));
    stream.write_all(b"ping").expect("bytes are sent");
    is_silent(&mut stream);
    proxy.set_on(Direction::ToClient, Fault::Delay(SILENCE));
    assert_eq!(read(&mut stream, 4), b"ping");
}

#[test]
fn the_end_of_a_stream_is_delayed_too() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    proxy.set_on(Direction::ToServer, Fault::Delay(LONG));
    stream.shutdown(Shutdown::Write).expect("it is open");
    is_silent(&mut stream);
    proxy.set_on(Direction::ToServer, Fault::Delay(SILENCE));
    has_ended(&mut stream);
}

#[test]
fn a_drip_delivers_a_few_bytes_at_a_time() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    proxy.set_on(Direction::ToClient, Fault::Drip(1));
    stream.write_all(&[b'.'; 10_000]).expect("bytes are sent");
    // All of them take 100 seconds.
    let first = stream.read(&mut [0; 10_000]).expect("bytes arrive");
    assert!(first < 10_000, "{first} bytes at once");
    proxy.heal();
    read(&mut stream, 10_000 - first);
    goes_round(&mut stream);
}

#[test]
fn an_interrupted_network_delivers_everything_later() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    proxy.set(Fault::Hold);
    stream.write_all(b"ping").expect("bytes are sent");
    is_silent(&mut stream);
    proxy.heal();
    assert_eq!(read(&mut stream, 4), b"ping");
}

#[test]
fn a_black_hole_reads_and_delivers_nothing() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    proxy.set(Fault::BlackHole);
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        // More than the buffers of two sockets take: the proxy reads it.
        stream
            .write_all(&vec![b'.'; 10_000_000])
            .expect("bytes are sent");
        is_silent(stream);
    }
    assert_eq!(proxy.accepted(), 2);
    assert_eq!(proxy.traffic(Direction::ToServer).delivered, 0);
}

#[test]
fn a_connection_that_lost_bytes_stays_dead_and_new_ones_work() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    proxy.set_on(Direction::ToServer, Fault::BlackHole);
    old.write_all(b"lost").expect("bytes are sent");
    wait_until(|| proxy.traffic(Direction::ToServer).received == 4);
    is_silent(&mut old);
    proxy.heal();
    old.write_all(b"lost").expect("bytes are sent");
    is_silent(&mut old);
    goes_round(&mut greeted(&proxy));
}

#[test]
fn the_end_of_a_stream_disappears_in_a_black_hole() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    proxy.set_on(Direction::ToServer, Fault::BlackHole);
    stream.shutdown(Shutdown::Write).expect("it is open");
    is_silent(&mut stream);
}

#[test]
fn a_reset_ends_existing_connections_and_new_ones() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    proxy.set(Fault::Reset);
    assert_eq!(proxy.open(), 0);
    is_reset(&mut old);
    // The reset may arrive before connect() returns, or later.
    match TcpStream::connect(proxy.address()) {
        Ok(mut new) => is_reset(&mut new),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    proxy.heal();
    goes_round(&mut greeted(&proxy));
}

#[test]
fn a_cut_resets_existing_connections_only() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    assert_eq!(proxy.cut(), 1);
    is_reset(&mut old);
    goes_round(&mut greeted(&proxy));
}

#[test]
fn a_half_closed_stream_ends_for_its_receiver_and_the_other_direction_works() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = FaultProxy::to(listener.local_addr().expect("an address"));
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("a connection");
    proxy.set_on(Direction::ToServer, Fault::HalfClose);
    has_ended(&mut server);
    client.write_all(b"lost").expect("the proxy still reads");
    server.write_all(b"pong").expect("bytes are sent");
    assert_eq!(read(&mut client, 4), b"pong");
    assert_eq!(proxy.traffic(Direction::ToServer).delivered, 0);
}

#[test]
fn while_connections_are_refused_existing_ones_continue() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    proxy.set(Fault::Refuse);
    let refused = TcpStream::connect(proxy.address()).expect_err("nothing listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    goes_round(&mut old);
    proxy.heal();
    goes_round(&mut greeted(&proxy));
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn a_target_that_refuses_looks_like_a_reset() {
    // Bound but not listening, so that no other test gets the port.
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    closed.bind(&any.into()).expect("a free port");
    let address = closed.local_addr().expect("an address").as_socket();
    let proxy = FaultProxy::to(address.expect("an IP address"));
    is_reset(&mut connect(&proxy));
}

#[test]
fn new_connections_go_to_the_new_target() {
    let proxy = proxy();
    let mut old = greeted(&proxy);
    proxy.lead_to(echo(b'#'));
    assert_eq!(read(&mut connect(&proxy), 1), b"#");
    goes_round(&mut old);
}
