//! `run`: serves until it is stopped.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::check;
use super::options::ConfigFile;
use super::terminal::{START, complain};
use crate::app::{App, Source, StartError};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::telemetry::libraries;
use crate::telemetry::log::Log;
use crate::telemetry::{Event, Telemetry};

/// Serves with a valid configuration, or reports the problems of an invalid one like `check`.
pub(super) fn execute(file: &ConfigFile) -> ExitCode {
    let (text, checked) = match check::load(&file.config, clock::today()) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let source = Source {
        path: file.config.clone(),
        text,
        asked: Arc::default(),
    };
    let (log, _end) = Log::to_stdout(checked.config.log);
    let telemetry = Telemetry::logging(&log);
    libraries::forward(telemetry.clone());
    quiet_panics(telemetry.clone());
    match serve(checked.config, source, telemetry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(START)
        }
    }
}

fn serve(config: Config, source: Source, telemetry: Telemetry) -> Result<(), StartError> {
    let app = App::bind(config, telemetry.clone(), Clock::system())?;
    let (stop, now) = (CancellationToken::new(), CancellationToken::new());
    let asked = Arc::clone(&source.asked);
    let other = move |signal| match signal {
        "SIGHUP" => asked.notify_one(),
        _ => telemetry.tell(&Event::SignalIgnored { signal }),
    };
    on_signal(stop.clone(), now.clone(), other).map_err(StartError::Thread)?;
    app.run(Some(source), &stop, &now)
}

/// The first SIGTERM or SIGINT starts the drain, the second one stops at once. `other` is called for signals that would
/// end the process by default.
pub(super) fn on_signal(
    stop: CancellationToken,
    now: CancellationToken,
    other: impl Fn(&'static str) + Send + 'static,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let [mut term, mut interrupt, mut hangup, mut user1, mut user2] = {
        let _inside = runtime.enter();
        [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ]
    };
    let wait = async move {
        for token in [stop, now] {
            loop {
                tokio::select! {
                    _ = term.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => other("SIGHUP"),
                    _ = user1.recv() => other("SIGUSR1"),
                    _ = user2.recv() => other("SIGUSR2"),
                }
            }
            token.cancel();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(())
}

/// Logs only the place of a panic: its message may contain parts of a request.
fn quiet_panics(telemetry: Telemetry) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        telemetry.tell(&Event::Panic { place: &place });
    }));
}
