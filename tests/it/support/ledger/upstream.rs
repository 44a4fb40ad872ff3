//! The upstream of the harness: it issues a code for every authorization request, and a token for every code, as often as it is
//! asked. It does not check PKCE, clients and redirect URIs.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::{Issued, Passed, Redeemed, SEND, Seen};
use crate::support::params::{Params, unguessable};
use crate::support::scripted::{Act, Answerer, Received, Scripted, chunked, reply};

#[derive(Default)]
struct Record {
    issued: Vec<Issued>,
    redeemed: Vec<Redeemed>,
    passed: Vec<Passed>,
    /// The number of token requests that will be served, but not answered.
    silent: usize,
}

pub(super) struct Upstream {
    pub(super) scripted: Scripted,
    record: Arc<Mutex<Record>>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let scripted = Scripted::start();
        let record = Arc::<Mutex<Record>>::default();
        let shared = Arc::clone(&record);
        let answer = move |received: &Received| {
            let record = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner);
            record.answer(received)
        };
        scripted.on("*", Act::Compute(Answerer(Arc::new(answer))));
        Self { scripted, record }
    }

    /// Redeems the codes of that many token requests without answering.
    pub(super) fn lose(&self, answers: usize) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.silent += answers;
    }

    pub(super) fn issued(&self) -> Vec<Issued> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.issued.clone()
    }

    pub(super) fn redeemed(&self) -> Vec<Redeemed> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.redeemed.clone()
    }

    pub(super) fn passed(&self) -> Vec<Passed> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.passed.clone()
    }

    /// Every request whose head arrived.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.scripted.ledger().into_iter().map(|received| Seen {
            send: send_of(&received),
            method: received.method().to_owned(),
            path: received.path().to_owned(),
        });
        seen.collect()
    }
}

fn send_of(received: &Received) -> Option<usize> {
    received.header(SEND)?.parse().ok()
}

impl Record {
    fn answer(&mut self, received: &Received) -> Vec<u8> {
        let Some(send) = send_of(received) else {
            return reply("400 Bad Request", &[], b"no number");
        };
        let number = send.to_string();
        let mark = (SEND, number.as_str());
        match received.path() {
            "/authorize" => {
                let location = self.issue(send, &received.query_params());
                reply("302 Found", &[("Location", &location), mark], b"")
            }
            "/token" => {
                let code = received.form().get("code").map(str::to_owned);
                let token = code.and_then(|code| self.redeem(send, code));
                if self.silent > 0 {
                    self.silent -= 1;
                    return vec![];
                }
                let (status, document) = match token {
                    Some(token) => {
                        let document = json!({ "access_token": token, "token_type": "Bearer" });
                        ("200 OK", document)
                    }
                    None => ("400 Bad Request", json!({ "error": "invalid_grant" })),
                };
                let fields = [
                    ("Content-Type", "application/json"),
                    ("Cache-Control", "no-store"),
                    mark,
                ];
                reply(status, &fields, document.to_string().as_bytes())
            }
            "/api/things" => {
                let answer = self.thing(mark);
                self.passed.push(Passed {
                    send,
                    request: [&*received.head, &received.body].concat(),
                    answer: answer.clone(),
                });
                answer
            }
            _ => reply("404 Not Found", &[mark], b""),
        }
    }

    /// An answer with much that a proxy could change.
    fn thing(&self, mark: (&str, &str)) -> Vec<u8> {
        let random = unguessable();
        let fields = [
            ("Content-Type", "application/x-thing; q=\"a, b\""),
            ("X-Odd", "Two  spaces,and;signs"),
            ("Set-Cookie", "a=1; Path=/things"),
            ("Set-Cookie", "b=\"2\"; HttpOnly"),
            ("Location", "/things/1?next=%2Fa%7E"),
            mark,
        ];
        let body = [random.as_bytes(), b"\0\r\n\r\n\xff", random.as_bytes()].concat();
        if self.passed.len().is_multiple_of(2) {
            reply("207 Several", &fields, &body)
        } else {
            chunked("207 Several", &fields, &[&body[..9], &body[9..]])
        }
    }

    fn issue(&mut self, send: usize, params: &Params) -> String {
        let code = format!("up-{}", unguessable());
        let answer = Params::default()
            .with("code", &code)
            .with("state", params.get("state").unwrap_or_default());
        self.issued.push(Issued { code, send });
        let target = params.get("redirect_uri").unwrap_or_default();
        format!("{target}?{}", answer.encoded())
    }

    fn redeem(&mut self, send: usize, code: String) -> Option<String> {
        self.issued.iter().find(|issued| issued.code == code)?;
        let token = format!("at-{}", unguessable());
        self.redeemed.push(Redeemed {
            code,
            send,
            token: token.clone(),
        });
        Some(token)
    }
}
