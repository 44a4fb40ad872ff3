//! Many connections that have each had one answer, and then are idle.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::flow::{Unit, What};
use crate::random::Random;
use crate::{Failure, http};

/// Opens the connections, reports that, and holds them until standard input closes.
pub fn hold(to: SocketAddr, connections: usize) -> Result<(), Failure> {
    let mut unit = Unit::new();
    let mut random = Random::new();
    let mut request = Vec::new();
    unit.begin(What::Get, &mut random, &mut request);
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&request)?;
        let mut received = Vec::new();
        while http::message(&received)?.is_none() {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk)? {
                0 => return Err(format!("connection {} was closed", held.len() + 1).into()),
                read => received.extend_from_slice(&chunk[..read]),
            }
        }
        held.push(stream);
    }
    println!("{}", held.len());
    let _ = std::io::stdin().read(&mut [0]);
    // A closed connection has an end to read.
    let mut closed = 0;
    for stream in &held {
        stream.set_nonblocking(true)?;
        closed += usize::from(matches!((&mut &*stream).read(&mut [0]), Ok(0)));
    }
    match closed {
        0 => Ok(()),
        _ => Err(format!("{closed} connections were closed while they were idle").into()),
    }
}
