//! `[server]`, `[admin]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::key::{Integer, Key, Later, List, Section, Text, Time, Words};
use crate::config::value::{ADDRESS, Kind, NETWORK};
use crate::telemetry::{Format, Level};

pub(crate) static SERVER: Section = Section {
    path: "server",
    list: false,
    comment: "",
    text: "Where clients connect.",
    keys: &[
        &LISTEN,
        &WORKERS,
        &TRUSTED_PROXIES,
        &DRAIN,
        &PROXY_PROTOCOL,
        &TLS,
    ],
};

pub(crate) static LISTEN: Key<List<SocketAddr>> = Key::new(
    "listen",
    List::new(&ADDRESS)
        .default(&["127.0.0.1:8080"])
        .not_empty("clients could not connect"),
    "where clients, or your TLS terminator, connect",
)
.text(
    "IP addresses with a port. The gate speaks HTTP/1.1 without TLS: put a TLS terminator in front of it. Host names are not \
     looked up here.",
)
.restart();

pub(crate) static WORKERS: Key<Integer<usize>> =
    Key::new("workers", Integer(0, 0..=1024), "threads; 0: one per core")
        .text("Threads that serve requests. `0` starts one for each core that the process may use.")
        .restart();

pub(crate) static TRUSTED_PROXIES: Key<List<IpNet>> = Key::new(
    "trusted_proxies",
    List::new(&NETWORK),
    "networks whose Forwarded and X-Forwarded-* are believed: \"10.0.0.0/8\"",
)
.text(
    "Only a peer in one of these networks may say for whom it asks (`Forwarded`, `X-Forwarded-*`). List the addresses of your own \
     TLS terminators and nothing else. A terminator that is missing here makes all clients one network, with the limits of one.",
);

pub(crate) static DRAIN: Key<Time> = Key::new(
    "drain",
    Time(
        Duration::from_secs(25),
        Duration::ZERO..=Duration::from_hours(1),
    ),
    "after SIGTERM: not ready, keep serving, then close",
)
.text(
    "How long stopping may take. On SIGTERM `/readyz` answers 503; connections are accepted for a fifth of this time, requests at \
     hand are finished, and what is left at its end is cut off. Keep it below the time after which your supervisor kills.",
);

pub(crate) static PROXY_PROTOCOL: Key<Later> = Key::new("proxy_protocol", Later::Flag, "");
pub(crate) static TLS: Key<Later> = Key::new("tls", Later::Whole(None), "");

pub(crate) static ADMIN: Section = Section {
    path: "admin",
    list: false,
    comment: "health and metrics: a listener of its own, never for clients",
    text: "Health and metrics, for operators only. The listener has a thread of its own, so it answers while the gate is busy.",
    keys: &[&ADMIN_LISTEN],
};

const ADMIN_ADDRESS: Kind<SocketAddr> = ADDRESS.example("127.0.0.1:9901");

pub(crate) static ADMIN_LISTEN: Key<Text<SocketAddr>> = Key::new(
    "listen",
    Text(&ADMIN_ADDRESS, || {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))
    }),
    "",
)
.text(
    "An IP address with a port, for `/livez`, `/readyz` and `/metrics`. It may not be an address of `server.listen`, and nothing \
     that clients can reach: there is no login.",
)
.restart();

pub(crate) static LOG: Section = Section {
    path: "log",
    list: false,
    comment: "",
    text: "The log goes to standard output. No code, verifier, state, token or secret is ever in it.",
    keys: &[&LEVEL, &FORMAT],
};

pub(crate) static LEVEL: Key<Words<Level>> = Key::new(
    "level",
    Words::new(
        Level::Info,
        &[
            ("error", Level::Error, "what is broken: an upstream that cannot be reached, a panic"),
            ("warn", Level::Warn, "also refused and reported requests"),
            ("info", Level::Info, "also allowed sign-ins and redemptions, start and stop"),
            ("debug", Level::Debug, "also one line for each request"),
            ("trace", Level::Trace, "everything"),
        ],
    ),
    "error | warn | info | debug | trace; lines that repeat are left out, and counted, but for debug and trace",
)
.text(
    "The least important lines that are written. Lines that repeat are left out and counted, except at `debug` and `trace`.",
);

pub(crate) static FORMAT: Key<Words<Format>> = Key::new(
    "format",
    Words::new(
        Format::Json,
        &[
            ("json", Format::Json, "one JSON object a line, for machines"),
            ("text", Format::Text, "one line of text, for people"),
        ],
    ),
    "json | text",
);
