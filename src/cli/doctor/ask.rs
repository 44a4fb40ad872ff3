//! The questions to a server: authorization requests and token requests of one client, and how the answers are read.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use crate::cli::fetch::{Answer, Ask, Failed, Fetch};
use crate::oauth::{Params, json};

/// Decoded parameters, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// The client in whose name the server is asked.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: String,
    /// Whether the operator named it. Otherwise the identifier is made up, and the server cannot know it.
    pub(super) is_named: bool,
    /// The secret, if the client has one.
    pub(super) secret: Option<Zeroizing<String>>,
    /// A redirect URI that is registered for it.
    pub(super) redirect_uri: Option<String>,
    pub(super) scope: Option<String>,
}

/// A server and its first endpoints.
pub(super) struct Server<'s> {
    pub(super) fetch: &'s Fetch,
    pub(super) authorization: &'s str,
    pub(super) token: &'s str,
    pub(super) client: &'s Client,
    /// Whether the secret goes in the form, because the metadata does not offer HTTP Basic.
    pub(super) secret_in_form: bool,
    /// Whether a gate is asked, with the server behind it.
    pub(super) through_gate: bool,
}

/// The answer to an authorization request, without a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A page or a redirect of a sign-in.
    SignIn,
    /// A code, at once.
    Code,
    /// An error redirect, with its error code and the returned state.
    Refused {
        error: String,
        state: Option<String>,
    },
    /// A status of an error.
    Status(u16),
}

impl Reply {
    /// Whether the request was accepted, as far as it was judged.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self, Self::SignIn | Self::Code)
    }

    /// Whether the request was not judged at all.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Status(status) if is_of_outage(*status))
    }

    /// The reply for evidence.
    pub(super) fn told(&self) -> String {
        match self {
            Self::SignIn => "the sign-in".to_owned(),
            Self::Code => "a code, without a sign-in".to_owned(),
            Self::Refused { error, .. } => format!("the error {error}"),
            Self::Status(status) => format!("status {status}"),
        }
    }
}

/// The answer to a token request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    Token,
    /// An error document (RFC 6749 section 5.2).
    Error {
        status: u16,
        error: String,
    },
    Other(u16),
}

impl Grant {
    /// Whether the server refused the client, so that it did not judge the rest of the request.
    pub(super) fn refuses_client(&self) -> bool {
        match self {
            Self::Token => false,
            Self::Error { status, error } => {
                is_of_authentication(*status)
                    || ["invalid_client", "unauthorized_client"].contains(&error.as_str())
            }
            Self::Other(status) => is_of_authentication(*status),
        }
    }

    /// Whether the request was not judged at all.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Token => false,
            Self::Error { status, .. } | Self::Other(status) => is_of_outage(*status),
        }
    }

    /// Whether the server judged the code (RFC 6749 section 5.2).
    pub(super) fn judges_code(&self) -> bool {
        match self {
            Self::Token => true,
            Self::Error { error, .. } => !self.refuses_client() && error == "invalid_grant",
            Self::Other(_) => false,
        }
    }

    /// The answer for evidence.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Token => "a token".to_owned(),
            Self::Error { status, error } => format!("status {status} and the error {error}"),
            Self::Other(status) => format!("status {status}"),
        }
    }
}

