//! Checks that the proxy to be measured enforces PKCE.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::flow::{Next, Unit, What};
use crate::random::Random;
use crate::{Failure, http};

struct Answer {
    status: u16,
    bytes: Vec<u8>,
}

impl Answer {
    fn has_token(&self) -> bool {
        http::find(&self.bytes, b"access_token").is_some()
    }
}

/// One successful sign-in, and requests that must be refused.
pub fn verify(to: SocketAddr) -> Result<(), Failure> {
    let mut random = Random::new();

    let (unit, code) = signed_in(to, &mut random)?;
    refused(
        "a wrong verifier",
        &redeemed(to, &unit, &code, &[b'x'; 43])?,
    )?;

    let (unit, code) = signed_in(to, &mut random)?;
    refused("no verifier", &redeemed(to, &unit, &code, b"")?)?;

    let (mut unit, code) = signed_in(to, &mut random)?;
    let verifier = unit.verifier.clone();
    unit.client += 1;
    refused("another client", &redeemed(to, &unit, &code, &verifier)?)?;

    let (unit, code) = signed_in(to, &mut random)?;
    if !redeemed(to, &unit, &code, &unit.verifier)?.has_token() {
        return Err("the right verifier yields no token".into());
    }
    refused(
        "a second redemption",
        &redeemed(to, &unit, &code, &unit.verifier)?,
    )?;
    refused(
        "an unknown code",
        &redeemed(to, &unit, &[b'a'; 32], &unit.verifier)?,
    )?;

    for (what, challenge) in [
        ("an authorization request without a challenge", ""),
        (
            "a plain challenge",
            "&code_challenge=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&code_challenge_method=plain",
        ),
        (
            "a challenge without a method",
            "&code_challenge=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        (
            "a short challenge",
            "&code_challenge=aaaa&code_challenge_method=S256",
        ),
    ] {
        let mut unit = Unit::new();
        let mut out = Vec::new();
        unit.begin(What::Flow, &mut random, &mut out);
        out.clear();
        unit.authorize(challenge, &mut out);
        refused(what, &exchange(to, &out)?)?;
    }
    Ok(())
}

fn refused(what: &str, answer: &Answer) -> Result<(), Failure> {
    let passed = answer.has_token()
        || [&b"?code="[..], b"&code="]
            .iter()
            .any(|code| http::find(&answer.bytes, code).is_some());
    // The gate answers a known client with an error redirect.
    let told = (300..400).contains(&answer.status)
        && http::find(&answer.bytes, b"error=invalid_request").is_some();
    if passed || !(told || (400..500).contains(&answer.status)) {
        let text = String::from_utf8_lossy(&answer.bytes);
        return Err(format!("{what} is not refused:\n{text}").into());
    }
    Ok(())
}

/// A sign-in up to its code.
fn signed_in(to: SocketAddr, random: &mut Random) -> Result<(Unit, Vec<u8>), Failure> {
    let mut unit = Unit::new();
    let mut out = Vec::new();
    unit.begin(What::Flow, random, &mut out);
    for _ in 0..2 {
        let answer = exchange(to, &out)?;
        let message = http::message(&answer.bytes)?.ok_or("half an answer")?;
        let location = http::field(message.head, b"location").unwrap_or_default();
        if let Some(code) = unit.code(location) {
            return Ok((unit, code.to_vec()));
        }
        match unit.proceed(What::Flow, &message, &mut out)? {
            Next::Send => {}
            Next::Done => break,
        }
    }
    Err("the sign-in yields no code".into())
}

fn redeemed(to: SocketAddr, unit: &Unit, code: &[u8], verifier: &[u8]) -> Result<Answer, Failure> {
    let mut out = Vec::new();
    unit.redeem(code, verifier, &mut out);
    exchange(to, &out)
}

fn exchange(to: SocketAddr, request: &[u8]) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    loop {
        if let Some(message) = http::message(&bytes)? {
            let status = http::status(message.head);
            return Ok(Answer { status, bytes });
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Err("the connection was closed before the answer".into()),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
