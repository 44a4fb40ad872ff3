//! Complete sign-ins, with an upstream that issues a code and a token for every request. Every
//! [`Rig`](crate::support::rig::Rig) checks for redemptions that the test did not announce.

mod applications;
mod browsers;
mod cells;
mod client;
mod codes;
mod continuation;
mod device;
mod endpoint_query;
mod entry;
mod errors;
mod exceptions;
mod first_party;
mod foretold;
mod grants;
mod headless;
mod hints;
mod json_codes;
mod long_states;
mod media_types;
mod once;
mod one_judge;
mod own_pair;
mod pushed;
mod settlement;
mod shares;
mod silent;
mod told;
mod upstream_codes;
mod verifier;

use crate::support::http::Response;

/// A page of the gate with this text.
#[track_caller]
fn assert_page(response: &Response, status: u16, says: &str) {
    assert_eq!(response.status, status, "{response}");
    assert!(response.text().contains(says), "{response}");
    assert_eq!(response.header("location"), None, "{response}");
    assert_eq!(
        response.header("cache-control"),
        Some("no-store"),
        "{response}"
    );
}
