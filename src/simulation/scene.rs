//! One flow: an honest client, and at times attackers who see everything on the wire but the verifier, or even that.

use std::rc::Rc;

use super::actor::{Actor, Code, End, Session, challenge, place, query, verifier};
use super::gate::guessed;
use super::ledger::Proof;
use super::world::{Kind, World};

/// The lifetimes of the store, in milliseconds.
const PENDING: u64 = 900_000;
const CODE: u64 = 300_000;
const UNFOLLOWED: u64 = 60_000;

/// What attackers try. Each gets the code as the client has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    NoVerifier,
    /// So many verifiers that are wrong.
    WrongVerifiers(u64),
    MalformedVerifier,
    OwnClient,
    OtherRedirect,
    /// The whole token request, verifier included.
    Replay,
    /// The answer of the upstream once more, and the token request with the code in it.
    ReplayAnswer,
    /// The upstream's code in an answer to a sign-in of the attacker, who knows it from somewhere else.
    Injection,
    Guess,
}

/// An honest client from begin to end, and those who attack it.
pub(super) async fn scene(world: Rc<World>, flow: u64) {
    let begin = world.now();
    let mut victim = Actor::new(Rc::clone(&world), flow);
    let end = sign_in(&mut victim).await;
    let is_calm = !victim.is_disturbed.get() && world.is_calm_since(begin);
    match end {
        Some(End::Token) => victim.count("flow: token"),
        Some(End::Refused | End::Again) | None => {
            victim.count("flow: none");
            if is_calm {
                let what = "liveness: an undisturbed flow ended without a token".to_owned();
                world.ledger.borrow_mut().breach(flow, what);
            }
        }
    }
    world.ended.set(world.ended.get() + 1);
}

async fn sign_in(victim: &mut Actor) -> Option<End> {
    let client = format!("app{}", victim.dice.below(5));
    let proof = Proof {
        redirect: format!("https://{client}.example/cb"),
        client,
        verifier: Some(verifier(victim.flow, 0)),
    };
    if victim.dice.often(600) {
        misuse(victim, &proof).await;
    }
    let session = enter(victim, &proof).await?;
    if victim.dice.often(100) {
        // The user comes back much later.
        victim.disturb();
        victim.wait(PENDING + 40_000, PENDING + 200_000).await;
    }
    if !victim.go_on(&session).await {
        return None;
    }
    let code = code(victim, &session).await?;
    let after = attacked(victim, &session, &code);
    let late = victim.dice.often(100);
    if late {
        victim.disturb();
        victim.wait(CODE - 50, CODE + 100_000).await;
    } else {
        victim.wait(10, 5_000).await;
    }
    if victim.dice.often(500) {
        // A double click, or a client that does not wait.
        let mut twin = victim.other();
        victim.disturb();
        let (code, proof) = (code.clone(), proof.clone());
        victim.world.kernel.spawn(async move {
            twin.wait(0, 300).await;
            twin.redeem(&code.wire, &proof).await;
        });
    }
    let end = redeem(victim, &code, &proof).await;
    for attack in after {
        let mut attacker = victim.other();
        let (session, code) = (session.clone(), code.clone());
        // Not with the client: what they disturb is over.
        attacker.is_disturbed = Rc::default();
        victim.world.kernel.spawn(async move {
            attacker.wait(0, 5_000).await;
            attempt(&mut attacker, attack, &session, &code).await;
        });
    }
    Some(end)
}

/// Requests that never begin a sign-in.
async fn misuse(actor: &mut Actor, proof: &Proof) {
    let challenge = challenge(proof.verifier.as_deref().unwrap_or_default());
    let base = format!(
        "response_type=code&client_id={}&redirect_uri={}",
        proof.client, proof.redirect
    );
    let queries = [
        base.clone(),
        format!("{base}&code_challenge={challenge}"),
        format!("{base}&code_challenge={challenge}&code_challenge_method=plain"),
        format!("{base}&code_challenge={challenge}&code_challenge_method=s256"),
        format!("{base}&code_challenge_method=S256"),
        format!("{base}&code_challenge=short&code_challenge_method=S256"),
        format!("{base}&request=x"),
        format!("response_type=token&client_id={}", proof.client),
        "response_type=code".to_owned(),
        format!("client_id={}", proof.client),
    ];
    let query = &queries[actor.dice.index(queries.len())];
    let place = place(&proof.client, None, false);
    let begun = actor.begin(proof, query, place).await;
    if begun.is_some() {
        let what = format!("policy: {query} was accepted");
        actor.world.ledger.borrow_mut().breach(actor.flow, what);
    }
}

