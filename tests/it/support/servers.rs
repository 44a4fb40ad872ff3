//! The real servers. Each starts once per test process and is used by one test at a time, so that its ledger contains only the
//! requests of that test.

use std::process::Child;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Deserialize;

use super::client::Authorization;
use super::fixture::{free_port, program, serve};
use super::http::Request;
use super::params::decode;

/// A server and the response mode that clients request.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) profile: &'static Profile,
    pub(crate) response_mode: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) program: &'static str,
    /// Of each list, the tests' own clients use the first path.
    pub(crate) authorization: &'static [&'static str],
    pub(crate) token: &'static [&'static str],
    pub(crate) metadata: &'static str,
    /// The identifier and secret of a client other than `pub`.
    pub(crate) other_client: (&'static str, &'static str),
    /// Whether a proxy in front of the gate ends TLS.
    tls: bool,
    running: OnceLock<Server>,
}

pub(crate) static OIDC_PROVIDER: Target = Target {
    profile: &OIDC_PROVIDER_PROFILE,
    response_mode: None,
};
pub(crate) static OIDC_PROVIDER_FRAGMENT: Target = Target {
    profile: &OIDC_PROVIDER_PROFILE,
    response_mode: Some("fragment"),
};
pub(crate) static OIDC_PROVIDER_FORM_POST: Target = Target {
    profile: &OIDC_PROVIDER_PROFILE,
    response_mode: Some("form_post"),
};
pub(crate) static OAUTH2_SERVER: Target = Target {
    profile: &OAUTH2_SERVER_PROFILE,
    response_mode: None,
};
pub(crate) static DJANGO_OAUTH_TOOLKIT: Target = Target {
    profile: &DJANGO_OAUTH_TOOLKIT_PROFILE,
    response_mode: None,
};
pub(crate) static DJANGO_ALLAUTH: Target = Target {
    profile: &DJANGO_ALLAUTH_PROFILE,
    response_mode: None,
};
/// django-allauth that requires PKCE of public clients, as it does unless it is changed.
pub(crate) static DJANGO_ALLAUTH_WITH_PKCE: Target = Target {
    profile: &DJANGO_ALLAUTH_WITH_PKCE_PROFILE,
    response_mode: None,
};
pub(crate) static AUTHLIB_SERVER: Target = Target {
    profile: &AUTHLIB_SERVER_PROFILE,
    response_mode: None,
};
pub(crate) static DOORKEEPER: Target = Target {
    profile: &DOORKEEPER_PROFILE,
    response_mode: None,
};
pub(crate) static OAUTH2_MOCK_SERVER: Target = Target {
    profile: &OAUTH2_MOCK_SERVER_PROFILE,
    response_mode: None,
};

pub(crate) static BETTER_AUTH: Target = Target {
    profile: &BETTER_AUTH_PROFILE,
    response_mode: None,
};
pub(crate) static WORKERS_OAUTH_PROVIDER: Target = Target {
    profile: &WORKERS_OAUTH_PROVIDER_PROFILE,
    response_mode: None,
};
pub(crate) static HOME_ASSISTANT: Target = Target {
    profile: &HOME_ASSISTANT_PROFILE,
    response_mode: None,
};

/// oidc-provider in another process, whose public URL is that of a [`super::front::Front`].
pub(crate) static OIDC_PROVIDER_BEHIND_TLS: Target = Target {
    profile: &OIDC_PROVIDER_BEHIND_TLS_PROFILE,
    response_mode: None,
};

/// oidc-provider that demands PKCE of every client.
pub(crate) static OIDC_PROVIDER_WITH_PKCE: Target = Target {
    profile: &OIDC_PROVIDER_WITH_PKCE_PROFILE,
    response_mode: None,
};

/// oidc-provider in another process, for many sign-ins in a row, so that other tests do not wait for them.
pub(crate) static OIDC_PROVIDER_AT_SCALE: Target = Target {
    profile: &OIDC_PROVIDER_AT_SCALE_PROFILE,
    response_mode: None,
};

const OIDC_PROVIDER_PROGRAM: &str = "servers/oidc-provider.mjs";

const fn oidc_provider(program: &'static str, tls: bool) -> Profile {
    Profile {
        program,
        authorization: &["/auth"],
        token: &["/token"],
        metadata: "/.well-known/openid-configuration",
        other_client: ("post", "sekrit"),
        tls,
        running: OnceLock::new(),
    }
}

static OIDC_PROVIDER_AT_SCALE_PROFILE: Profile = oidc_provider(OIDC_PROVIDER_PROGRAM, false);

static OIDC_PROVIDER_WITH_PKCE_PROFILE: Profile =
    oidc_provider("servers/oidc-provider-with-pkce.mjs", false);

static OIDC_PROVIDER_BEHIND_TLS_PROFILE: Profile = oidc_provider(OIDC_PROVIDER_PROGRAM, true);

static OIDC_PROVIDER_PROFILE: Profile = oidc_provider(OIDC_PROVIDER_PROGRAM, false);

