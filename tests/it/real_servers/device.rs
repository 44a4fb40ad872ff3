//! The device flow (RFC 8628) of oidc-provider, which knows no PKCE there: with a challenge in the device authorization request a
//! device code alone buys nothing.

use pkce_gate::parts::Purpose;
use serde_json::Value;

use crate::support::client::{assert_refused, assert_token};
use crate::support::params::{Params, s256, unguessable};
use crate::support::servers::OIDC_PROVIDER;
use crate::support::stage::Stage;
use crate::support::store::is_handle;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn stage() -> Stage {
    Stage::configured(
        &OIDC_PROVIDER,
        "device_authorization = [\"/device/auth\"]\n[upstream.pkce]\ndevice = \"if_present\"\n",
    )
}

/// A device, and the answer to its device authorization request.
struct Device {
    verifier: String,
    answer: Value,
}

impl Device {
    fn begin(stage: &Stage) -> Self {
        let verifier = unguessable();
        stage.keep_out_of_the_log([verifier.clone()]);
        let form = request()
            .with("code_challenge", &s256(&verifier))
            .with("code_challenge_method", "S256");
        let response = stage.post("/device/auth", &form);
        assert_eq!(response.status, 200, "{response}");
        let answer = response.json();
        let device = Self { verifier, answer };
        stage.keep_out_of_the_log([device.code().to_owned()]);
        device
    }

    fn code(&self) -> &str {
        self.answer["device_code"].as_str().expect("a device code")
    }

    fn poll(&self) -> Params {
        poll(self.code()).with("code_verifier", &self.verifier)
    }

    /// The user enters the code on another device, signs in and agrees.
    fn agree(&self, stage: &Stage) {
        let url = self.answer["verification_uri_complete"].as_str();
        let page = stage.user().sign_in(url.expect("a URL")).page();
        assert_eq!(page.response.status, 200, "{}", page.response);
        assert!(
            page.response.text().contains("Sign-in Success"),
            "{}",
            page.response
        );
    }
}

fn request() -> Params {
    Params::default()
        .with("client_id", "pub")
        .with("scope", "openid")
}

fn poll(device_code: &str) -> Params {
    Params::default()
        .with("grant_type", GRANT)
        .with("client_id", "pub")
        .with("device_code", device_code)
}

#[test]
fn a_device_with_its_verifier_gets_a_token_once() {
    let stage = stage();
    let device = Device::begin(&stage);
    assert!(
        is_handle(Purpose::Device, device.code()),
        "{}",
        device.code()
    );
    let at_the_gate = format!("{}/device", stage.gate_url());
    assert_eq!(device.answer["verification_uri"], at_the_gate);
    for _ in 0..12 {
        let response = stage.token(&device.poll());
        assert_refused(&response, "authorization_pending");
    }
    stage.sent_back(12);
    device.agree(&stage);
    assert_token(&stage.token(&device.poll()));
    assert_refused(&stage.token(&device.poll()), "invalid_grant");
    let ledger = stage.ledger();
    assert_eq!(ledger.token.len(), 13);
    let verifier = format!("code_verifier={}", device.verifier);
    assert!(
        ledger
            .token
            .iter()
            .all(|seen| seen.body.contains(&verifier))
    );
    assert_eq!(ledger.codes.len(), 1, "{:?}", ledger.codes);
}

#[test]
fn a_device_code_alone_buys_nothing() {
    let stage = stage();
    let (device, other) = (Device::begin(&stage), Device::begin(&stage));
    device.agree(&stage);
    let own = stage.ledger().codes.remove(0);
    for wrong in [
        poll(device.code()),
        poll(device.code()).with("code_verifier", &unguessable()),
        // Of another flow.
        poll(device.code()).with("code_verifier", &other.verifier),
        device.poll().with("client_id", "spa"),
        // The server's own, as if it had been stolen there.
        poll(&own),
        poll(&own).with("code_verifier", &device.verifier),
        poll(&own).with("code_verifier", &other.verifier),
    ] {
        assert_refused(&stage.token(&wrong), "invalid_grant");
    }
    assert!(
        stage.ledger().token.is_empty(),
        "nothing reached the server"
    );
    assert_token(&stage.token(&device.poll()));
}

/// The user declines, so the device code has ended.
#[test]
fn a_device_that_is_declined_gets_no_token() {
    let stage = stage();
    let device = Device::begin(&stage);
    let url = device.answer["verification_uri_complete"].as_str();
    let mut user = stage.user();
    let page = user.open(url.expect("a URL")).page();
    let page = user.answer(&page, "").page();
    let declined = user.press(&page, ("abort", "yes")).page();
    assert!(
        declined.response.text().contains("interrupted"),
        "{}",
        declined.response
    );
    assert_refused(&stage.token(&device.poll()), "access_denied");
    stage.sent_back(1);
    assert_refused(&stage.token(&device.poll()), "invalid_grant");
    assert_eq!(stage.ledger().token.len(), 1);
}
