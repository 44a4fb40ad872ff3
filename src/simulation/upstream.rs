//! The authorization server behind the gates: it issues codes, sometimes one twice, and redeems them, once or as often as it is
//! asked. It is slow at times, answers with errors, and its answers get lost.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::dice::Dice;
use super::gate::Unanswered;

/// How long a code can be redeemed there, in milliseconds.
const LIFETIME: u64 = 600_000;
/// A code is issued again to another sign-in within this time.
const RECENT: u64 = 20_000;

pub(super) struct Upstream {
    dice: Dice,
    issued: u64,
    recent: VecDeque<Recent>,
    /// The codes that can be redeemed, and whether each was.
    codes: BTreeMap<String, bool>,
    ages: VecDeque<(u64, String)>,
    /// How many of ten thousand requests are answered with each kind of error.
    errors: u64,
    /// Redeems a code as often as it is asked.
    is_lax: bool,
}

/// A code that was just issued.
struct Recent {
    at: u64,
    code: String,
    /// Of the flow: to be set if another sign-in gets the code, too.
    is_disturbed: Rc<Cell<bool>>,
}

/// The end of an exchange.
pub(super) struct Exchange {
    /// Status and body.
    pub(super) answer: Result<(u16, &'static str), Unanswered>,
    /// Whether a token was issued, even if its answer was lost.
    pub(super) issued_token: bool,
    /// How long it takes, in milliseconds.
    pub(super) takes: u64,
    pub(super) is_ordinary: bool,
}

pub(super) const TOKEN: (u16, &str) = (200, r#"{"access_token":"a","token_type":"Bearer"}"#);
const INVALID: (u16, &str) = (400, r#"{"error":"invalid_grant"}"#);
const NONCE: (u16, &str) = (400, r#"{"error":"use_dpop_nonce"}"#);
const BUSY: (u16, &str) = (503, "");
const BROKEN: (u16, &str) = (500, "oops");

impl Upstream {
    pub(super) fn new(seed: u64, errors: u64, is_lax: bool) -> Self {
        Self {
            dice: Dice::of(seed, u64::MAX - 1),
            issued: 0,
            recent: VecDeque::new(),
            codes: BTreeMap::new(),
            ages: VecDeque::new(),
            errors,
            is_lax,
        }
    }

    /// A code for a sign-in. True: another sign-in has it, too.
    pub(super) fn issue(&mut self, now: u64, is_disturbed: &Rc<Cell<bool>>) -> (String, bool) {
        while self
            .recent
            .front()
            .is_some_and(|recent| recent.at + RECENT < now)
        {
            self.recent.pop_front();
        }
        while self.ages.front().is_some_and(|(at, _)| at + LIFETIME < now) {
            let old = self.ages.pop_front();
            old.map(|(_, code)| self.codes.remove(&code));
        }
        if self.dice.often(50) && !self.recent.is_empty() {
            let at = self.dice.index(self.recent.len());
            self.recent[at].is_disturbed.set(true);
            return (self.recent[at].code.clone(), true);
        }
        self.issued += 1;
        let code = format!("upstream-code-{}", self.issued);
        self.recent.push_back(Recent {
            at: now,
            code: code.clone(),
            is_disturbed: Rc::clone(is_disturbed),
        });
        self.ages.push_back((now, code.clone()));
        self.codes.insert(code.clone(), false);
        (code, false)
    }

    pub(super) fn redeem(&mut self, code: &str) -> Exchange {
        let slow = if self.dice.often(100) { 30_000 } else { 300 };
        let takes = self.dice.between(5, slow);
        let fates = [
            Err(Unanswered::Unsent),
            Ok(NONCE),
            Ok(BUSY),
            Ok(BROKEN),
            Err(Unanswered::Broken),
        ];
        for answer in fates {
            if self.dice.often(self.errors) {
                return Exchange {
                    answer,
                    issued_token: false,
                    takes,
                    is_ordinary: false,
                };
            }
        }
        let is_lax = self.is_lax;
        let redeemed = self
            .codes
            .get_mut(code)
            .filter(|redeemed| is_lax || !**redeemed);
        let Some(redeemed) = redeemed else {
            return Exchange {
                answer: Ok(INVALID),
                issued_token: false,
                takes,
                is_ordinary: true,
            };
        };
        *redeemed = true;
        let is_lost = self.dice.often(self.errors);
        let lost = if self.dice.often(5_000) {
            Err(Unanswered::Broken)
        } else {
            Ok(BROKEN)
        };
        Exchange {
            answer: if is_lost { lost } else { Ok(TOKEN) },
            issued_token: true,
            takes,
            is_ordinary: !is_lost,
        }
    }
}
