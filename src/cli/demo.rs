//! `demo`: a server without PKCE, the gate in front of it, and a page on which both can be attacked.
//!
//! Everything runs in this process on loopback, and only in memory:
//!
//! - [`legacy`] is a typical authorization server without PKCE. The real gate, with a real configuration ([`stage`]), runs in
//!   front of it.
//! - [`application`] is the OAuth client, and the page that shows what happens. Visitors use their own browser or the
//!   automated one ([`browser`]).
//! - [`scenes`] says what happens in each scene; [`play`] does it, and checks the outcomes.
//! - [`ledger`] records all HTTP exchanges; [`story`] selects those of a scene, and shows them.

mod application;
mod browser;
mod ledger;
mod legacy;
mod login;
mod play;
mod scenes;
mod stage;
mod story;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Args;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::run;
use super::terminal::{START, complain, say};
use crate::app::App;
use crate::clock::{self, Clock};
use crate::config;
use crate::server;
use crate::telemetry::Telemetry;
use crate::telemetry::log::Log;
use application::Application;
use legacy::Legacy;
use scenes::SCENES;
use stage::Stage;
use wire::Failed;

/// The default port of the demo page, if it is free.
const PORT: u16 = 8088;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Port of the demo page; 0 for any free port [default: 8088, or any free port if it is taken]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Play all scenes without a browser and print every exchange; exit with 1 if an outcome is unexpected
    #[arg(long)]
    scripted: bool,
}

/// Runs until SIGTERM or SIGINT, or until all scenes are played.
pub(super) fn execute(options: &Options) -> ExitCode {
    serve(options).unwrap_or_else(|error| {
        complain(&format!("error: {error}"));
        ExitCode::from(START)
    })
}

fn serve(options: &Options) -> Result<ExitCode, Failed> {
    let page = match options.port {
        Some(port) => listen(port)?,
        None => listen(PORT).or_else(|_| listen(0))?,
    };
    let upstream = listen(0)?;
    // The gate's public URL is part of its configuration, so its port is chosen before it starts. The port is not kept
    // open, because the gate does not share its address.
    let gate = origin(&listen(0)?)?;
    let stage = Arc::new(Stage::new(origin(&page)?, gate, origin(&upstream)?));
    let config = config::load(&stage.config(), "demo.toml", clock::today())?.config;
    // An operator would see the gate's log between the outcomes. It ends last, so that all lines are written.
    let (telemetry, _log) = if options.scripted {
        (Telemetry::new(), None)
    } else {
        let (log, end) = Log::to_stdout(config.log);
        (Telemetry::logging(&log), Some(end))
    };
    let gate = App::bind(config, telemetry, Clock::system())?;
    let stop = CancellationToken::new();
    if !options.scripted {
        run::on_signal(stop.clone(), CancellationToken::new(), |_| {})?;
    }
    let stopped = stop.clone();
    let gate = thread::Builder::new()
        .name("gate".to_owned())
        .spawn(move || {
            // Without a drain: a demonstration stops at once.
            let ended = gate.run(None, &stopped, &stopped);
            stopped.cancel();
            ended
        })?;
    say(&format!(
        "pkce-gate demo: three servers on this machine, for as long as this command runs\n\n  \
         application  {:<25}  the demo page, client of the two below\n  \
         gate         {:<25}  pkce-gate in enforce mode\n  \
         upstream     {:<25}  a legacy authorization server without PKCE\n\n",
        stage.application, stage.gate, stage.upstream
    ));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let legacy = Arc::new(Legacy::new(Arc::clone(&stage)));
        wire::serve(upstream, move |request| Arc::clone(&legacy).answer(request));
        let application = Arc::new(Application::new(Arc::clone(&stage), options.scripted));
        let site = Arc::clone(&application);
        wire::serve(page, move |request| Arc::clone(&site).answer(request));
        if options.scripted {
            return scripted(&application).await;
        }
        say(&format!(
            "open {}  (user alice, password pass; Ctrl-C ends the demo)\n\n",
            stage.application
        ));
        stop.cancelled().await;
        ExitCode::SUCCESS
    });
    stop.cancel();
    gate.join().map_err(|_| "the gate's thread panicked")??;
    Ok(code)
}

/// Plays all scenes with an automated browser.
async fn scripted(application: &Application) -> ExitCode {
    for scene in SCENES {
        if let Err(error) = application.run(scene).await {
            say(&format!("{}. {}\n  {error}\n\n", scene.number, scene.title));
        }
    }
    let stories = application.stories.lock().await;
    let kept = stories.values().filter(|story| story.kept).count();
    match SCENES.len() - kept {
        0 => say("All outcomes were as expected.\n"),
        wrong => say(&format!("{wrong} of 4 scenes had an unexpected outcome.\n")),
    }
    ExitCode::from(u8::from(kept < SCENES.len()))
}

fn listen(port: u16) -> Result<TcpListener, Failed> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = server::bind(address, false);
    listener.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

fn origin(listener: &TcpListener) -> Result<String, Failed> {
    Ok(format!("http://{}", listener.local_addr()?))
}
