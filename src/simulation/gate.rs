//! What a gate does, without HTTP: the rules, the store's operations and the settlement are the real ones, in the order in
//! which the gateway uses them.

use std::sync::Arc;

use crate::flow::settlement::{self, Answer};
use crate::flow::{
    Application, ClientState, Handle, HandleKey, Key, PendingAuthorization, Purpose, Settlement,
};
use crate::network::Network;
use crate::oauth::{
    AuthorizationCode, AuthorizationRequest, ClientId, Digest, Params, RedirectUri, TokenRequest,
};
use crate::policy::redeem::{self, Found};
use crate::policy::{Decision, Rule, Violation, apply, authorize};
use crate::store::{Bound, Claim, Held, Issued, Pending, Place, Redeemed, Store, StoreError};

/// The most parameters of a request.
const PAIRS: usize = 64;

/// Why a gate does not go on.
#[derive(Debug)]
pub(super) enum Refused {
    /// What the log calls it.
    Violation(&'static str),
    Store(StoreError),
    /// The answer of the store.
    Answer(&'static str),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn refused(violation: &Violation) -> Refused {
    Refused::Violation(violation.label())
}

/// A sign-in that a gate has stored.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) key: Key,
    /// The answer of the store.
    pub(super) held: &'static str,
}

/// One gate process.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) store: Arc<Store>,
    pub(super) number: usize,
    /// Counts restarts.
    pub(super) life: u64,
}

pub(super) fn handle_key() -> HandleKey {
    HandleKey::for_upstream("sim")
}

/// The digest of the upstream's own code.
pub(super) fn digest_of(code: &str) -> Digest {
    let code = AuthorizationCode::new(code).expect("it is not empty");
    code.digest()
}

/// The key of a code as the client has it: of a handle, or of the upstream's own code.
fn key_of_code(code: &str) -> Key {
    let handle = handle_key().recognise(Purpose::Code, code);
    handle.map_or_else(|| digest_of(code).into(), Key::Handle)
}

impl Gate {
    /// The authorization request (`gateway/authorize/fresh.rs`).
    pub(super) async fn begin(
        &self,
        query: &str,
        place: Place,
        network: Option<Network>,
    ) -> Result<Begun, Refused> {
        let rule = Rule::default();
        let params = Params::parse(query.as_bytes(), PAIRS).expect("the simulator writes it");
        let request = AuthorizationRequest::parse(&params).expect("the simulator writes it");
        let judged = authorize::judge(&rule, &request);
        let Decision::Allow(_) = apply(rule.mode, (), judged.clone().err()) else {
            return Err(refused(&judged.expect_err("it was refused")));
        };
        let client = ClientId::new(request.client_id.unwrap_or_default());
        let pending = PendingAuthorization {
            own: None,
            application: Arc::new(Application {
                client: client.digest(),
                redirect: request
                    .redirect_uri
                    .map(|uri| RedirectUri::new(uri).digest()),
                response_type: request.response_type.map(Into::into),
                response_mode: None,
                pushed: None,
            }),
            challenge: judged.expect("it was allowed"),
            state: ClientState::value("its own state"),
            browser: None,
        };
        let (key, held) = match (self.store.hold(place, &pending, network).await?, place) {
            (Held::Handle(handle), _) => (Key::Handle(handle), "hold: handle"),
            (Held::New, Place::Digest(key)) => (key.into(), "hold: new"),
            (Held::Again, Place::Digest(key)) => (key.into(), "hold: again"),
            (Held::Conflict, Place::Digest(key)) => (key.into(), "hold: conflict"),
            (
                Held::New | Held::Again | Held::Conflict | Held::Spilled(_),
                Place::Handle | Place::Entry,
            )
            | (Held::Spilled(_), Place::Digest(_)) => {
                return Err(Refused::Store(StoreError::Unreachable));
            }
        };
        Ok(Begun { key, held })
    }

    /// A request that continues a sign-in (`gateway/authorize/continuation.rs`).
    pub(super) async fn go_on(&self, sign_in: &Key) -> Result<(), Refused> {
        match self.store.pending(sign_in).await? {
            Pending::Live(_) => Ok(()),
            Pending::Expired => Err(Refused::Answer("pending: expired")),
            Pending::Conflict => Err(Refused::Answer("pending: conflict")),
            Pending::Unknown => Err(Refused::Answer("pending: unknown")),
        }
    }

