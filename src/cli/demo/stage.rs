//! The sockets of the demonstration and the gate on them: the real one, from a real configuration. All on loopback.

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
use crate::config::{self, Config};
use crate::server;
use crate::telemetry::Telemetry;
use crate::telemetry::log::{self, Log};

/// Where the demo page is, if nothing else is there.
const PORT: u16 = 8088;

/// What everybody on the stage knows.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) places: Places,
    /// The gate's configuration, as text.
    pub(super) config: String,
    pub(super) ledger: Arc<Ledger>,
}

/// Open sockets that nobody serves yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stage: Arc<Stage>,
    pub(super) page: TcpListener,
    pub(super) upstream: TcpListener,
    pub(super) gate: App,
    /// The gate's log: dropped last, so that it is written to its end.
    pub(super) log: Option<log::End>,
}

/// Opens everything. `port` is the page's; without one it is the usual one, or any if that is taken. `logs`: the gate's log goes
/// to standard output.
pub(super) fn open(port: Option<u16>, logs: bool) -> Result<Opened, Failed> {
    let page = match port {
        Some(port) => listen(port)?,
        None => listen(PORT).or_else(|_| listen(0))?,
    };
    let upstream = listen(0)?;
    // The gate's own URL stands in its configuration, so its port is chosen before it starts. It is not held: a gate
    // does not share its address with anybody.
    let (page_at, gate_at) = (origin(&page)?, origin(&listen(0)?)?);
    let places = Places {
        callback: format!("{page_at}/callback"),
        attacker_callback: format!("{page_at}/attacker"),
        page: page_at,
        gate: gate_at,
        upstream: origin(&upstream)?,
    };
    let config = config(&places);
    let settings = load(&config)?;
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

/// Everything that an operator would write; the rest is default.
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

fn load(text: &str) -> Result<Config, Failed> {
    let checked = config::load(text, "demo.toml", clock::today()).map_err(failed)?;
    Ok(checked.config)
}

/// Runs the gate on a thread of its own. When it ends, for whatever reason, `stop` is told.
pub(super) fn run_gate(
    gate: App,
    stop: CancellationToken,
) -> io::Result<JoinHandle<Result<(), Failed>>> {
    std::thread::Builder::new()
        .name("gate".to_owned())
        .spawn(move || {
            // Nobody waits for a demonstration: the end is the end, without a drain.
            let ended = gate.run(&stop, &stop).map_err(failed);
            stop.cancel();
            ended
        })
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn listen(port: u16) -> Result<TcpListener, Failed> {
    let address = loopback(port);
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
    fn nobody_has_to_be_warned_of_the_configuration_that_is_shown() {
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