/// From the authorization request to the login page.
async fn enter(victim: &mut Actor, proof: &Proof) -> Option<Session> {
    let own = format!("state-{}", victim.flow);
    let has_handle = victim.dice.often(8_000);
    let state = (!has_handle).then_some(own.as_str());
    if !has_handle && !victim.world.shares_records() {
        victim.disturb();
    }
    let is_entry = victim.dice.often(5_000);
    let place = place(&proof.client, state, is_entry);
    let query_of_it = query(proof);
    let session = victim.begin(proof, &query_of_it, place).await?;
    if !has_handle && victim.dice.often(1_000) {
        // A reload of the page.
        victim.wait(10, 1_000).await;
        victim.begin(proof, &query_of_it, place).await?;
    }
    if !has_handle && victim.dice.often(1_000) {
        // Someone else uses the same values with another challenge.
        victim.disturb();
        let mut attacker = victim.other();
        let own = Proof {
            verifier: Some(verifier(victim.flow, 9)),
            ..proof.clone()
        };
        attacker.begin(&own, &query(&own), place).await;
    }
    if is_entry && victim.dice.often(200) {
        victim.disturb();
        victim.wait(UNFOLLOWED - 5, UNFOLLOWED + 50_000).await;
    } else {
        victim.wait(5, 500).await;
    }
    if !victim.go_on(&session).await {
        return None;
    }
    victim.wait(500, 30_000).await;
    Some(session)
}

/// The upstream's answers until one arrives.
async fn code(victim: &mut Actor, session: &Session) -> Option<Code> {
    let mut raw = issue(victim);
    let attempts = if victim.dice.often(100) { 16 } else { 2 };
    if attempts > 2 {
        // A sign-in yields five at most.
        victim.disturb();
    }
    let mut last = None;
    for attempt in 0..attempts {
        victim.wait(1, 50).await;
        let is_early = victim.dice.often(50);
        if is_early {
            // The attacker was faster.
            victim.disturb();
            let mut attacker = victim.other();
            inject(&mut attacker, &raw).await;
        }
        match victim.deliver(session, &raw).await {
            Some(code) => last = Some(code),
            None => return None,
        }
        let is_lost = attempts > 2 || attempt == 0 && victim.dice.often(500);
        if !is_lost {
            break;
        }
        // The answer is lost, and the page is loaded again: some servers issue another code, some the same.
        victim.wait(100, 3_000).await;
        if victim.dice.often(7_000) {
            raw = issue(victim);
        } else if matches!(victim.world.plan.kind, Kind::Sealed(_)) {
            // A gate that has bound a code does not accept the handle for it that another gate made.
            victim.disturb();
        }
    }
    last
}

fn issue(victim: &Actor) -> String {
    let now = victim.world.now();
    let (raw, is_of_another) = victim
        .world
        .upstream
        .borrow_mut()
        .issue(now, &victim.is_disturbed);
    if is_of_another {
        victim.disturb();
        victim.heard("a code of another sign-in");
    }
    raw
}

/// The token request of an honest client, which tries again if it got no answer.
async fn redeem(victim: &mut Actor, code: &Code, proof: &Proof) -> End {
    let mut end = End::Again;
    for _ in 0..4 {
        end = victim.redeem(&code.wire, proof).await;
        if end == End::Token && victim.dice.often(300) {
            // The token is lost on its way to the client, which asks for it again.
            victim.disturb();
            end = End::Again;
        }
        if end != End::Again {
            break;
        }
        victim.wait(10, 1_500).await;
    }
    end
}

