//! Kinds of attacks that were found later than the first lists in `README.md`, in real servers and by testers. There is a file
//! for each theme. The comment of each test names the check without which it fails; that check was removed once to see it.

mod aliases;
mod apart;
mod callbacks;
mod cost;
mod delivered;
mod lax_sign_ins;
mod long_states;
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

/// A redirect to this location.
fn redirect(location: &str) -> Vec<u8> {
    reply("302 Found", &[("Location", location)], b"")
}

/// The client's answer to these bytes if the upstream answers in this way. The gate may not forward the request at all.
fn answered(rig: &Rig, bytes: &[u8], answer: Vec<u8>) -> Response {
    rig.upstream.heal();
    rig.upstream.once("*", Act::Say(answer, Then::GoOn));
    let response = rig.send(bytes);
    rig.upstream.heal();
    response
}

/// The upstream's answer to a request that bypassed the gate.
fn around(rig: &Rig, target: &str) -> Response {
    let mut connection = Connection::open(rig.upstream.address());
    connection.send(&request("GET", target, &[], None));
    connection.response()
}

/// A sign-in that has begun, with `codes = "handle"`.
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

    /// The client's answer if the upstream answers its sign-in in this way.
    fn answered(&self, answer: Vec<u8>) -> Response {
        let bytes = request("GET", &self.entry, &[], None);
        answered(self.rig, &bytes, answer)
    }

    /// The parameters of a successful answer, whose code the client can redeem.
    #[track_caller]
    fn is_answered_by(&self, response: &Response) -> Params {
        let answer = authorization_response(response, &self.authorization);
        let answer = answer.unwrap_or_else(|| panic!("no answer: {response}"));
        // A fragment may follow.
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