impl Server<'_> {
    /// The parameters of an authorization request without PKCE.
    pub(super) fn request(&self, state: &str) -> Pairs {
        let mut pairs = vec![
            pair("response_type", "code"),
            pair("client_id", &self.client.id),
        ];
        let uri = self.client.redirect_uri.iter();
        pairs.extend(uri.map(|uri| pair("redirect_uri", uri)));
        let scope = self.client.scope.iter();
        pairs.extend(scope.map(|scope| pair("scope", scope)));
        pairs.push(pair("state", state));
        pairs
    }

    /// The URL at which a browser sends this request.
    pub(super) fn url(&self, request: &Pairs) -> String {
        format!(
            "{}{}?{}",
            self.fetch.origin(),
            self.authorization,
            encoded(request)
        )
    }

    /// Sends an authorization request without a session.
    pub(super) fn authorize(&self, request: &Pairs) -> Result<Reply, Failed> {
        let target = format!("{}?{}", self.authorization, encoded(request));
        let (answer, location) = self.open(&target, "")?;
        let own = location.as_ref().filter(|it| self.is_continuation(it));
        let (answer, location) = match own {
            Some(own) => self.open(&relative(own), &cookies(&answer))?,
            None => (answer, location),
        };
        Ok(match location {
            Some(location) => self.redirected(&location),
            None => match answer.status.as_u16() {
                200..=399 => Reply::SignIn,
                status => Reply::Status(status),
            },
        })
    }

    /// Opens a page as a browser does. Returns the answer, and where it redirects to.
    fn open(&self, target: &str, cookies: &str) -> Result<(Answer, Option<Url>), Failed> {
        let mut ask = Ask::get(target);
        ask.headers = vec![(header::ACCEPT, "text/html, */*;q=0.1")];
        if !cookies.is_empty() {
            ask.headers.push((header::COOKIE, cookies));
        }
        let answer = self.fetch.send(&ask)?;
        let asked = Url::parse(&format!("{}{target}", self.fetch.origin()));
        let location = asked.ok().and_then(|asked| answer.location(&asked));
        Ok((answer, location))
    }

    /// Whether the gate redirects to itself: the server is asked only after that.
    fn is_continuation(&self, location: &Url) -> bool {
        self.through_gate
            && location.origin().ascii_serialization() == self.fetch.origin()
            && location.path() == self.authorization
    }

    /// A redirect to the client carries a code or an error; any other one leads to the sign-in.
    fn redirected(&self, location: &Url) -> Reply {
        let uri = self.client.redirect_uri.as_ref();
        let uri = uri.and_then(|uri| Url::parse(uri).ok());
        let is_client = uri.is_some_and(|uri| {
            location.origin() == uri.origin()
                && location.scheme() == uri.scheme()
                && location.path() == uri.path()
        });
        let parts = [location.query(), location.fragment()];
        let pairs: Pairs = parts.into_iter().flatten().flat_map(decoded).collect();
        let value = |name: &str| {
            let found = pairs.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        match (is_client, value("error")) {
            (true, Some(error)) => Reply::Refused {
                error: error_code(&error),
                state: value("state"),
            },
            (true, None) if value("code").is_some() => Reply::Code,
            _ => Reply::SignIn,
        }
    }

    /// The secret that goes in HTTP Basic.
    fn basic(&self) -> Option<&Zeroizing<String>> {
        self.client.secret.as_ref().filter(|_| !self.secret_in_form)
    }

    /// The token request for a code, without a verifier and without authentication. Some servers take `client_id` beside HTTP Basic
    /// for a second authentication, and a client that authenticates need not send it (RFC 6749 section 4.1.3).
    pub(super) fn redemption(&self, code: &str) -> Pairs {
        let mut pairs = vec![pair("grant_type", "authorization_code"), pair("code", code)];
        if self.basic().is_none() {
            pairs.push(pair("client_id", &self.client.id));
        }
        let uri = self.client.redirect_uri.iter();
        pairs.extend(uri.map(|uri| pair("redirect_uri", uri)));
        pairs
    }

    /// Sends a token request as a client sends it: a form, with the secret of the client.
    pub(super) fn redeem(&self, request: &Pairs) -> Result<Grant, Failed> {
        let mut request = request.clone();
        if let Some(secret) = self.client.secret.as_ref().filter(|_| self.secret_in_form) {
            request.push(pair("client_secret", secret));
        }
        let ask = Ask::form(self.token, encoded(&request));
        self.token(ask)
    }

    /// Sends a request to the token endpoint, with HTTP Basic if the client authenticates so.
    pub(super) fn token(&self, mut ask: Ask<'_>) -> Result<Grant, Failed> {
        let basic = self.basic().map(|secret| {
            let [id, secret] = [&self.client.id, &**secret].map(|text| form_encoded(text));
            Zeroizing::new(format!(
                "Basic {}",
                STANDARD.encode(format!("{id}:{secret}"))
            ))
        });
        let mut headers = ask.headers.clone();
        headers.push((header::ACCEPT, "application/json"));
        if let Some(basic) = &basic {
            headers.push((header::AUTHORIZATION, basic));
        }
        let sent = Ask {
            method: ask.method,
            target: ask.target,
            headers,
            body: std::mem::take(&mut ask.body),
        };
        Ok(grant(&self.fetch.send(&sent)?))
    }
}

/// 429 Too Many Requests, 502 Bad Gateway, 503 Service Unavailable or 504 Gateway Timeout: of a limit, or of a proxy that does not
/// reach the server. A gate answers so, too.
pub(super) fn is_of_outage(status: u16) -> bool {
    [429, 502, 503, 504].contains(&status)
}

