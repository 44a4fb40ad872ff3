//! The application of the demonstration, which also is the page that shows the scenes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Response, StatusCode};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};

use super::agent::Agent;
use super::facts::{METADATA, PASSWORD, USER};
use super::ledger::{Exchange, Message, Party};
use super::login::Login;
use super::scene::Scene;
use super::stage::Stage;
use super::story::Story;
use super::view::StoryView;
use super::wire::{self, Answers, Asked, value};
use super::{acts, text};
use crate::cli::terminal::say;

/// Maximum number of sign-ins without a callback; the oldest is dropped.
const WAITING: usize = 100;
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// A sign-in without a callback yet.
#[derive(Debug, Clone)]
struct Waiting {
    scene: Scene,
    login: Login,
}

#[derive(Debug, Default)]
struct Played {
    /// The latest run of each scene.
    stories: BTreeMap<Scene, Story>,
    latest: Option<Scene>,
}

#[derive(Debug)]
pub(super) struct Page {
    stage: Arc<Stage>,
    waiting: Mutex<VecDeque<Waiting>>,
    played: Mutex<Played>,
    /// Whether outcomes are printed in the terminal.
    tells: bool,
}

impl Page {
    pub(super) fn new(stage: Arc<Stage>, tells: bool) -> Self {
        Self {
            stage,
            waiting: Mutex::default(),
            played: Mutex::default(),
            tells,
        }
    }

    /// The latest run of a scene.
    pub(super) fn story(&self, scene: Scene) -> Option<Story> {
        self.played().stories.get(&scene).cloned()
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET /start/…`: redirects to the gate.
    fn start(&self, scene: Scene) -> Response<String> {
        let login = match Login::new(scene.pkce()) {
            Ok(login) => login,
            Err(error) => {
                return wire::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
            }
        };
        let places = &self.stage.places;
        let url = login.url(&places.gate, &places.callback);
        let waiting = self.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { scene, login });
        wire::redirect(StatusCode::SEE_OTHER, &url)
    }

    /// `GET /callback`: finds the sign-in. A state is accepted once.
    fn take(&self, state: &str) -> Option<Waiting> {
        let waiting = self.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let at = waiting
            .iter()
            .position(|waiting| waiting.login.state == state)?;
        waiting.remove(at)
    }

    async fn callback(&self, number: usize, asked: &Asked) -> Response<String> {
        let Some(Waiting { scene, login }) = self.take(value(&asked.query, "state")) else {
            let text = "no sign-in of this demo has this state; go back to / and start again";
            return wire::plain(StatusCode::BAD_REQUEST, text);
        };
        let answer = to_scene(scene);
        self.record(number, asked, &answer);
        let story = acts::play(&self.stage, scene, &login, &asked.query, number).await;
        if self.tells {
            say(&text::summary(scene, &StoryView::new(&story)));
        }
        let mut played = self.played();
        played.stories.insert(scene, story);
        played.latest = Some(scene);
        answer
    }

    /// `POST /run/…`: plays the scene with an automated browser.
    async fn run(&self, scene: Scene) -> Response<String> {
        let start = format!("{}/start/{}", self.stage.places.page, scene.slug());
        match Agent::new(&self.stage).open(&start, None).await {
            Ok(_) => to_scene(scene),
            Err(error) => wire::plain(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }

    fn record(&self, number: usize, asked: &Asked, answer: &Response<String>) {
        self.stage.ledger.record(Exchange {
            number,
            from: Party::Browser,
            to: Party::Application,
            request: Message::request(asked),
            status: answer.status().as_u16(),
            answer: Message::answer(answer),
        });
    }

    fn index(&self) -> Response<String> {
        let latest = self.played().latest;
        let scenes: Vec<_> = Scene::ALL
            .into_iter()
            .map(|scene| {
                context! {
                    slug => scene.slug(),
                    title => scene.title(),
                    lead => scene.lead(),
                    open => latest == Some(scene),
                    story => self.story(scene).map(|story| Value::from(Serde(StoryView::new(&story)))),
                }
            })
            .collect();
        let places = &self.stage.places;
        let context = context! {
            scenes,
            style => Value::from_safe_string(STYLE.to_owned()),
            page => &places.page,
            gate => &places.gate,
            upstream => &places.upstream,
            metadata => METADATA,
            user => USER,
            password => PASSWORD,
            config => &self.stage.config,
        };
        let mut pages = Environment::new();
        pages.set_auto_escape_callback(|_| AutoEscape::Html);
        match pages.render_str(PAGE, context) {
            Ok(html) => wire::page(StatusCode::OK, html),
            Err(error) => wire::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

fn to_scene(scene: Scene) -> Response<String> {
    wire::redirect(StatusCode::SEE_OTHER, &format!("/#{}", scene.slug()))
}

impl Answers for Page {
    async fn answer(&self, asked: Asked) -> Response<String> {
        let number = self.stage.ledger.number();
        let (folder, rest) = asked.path.rsplit_once('/').unwrap_or_default();
        match (&asked.method, folder, rest, Scene::from_slug(rest)) {
            (&Method::GET, "", "", _) => self.index(),
            (&Method::GET, "", "callback", _) => self.callback(number, &asked).await,
            (&Method::GET, "/start", _, Some(scene)) => {
                let answer = self.start(scene);
                self.record(number, &asked, &answer);
                answer
            }
            (&Method::POST, "/run", _, Some(scene)) => self.run(scene).await,
            _ => wire::plain(StatusCode::NOT_FOUND, "not found"),
        }
    }
}
