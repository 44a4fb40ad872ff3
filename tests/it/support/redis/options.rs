//! How a server is started: its engine, who may do what, TLS and memory.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::fixture::HINT;
use crate::support::gate::file;

/// The user for the tests' own commands where the default user has no rights.
const OWN_USER: &str = "tests";
const OWN_PASSWORD: &str = "own";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Engine {
    #[default]
    Redis,
    /// Its program is built without TLS.
    Valkey,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    engine: Engine,
    access: Access,
    pub(super) tls: bool,
    /// Lines of the configuration.
    more: String,
}

#[derive(Clone, Debug, Default)]
enum Access {
    #[default]
    Open,
    /// `requirepass`
    Password(String),
    /// An ACL file in which the default user is off: the line of the only user.
    User(String),
}

impl Options {
    pub(crate) fn engine(engine: Engine) -> Self {
        Self {
            engine,
            ..Self::default()
        }
    }

    #[must_use]
    pub(crate) fn password(self, password: &str) -> Self {
        let access = Access::Password(password.to_owned());
        Self { access, ..self }
    }

    /// The only user, with these rights as in an ACL file: `~pkce:* +@read +@write`. The default user is off.
    #[must_use]
    pub(crate) fn user(self, name: &str, password: &str, rights: &str) -> Self {
        let access = Access::User(format!("user {name} on >{password} {rights}"));
        Self { access, ..self }
    }

    /// TLS on a second port, without client certificates.
    #[must_use]
    pub(crate) fn tls(self) -> Self {
        assert!(self.engine == Engine::Redis, "this Valkey has no TLS");
        Self { tls: true, ..self }
    }

    /// `maxmemory` in bytes (an empty server takes about a million), and its policy.
    #[must_use]
    pub(crate) fn maxmemory(self, bytes: usize, policy: &str) -> Self {
        self.with(&format!("maxmemory {bytes}\nmaxmemory-policy {policy}"))
    }

    /// Each write is in a file before it is acknowledged, and survives a kill.
    #[must_use]
    pub(crate) fn persistent(self) -> Self {
        self.with("appendonly yes\nappendfsync always")
    }

    /// Lines of the configuration.
    #[must_use]
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.more += lines;
        self.more += "\n";
        self
    }

    /// The lines of the configuration; writes the files that they name.
    pub(super) fn render(&self, directory: &Path, tls_port: Option<u16>) -> String {
        let tls = tls_port.map_or(String::new(), |port| {
            certificates(directory);
            format!(
                "tls-port {port}\ntls-auth-clients no\ntls-ca-cert-file ca.pem\n\
                 tls-cert-file certificate.pem\ntls-key-file key.pem\n"
            )
        });
        let access = match &self.access {
            Access::Open => String::new(),
            Access::Password(password) => {
                format!("requirepass {password}\nmasterauth {password}\n")
            }
            Access::User(user) => {
                let own = format!("user {OWN_USER} on >{OWN_PASSWORD} ~* &* +@all");
                let users = format!("user default off\n{own}\n{user}\n");
                let path = file(directory, "users.acl", &users);
                format!(
                    "aclfile {}\nmasteruser {OWN_USER}\nmasterauth {OWN_PASSWORD}\n",
                    path.display()
                )
            }
        };
        format!("save \"\"\nappendonly no\n{}{tls}{access}", self.more)
    }

    /// The command with which the tests log in.
    pub(super) fn login(&self) -> Option<Vec<&str>> {
        match &self.access {
            Access::Open => None,
            Access::Password(password) => Some(vec!["AUTH", password]),
            Access::User(_) => Some(vec!["AUTH", OWN_USER, OWN_PASSWORD]),
        }
    }

    pub(super) fn program(&self) -> PathBuf {
        let program = match self.engine {
            Engine::Redis => PathBuf::from("/usr/bin/redis-server"),
            Engine::Valkey => super::valkey(),
        };
        assert!(program.exists(), "{HINT}");
        program
    }
}

/// A CA, and a certificate for the server.
fn certificates(directory: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).expect("names");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    file(directory, "ca.pem", &issuer.pem());
    file(directory, "certificate.pem", &certificate.pem());
    file(directory, "key.pem", &key.serialize_pem());
}
