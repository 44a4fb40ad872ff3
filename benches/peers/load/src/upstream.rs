//! A fast authorization server: it signs every user in at once, and recognises its own codes without storing them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Failure;
use crate::http::{self, Message};
use crate::random::mix;

const LISTENER: u64 = u64::MAX;
/// Makes codes hard to guess, which is sufficient for a benchmark.
const KEY: u64 = 0x5bd1_e995_9d1b_54a5;

const PAGE: &str = "<!doctype html><title>page</title><p>A page of an ordinary size for an answer to an ordinary \
question, with nothing in it that anybody would have to look at, and nothing that would have to be replaced.</p>";
const TOKEN: &str = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"scope":"openid profile"}"#;
const REFUSED: &str = r#"{"error":"invalid_grant"}"#;

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

pub fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &poll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut issued = 0;
    let mut out = Vec::new();
    let mut events = Vec::with_capacity(256);
    println!("listening");
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let at = event.data.u64();
            if at == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let free = connections.iter().position(Option::is_none);
                    let at = free.unwrap_or(connections.len());
                    epoll::add(
                        &poll,
                        &stream,
                        EventData::new_u64(at as u64),
                        EventFlags::IN,
                    )?;
                    if free.is_none() {
                        connections.push(None);
                    }
                    connections[at] = Some(Connection {
                        stream,
                        received: Vec::with_capacity(4096),
                    });
                }
                continue;
            }
            let slot = &mut connections[at as usize];
            if let Some(connection) = slot
                && !turn(connection, &mut issued, &mut out)
            {
                *slot = None; // closing the connection also removes it from epoll
            }
        }
    }
}

/// Answers what has arrived; false when the connection has ended.
fn turn(connection: &mut Connection, issued: &mut u64, out: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 4096];
    match connection.stream.read(&mut chunk) {
        Ok(0) => return false,
        Ok(read) => connection.received.extend_from_slice(&chunk[..read]),
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    }
    out.clear();
    let mut done = 0;
    loop {
        match http::message(&connection.received[done..]) {
            Ok(Some(message)) => {
                answer(&message, issued, out);
                done += message.length;
            }
            Ok(None) => break,
            Err(what) => {
                eprintln!("upstream: {what}");
                return false;
            }
        }
    }
    connection.received.drain(..done);
    // Answers are much smaller than a socket's buffer.
    out.is_empty() || connection.stream.write_all(out).is_ok()
}

fn answer(request: &Message<'_>, issued: &mut u64, out: &mut Vec<u8>) {
    let line = &request.head[..http::find(request.head, b"\r\n").unwrap_or(0)];
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let at = http::find(target, b"?").unwrap_or(target.len());
    let (path, query) = (&target[..at], target.get(at + 1..).unwrap_or_default());
    match path {
        b"/authorize" if http::parameter(query, b"prompt").is_some() => {
            respond(out, "200 OK", "text/plain", "Who are you?");
        }
        b"/authorize" => {
            *issued += 1;
            let redirect = http::parameter(query, b"redirect_uri").unwrap_or_default();
            let state = http::parameter(query, b"state").unwrap_or_default();
            out.extend_from_slice(b"HTTP/1.1 302 Found\r\nlocation: ");
            decode(redirect, out);
            let _ = write!(
                out,
                "?code={:016x}{:016x}&state=",
                *issued,
                mix(*issued ^ KEY)
            );
            out.extend_from_slice(state);
            out.extend_from_slice(b"\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n");
        }
        b"/token" => {
            let code = http::parameter(request.body, b"code").unwrap_or_default();
            if is_ours(code) {
                respond(
                    out,
                    "200 OK\r\ncache-control: no-store",
                    "application/json",
                    TOKEN,
                );
            } else {
                respond(out, "400 Bad Request", "application/json", REFUSED);
            }
        }
        _ => respond(out, "200 OK", "text/html; charset=utf-8", PAGE),
    }
}

fn is_ours(code: &[u8]) -> bool {
    let half = |range| {
        let digits = code
            .get(range)
            .and_then(|half| std::str::from_utf8(half).ok())?;
        u64::from_str_radix(digits, 16).ok()
    };
    code.len() == 32 && half(0..16).map(|number| mix(number ^ KEY)) == half(16..32)
}

fn respond(out: &mut Vec<u8>, status: &str, kind: &str, body: &str) {
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// Decodes percent escapes.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| {
                tail.get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
            })
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
}
