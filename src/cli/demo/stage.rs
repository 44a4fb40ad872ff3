//! The listeners of the demonstration, and the real gate with a real configuration, all on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::facts::{AUTHORIZE, CLIENT, Places, TOKEN};
use super::ledger::Ledger;
use super::wire::{Failed, failed};
use crate::app::App;
use crate::clock::{self, Clock};
use crate::config;
use crate::server;
use crate::telemetry::Telemetry;
use crate::telemetry::log::{self, Log};

/// The default port of the demo page, if it is free.
const PORT: u16 = 8088;

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) places: Places,
    /// The gate's configuration file.
    pub(super) config: String,
    pub(super) ledger: Arc<Ledger>,
}

/// Open listeners that are not served yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stage: Arc<Stage>,
    pub(super) page: TcpListener,
    pub(super) upstream: TcpListener,
    pub(super) gate: App,
    /// The end of the gate's log: dropped last, so that all lines are written.
    pub(super) log: Option<log::End>,
}

/// Opens all listeners. `port` is the page's; `None`: the default one, or any if that is taken. `logs`: whether the
/// gate's log goes to standard output.
pub(super) fn open(port: Option<u16>, logs: bool) -> Result<Opened, Failed> {
    let page = match port {
        Some(port) => listen(port)?,
        None => listen(PORT).or_else(|_| listen(0))?,
    };
    let upstream = listen(0)?;
    // The gate's public URL is part of its configuration, so its port is chosen before it starts. The port is not kept
    // open, because the gate does not share its address.
    let (page_at, gate_at) = (origin(&page)?, origin(&listen(0)?)?);
    let places = Places {
        callback: format!("{page_at}/callback"),
        attacker_callback: format!("{page_at}/attacker"),
        page: page_at,
        gate: gate_at,
        upstream: origin(&upstream)?,
    };
    let config = config(&places);
    let checked = config::load(&config, "demo.toml", clock::today()).map_err(failed)?;
    let settings = checked.config;
    let (telemetry, log) = if logs {
        let (log, end) = Log::to_stdout(settings.log);
        (Telemetry::logging(&log), Some(end))
    } else {
        (Telemetry::new(), None)
    };
    let gate = App::bind(settings, telemetry, Clock::system()).map_err(failed)?;
    let ledger = Arc::default();
    let stage = Stage {
        places,
        config,
        ledger,
    };
    Ok(Opened {
        stage: Arc::new(stage),
        page,
        upstream,
        gate,
        log,
    })
}

/// The configuration of the gate, with only the keys that an operator would set.
fn config(places: &Places) -> String {
    let Places {
        gate,
        upstream,
        callback,
        ..
    } = places;
    let listen = gate.strip_prefix("http://").unwrap_or_default();
    format!(
        r#"[server]
listen = ["{listen}"]
workers = 1

[admin]
listen = "127.0.0.1:0"

[log]
level = "warn"
format = "text"

[[upstream]]
name = "legacy"
url = "{upstream}"
public_url = "{gate}"

[upstream.endpoints]
authorization = ["{AUTHORIZE}"]
token = ["{TOKEN}"]

[[upstream.client]]
id = "{CLIENT}"
redirect_uris = ["{callback}"]
"#
    )
}

/// Runs the gate on a separate thread. Cancels `stop` when it ends for any reason.
pub(super) fn run_gate(
    gate: App,
    stop: CancellationToken,
) -> io::Result<JoinHandle<Result<(), Failed>>> {
    std::thread::Builder::new()
        .name("gate".to_owned())
        .spawn(move || {
            // Without a drain: a demonstration stops at once.
            let ended = gate.run(&stop, &stop).map_err(failed);
            stop.cancel();
            ended
        })
}

fn listen(port: u16) -> Result<TcpListener, Failed> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    server::bind(address, false)
        .map_err(|error| failed(format!("cannot listen on {address}: {error}")))
}

fn origin(listener: &TcpListener) -> Result<String, Failed> {
    let address = listener.local_addr().map_err(failed)?;
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_configuration_has_no_warnings() {
        let place = |port: u16| format!("http://127.0.0.1:{port}");
        let text = config(&Places {
            callback: format!("{}/callback", place(1)),
            attacker_callback: format!("{}/attacker", place(1)),
            page: place(1),
            gate: place(2),
            upstream: place(3),
        });
        let checked = config::load(&text, "demo.toml", 0).unwrap();
        assert_eq!(checked.warnings.to_string(), "");
    }
}