/// Begins the attacks on a flow. Returns those that come after the client.
fn attacked(victim: &mut Actor, session: &Session, code: &Code) -> Vec<Attack> {
    if !victim.dice.often(victim.world.plan.attacks) {
        return Vec::new();
    }
    let kinds = [
        Attack::NoVerifier,
        Attack::WrongVerifiers(1),
        Attack::WrongVerifiers(4),
        Attack::MalformedVerifier,
        Attack::OwnClient,
        Attack::OtherRedirect,
        Attack::Replay,
        Attack::Replay,
        Attack::ReplayAnswer,
        Attack::Injection,
        Attack::Injection,
        Attack::Guess,
    ];
    let [before, after @ ..] = [(); 4].map(|()| kinds[victim.dice.index(kinds.len())]);
    if before.may_disturb(victim) {
        victim.disturb();
    }
    let mut attacker = victim.other();
    let (session, code) = (session.clone(), code.clone());
    victim.world.kernel.spawn(async move {
        attacker.wait(0, 5_000).await;
        attempt(&mut attacker, before, &session, &code).await;
    });
    after.to_vec()
}

impl Attack {
    /// Whether an honest client may get no token because of it.
    fn may_disturb(self, victim: &Actor) -> bool {
        match self {
            // Three wrong verifiers burn a code.
            Self::WrongVerifiers(number) => number > 2,
            // The code of a client without handles is on the wire, and the attacker may redeem it.
            Self::Replay | Self::ReplayAnswer => true,
            // Gates that do not share what they know can bind a code again.
            Self::Injection => victim.world.plan.kind != Kind::Memory,
            Self::NoVerifier
            | Self::MalformedVerifier
            | Self::OwnClient
            | Self::OtherRedirect
            | Self::Guess => false,
        }
    }
}

async fn attempt(attacker: &mut Actor, attack: Attack, session: &Session, code: &Code) {
    let known = &session.proof;
    let with = |verifier: Option<String>| Proof {
        verifier,
        ..known.clone()
    };
    let own = verifier(attacker.flow, 7);
    match attack {
        Attack::NoVerifier => drop(attacker.redeem(&code.wire, &with(None)).await),
        Attack::WrongVerifiers(number) => {
            for part in 0..number {
                let wrong = with(Some(verifier(attacker.flow, 100 + part)));
                attacker.redeem(&code.wire, &wrong).await;
                attacker.wait(1, 500).await;
            }
        }
        Attack::MalformedVerifier => {
            let malformed = with(Some("short".to_owned()));
            attacker.redeem(&code.wire, &malformed).await;
        }
        Attack::OwnClient => {
            let own = Proof {
                client: "evil".to_owned(),
                ..with(Some(own))
            };
            attacker.redeem(&code.wire, &own).await;
        }
        Attack::OtherRedirect => {
            let other = Proof {
                redirect: "https://evil.example/cb".to_owned(),
                ..known.clone()
            };
            attacker.redeem(&code.wire, &other).await;
        }
        Attack::Replay => {
            for _ in 0..attacker.dice.between(1, 4) {
                attacker.redeem(&code.wire, known).await;
                attacker.wait(1, 2_000).await;
            }
        }
        Attack::ReplayAnswer => {
            if let Some(again) = attacker.deliver(session, &code.raw).await {
                attacker.redeem(&again.wire, known).await;
            }
        }
        Attack::Injection => inject(attacker, &code.raw).await,
        Attack::Guess => {
            let guess = guessed(attacker.dice.below(u64::MAX));
            attacker.redeem(guess.expose(), known).await;
            attacker.redeem("no-code-at-all", known).await;
        }
    }
}

/// Puts the upstream's code into the answer to a sign-in of the attacker, and redeems it with the attacker's verifier.
async fn inject(attacker: &mut Actor, raw: &str) {
    let own = Proof {
        client: "app0".to_owned(),
        redirect: "https://app0.example/cb".to_owned(),
        verifier: Some(verifier(attacker.flow, 8)),
    };
    let place = place(&own.client, None, false);
    let query = query(&own);
    let Some(session) = attacker.begin(&own, &query, place).await else {
        return;
    };
    attacker.wait(1, 300).await;
    if let Some(code) = attacker.deliver(&session, raw).await {
        attacker.wait(1, 300).await;
        attacker.redeem(&code.wire, &own).await;
    } else {
        // The sign-in was discarded.
        attacker.go_on(&session).await;
        attacker.bind(&session, raw).await;
    }
}
