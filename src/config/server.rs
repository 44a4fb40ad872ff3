//! `[server]`: the listeners for clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::origin::Origin;
use super::sections::{KIB, MIB, TIMEOUT};
use super::tree::{At, Table};
use super::value::{ADDRESS, NETWORK};
use crate::server;

/// The settings of `[server]`, and the values that later checks need with their positions.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: server::Settings,
    pub(super) listen: Vec<At<SocketAddr>>,
    pub(super) trusted_proxies: Vec<At<IpNet>>,
}

/// Reads `[server]`, and the keys of `[limits]` that concern connections.
pub(super) fn read(table: &Table<'_>, limits: &Table<'_>, cores: usize) -> Server {
    const HOUR: Duration = Duration::from_hours(1);
    const FEW: Duration = Duration::from_secs(10);
    let without = Some("clients could not connect");
    let listen = table.list_or("listen", &ADDRESS, &["127.0.0.1:8080"], without);
    let trusted_proxies = table.list("trusted_proxies", &NETWORK);
    table.later(&[("proxy_protocol", Some("false")), ("tls", None)]);
    let connections = limits.integer("connections", 4096, 1..=1_000_000);
    let per_peer = share(connections);
    let settings = server::Settings {
        listen: At::values(&listen),
        workers: match table.integer("workers", 0, 0..=1024) {
            0 => cores,
            workers => workers,
        },
        trusted_proxies: At::values(&trusted_proxies),
        drain: table.duration("drain", Duration::from_secs(25), Duration::ZERO..=HOUR),
        connections,
        connections_per_peer: limits.integer("connections_per_peer", per_peer, 1..=1_000_000),
        // hyper's read buffer has at least 8 KiB.
        header_bytes: limits.size("header_bytes", 32 * KIB, 8 * KIB..=MIB),
        headers: limits.integer("headers", 64, 8..=1024),
        first_byte: limits.duration("first_byte", Duration::from_secs(5), TIMEOUT),
        header_read: limits.duration("header_read", FEW, TIMEOUT),
        body_read: limits.duration("body_read", FEW, TIMEOUT),
        idle: limits.duration("idle", Duration::from_mins(1), TIMEOUT),
    };
    Server {
        settings,
        listen,
        trusted_proxies,
    }
}

/// The default of `connections_per_peer`: an eighth, but not so few that one browser or test bench exhausts them.
fn share(connections: usize) -> usize {
    const LEAST: usize = 64;
    (connections / 8).max(LEAST).min(connections)
}

/// The default of `public_url`: the listen address, if it is one loopback address.
pub(super) fn own_origin(table: &Table<'_>, listen: &[At<SocketAddr>]) -> Option<Origin> {
    let own = match listen {
        [only] if only.value.ip().is_loopback() && only.value.port() != 0 => only.value,
        // The error in `listen` is already recorded; do not report a missing `public_url` as well.
        _ if !table.is_good("listen") => SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        _ => return None,
    };
    Some(Origin {
        tls: false,
        host: own.ip().to_string(),
        port: own.port(),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{UPSTREAM, check, config};

    #[test]
    fn zero_workers_are_one_per_core() {
        for (value, workers) in [("0", 2), ("7", 7)] {
            let text = format!("[server]\nworkers = {value}\n{UPSTREAM}");
            assert_eq!(config(&text).server.workers, workers);
        }
    }

    #[test]
    fn listeners_are_listed_in_order() {
        let public = "url = \"http://127.0.0.1:9000\"\npublic_url = \"https://a.example\"";
        let upstream = UPSTREAM.replace("url = \"http://127.0.0.1:9000\"", public);
        let text = format!("[server]\nlisten = [\"[::]:443\", \"127.0.0.1:0\"]\n{upstream}");
        let expected = ["[::]:443", "127.0.0.1:0"].map(|text| text.parse().unwrap());
        assert_eq!(config(&text).server.listen, expected);
    }

    #[test]
    fn at_least_one_listener_is_required() {
        check(
            "[server]\nlisten = []",
            &[
                "2:10 error: `server.listen` is empty | clients could not connect | \
               write for example listen = [\"127.0.0.1:8080\"]",
            ],
        );
    }

    #[test]
    fn public_url_has_a_default_on_one_loopback_address_only() {
        let missing = "3:1 error: `upstream.public_url` is missing | \
                       it is known by itself only where the gate listens on one loopback address | \
                       add public_url = \"https://login.example.com\", as clients reach the gate";
        for listen in [
            "\"0.0.0.0:80\"",
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:1\", \"127.0.0.1:2\"",
        ] {
            check(&format!("[server]\nlisten = [{listen}]"), &[missing]);
        }
        for (listen, origin) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("127.0.0.1:80", "http://127.0.0.1"),
            ("[::1]:8000", "http://[::1]:8000"),
        ] {
            let text = format!("[server]\nlisten = [\"{listen}\"]\n{UPSTREAM}");
            assert_eq!(config(&text).upstreams[0].gateway.public_origin, origin);
        }
    }

    #[test]
    fn a_wrong_listener_does_not_make_a_public_url_missing() {
        check(
            "[server]\nlisten = [\"localhost:80\"]",
            &[
                "2:11 error: `server.listen` is not an address | names are not looked up here | \
               write an IP address and a port, for example \"127.0.0.1:80\"",
            ],
        );
    }

    #[test]
    fn admin_listen_has_a_separate_default() {
        assert_eq!(config(UPSTREAM).admin.listen.to_string(), "127.0.0.1:9901");
        check(
            "[admin]\nlisten = 9901",
            &[
                "2:10 error: `admin.listen` has to be an address in quotes | this is a whole number | \
               write listen = \"127.0.0.1:9901\"",
            ],
        );
    }
}