static OAUTH2_SERVER_PROFILE: Profile = Profile {
    program: "servers/oauth2-server.cjs",
    authorization: &["/oauth/authorize", "/services/oauth2/authorize"],
    token: &["/oauth/token", "/services/oauth2/token"],
    metadata: "/.well-known/oauth-authorization-server",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

static DJANGO_OAUTH_TOOLKIT_PROFILE: Profile = Profile {
    program: "servers/django_oauth_toolkit.py",
    authorization: &["/o/authorize/"],
    token: &["/o/token/"],
    metadata: "/o/.well-known/openid-configuration",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

const fn django_allauth(program: &'static str) -> Profile {
    Profile {
        program,
        authorization: &["/identity/o/authorize"],
        token: &["/identity/o/api/token"],
        metadata: "/.well-known/openid-configuration",
        other_client: ("conf", "sekrit"),
        tls: false,
        running: OnceLock::new(),
    }
}

static DJANGO_ALLAUTH_PROFILE: Profile = django_allauth("servers/django_allauth.py");

static DJANGO_ALLAUTH_WITH_PKCE_PROFILE: Profile =
    django_allauth("servers/django_allauth_with_pkce.py");

static AUTHLIB_SERVER_PROFILE: Profile = Profile {
    program: "servers/authlib_server.py",
    authorization: &["/oauth/authorize"],
    token: &["/oauth/token"],
    metadata: "/.well-known/oauth-authorization-server",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

static DOORKEEPER_PROFILE: Profile = Profile {
    program: "servers/doorkeeper.rb",
    authorization: &["/oauth/authorize"],
    token: &["/oauth/token"],
    metadata: "/.well-known/oauth-authorization-server",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

static BETTER_AUTH_PROFILE: Profile = Profile {
    program: "servers/better-auth.mjs",
    authorization: &["/api/auth/oauth2/authorize"],
    token: &["/api/auth/oauth2/token"],
    metadata: "/api/auth/.well-known/openid-configuration",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

static WORKERS_OAUTH_PROVIDER_PROFILE: Profile = Profile {
    program: "servers/workers-oauth-provider.mjs",
    authorization: &["/authorize"],
    token: &["/oauth/token"],
    metadata: "/.well-known/oauth-authorization-server",
    other_client: ("conf", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

static HOME_ASSISTANT_PROFILE: Profile = Profile {
    program: "servers/home_assistant.py",
    authorization: &["/auth/authorize"],
    token: &["/auth/token"],
    metadata: "/.well-known/oauth-authorization-server",
    other_client: ("http://127.0.0.1:1/", ""),
    tls: false,
    running: OnceLock::new(),
};

static OAUTH2_MOCK_SERVER_PROFILE: Profile = Profile {
    program: "servers/oauth2-mock-server.mjs",
    authorization: &["/authorize"],
    token: &["/token"],
    metadata: "/.well-known/openid-configuration",
    other_client: ("other", "sekrit"),
    tls: false,
    running: OnceLock::new(),
};

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    /// The address of the gate in front of it: a server gets its public URL once, when it starts.
    pub(crate) gate: String,
    /// The port of the proxy in front of the gate, if there is one.
    pub(crate) front: Option<u16>,
    /// Registered for every client. No server listens there unless a test starts one.
    pub(crate) redirect_uri: String,
    /// The same on another host, which is another site for a browser.
    pub(crate) elsewhere: String,
    turn: Mutex<()>,
    /// Holds the pipe that is the server's standard input.
    _process: Child,
}

impl Target {
    /// The authorization URL for a client, at the gate or at the server itself.
    pub(crate) fn authorization_url(&self, base: &str, authorization: &Authorization) -> String {
        format!(
            "{base}{}?{}",
            self.profile.authorization[0],
            authorization.params.encoded()
        )
    }

    pub(crate) fn token_url(&self, base: &str) -> String {
        format!("{base}{}", self.profile.token[0])
    }
}

impl Profile {
    /// The server, and exclusive access to it. A test that panics releases it.
    pub(crate) fn borrow(&'static self) -> (&'static Server, MutexGuard<'static, ()>) {
        let server = self.running.get_or_init(|| self.start());
        let turn = server.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Request::post(&format!("{}/__ledger/reset", server.url), String::new()).send();
        (server, turn)
    }

    fn start(&self) -> Server {
        let (port, gate) = (free_port(), format!("127.0.0.1:{}", free_port()));
        let front = self.tls.then(free_port);
        let redirect_uri = format!("http://127.0.0.1:{}/cb", free_port());
        let elsewhere = format!("http://localhost:{}/cb", free_port());
        let mut command = program(self.program);
        command
            .args([port.to_string(), public_url(&gate, front)])
            .env("REDIRECT_URIS", format!("{redirect_uri} {elsewhere}"));
        let url = format!("http://127.0.0.1:{port}");
        Server {
            url,
            gate,
            front,
            redirect_uri,
            elsewhere,
            turn: Mutex::new(()),
            _process: serve(command),
        }
    }
}

fn public_url(gate: &str, front: Option<u16>) -> String {
    match front {
        Some(port) => super::front::url(port),
        None => format!("http://{gate}"),
    }
}

impl Server {
    /// The URL that clients use.
    pub(crate) fn public_url(&self) -> String {
        public_url(&self.gate, self.front)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let answer = Request::get(&format!("{}/__ledger", self.url)).send();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in {answer}"))
    }
}

/// What a server received and issued, as it recorded it.
#[derive(Debug, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) authorize: Vec<Seen>,
    pub(crate) token: Vec<Seen>,
    pub(crate) codes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown when an assertion fails")]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) authorization: bool,
    pub(crate) body: String,
    /// The status of its answer.
    pub(crate) status: u16,
}

impl Ledger {
    /// The status of the answer to each redemption.
    pub(crate) fn answers(&self) -> Vec<u16> {
        self.redemptions().iter().map(|seen| seen.status).collect()
    }

    /// The token requests with a code that the server had issued.
    pub(crate) fn redemptions(&self) -> Vec<&Seen> {
        let has_a_code = |seen: &&Seen| {
            let sent = decode(&format!("{}&{}", seen.query, seen.body));
            self.codes.iter().any(|code| sent.contains(code))
        };
        self.token.iter().filter(has_a_code).collect()
    }
}
