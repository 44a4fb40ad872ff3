//! A complete gate in front of a scripted upstream, both in this process, with a failing store.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::{self, Clock, ManualClock};
use crate::config;
use crate::store::Store;
use crate::store::failing::{FailingStore, Outage};
use crate::telemetry::Telemetry;

#[derive(Debug, Clone)]
pub(super) struct Message {
    head: String,
    pub(super) body: String,
}

/// The requests that the upstream has received.
type Ledger = Arc<Mutex<Vec<Message>>>;
type Script = fn(&Message) -> String;

/// The gate; stopped on drop.
pub(super) struct Stage {
    pub(super) outage: Outage,
    /// The time of the gate, which stands still.
    pub(super) time: ManualClock,
    gate: SocketAddr,
    ledger: Ledger,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Message {
    /// Reads a complete message. `None`: the peer has closed the connection.
    fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if from.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let mut message = Self {
            head,
            body: String::new(),
        };
        let length = message.field("content-length");
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        from.read_exact(&mut body).ok()?;
        message.body = String::from_utf8(body).unwrap();
        Some(message)
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }

    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a parameter in the query of the target or of `Location`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        parameter(
            self.field("location").unwrap_or_else(|| self.target()),
            name,
        )
    }
}

pub(super) fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let pairs = url.split(['?', '&', '#']).skip(1);
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(known, value)| (known == name).then_some(value))
}

impl Stage {
    /// `pkce` is inserted into the configuration as the section `[upstream.pkce]` and what follows.
    pub(super) fn set(pkce: &str, script: Script) -> Self {
        let ledger = Ledger::default();
        let upstream = upstream(script, Arc::clone(&ledger));
        let text = format!(
            r#"
[server]
listen = ["127.0.0.1:0"]
workers = 1
[admin]
listen = "127.0.0.1:0"
[[upstream]]
name = "scripted"
url = "http://{upstream}"
public_url = "http://gate.test"
[upstream.endpoints]
authorization = ["/authorize"]
token = ["/token"]
device_authorization = ["/device"]
[upstream.pkce]
{pkce}
"#
        );
        let checked = config::load(&text, "test.toml", clock::today()).unwrap();
        let outage = Outage::default();
        let given = outage.clone();
        let failing = move |memory| Store::Failing(FailingStore::new(memory, given.clone()).into());
        let (clock, time) = Clock::manual();
        let app = App::bind_with(
            checked.config,
            Telemetry::new(),
            clock,
            Some(Box::new(failing)),
        );
        let app = app.unwrap();
        let gate = app.addresses[0].1;
        let stop = CancellationToken::new();
        let both = stop.clone();
        Self {
            outage,
            time,
            gate,
            ledger,
            stop,
            running: Some(thread::spawn(move || app.run(None, &both, &both).unwrap())),
        }
    }

    pub(super) fn get(&self, target: &str) -> Message {
        self.send(&format!("GET {target} HTTP/1.1\r\n"), "")
    }

    pub(super) fn post(&self, target: &str, form: &str) -> Message {
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.send(&format!("POST {target} HTTP/1.1\r\n{kind}"), form)
    }

    /// Sends a request with this request line and fields; `Host` and length are added.
    pub(super) fn send(&self, head: &str, body: &str) -> Message {
        let mut stream = TcpStream::connect(self.gate).unwrap();
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let request = format!("{head}Host: gate.test\r\n{length}Connection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        Message::read(&mut stream).unwrap()
    }

    /// The requests that the upstream has received since the last call.
    pub(super) fn asked(&self) -> Vec<Message> {
        std::mem::take(&mut *self.ledger.lock().unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.running.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// Starts an upstream with one thread per connection; it runs until the process ends.
fn upstream(script: Script, ledger: Ledger) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, ledger) = (stream.unwrap(), Arc::clone(&ledger));
            thread::spawn(move || {
                while let Some(request) = Message::read(&mut stream) {
                    ledger.lock().unwrap().push(request.clone());
                    if stream.write_all(script(&request).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
