//! The application of the demonstration, which also is the page that shows the scenes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use minijinja::value::Serde;
use minijinja::{Value, context};
use tokio::sync::Mutex;

use super::browser::sign_in;
use super::ledger::{Outcome, Party, keep};
use super::login::Login;
use super::play::play;
use super::scenes::{SCENES, Scene};
use super::stage::{METADATA, PASSWORD, Stage, USER};
use super::story::Story;
use super::wire::{self, Answer, Failed, value};
use crate::cli::terminal::say;
use crate::pages::Templates;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

#[derive(Debug)]
pub(super) struct Application {
    stage: Arc<Stage>,
    /// Whether every exchange is printed in the terminal, or only the outcomes.
    is_scripted: bool,
    /// Sign-ins without a callback yet.
    waiting: Mutex<VecDeque<Login>>,
    /// The latest run of each scene, by the scene's slug.
    pub(super) stories: Mutex<HashMap<&'static str, Story>>,
}

impl Application {
    pub(super) fn new(stage: Arc<Stage>, is_scripted: bool) -> Self {
        Self {
            stage,
            is_scripted,
            waiting: Mutex::default(),
            stories: Mutex::default(),
        }
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request<String>) -> Answer {
        let path = request.uri().path();
        let (folder, slug) = path.rsplit_once('/').unwrap_or_default();
        let scene = SCENES.iter().find(|scene| scene.slug == slug);
        match (request.method(), folder, scene) {
            (&Method::GET, "/start", Some(scene)) => self.start(scene, &request).await,
            (&Method::POST, "/run", Some(scene)) => match self.run(scene).await {
                Ok(()) => to_scene(scene),
                Err(error) => Ok(wire::plain(StatusCode::BAD_GATEWAY, &error.to_string())),
            },
            (&Method::GET, ..) if path == "/callback" => self.callback(&request).await,
            (&Method::GET, ..) if path == "/" => Ok(wire::page(self.index().await)),
            _ => Ok(wire::plain(StatusCode::NOT_FOUND, "not found")),
        }
    }

    /// `GET /start/…`: redirects to the gate.
    async fn start(&self, scene: &'static Scene, request: &Request<String>) -> Answer {
        let (stage, login) = (&self.stage, Login::new(scene)?);
        let mut exchange = stage
            .ledger
            .begin(Party::Browser, Party::Application, request);
        let answer = wire::redirect(StatusCode::SEE_OTHER, &login.url(stage, &stage.gate))?;
        exchange.note = "The application redirects the browser to the sign-in.";
        stage.ledger.end(exchange, &answer).await;
        keep(&mut *self.waiting.lock().await, login);
        Ok(answer)
    }

    /// `GET /callback`: finds the sign-in, and plays the rest of its scene. A state is accepted once.
    async fn callback(&self, request: &Request<String>) -> Answer {
        let ledger = &self.stage.ledger;
        let mut exchange = ledger.begin(Party::Browser, Party::Application, request);
        let query = wire::query(request.uri())?;
        let mut waiting = self.waiting.lock().await;
        let state = value(&query, "state");
        let at = waiting.iter().position(|login| login.state == state);
        let Some(login) = at.and_then(|at| waiting.remove(at)) else {
            let text = "no sign-in of this demo has this state; go back to / and start again";
            return Ok(wire::plain(StatusCode::BAD_REQUEST, text));
        };
        drop(waiting);
        let scene = login.scene;
        if scene.pkce {
            exchange.note = "The browser returns to the application with the response.";
        } else {
            let error = value(&query, "error");
            let names_it = value(&query, "error_description").contains("code_challenge");
            exchange.note = "The browser returns to the application with the gate's error.";
            exchange.verdict = Some(Outcome::new(
                error == "invalid_request" && names_it,
                "The request is refused, and the error names the missing parameter",
            ));
        }
        let answer = to_scene(scene)?;
        ledger.end(exchange, &answer).await;
        let story = play(&self.stage, &login, &query).await;
        say(&story.text(scene, self.is_scripted)?);
        let mut stories = self.stories.lock().await;
        for earlier in stories.values_mut() {
            earlier.is_latest = false;
        }
        stories.insert(scene.slug, story);
        Ok(answer)
    }

    /// Plays a scene with an automated browser, until it is redirected to the outcome on the page.
    pub(super) async fn run(&self, scene: &Scene) -> Result<(), Failed> {
        let page = &self.stage.application;
        let start = format!("{page}/start/{}", scene.slug);
        sign_in(&self.stage, &start, &format!("{page}/#")).await?;
        Ok(())
    }

    async fn index(&self) -> String {
        let stage = &self.stage;
        let values = context! {
            scenes => Serde(SCENES),
            stories => Serde(&*self.stories.lock().await),
            style => Value::from_safe_string(STYLE.to_owned()),
            page => &stage.application,
            gate => &stage.gate,
            upstream => &stage.upstream,
            metadata => METADATA,
            user => USER,
            password => PASSWORD,
            config => stage.config(),
        };
        Templates::new(&[("page.html", PAGE)]).render("page.html", values)
    }
}

fn to_scene(scene: &Scene) -> Answer {
    wire::redirect(StatusCode::SEE_OTHER, &format!("/#{}", scene.slug))
}
