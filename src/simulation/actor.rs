//! What clients, browsers and attackers do, one step at a time. Each step goes to any of the gates.

use std::cell::Cell;
use std::rc::Rc;

use super::dice::Dice;
use super::gate::{Begun, Gate, Refused, Unanswered, correlation};
use super::ledger::{Proof, Redemption};
use super::upstream::TOKEN;
use super::world::{Broken, World};
use crate::flow::Key;
use crate::oauth::CodeChallenge;
use crate::store::{Place, StoreError};
use sha2::Digest as _;

/// Someone who takes part in a flow.
#[derive(Clone)]
pub(super) struct Actor {
    pub(super) world: Rc<World>,
    pub(super) flow: u64,
    pub(super) dice: Dice,
    /// Whether something happened after which an honest client may get no token.
    pub(super) is_disturbed: Rc<Cell<bool>>,
}

/// The end of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Token,
    /// The gate or the upstream refused it.
    Refused,
    /// The client may try again.
    Again,
}

/// A sign-in that an actor has begun.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) proof: Proof,
}

/// A code, as the upstream issued it and as the client got it.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) raw: String,
    pub(super) wire: String,
}

impl Actor {
    pub(super) fn new(world: Rc<World>, flow: u64) -> Self {
        let dice = Dice::of(world.plan.seed, flow);
        Self {
            world,
            flow,
            dice,
            is_disturbed: Rc::default(),
        }
    }

    /// Another actor in the same flow.
    pub(super) fn other(&mut self) -> Self {
        Self {
            dice: Dice::new(self.dice.below(u64::MAX)),
            ..self.clone()
        }
    }

    pub(super) fn disturb(&self) {
        self.is_disturbed.set(true);
    }

    pub(super) async fn wait(&mut self, from: u64, to: u64) {
        let millis = self.dice.between(from, to);
        self.world.kernel.timers.sleep(millis).await;
    }

    fn gate(&mut self) -> Gate {
        self.world.gate(&mut self.dice)
    }

    pub(super) fn count(&self, what: &'static str) {
        self.world.ledger.borrow_mut().count(what);
    }

    /// Counts and notes an answer.
    pub(super) fn heard(&self, what: &'static str) {
        self.count(what);
        // Expired records are dropped sooner or later, so that their codes become unknown.
        let is_gone = ["expired_code", "unknown_code", "pending: unknown"].contains(&what);
        self.world
            .note(self.flow, if is_gone { "gone" } else { what });
    }

