//! Kinds of attacks that were found later than the lists of `README.md`, in real servers and by people who tried. One file for
//! each theme. Each test says in its comment what it fails without: that mechanism was taken away once.

mod aliases;
mod apart;
mod callbacks;
mod cost;
mod delivered;
mod lax_sign_ins;
mod meant;
mod planted;
mod request_objects;
mod strays;
mod tokens;
mod twins;
mod unasked;
mod unreadable;

use crate::support::client::Authorization;
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::raw::Connection;
use crate::support::rig::{Rig, authorization_response, handle_of, request};
use crate::support::scripted::{Act, Then, reply};

/// Every byte as `%HH`.
fn percent(text: &str) -> String {
    let escape = |byte: u8| format!("%{byte:02X}");
    text.bytes().map(escape).collect()
}

/// Every character as `&#N;`.
fn references(text: &str) -> String {
    let reference = |c: char| format!("&#{};", u32::from(c));
    text.chars().map(reference).collect()
}

/// Every character as `\uHHHH`, which has to be one of the basic plane.
fn escapes(text: &str) -> String {
    let escape = |c: char| format!("\\u{:04x}", u32::from(c));
    text.chars().map(escape).collect()
}

/// A redirect to there.
fn redirect(location: &str) -> Vec<u8> {
    reply("302 Found", &[("Location", location)], b"")
}

/// What somebody gets who sends these bytes, when the upstream answers them so. It may not be asked at all.
fn answered(rig: &Rig, bytes: &[u8], answer: Vec<u8>) -> Response {
    rig.upstream.heal();
    rig.upstream.once("*", Act::Say(answer, Then::GoOn));
    let response = rig.send(bytes);
    rig.upstream.heal();
    response
}

/// The upstream's answer to a request that went around the gate.
fn around(rig: &Rig, target: &str) -> Response {
    let mut connection = Connection::open(rig.upstream.address());
    connection.send(&request("GET", target, &[], None));
    connection.response()
}

/// A sign-in that has begun, with codes that are handles.
struct Begun<'r> {
    rig: &'r Rig,
    authorization: Authorization,
    entry: String,
    handle: String,
}

impl<'r> Begun<'r> {
    fn on(rig: &'r Rig) -> Self {
        let authorization = rig.authorization();
        let entry = rig.entry(&authorization);
        let handle = handle_of(&entry);
        Self {
            rig,
            authorization,
            entry,
            handle,
        }
    }

    /// What the client gets when the upstream answers its sign-in so.
    fn answered(&self, answer: Vec<u8>) -> Response {
        let bytes = request("GET", &self.entry, &[], None);
        answered(self.rig, &bytes, answer)
    }

    /// The parameters of a good answer, whose code is redeemed by whoever began.
    #[track_caller]
    fn is_answered_by(&self, response: &Response) -> Params {
        let answer = authorization_response(response, &self.authorization);
        let answer = answer.unwrap_or_else(|| panic!("no answer: {response}"));
        // Behind it may stand a fragment.
        let state = answer.params.get("state");
        let state = state.and_then(|state| state.split('#').next());
        assert_eq!(state, self.authorization.state(), "{response}");
        let before = self.rig.forwarded();
        self.rig
            .token(&self.authorization.redemption(answer.code()));
        assert_eq!(self.rig.forwarded(), before + 1, "{response}");
        answer.params
    }
}
