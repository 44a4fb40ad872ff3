//! Stolen device codes, and device codes in places of other codes.

use super::*;
use crate::support::params::encode;

/// The server's own device code is worth nothing where its client has a handle.
#[test]
fn the_servers_own_device_code_buys_nothing() {
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    let stolen = device.own();
    let attacker = Device::new(&rig);
    for spelling in [stolen.clone(), stolen.to_lowercase(), stolen.to_uppercase()] {
        for form in [
            poll(&spelling),
            device.poll(&spelling),
            attacker.poll(&spelling),
            poll(&spelling).with("client_id", "other"),
            poll(&spelling).without("client_id"),
            poll(&spelling).with("grant_type", "device_code"),
            poll(&spelling).without("grant_type"),
        ] {
            assert_refused(&rig.token(&form), "invalid_grant");
        }
    }
    for spelling in [
        format!("{stolen} "),
        format!("{stolen}\u{200b}"),
        format!("\t{stolen}"),
    ] {
        assert_refused(&rig.token(&poll(&spelling)), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.token(&device.poll(&code)));
}

/// The same with `codes = "upstream"`, where the device code travels.
#[test]
fn a_device_code_that_travels_is_bound_in_every_spelling() {
    let rig = rig("codes = \"upstream\"").unguarded();
    let device = Device::new(&rig);
    let response = rig.post(ENDPOINT, &[], &device.request.encoded());
    assert_eq!(response.text(), document(&device.own(), 600));
    assert_eq!(
        rig.upstream.requests_to(ENDPOINT)[0].text(),
        device.request.encoded()
    );
    let code = device.own();
    let attacker = Device::new(&rig);
    for form in [
        poll(&code),
        poll(&code.to_lowercase()),
        poll(&code.to_uppercase()),
        // Base64 of the other alphabet, without padding; a UUID without hyphens.
        poll(&code.replace('/', "_").replace('+', "-")),
        poll(code.trim_end_matches('=')),
        poll(&code.replace(['/', '+', '=', '-', '_'], "")),
        poll(&format!("{code} ")),
        poll(&code).with("grant_type", ""),
        poll(&code).with("client_id", "other"),
        device.poll(&code).with("client_id", "other"),
        poll(&code).with("code_verifier", &unguessable()),
        attacker.poll(&code),
    ] {
        assert_refused(&rig.token(&form), "invalid_grant");
    }
    for body in [
        format!(
            "device_code={0}&device_code={0}&client_id=pub",
            encode(&code)
        ),
        format!(
            "Device_Code={}&client_id=pub&grant_type={GRANT}",
            encode(&code)
        ),
        format!(
            "device_code[]={}&client_id=pub&grant_type={GRANT}",
            encode(&code)
        ),
        format!(
            "device.code={}&client_id=pub&grant_type={GRANT}",
            encode(&code)
        ),
        format!("x={}&client_id=pub&grant_type={GRANT}", encode(&code)),
        format!(
            "x={}&client_id=pub&grant_type={GRANT}&device_code=d",
            encode(&code)
        ),
    ] {
        assert_refused(&rig.post("/token", &[], &body), "invalid_request");
    }
    assert_eq!(rig.forwarded(), 0);
    // At a path that may be another token endpoint of the server.
    let elsewhere = rig.post(
        "/oauth/poll",
        &[],
        &poll(&code).without("grant_type").encoded(),
    );
    assert_refused(&elsewhere, "invalid_request");
    let right = device.poll(&code).encoded() + "&x=%7e";
    pending(&rig);
    assert_error(&rig.post("/token", &[], &right), "authorization_pending");
    assert_eq!(rig.upstream.requests_to("/token")[0].text(), right);
    assert_token(&rig.post("/token", &[], &right));
    assert_refused(&rig.post("/token", &[], &right), "invalid_grant");
    assert_eq!(rig.forwarded(), 2);
}

#[test]
fn a_device_code_is_no_authorization_code_and_the_other_way_round() {
    for codes in ["handle", "upstream"] {
        let rig = rig(&format!("codes = \"{codes}\"")).unguarded();
        let device = Device::new(&rig);
        let device_code = device.begin(&rig);
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let as_code = authorization.redemption(&device_code);
        for form in [
            as_code.clone(),
            as_code.clone().with("code_verifier", &device.verifier),
            as_code
                .clone()
                .with("grant_type", GRANT)
                .with("code_verifier", &device.verifier),
            poll(&code),
            poll(&code).with("code_verifier", &authorization.verifier),
        ] {
            let response = rig.token(&form);
            assert_eq!(response.status, 400, "{response}");
        }
        // A handle with the prefix of the other kind.
        if codes == "handle" {
            let swapped = |handle: &str, from: &str, to: &str| handle.replacen(from, to, 1);
            let form = authorization.redemption(&swapped(&device_code, "pgd", "pgc"));
            assert_refused(&rig.token(&form), "invalid_grant");
            let form =
                poll(&swapped(&code, "pgc", "pgd")).with("code_verifier", &authorization.verifier);
            assert_refused(&rig.token(&form), "invalid_grant");
        }
        // The attacker's own code does not clear a stolen device code beside it, nor the other way round.
        let both = authorization
            .redemption(&code)
            .with("device_code", &device_code);
        let other = device.poll(&device_code).with("code", &code);
        for form in [both.clone(), both.with("grant_type", GRANT), other] {
            assert_refused(&rig.token(&form), "invalid_request");
        }
        assert_eq!(rig.forwarded(), 0, "{codes}");
        rig.vouch(&authorization);
        assert_token(&rig.token(&authorization.redemption(&code)));
        assert_token(&rig.token(&device.poll(&device_code)));
    }
}

/// An attacker makes the server answer with the device code of a victim: it stays bound to the victim's challenge.
#[test]
fn a_device_code_is_not_bound_a_second_time() {
    for codes in ["handle", "upstream"] {
        let rig = rig(&format!("codes = \"{codes}\"")).unguarded();
        let device = Device::new(&rig);
        let code = device.begin(&rig);
        let attacker = Device::new(&rig);
        let answer = reply(
            "200 OK",
            &[("Content-Type", "application/json")],
            document(&device.own(), 600).as_bytes(),
        );
        rig.upstream
            .once(ENDPOINT, Act::Say(answer.clone(), Then::GoOn));
        let response = rig.post(ENDPOINT, &[], &attacker.request.encoded());
        assert_eq!(response.status, 502, "{codes}: {response}");
        // Or repeat it from the request.
        let fresh = own(&unguessable());
        let answer = reply(
            "200 OK",
            &[("Content-Type", "application/json")],
            document(&fresh, 600).as_bytes(),
        );
        rig.upstream.once(ENDPOINT, Act::Say(answer, Then::GoOn));
        let request = attacker.request.clone().with("echo", &fresh);
        let response = rig.post(ENDPOINT, &[], &request.encoded());
        assert_eq!(response.status, 502, "{codes}: {response}");
        for code in [&code, &device.own()] {
            assert_refused(&rig.token(&attacker.poll(code)), "invalid_grant");
        }
        assert_eq!(rig.forwarded(), 0, "{codes}");
        assert_token(&rig.token(&device.poll(&code)));
    }
}

#[test]
fn a_token_request_at_the_device_endpoint_is_refused() {
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    let forms = [
        poll(&code),
        device.poll(&code),
        Params::default()
            .with("client_id", "pub")
            .with("code", "some-authorization-code")
            .with("code_verifier", &unguessable()),
    ];
    for form in forms {
        assert_refused(&rig.post(ENDPOINT, &[], &form.encoded()), "invalid_request");
    }
    assert_eq!(rig.upstream.requests_to(ENDPOINT).len(), 1);
}