    pub(super) fn refused(&self, refused: &Refused) -> &'static str {
        let what = match refused {
            Refused::Violation(what) | Refused::Answer(what) => what,
            Refused::Store(error) => {
                self.disturb();
                match error {
                    StoreError::NoRoom(..) => "store: no room",
                    StoreError::Entropy => "store: entropy",
                    StoreError::TooLong => "store: too long",
                    StoreError::Unreachable => "store: unreachable",
                    StoreError::Deadline => "store: deadline",
                    StoreError::TooFewReplicas => "store: too few replicas",
                }
            }
        };
        self.heard(what);
        what
    }

    /// Begins a sign-in with this query, and returns its session.
    pub(super) async fn begin(
        &mut self,
        proof: &Proof,
        query: &str,
        place: Place,
    ) -> Option<Session> {
        let gate = self.gate();
        let network = self.world.network(&mut self.dice);
        match gate.begin(query, place, network).await {
            Ok(Begun { key, held }) => {
                self.heard(held);
                Some(Session {
                    key,
                    proof: proof.clone(),
                })
            }
            Err(refused) => {
                self.refused(&refused);
                None
            }
        }
    }

    /// A request that continues the sign-in. False: it has ended.
    pub(super) async fn go_on(&mut self, session: &Session) -> bool {
        let gate = self.gate();
        match gate.go_on(&session.key).await {
            Ok(()) => true,
            Err(refused) => {
                self.refused(&refused);
                false
            }
        }
    }

    /// The upstream answers with this code.
    pub(super) async fn deliver(&mut self, session: &Session, raw: &str) -> Option<Code> {
        if self.go_on(session).await {
            self.bind(session, raw).await
        } else {
            None
        }
    }

    /// The same, although the sign-in may have ended since it was read.
    pub(super) async fn bind(&mut self, session: &Session, raw: &str) -> Option<Code> {
        let gate = self.gate();
        match gate.bind(&session.key, raw).await {
            Ok(wire) => {
                self.heard("bind: bound");
                let place = self.world.bound_at(&gate, raw);
                let now = self.world.now();
                let mut ledger = self.world.ledger.borrow_mut();
                ledger.bound(now, raw, &wire, &session.proof, place);
                Some(Code {
                    raw: raw.to_owned(),
                    wire,
                })
            }
            Err(refused) => {
                self.refused(&refused);
                None
            }
        }
    }

    /// A token request.
    pub(super) async fn redeem(&mut self, wire: &str, proof: &Proof) -> End {
        let gate = self.gate();
        self.world.note(self.flow, "token request");
        let claim = match gate.claim(&body(wire, proof)).await {
            Ok(claim) => claim,
            Err(Refused::Store(error)) => {
                self.refused(&Refused::Store(error));
                return End::Again;
            }
            Err(refused) => {
                self.refused(&refused);
                return End::Refused;
            }
        };
        self.heard("claimed");
        if self.dice.often(50) {
            // The client goes away, and the request with it.
            self.disturb();
            return End::Refused;
        }
        let raw = claim.bound().code.expose().to_owned();
        let exchange = self.world.upstream.borrow_mut().redeem(&raw);
        if !exchange.is_ordinary {
            self.disturb();
        }
        self.world.kernel.timers.sleep(exchange.takes / 2).await;
        if exchange.issued_token {
            self.heard("token issued");
            let redemption = Redemption {
                code: &raw,
                wire,
                proof,
                place: World::place(&gate),
                runs: self.world.claimed_on(&raw),
            };
            let mut ledger = self.world.ledger.borrow_mut();
            ledger.token(self.flow, redemption);
        }
        self.world.kernel.timers.sleep(exchange.takes / 2).await;
        let breaks = self.world.plan.broken == Some(Broken::ReleasesAll);
        let settled = gate.settle(claim, exchange.answer, breaks).await;
        if let Err(error) = settled {
            self.refused(&Refused::Store(error));
        }
        match exchange.answer {
            Ok(TOKEN) => End::Token,
            Ok((400, body)) if body.contains("nonce") => End::Again,
            Ok((503, _)) | Err(Unanswered::Unsent | Unanswered::Broken) => End::Again,
            Ok(_) => End::Refused,
        }
    }
}

/// A verifier of this flow.
pub(super) fn verifier(flow: u64, part: u64) -> String {
    format!("{flow:0>30}.{part:0>30}")
}

pub(super) fn challenge(verifier: &str) -> String {
    let hash = sha2::Sha256::digest(verifier.as_bytes());
    CodeChallenge::S256(hash.into()).encoded().into_owned()
}

/// An authorization request.
pub(super) fn query(proof: &Proof) -> String {
    let challenge = challenge(proof.verifier.as_deref().unwrap_or_default());
    format!(
        "response_type=code&client_id={}&redirect_uri={}&code_challenge={challenge}&code_challenge_method=S256",
        proof.client, proof.redirect
    )
}

fn body(wire: &str, proof: &Proof) -> String {
    let mut body = format!(
        "grant_type=authorization_code&code={wire}&client_id={}&redirect_uri={}",
        proof.client, proof.redirect
    );
    if let Some(verifier) = &proof.verifier {
        body += "&code_verifier=";
        body += verifier;
    }
    body
}

/// Where the record of a sign-in is kept: under a handle, or under the client's own state.
pub(super) fn place(client: &str, state: Option<&str>, is_entry: bool) -> Place {
    match state {
        Some(state) => Place::Digest(correlation(client, state)),
        None if is_entry => Place::Entry,
        None => Place::Handle,
    }
}
