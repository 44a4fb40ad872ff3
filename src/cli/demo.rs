//! `demo`: a server without PKCE, the gate in front of it, and a page on which both can be attacked.
//!
//! Everything runs in this process on loopback, and only in memory:
//!
//! - [`legacy`] is a typical authorization server without PKCE.
//! - [`stage`] runs the real gate in front of it, with a real configuration.
//! - [`page`] is the application and shows what happens; [`acts`] plays the application and the attacker.
//! - [`facts`] has the shared constants; [`ledger`] records the HTTP exchanges, [`story`] selects those of a scene,
//!   [`view`] and [`text`] show them.

mod acts;
mod agent;
mod attempt;
mod facts;
mod ledger;
mod legacy;
mod login;
mod page;
mod scene;
mod stage;
mod story;
mod text;
mod view;
mod wire;

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::run;
use super::terminal::{START, complain, say};
use agent::Agent;
use legacy::Legacy;
use page::Page;
use scene::Scene;
use stage::{Opened, Stage};
use view::StoryView;
use wire::{Answers, Failed, failed};

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
    let played = stage::open(options.port, !options.scripted).and_then(|mut opened| {
        let _log = opened.log.take();
        if options.scripted {
            scripted(opened)
        } else {
            interactive(opened)
        }
    });
    match played {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(START)
        }
    }
}

/// Waits for visitors of the page. The gate's log is printed between the outcomes, as an operator would see it.
fn interactive(opened: Opened) -> Result<ExitCode, Failed> {
    let stop = CancellationToken::new();
    run::on_signal(stop.clone(), CancellationToken::new(), |_| {}).map_err(failed)?;
    let stage = Arc::clone(&opened.stage);
    say(&text::opening(&stage.places));
    say(&text::invitation(&stage.places));
    let page = Arc::new(Page::new(stage, true));
    with_everything(opened, &page, &stop, stop.cancelled())?;
    Ok(ExitCode::SUCCESS)
}

/// Plays all scenes with an automated browser.
fn scripted(opened: Opened) -> Result<ExitCode, Failed> {
    let stop = CancellationToken::new();
    let stage = Arc::clone(&opened.stage);
    say(&text::opening(&stage.places));
    let page = Arc::new(Page::new(Arc::clone(&stage), false));
    let scenes = async {
        let mut wrong = 0;
        for (index, scene) in Scene::ALL.into_iter().enumerate() {
            wrong += usize::from(!play(&stage, &page, index + 1, scene).await);
        }
        wrong
    };
    let wrong = with_everything(opened, &page, &stop, scenes)?;
    if wrong == 0 {
        say("All outcomes were as expected.\n");
        Ok(ExitCode::SUCCESS)
    } else {
        say(&format!("{wrong} of 4 scenes had an unexpected outcome.\n"));
        Ok(ExitCode::FAILURE)
    }
}

/// Plays a scene. Returns whether its outcome was as expected.
async fn play(stage: &Stage, page: &Page, number: usize, scene: Scene) -> bool {
    let start = format!("{}/start/{}", stage.places.page, scene.slug());
    let opened = Agent::new(stage).open(&start, None).await;
    let Some(story) = page.story(scene) else {
        let why = opened.err().map(|error| error.to_string());
        let why = why.unwrap_or_else(|| "the browser did not return to the application".to_owned());
        say(&format!("{number}. {}\n  {why}\n\n", scene.title()));
        return false;
    };
    say(&text::scene(number, scene, &StoryView::new(&story)));
    story.is_kept()
}

/// Serves everything until `until` completes, then stops it.
fn with_everything<T>(
    opened: Opened,
    page: &Arc<Page>,
    stop: &CancellationToken,
    until: impl Future<Output = T>,
) -> Result<T, Failed> {
    let stage = opened.stage;
    let legacy = Legacy::new(stage.places.clone(), Arc::clone(&stage.ledger));
    let gate = stage::run_gate(opened.gate, stop.clone()).map_err(failed)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(failed)?.block_on(async {
        let tasks = TaskTracker::new();
        serve(opened.upstream, Arc::new(legacy), stop, &tasks)?;
        serve(opened.page, Arc::clone(page), stop, &tasks)?;
        let done = until.await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(done)
    });
    stop.cancel();
    match gate.join() {
        Ok(ended) => ended.and(done),
        Err(_) => Err(failed("the gate's thread panicked")),
    }
}

fn serve(
    listener: TcpListener,
    site: Arc<impl Answers>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), Failed> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    tasks.spawn(wire::serve(listener, site, stop.clone(), tasks.clone()));
    Ok(())
}
