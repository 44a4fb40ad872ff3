//! Sign-ins over two upstreams during frequent reloads, one in five of them with an invalid file: no sign-in is lost.
//! `benches/reload/run` does this for longer, and checks memory and descriptors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::events;
use crate::support::client::{Authorization, access_token};
use crate::support::http::Response;
use crate::support::params::{Params, unguessable};
use crate::support::raw::Connection;
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, cookie_of, target};
use crate::support::scripted::Scripted;

/// The number of configurations, and the time between two: eight seconds in total, or more.
const WRITTEN: usize = 160;
const MOST: usize = 50 * WRITTEN;
/// At least this many must be applied.
const RELOADS: usize = 4;
const BETWEEN: Duration = Duration::from_millis(50);
const HOSTS: [&str; 2] = ["gate.test", "second.test"];

fn config(rig: &Rig, other: &Scripted, number: usize) -> String {
    let pkce = [
        "",
        "mode = \"report\"",
        "codes = \"upstream\"",
        "entry = \"rewrite\"",
    ];
    let pkce = pkce[number % pkce.len()];
    let tables = format!(
        "[[upstream]]\nname = \"second\"\nurl = \"{}\"\nhosts = [\"second.test\"]\npublic_url = \"http://second.test\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n[upstream.pkce]\n{pkce}\n",
        other.url()
    );
    let limits = format!("uri_bytes = \"{}B\"", 8192 + number);
    let text = Config {
        upstream: "hosts = [\"gate.test\"]",
        pkce,
        limits: &limits,
        tables: &tables,
        ..Config::default()
    }
    .render(&rig.upstream);
    if number % 5 == 4 {
        text.replace("uri_bytes = ", "uri_bytes = x")
    } else {
        text
    }
}

/// A client's connection, and the cookie of its browser.
struct Session {
    connection: Connection,
    host: &'static str,
    cookie: Option<String>,
}

impl Session {
    fn ask(&mut self, method: &str, target: &str, form: Option<&Params>) -> Response {
        let body = form.map(Params::encoded).unwrap_or_default();
        let host = self.host;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        if let Some(cookie) = &self.cookie {
            head.extend(["Cookie: ", cookie, "\r\n"]);
        }
        if form.is_some() {
            head += "Content-Type: application/x-www-form-urlencoded\r\n";
            head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        self.connection.send(format!("{head}\r\n{body}").as_bytes());
        let response = self.connection.response();
        self.cookie = cookie_of(&response).or(self.cookie.take());
        response
    }

    /// A whole sign-in.
    fn sign_in(&mut self) -> Result<(), Response> {
        let authorization = Authorization::new(REDIRECT_URI, None).with("nonce", &unguessable());
        let mut response = self.ask("GET", &target(&authorization), None);
        if response.status == 303
            && let Some(entry) = response.header("location").filter(|to| to.starts_with('/'))
        {
            let entry = entry.to_owned();
            response = self.ask("GET", &entry, None);
        }
        let Some(found) = authorization_response(&response, &authorization) else {
            return Err(response);
        };
        let form = authorization.redemption(found.code());
        let response = self.ask("POST", "/token", Some(&form));
        match access_token(&response) {
            Some(_) if found.params.get("state") == authorization.state() => Ok(()),
            _ => Err(response),
        }
    }
}

#[test]
fn no_sign_in_is_lost_by_reloads_under_load() {
    let rig = Rig::with(Config {
        upstream: "hosts = [\"gate.test\"]",
        store: "network_rate = 1000000\nper_network = 1.0",
        ..Config::default()
    })
    .unguarded();
    let other = Scripted::start();
    let address = rig.address();
    let store = "[store]\nnetwork_rate = 1000000\nper_network = 1.0\n";
    let texts: Vec<String> = (0..20)
        .map(|number| config(&rig, &other, number).replacen("[store]\n", store, 1))
        .collect();
    rig.gate.reload(&texts[0]);
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lost = thread::scope(|scope| {
        let clients: Vec<_> = HOSTS
            .into_iter()
            .cycle()
            .take(4)
            .map(|host| {
                let (over, done) = (&over, &done);
                scope.spawn(move || {
                    let mut session = Session {
                        connection: Connection::open(address),
                        host,
                        cookie: None,
                    };
                    while !over.load(Ordering::Relaxed) {
                        session.sign_in()?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<_, Response>(())
                })
            })
            .collect();
        // On a busy machine the gate sees only some of them.
        let reloads = || events(&rig.gate, "reloaded").len();
        for number in 1..=MOST {
            if number > WRITTEN && reloads() > RELOADS {
                break;
            }
            rig.gate.configure(&texts[number % texts.len()]);
            rig.gate.signal("HUP");
            thread::sleep(BETWEEN);
        }
        over.store(true, Ordering::Relaxed);
        let ended = clients
            .into_iter()
            .map(|client| client.join().expect("it ends"));
        ended.filter_map(Result::err).collect::<Vec<_>>()
    });
    assert!(lost.is_empty(), "{}", lost[0]);
    assert!(done.load(Ordering::Relaxed) > 0);
    assert!(events(&rig.gate, "reloaded").len() > RELOADS);
    assert!(events(&rig.gate, "panic").is_empty());
}
