//! A minimal HTTP client for a gate's admin listener.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Maximum time for a response; the admin listener responds at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// Maximum size of a response, in bytes.
const MOST: u64 = 64 * 1024;

/// Sends a GET request. Returns status and body of the response.
pub(super) fn get(admin: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    get_up_to(admin, path, MOST, PATIENCE)
}

/// The same for a response of up to `most` bytes, each part of which comes within `patience`.
pub(super) fn get_up_to(
    admin: SocketAddr,
    path: &str,
    most: u64,
    patience: Duration,
) -> io::Result<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&admin, PATIENCE)?;
    socket.set_read_timeout(Some(patience))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    socket.take(most).read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    let status = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::other("not an HTTP server"))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok((status, body.unwrap_or_default().to_owned()))
}
