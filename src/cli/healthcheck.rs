//! `healthcheck`: for images that have no shell and no curl.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::options::Admin;
use super::terminal::complain;

/// Whoever asks has no longer to wait.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any head of our own.
const MOST: u64 = 4096;

/// Exits 0 when the gate is ready.
pub(super) fn execute(admin: &Admin) -> ExitCode {
    match status(admin.admin) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => {
            complain(&format!("not ready: {} answers {status}", admin.admin));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("not ready: {}: {error}", admin.admin));
            ExitCode::FAILURE
        }
    }
}

fn status(admin: SocketAddr) -> std::io::Result<u16> {
    let mut socket = TcpStream::connect_timeout(&admin, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(
        socket,
        "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = String::new();
    socket.take(MOST).read_to_string(&mut head)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("that is no HTTP server"))
}
