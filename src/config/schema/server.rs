//! `[server]`, `[admin]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::key::{Integer, Key, List, Section, Text, Time, Words};
use crate::config::value::{ADDRESS, Kind, NETWORK};
use crate::telemetry::{Format, Level};

pub(crate) static SERVER: Section = Section {
    path: "server",
    list: false,
    keys: &[&LISTEN, &WORKERS, &TRUSTED_PROXIES, &DRAIN],
    later: &[("proxy_protocol", Some("false")), ("tls", None)],
};

pub(crate) static LISTEN: Key<List<SocketAddr>> = Key::new(
    "listen",
    List::new(&ADDRESS)
        .default(&["127.0.0.1:8080"])
        .not_empty("clients could not connect"),
);

pub(crate) static WORKERS: Key<Integer<usize>> = Key::new("workers", Integer(0, 0..=1024));

pub(crate) static TRUSTED_PROXIES: Key<List<IpNet>> =
    Key::new("trusted_proxies", List::new(&NETWORK));

pub(crate) static DRAIN: Key<Time> = Key::new(
    "drain",
    Time::new(
        Duration::from_secs(25),
        Duration::ZERO..=Duration::from_hours(1),
    ),
);

pub(crate) static ADMIN: Section = Section {
    path: "admin",
    list: false,
    keys: &[&ADMIN_LISTEN],
    later: &[],
};

const ADMIN_ADDRESS: Kind<SocketAddr> = ADDRESS.example("127.0.0.1:9901");

pub(crate) static ADMIN_LISTEN: Key<Text<SocketAddr>> = Key::new(
    "listen",
    Text(&ADMIN_ADDRESS, || {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))
    }),
);

pub(crate) static LOG: Section = Section {
    path: "log",
    list: false,
    keys: &[&LEVEL, &FORMAT],
    later: &[],
};

pub(crate) static LEVEL: Key<Words<Level>> = Key::new(
    "level",
    Words::new(
        Level::Info,
        &[
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ],
    ),
);

pub(crate) static FORMAT: Key<Words<Format>> = Key::new(
    "format",
    Words::new(
        Format::Json,
        &[("json", Format::Json), ("text", Format::Text)],
    ),
);
