//! What really happened, compared with what is promised.
//!
//! - I1: a token was issued, so that redemption had the verifier of the code's challenge, and the same client and redirect URI.
//! - I2: a code yields a token once.
//!
//! A code belongs to the sign-in to which a gate bound it first: what the upstream meant is not known to any gate.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How long a code is remembered, in milliseconds: longer than any store does.
const REMEMBERED: u64 = 3_600_000;

/// What a token request has to present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) client: String,
    pub(super) redirect: String,
    pub(super) verifier: Option<String>,
}

/// Where a code was bound or claimed: which life of which gate, or which server run.
pub(super) type Where = String;

#[derive(Debug, Clone)]
struct Binding {
    proof: Proof,
    place: Where,
}

#[derive(Debug)]
struct Token {
    bound: Where,
    claimed: Where,
    runs: BTreeSet<String>,
}

/// A redemption that yielded a token.
pub(super) struct Redemption<'r> {
    /// The upstream's code.
    pub(super) code: &'r str,
    /// The code as the client has it.
    pub(super) wire: &'r str,
    pub(super) proof: &'r Proof,
    /// Where it was claimed.
    pub(super) place: Where,
    /// The server runs on which the code was bound and is claimed, with Redis.
    pub(super) runs: BTreeSet<String>,
}

/// What a store does not promise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excuses {
    /// A process does not know what another one bound, or a failover loses it.
    pub(super) forgets_bindings: bool,
    /// Each process remembers for itself what became of a code.
    pub(super) local_claims: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) flow: u64,
    pub(super) what: String,
}

pub(super) struct Ledger {
    excuses: Excuses,
    /// By the upstream's code.
    first: HashMap<String, Binding>,
    /// By the code as the client has it.
    bindings: HashMap<String, Binding>,
    tokens: HashMap<String, Vec<Token>>,
    ages: VecDeque<(u64, String, String)>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) excused: BTreeMap<&'static str, u64>,
    pub(super) breaches: Vec<Breach>,
}

impl Ledger {
    pub(super) fn new(excuses: Excuses) -> Self {
        Self {
            excuses,
            first: HashMap::new(),
            bindings: HashMap::new(),
            tokens: HashMap::new(),
            ages: VecDeque::new(),
            counts: BTreeMap::new(),
            excused: BTreeMap::new(),
            breaches: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A gate bound the upstream's code, and the client has it as `wire`.
    pub(super) fn bound(&mut self, now: u64, code: &str, wire: &str, proof: &Proof, place: Where) {
        while self
            .ages
            .front()
            .is_some_and(|(at, ..)| at + REMEMBERED < now)
        {
            if let Some((_, code, wire)) = self.ages.pop_front() {
                self.first.remove(&code);
                self.tokens.remove(&code);
                self.bindings.remove(&wire);
            }
        }
        let binding = Binding {
            proof: proof.clone(),
            place,
        };
        self.ages.push_back((now, code.to_owned(), wire.to_owned()));
        self.first
            .entry(code.to_owned())
            .or_insert_with(|| binding.clone());
        // The upstream's own code is its own key: the record stays the first one, unless it is not known there.
        let known = self.bindings.get(wire);
        if known.is_none_or(|known| known.place != binding.place) {
            self.bindings.insert(wire.to_owned(), binding);
        }
    }

    /// The upstream issued a token.
    pub(super) fn token(&mut self, flow: u64, redemption: Redemption<'_>) {
        self.count("token");
        let Redemption {
            code, wire, proof, ..
        } = redemption;
        let (Some(first), Some(own)) = (self.first.get(code), self.bindings.get(wire)) else {
            self.breach(
                flow,
                format!("I1: a token for {code}, which no gate has bound"),
            );
            return;
        };
        let bound = own.place.clone();
        let belongs = first.proof == *proof;
        let is_elsewhere = self.excuses.forgets_bindings && first.place != bound;
        if !belongs {
            if is_elsewhere {
                self.excuse("I1: bound again where the first binding is not known");
            } else {
                let what = format!("I1: {code} was redeemed by {proof:?}");
                self.breach(flow, what);
            }
        }
        let before = self.tokens.entry(code.to_owned()).or_default();
        let excuses = self.excuses;
        let whys: Vec<Option<&'static str>> = before
            .iter()
            .map(|other| {
                let is_elsewhere = other.bound != bound || !redemption.runs.is_subset(&other.runs);
                if excuses.forgets_bindings && is_elsewhere {
                    Some("I2: bound again where the first binding is not known")
                } else if excuses.local_claims && other.claimed != redemption.place {
                    Some("I2: claimed where the first claim is not known")
                } else {
                    None
                }
            })
            .collect();
        before.push(Token {
            bound,
            claimed: redemption.place,
            runs: redemption.runs,
        });
        for why in whys {
            match why {
                Some(why) => self.excuse(why),
                None => self.breach(flow, format!("I2: {code} was redeemed twice")),
            }
        }
    }

    pub(super) fn breach(&mut self, flow: u64, what: String) {
        self.breaches.push(Breach { flow, what });
    }

    fn excuse(&mut self, why: &'static str) {
        *self.excused.entry(why).or_default() += 1;
    }
}