/// 401 Unauthorized or 403 Forbidden.
fn is_of_authentication(status: u16) -> bool {
    status == 401 || status == 403
}

/// Path and query.
fn relative(url: &Url) -> String {
    let query = url.query().map(|query| format!("?{query}"));
    format!("{}{}", url.path(), query.unwrap_or_default())
}

/// The cookies that an answer sets, for the next request.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all(header::SET_COOKIE).into_iter();
    let texts = set.filter_map(|value| value.to_str().ok());
    let pairs = texts.filter_map(|text| text.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

fn grant(answer: &Answer) -> Grant {
    let status = answer.status.as_u16();
    let document = json::parse(&answer.body);
    let text = |name: &str| document.as_ref()?.get(name)?.as_str();
    if answer.status.is_success() && text("access_token").is_some() {
        return Grant::Token;
    }
    match text("error") {
        Some(error) => Grant::Error {
            status,
            error: error_code(error),
        },
        None => Grant::Other(status),
    }
}

/// The error code for evidence. Anything that does not look like one is left out: it could repeat a part of the request.
pub(super) fn error_code(text: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !text.is_empty() && text.len() <= 40 && text.bytes().all(is_word) {
        text.to_owned()
    } else {
        "of an unknown kind".to_owned()
    }
}

pub(super) fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Replaces the value of a parameter, or appends the parameter.
pub(super) fn with(mut pairs: Pairs, name: &str, value: &str) -> Pairs {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => pairs.push(pair(name, value)),
    }
    pairs
}

/// Adds a challenge for the verifier.
pub(super) fn with_challenge(pairs: Pairs, verifier: &str) -> Pairs {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let pairs = with(pairs, "code_challenge", &challenge);
    with(pairs, "code_challenge_method", "S256")
}

pub(super) fn encoded(pairs: &Pairs) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The parameters as a JSON object.
pub(super) fn as_json(pairs: &Pairs) -> String {
    let members = pairs.iter().cloned();
    let members = members.map(|(name, value)| (name, Value::String(value)));
    Value::Object(members.collect()).to_string()
}

/// The pairs of a query; none if it cannot be read.
pub(super) fn decoded(query: &str) -> Pairs {
    const MOST: usize = 64;
    let params = Params::parse(query.as_bytes(), MOST).unwrap_or_default();
    let pairs = params.iter().map(|it| pair(it.name(), it.value()));
    pairs.collect()
}

/// As HTTP Basic encodes identifiers and secrets (RFC 6749 section 2.3.1).
fn form_encoded(text: &str) -> String {
    let encoded = encoded(&vec![pair("", text)]);
    encoded.trim_start_matches('=').to_owned()
}

