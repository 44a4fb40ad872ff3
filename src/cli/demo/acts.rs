//! What happens in each scene once the browser is back at the application: who redeems what, and what has to come of
//! it. Every promise is checked against what really came.

use http::{Method, Request, header};

use super::agent::{self, Agent};
use super::ledger::{Exchange, Party};
use super::legacy::TOKEN;
use super::login::{ATTACKER, CLIENT, Login, redemption, unguessable};
use super::scene::Scene;
use super::stage::Stage;
use super::story::{Promise, Remark, Story, Tone};
use super::wire::{self, Failed, Pairs, value};

/// What has to come of a token request.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Token,
    Refused,
    /// A token for the attacker: what happens without the gate.
    Stolen,
}

/// A scene that is being played.
struct Act<'a> {
    stage: &'a Stage,
    login: &'a Login,
    /// What the callback brought.
    callback: &'a [(String, String)],
    /// Values by which exchanges are known to belong to the scene.
    links: Vec<String>,
    remarks: Vec<Remark>,
    promises: Vec<Promise>,
}

/// Plays a scene to its end. `arrived` is the number of the callback's exchange.
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
        act.promise(false, format!("The scene was played to its end ({error})"));
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

/// What holds in every scene.
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
            "Nothing of it reached the legacy server",
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
        let form = self.rightful();
        self.redeem(Party::Application, form, Expect::Token, note)
            .await
    }

    /// The request was refused, and the browser brought the news.
    fn refused(&mut self, arrived: usize) {
        let (error, hint) = (
            value(self.callback, "error"),
            value(self.callback, "error_description"),
        );
        let kept = error == "invalid_request" && hint.contains("code_challenge");
        let text = if kept {
            "Refused, and the application's developer is told why"
        } else {
            "This should have been refused with a hint"
        };
        self.remarks.push(Remark {
            number: arrived,
            note: "The browser brings the gate's refusal to the application.".to_owned(),
            verdict: Some(Promise::new(kept, text)),
        });
        self.promise(
            value(self.callback, "code").is_empty(),
            "There is no code that anybody could steal",
        );
    }

    async fn steal(&mut self) -> Result<(), Failed> {
        let (code, callback) = (self.code(), self.stage.places.callback.clone());
        let (made_up, own) = (unguessable()?, self.stage.places.attacker_callback.clone());
        let form = |client, callback: &str, verifier| redemption(client, callback, &code, verifier);
        let attempts = [
            (
                form(CLIENT, &callback, None),
                "The attacker redeems the stolen handle as the application, without a verifier.",
            ),
            (
                form(CLIENT, &callback, Some(&made_up)),
                "The attacker makes a verifier up.",
            ),
            (
                form(ATTACKER, &own, Some(&made_up)),
                "The attacker comes as a client of their own, with a verifier of their own.",
            ),
        ];
        for (form, note) in attempts {
            self.redeem(Party::Attacker, form, Expect::Refused, note)
                .await?;
        }
        let note =
            "The attacker goes around the gate. The legacy server has never seen this handle.";
        let around = self.stage.places.upstream.clone();
        let stolen = form(CLIENT, &callback, None);
        self.redeem_at(&around, Party::Attacker, stolen, Expect::Refused, note)
            .await?;
        let note =
            "The application redeems its handle: the attempts have not cost alice her login.";
        let rightful = self.rightful();
        self.redeem(Party::Application, rightful, Expect::Token, note)
            .await
    }

    async fn replay(&mut self) -> Result<(), Failed> {
        let note = "The application redeems the handle.";
        let form = self.rightful();
        self.redeem(Party::Application, form.clone(), Expect::Token, note)
            .await?;
        let note = "The attacker has got hold of the whole request, verifier included, and sends it again.";
        self.redeem(Party::Attacker, form, Expect::Refused, note)
            .await?;
        // From here on without the gate. The attacker sees the redirect before the application does.
        let (places, login) = (&self.stage.places, Login::new(true)?);
        self.links.push(login.state.clone());
        let url = login.url(&places.upstream, &places.callback);
        let mut victim = Agent::new(self.stage);
        let seen = victim.open(&url, Some(&places.callback)).await?;
        let seen = wire::pairs(seen.query().unwrap_or_default().as_bytes())?;
        let stolen = redemption(CLIENT, &places.callback, value(&seen, "code"), None);
        let note = "Without the gate: the attacker redeems the code that the legacy server gave alice's browser. The \
                    application had sent a challenge; nobody asks for the verifier.";
        let around = places.upstream.clone();
        self.redeem_at(&around, Party::Attacker, stolen, Expect::Stolen, note)
            .await
    }

    fn code(&self) -> String {
        value(self.callback, "code").to_owned()
    }

    /// The token request as the application makes it.
    fn rightful(&self) -> Pairs {
        let verifier = self.login.verifier.as_deref();
        redemption(CLIENT, &self.stage.places.callback, &self.code(), verifier)
    }

    async fn redeem(
        &mut self,
        who: Party,
        form: Pairs,
        expect: Expect,
        note: &str,
    ) -> Result<(), Failed> {
        let gate = self.stage.places.gate.clone();
        self.redeem_at(&gate, who, form, expect, note).await
    }

    async fn redeem_at(
        &mut self,
        origin: &str,
        who: Party,
        form: Pairs,
        expect: Expect,
        note: &str,
    ) -> Result<(), Failed> {
        let pairs = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{origin}{TOKEN}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(wire::encoded(pairs))
            .map_err(wire::failed)?;
        let (number, answer) = agent::exchange(self.stage, who, request).await?;
        let body = crate::oauth::json::parse(answer.body().as_bytes()).unwrap_or_default();
        let has_token = body.get("access_token").is_some();
        let is_refused = answer.status() == 400
            && body
                .get("error")
                .is_some_and(|error| error == "invalid_grant");
        let verdict = match expect {
            Expect::Token if has_token => Promise::new(true, "Token issued to the application"),
            Expect::Token => Promise::new(false, "The application should have got a token"),
            Expect::Refused if is_refused && !has_token => {
                Promise::new(true, "Refused: invalid_grant")
            }
            Expect::Refused => Promise::new(false, "This should have been refused"),
            Expect::Stolen if has_token => {
                Promise::new(true, "Token issued to the attacker").with_tone(Tone::Alarm)
            }
            Expect::Stolen => Promise::new(false, "Without the gate, this should have worked"),
        };
        self.remarks.push(Remark {
            number,
            note: note.to_owned(),
            verdict: Some(verdict),
        });
        Ok(())
    }
}
