//! The rest of each scene after the browser has returned to the application: token requests, and checks of their
//! outcomes against the real exchanges.

use super::agent::Agent;
use super::attempt::{Attempt, Expect};
use super::facts::{ATTACKER, CLIENT, TOKEN};
use super::ledger::{Exchange, Party};
use super::login::{Login, redemption, unguessable};
use super::scene::Scene;
use super::stage::Stage;
use super::story::{Promise, Remark, Story};
use super::wire::{self, Failed, value};

struct Act<'a> {
    stage: &'a Stage,
    login: &'a Login,
    callback: &'a [(String, String)],
    /// Values that identify the exchanges of this scene.
    links: Vec<String>,
    remarks: Vec<Remark>,
    promises: Vec<Promise>,
}

/// Plays a scene to its end. `arrived` is the number of the exchange with the callback.
pub(super) async fn play(
    stage: &Stage,
    scene: Scene,
    login: &Login,
    callback: &[(String, String)],
    arrived: usize,
) -> Story {
    let links = [
        Some(login.state.clone()),
        login.verifier.clone(),
        login.challenge(),
    ];
    let mut act = Act {
        stage,
        login,
        callback,
        links: links.into_iter().flatten().collect(),
        remarks: Vec::new(),
        promises: Vec::new(),
    };
    let played = match scene {
        Scene::Login => act.log_in().await,
        Scene::Bare => {
            act.refused(arrived);
            Ok(())
        }
        Scene::Steal => act.steal().await,
        Scene::Replay => act.replay().await,
    };
    if let Err(error) = played {
        act.promise(false, format!("The scene was completed ({error})"));
    }
    let story = Story::gather(&stage.ledger, act.links, &act.remarks);
    let mut promises = act.promises;
    if scene.pkce() {
        promises.push(story.code_stayed_behind_the_gate());
    }
    let promises = promises
        .into_iter()
        .chain(common(&story, scene, login, callback));
    story.with_promises(promises.collect())
}

/// The outcomes expected in every scene.
fn common(
    story: &Story,
    scene: Scene,
    login: &Login,
    callback: &[(String, String)],
) -> Vec<Promise> {
    let state = Promise::new(
        value(callback, "state") == login.state,
        "The application got its own state back",
    );
    let reached = |exchange: &&Exchange| exchange.is(Party::Gate, Party::Upstream);
    let redeemed = |exchange: &&Exchange| exchange.request.line.ends_with(TOKEN);
    let upstream = story.exchanges().filter(reached);
    let expected = match scene {
        Scene::Bare => Promise::new(
            upstream.count() == 0,
            "No request reached the legacy server",
        ),
        Scene::Login | Scene::Steal | Scene::Replay => Promise::new(
            upstream.filter(redeemed).count() == 1,
            "Through the gate, one token request reached the legacy server: the right one",
        ),
    };
    vec![state, expected]
}

impl Act<'_> {
    fn promise(&mut self, kept: bool, text: impl Into<String>) {
        self.promises.push(Promise::new(kept, text));
    }

    async fn log_in(&mut self) -> Result<(), Failed> {
        let note = "The application redeems the handle, with the verifier that only it knows.";
        let attempt = self.rightful("The application redeems it", note);
        self.at_the_gate(attempt).await
    }

    /// Checks that the request was refused, and the error returned to the application.
    fn refused(&mut self, arrived: usize) {
        let (error, hint) = (
            value(self.callback, "error"),
            value(self.callback, "error_description"),
        );
        let kept = error == "invalid_request" && hint.contains("code_challenge");
        let text = if kept {
            "The request is refused, and the error names the missing parameter"
        } else {
            "The request should have been refused with a hint"
        };
        self.remarks.push(Remark {
            number: arrived,
            note: "The browser returns to the application with the gate's error.".to_owned(),
            verdict: Some(Promise::new(kept, text)),
        });
        self.promise(
            value(self.callback, "code").is_empty(),
            "There is no code to steal",
        );
    }

    async fn steal(&mut self) -> Result<(), Failed> {
        let (callback, own) = (
            &self.stage.places.callback,
            &self.stage.places.attacker_callback,
        );
        let (code, made_up) = (self.code().to_owned(), unguessable()?);
        let attack = |form, what, note| Attempt {
            who: Party::Attacker,
            form,
            expect: Expect::Refused,
            what,
            note,
        };
        let bare = redemption(CLIENT, callback, &code, None);
        let attempts = [
            attack(
                bare.clone(),
                "The attacker, without a verifier",
                "The attacker redeems the stolen handle as the application, without a verifier.",
            ),
            attack(
                redemption(CLIENT, callback, &code, Some(&made_up)),
                "The attacker, with a made-up verifier",
                "The attacker invents a verifier.",
            ),
            attack(
                redemption(ATTACKER, own, &code, Some(&made_up)),
                "The attacker, as another client",
                "The attacker uses another registered client and an invented verifier.",
            ),
        ];
        for attempt in attempts {
            self.at_the_gate(attempt).await?;
        }
        let around = attack(
            bare,
            "The attacker, around the gate",
            "The attacker bypasses the gate. The legacy server does not know this handle.",
        );
        self.at_the_server(around).await?;
        let note = "The application redeems its handle: the attempts have not invalidated it.";
        let attempt = self.rightful("The application, after all that", note);
        self.at_the_gate(attempt).await
    }

    async fn replay(&mut self) -> Result<(), Failed> {
        let note = "The application redeems the handle.";
        let rightful = self.rightful("The application, once", note);
        let again = Attempt {
            who: Party::Attacker,
            form: rightful.form.clone(),
            expect: Expect::Refused,
            what: "The same request again",
            note: "The attacker has obtained the whole request, including the verifier, and sends it again.",
        };
        self.at_the_gate(rightful).await?;
        self.at_the_gate(again).await?;
        // From here on without the gate. The attacker sees the redirect before the application does.
        let (places, login) = (&self.stage.places, Login::new(true)?);
        self.links.push(login.state.clone());
        let url = login.url(&places.upstream, &places.callback);
        let mut victim = Agent::new(self.stage);
        let seen = victim.open(&url, Some(&places.callback)).await?;
        let seen = wire::pairs(seen.query().unwrap_or_default().as_bytes())?;
        self.at_the_server(Attempt {
            who: Party::Attacker,
            form: redemption(CLIENT, &places.callback, value(&seen, "code"), None),
            expect: Expect::Stolen,
            what: "The attacker, at the legacy server without the gate",
            note: "Without the gate: the attacker redeems the code from alice's browser. The application \
                   sent a challenge, but the server does not require the verifier.",
        })
        .await
    }

    fn code(&self) -> &str {
        value(self.callback, "code")
    }

    /// The token request of the application.
    fn rightful<'t>(&self, what: &'t str, note: &'t str) -> Attempt<'t> {
        let verifier = self.login.verifier.as_deref();
        Attempt {
            who: Party::Application,
            form: redemption(CLIENT, &self.stage.places.callback, self.code(), verifier),
            expect: Expect::Token,
            what,
            note,
        }
    }

    async fn at_the_gate(&mut self, attempt: Attempt<'_>) -> Result<(), Failed> {
        let gate = &self.stage.places.gate;
        self.remarks.push(attempt.make(self.stage, gate).await?);
        Ok(())
    }

    async fn at_the_server(&mut self, attempt: Attempt<'_>) -> Result<(), Failed> {
        let server = &self.stage.places.upstream;
        self.remarks.push(attempt.make(self.stage, server).await?);
        Ok(())
    }
}