/// 43 random characters: a state, a verifier or a code that does not exist.
pub(super) fn random() -> Result<String, Failed> {
    let mut bytes = [0; 32];
    let filled = SysRng.try_fill_bytes(&mut bytes);
    filled.map_err(|error| Failed::System(std::io::Error::other(error.to_string())))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use http::{HeaderMap, StatusCode};

    fn with_server<T>(check: impl FnOnce(&Server<'_>) -> T) -> T {
        let url = Url::parse("https://login.example").unwrap();
        let fetch = Fetch::new(&url, None, Duration::ZERO).unwrap();
        let client = Client {
            id: "a b".to_owned(),
            is_named: true,
            secret: None,
            redirect_uri: Some("http://127.0.0.1:7000/cb".to_owned()),
            scope: Some("openid".to_owned()),
        };
        check(&Server {
            fetch: &fetch,
            authorization: "/authorize",
            token: "/token",
            client: &client,
            secret_in_form: false,
            through_gate: false,
        })
    }

    #[test]
    fn requests_are_those_of_the_client() {
        with_server(|server| {
            let request = with_challenge(server.request("s"), "v");
            assert_eq!(
                server.url(&with(request, "code_challenge", "c")),
                "https://login.example/authorize?response_type=code&client_id=a+b&\
                 redirect_uri=http%3A%2F%2F127.0.0.1%3A7000%2Fcb&scope=openid&state=s&code_challenge=c&code_challenge_method=S256"
            );
            assert_eq!(
                as_json(&server.redemption("c")),
                r#"{"grant_type":"authorization_code","code":"c","client_id":"a b","redirect_uri":"http://127.0.0.1:7000/cb"}"#
            );
        });
        assert_eq!(form_encoded("a:=b c"), "a%3A%3Db+c");
    }

    #[test]
    fn a_client_that_authenticates_by_basic_is_not_named_in_the_form() {
        with_server(|server| {
            let mut client = server.client.clone();
            client.secret = Some(Zeroizing::new("s".to_owned()));
            let names_client = |secret_in_form| {
                let server = Server {
                    client: &client,
                    secret_in_form,
                    ..*server
                };
                let request = server.redemption("c");
                request.iter().any(|(name, _)| name == "client_id")
            };
            assert!(!names_client(false));
            assert!(names_client(true));
        });
    }

    #[test]
    fn only_a_gate_continues_at_its_own_authorization_endpoint() {
        with_server(|server| {
            let gate = Server {
                through_gate: true,
                ..*server
            };
            for (location, is_own) in [
                ("https://login.example/authorize?state=h", true),
                ("https://login.example/login", false),
                ("https://other.example/authorize?state=h", false),
            ] {
                let location = Url::parse(location).unwrap();
                assert_eq!(gate.is_continuation(&location), is_own, "{location}");
                assert!(!server.is_continuation(&location));
            }
            let own = Url::parse("https://login.example/authorize?state=h").unwrap();
            assert_eq!(relative(&own), "/authorize?state=h");
        });
    }

    #[test]
    fn redirects_to_the_client_are_told_from_those_to_the_sign_in() {
        let refused = |state: Option<&str>| Reply::Refused {
            error: "invalid_request".to_owned(),
            state: state.map(str::to_owned),
        };
        with_server(|server| {
            for (location, expected) in [
                (
                    "http://127.0.0.1:7000/cb?error=invalid_request&state=a%20b",
                    refused(Some("a b")),
                ),
                (
                    "http://127.0.0.1:7000/cb#error=invalid_request",
                    refused(None),
                ),
                ("http://127.0.0.1:7000/cb?code=x&state=y", Reply::Code),
                ("http://127.0.0.1:7000/cb", Reply::SignIn),
                (
                    "http://127.0.0.1:7000/login?error=invalid_request",
                    Reply::SignIn,
                ),
                (
                    "http://127.0.0.1:7001/cb?error=invalid_request",
                    Reply::SignIn,
                ),
                ("https://login.example/login?code=x", Reply::SignIn),
            ] {
                let found = server.redirected(&Url::parse(location).unwrap());
                assert_eq!(found, expected, "{location}");
            }
        });
    }

    #[test]
    fn answers_of_the_token_endpoint_are_told_apart() {
        for (status, body, expected) in [
            (200, r#"{"access_token":"secret"}"#, Grant::Token),
            (400, r#"{"access_token":"secret"}"#, Grant::Other(400)),
            (200, "<html>", Grant::Other(200)),
            (
                400,
                r#"{"error":"invalid_grant"}"#,
                Grant::Error {
                    status: 400,
                    error: "invalid_grant".to_owned(),
                },
            ),
            (
                401,
                r#"{"error":"the code SplxlOBeZQQYbYS6WxSbIA is wrong"}"#,
                Grant::Error {
                    status: 401,
                    error: "of an unknown kind".to_owned(),
                },
            ),
        ] {
            let answer = Answer {
                peer: IpAddr::from([127, 0, 0, 1]),
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.into(),
            };
            assert_eq!(grant(&answer), expected, "{body}");
        }
    }

    #[test]
    fn an_outage_is_told_from_a_refusal() {
        for status in [429, 502, 503, 504] {
            assert!(Reply::Status(status).is_outage(), "{status}");
            assert!(Grant::Other(status).is_outage(), "{status}");
        }
        assert!(!Reply::Status(500).is_outage() && !Reply::SignIn.is_outage());
    }

    #[test]
    fn a_refusal_of_the_client_is_told_from_one_of_the_code() {
        let error = |status, error: &str| Grant::Error {
            status,
            error: error.to_owned(),
        };
        for (grant, refuses_client, judges_code) in [
            (Grant::Token, false, true),
            (error(400, "invalid_grant"), false, true),
            (error(400, "invalid_client"), true, false),
            (error(400, "unauthorized_client"), true, false),
            (error(401, "invalid_grant"), true, false),
            (error(400, "invalid_request"), false, false),
            (Grant::Other(401), true, false),
            (Grant::Other(403), true, false),
            (Grant::Other(400), false, false),
        ] {
            assert_eq!(grant.refuses_client(), refuses_client, "{grant:?}");
            assert_eq!(grant.judges_code(), judges_code, "{grant:?}");
            assert!(!grant.is_outage(), "{grant:?}");
        }
    }
}
