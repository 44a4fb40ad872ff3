//! The requests of a unit of work, and checks of the answers.

use std::io::Write;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::http::{self, Message};
use crate::random::Random;

/// The unit of work that is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A page.
    Get,
    /// A form of 400 bytes, not a token request.
    Post,
    /// An authorization request, any redirects to the same endpoint, and the token request.
    Flow,
    /// An authorization request that is never continued.
    Hold,
}

impl FromStr for What {
    type Err = std::io::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "get" => Ok(Self::Get),
            "post" => Ok(Self::Post),
            "flow" => Ok(Self::Flow),
            "hold" => Ok(Self::Hold),
            _ => Err(std::io::Error::other("get, post, flow or hold")),
        }
    }
}

pub const HOST: &str = "login.example.com";
pub const REDIRECT: &str = "https://app.example.com/cb";
const REDIRECT_ENCODED: &str = "https%3A%2F%2Fapp.example.com%2Fcb";
/// Several clients, because each has a limited share of the gate's store.
const CLIENTS: u64 = 100;

/// One unit of work on one connection.
pub struct Unit {
    pub client: u64,
    pub state: Vec<u8>,
    pub verifier: Vec<u8>,
    hops: u8,
}

/// The next step after an answer.
pub enum Next {
    Send,
    Done,
}

impl Unit {
    pub fn new() -> Self {
        Self {
            client: 0,
            state: Vec::new(),
            verifier: Vec::new(),
            hops: 0,
        }
    }

    /// Writes the first request of a new unit.
    pub fn begin(&mut self, what: What, random: &mut Random, out: &mut Vec<u8>) {
        out.clear();
        self.hops = 0;
        match what {
            What::Get => {
                let _ = write!(
                    out,
                    "GET /account/settings?tab=profile HTTP/1.1\r\nhost: {HOST}\r\n{BROWSER}\r\n"
                );
            }
            What::Post => {
                let _ = write!(
                    out,
                    "POST /account/settings HTTP/1.1\r\nhost: {HOST}\r\n{BROWSER}\
                     content-type: application/x-www-form-urlencoded\r\ncontent-length: 400\r\n\r\n\
                     name=Ada+Lovelace&text="
                );
                out.resize(out.len() + 400 - "name=Ada+Lovelace&text=".len(), b'x');
            }
            What::Flow | What::Hold => {
                self.client = random.next() % CLIENTS;
                random.letters(64, &mut self.state);
                random.letters(43, &mut self.verifier);
                let challenge = challenge(&self.verifier);
                let prompt = if what == What::Hold {
                    "&prompt=login"
                } else {
                    ""
                };
                self.authorize(
                    &format!("&code_challenge={challenge}&code_challenge_method=S256{prompt}"),
                    out,
                );
            }
        }
    }

    /// An authorization request with this challenge.
    pub fn authorize(&self, challenge: &str, out: &mut Vec<u8>) {
        let _ = write!(
            out,
            "GET /authorize?response_type=code&client_id=client-{:02}&redirect_uri={REDIRECT_ENCODED}\
             &scope=openid%20profile&state=",
            self.client
        );
        out.extend_from_slice(&self.state);
        let _ = write!(out, "{challenge} HTTP/1.1\r\nhost: {HOST}\r\n{BROWSER}\r\n");
    }

    /// A token request.
    pub fn redeem(&self, code: &[u8], verifier: &[u8], out: &mut Vec<u8>) {
        let client = format!("&client_id=client-{:02}&code_verifier=", self.client);
        let grant = "grant_type=authorization_code&redirect_uri=";
        let length =
            grant.len() + REDIRECT_ENCODED.len() + 6 + code.len() + client.len() + verifier.len();
        let _ = write!(
            out,
            "POST /token HTTP/1.1\r\nhost: {HOST}\r\naccept: application/json\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n\
             {grant}{REDIRECT_ENCODED}&code="
        );
        out.extend_from_slice(code);
        out.extend_from_slice(client.as_bytes());
        out.extend_from_slice(verifier);
    }

    /// Reads an answer, and writes the next request of the unit, if any.
    pub fn proceed(
        &mut self,
        what: What,
        answer: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Next, String> {
        let wrong = |why: &str| {
            let head = String::from_utf8_lossy(answer.head);
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
            Err(format!("{why}:\n{head}\n{body}"))
        };
        match (what, http::status(answer.head)) {
            (What::Get | What::Post, 200) if answer.body.starts_with(b"<!doctype") => {
                Ok(Next::Done)
            }
            (What::Hold, 200) if answer.body.starts_with(b"Who") => Ok(Next::Done),
            (What::Flow, 200) if self.hops > 0 => {
                match http::find(answer.body, b"\"access_token\":\"") {
                    Some(_) => Ok(Next::Done),
                    None => wrong("no token"),
                }
            }
            (What::Flow, 302 | 303) => {
                self.hops += 1;
                let Some(location) = http::field(answer.head, b"location") else {
                    return wrong("no location");
                };
                out.clear();
                if let Some(query) = own_page(location) {
                    if self.hops > 1 {
                        return wrong("a second redirect to the same page");
                    }
                    // Like a browser: follows the redirect with the cookie that came with it.
                    let _ = write!(
                        out,
                        "GET {} HTTP/1.1\r\nhost: {HOST}\r\n{BROWSER}",
                        String::from_utf8_lossy(query)
                    );
                    if let Some(cookie) = http::field(answer.head, b"set-cookie") {
                        let pair = cookie
                            .split(|byte| *byte == b';')
                            .next()
                            .unwrap_or_default();
                        out.extend_from_slice(b"cookie: ");
                        out.extend_from_slice(pair);
                        out.extend_from_slice(b"\r\n");
                    }
                    out.extend_from_slice(b"\r\n");
                    return Ok(Next::Send);
                }
                match self.code(location) {
                    Some(code) => {
                        self.redeem(code, &self.verifier, out);
                        Ok(Next::Send)
                    }
                    None => wrong("no code, or not the client's state"),
                }
            }
            (_, status) => wrong(&format!("{what:?} was answered with {status}")),
        }
    }

    /// The code in the redirect to the client, if the client's state is in it.
    pub fn code<'a>(&self, location: &'a [u8]) -> Option<&'a [u8]> {
        let query = location
            .strip_prefix(REDIRECT.as_bytes())?
            .strip_prefix(b"?")?;
        let state = http::parameter(query, b"state")?;
        (state == self.state)
            .then(|| http::parameter(query, b"code"))
            .flatten()
    }
}

const BROWSER: &str = "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
                       accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
                       accept-language: en-US,en;q=0.5\r\n";

/// The path and query, if the redirect leads to the authorization endpoint.
fn own_page(location: &[u8]) -> Option<&[u8]> {
    let at = http::find(location, b"/authorize?")?;
    (!location.starts_with(REDIRECT.as_bytes())).then(|| &location[at..])
}

pub fn challenge(verifier: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}