    /// The upstream's answer with a code (`gateway/bind.rs`). Returns the code for the client.
    pub(super) async fn bind(&self, sign_in: &Key, code: &str) -> Result<String, Refused> {
        let code = AuthorizationCode::new(code).expect("it is not empty");
        let issued = match sign_in {
            Key::Handle(_) => Issued::Handle,
            Key::Digest(_) => Issued::Raw,
        };
        let raw = code.expose().to_owned();
        let bound = match self.store.pending(sign_in).await? {
            Pending::Live(record) => self.store.bind(sign_in, &record, issued, code).await?,
            Pending::Expired | Pending::Conflict | Pending::Unknown => Bound::Unknown,
        };
        let why = match bound {
            Bound::Handle(handle) => return Ok(handle.expose().to_owned()),
            Bound::Raw => return Ok(raw),
            // The codes that are already bound stay valid, so the sign-in is not discarded.
            Bound::TooMany => return Err(Refused::Answer("bind: too many")),
            Bound::Elsewhere => "bind: elsewhere",
            Bound::Unknown => "bind: unknown",
        };
        // If the store fails here, the record expires instead.
        let _ = self.store.discard(sign_in).await;
        Err(Refused::Answer(why))
    }

    /// Judges a token request and claims its code (`gateway/token/judge.rs`).
    pub(super) async fn claim(&self, body: &str) -> Result<Claim, Refused> {
        let rule = Rule::default();
        let params = Params::parse(body.as_bytes(), PAIRS).expect("the simulator writes it");
        let request = TokenRequest::parse(&params, None).expect("the simulator writes it");
        let TokenRequest::Redemption(redemption) = request else {
            unreachable!("it has a code");
        };
        let key = key_of_code(redemption.code.expose());
        let mut judged = None;
        let redeemed = self.store.redeem(&key, |bound| {
            let violation = redeem::judge(&rule, &redemption, Found::Live(bound)).err();
            judged = Some(violation.clone());
            redeem::presented(rule.mode, bound, violation)
        });
        let gone = match redeemed.await? {
            Redeemed::Claimed(claim) => {
                let violation = judged.expect("a claimed code was judged");
                return match apply(rule.mode, claim, violation) {
                    Decision::Allow(cleared) | Decision::Report(cleared, _) => {
                        Ok(cleared.into_inner())
                    }
                    Decision::Refuse(_, violation) => Err(refused(&violation)),
                };
            }
            Redeemed::Mismatch(_) => {
                let violation = judged.flatten().expect("a mismatch has a reason");
                return Err(refused(&violation));
            }
            Redeemed::AlreadyRedeemed(_) => Violation::ReplayedCode,
            Redeemed::Burnt(_) => Violation::BurntCode,
            Redeemed::Expired(_) => Violation::ExpiredCode,
            Redeemed::Unknown(_) => Violation::UnknownCode,
        };
        let judged = redeem::judge(&rule, &redemption, Found::Gone(gone));
        Err(refused(&judged.expect_err("a dead code is refused")))
    }

    /// The state of the code after the exchange (`gateway/token/settle.rs`). `answer`: status and body; `Err`: there is none, and
    /// whether the request was certainly not sent.
    pub(super) async fn settle(
        &self,
        claim: Claim,
        answer: Result<(u16, &str), Unanswered>,
        releases_all: bool,
    ) -> Result<(), StoreError> {
        let settlement = match answer {
            _ if releases_all => Settlement::Release,
            Ok((status, body)) => settlement::of_answer(Answer {
                status,
                media_type: Some("application/json"),
                encoded: false,
                body: body.as_bytes(),
                whole: true,
            }),
            Err(Unanswered::Unsent) => Settlement::Release,
            Err(Unanswered::Broken) => Settlement::Burn,
        };
        self.store.settle(claim, settlement).await
    }
}

/// Why there is no answer of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    Unsent,
    Broken,
}

/// A handle that no gate has made.
pub(super) fn guessed(number: u64) -> Handle {
    let random = number.to_le_bytes().into_iter().cycle().take(200);
    let random = random
        .zip(0_u8..)
        .map(|(byte, at)| byte.wrapping_mul(31).wrapping_add(at));
    handle_key().mint(Purpose::Code, random)
}

/// The key of a sign-in of a client without handles.
pub(super) fn correlation(client: &str, state: &str) -> Digest {
    Digest::of("simulated state", &[client.as_bytes(), state.as_bytes()])
}
