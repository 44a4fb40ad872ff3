//! `[server]` and `[admin]`: where clients and operators connect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::tree::{At, Table};
use super::value::{ADDRESS, Kind, NETWORK, Origin};
use super::{Machine, limits};
use crate::{admin, server};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// `[server]`, and where it stands.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: server::Settings,
    pub(super) listen: Vec<At<SocketAddr>>,
    pub(super) trusted_proxies: Vec<At<IpNet>>,
}

/// Reads `[server]`, and of `[limits]` what concerns connections.
pub(super) fn read(table: &Table<'_>, limits: &Table<'_>, machine: &dyn Machine) -> Server {
    let workers = table.integer("workers", 0, 0..=1024);
    let connections = limits::connections(limits);
    let listen = listen(table);
    let trusted_proxies = table.list("trusted_proxies", &NETWORK).unwrap_or_default();
    table.later_flag("proxy_protocol");
    table.later_key("tls");
    let settings = server::Settings {
        listen: listen.iter().map(|at| at.value).collect(),
        workers: if workers == 0 {
            machine.cores()
        } else {
            workers
        },
        trusted_proxies: trusted_proxies.iter().map(|at| at.value).collect(),
        drain: table.duration(
            "drain",
            Duration::from_secs(25),
            Duration::ZERO..=Duration::from_hours(1),
        ),
        connections: connections.most,
        header_bytes: connections.header_bytes,
        headers: connections.headers,
        first_byte: connections.first_byte,
        header_read: connections.header_read,
        body_read: connections.body_read,
        idle: connections.idle,
    };
    Server {
        settings,
        listen,
        trusted_proxies,
    }
}

fn listen(table: &Table<'_>) -> Vec<At<SocketAddr>> {
    match table.list("listen", &ADDRESS) {
        Some(listed) => {
            if listed.is_empty() {
                table.empty_list(
                    "listen",
                    "clients could not connect",
                    "[\"127.0.0.1:8080\"]",
                );
            }
            listed
        }
        None => vec![At {
            span: table.header(),
            value: DEFAULT_LISTEN,
        }],
    }
}

/// Reads `[admin]`.
pub(super) fn admin(table: &Table<'_>) -> admin::Settings {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
    let address = Kind {
        example: "127.0.0.1:9901",
        ..ADDRESS
    };
    admin::Settings {
        listen: table.get("listen", &address).unwrap_or(default),
    }
}

/// How clients reach the gate when nobody says so: where it listens, if they are on the same machine.
pub(super) fn own_origin(table: &Table<'_>, listen: &[At<SocketAddr>]) -> Option<Origin> {
    let origin = |address: SocketAddr| Origin {
        tls: false,
        host: address.ip().to_string(),
        port: address.port(),
    };
    match listen {
        [only] if only.value.ip().is_loopback() && only.value.port() != 0 => {
            Some(origin(only.value))
        }
        // What is wrong there has been said; nothing more follows from it.
        _ if !table.is_good("listen") => Some(origin(DEFAULT_LISTEN)),
        _ => None,
    }
}
