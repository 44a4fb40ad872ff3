//! URLs of deployments.

use std::fmt;
use std::net::IpAddr;

/// Where Redis is, and as whom to sign in. `Debug` does not show the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) kind: Kind,
    pub(super) tls: bool,
    pub(super) credentials: Option<Credentials>,
    /// The number of the database. Zero in a cluster.
    pub(super) database: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single(Address),
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
    },
    /// Some nodes of a cluster; they name the others.
    Cluster(Vec<Address>),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// `None`: the user `default`.
    pub(super) user: Option<String>,
    /// Empty in `user:@`: it is in a file.
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(user: {:?}, password: ..)", self.user)
    }
}

/// A host name or IP address (IPv6 without brackets), and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Reads the `host:port` that a server announces: an IPv6 address has no brackets there.
    pub(super) fn announced(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// What is wrong with a URL. No message contains a part of the URL in which a password may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUrl {
    #[error(
        "it must begin with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or \
         rediss+cluster://"
    )]
    Scheme,
    #[error(
        "write `/`, `?`, `#`, `@` and spaces in the user name and the password as %2F, %3F, %23, %40 and %20"
    )]
    NotEscaped,
    #[error(
        "the user name or the password contains a `%` that does not begin an escape such as %2F"
    )]
    Escape,
    /// No example of a password: messages are searched for them, and it would be hidden.
    #[error(
        "a user name without a password: write a colon and the password after it, or only the colon, and add password_file"
    )]
    NoPassword,
    #[error("options after `?` or `#` are not supported")]
    Options,
    #[error("the host is missing")]
    NoHost,
    #[error("`{0}` is not a host name or an IP address; IPv6 addresses are in brackets")]
    Host(String),
    #[error("`{0}` is not a port: write a number from 1 to 65535")]
    Port(String),
    #[error(
        "redis:// takes one host; several hosts are for redis+sentinel:// and redis+cluster://"
    )]
    SeveralHosts,
    #[error("the name of the master is missing: redis+sentinel://host:port,host:port/master-name")]
    NoMaster,
    #[error("`{0}` is not the number of a database")]
    Database(String),
    #[error("a cluster has no databases: remove the path")]
    ClusterPath,
}

impl Target {
    pub(crate) fn has_tls(&self) -> bool {
        self.tls
    }

    /// Whether there is a password; `None`: there are no credentials.
    pub(crate) fn has_password(&self) -> Option<bool> {
        let credentials = self.credentials.as_ref();
        credentials.map(|credentials| !credentials.password.is_empty())
    }

    /// With this password, for the user of the URL.
    #[must_use]
    pub(crate) fn with_password(mut self, password: String) -> Self {
        let user = self.credentials.and_then(|credentials| credentials.user);
        self.credentials = Some(Credentials { user, password });
        self
    }

    /// Whether some connection crosses a network without TLS. (Sentinels and clusters name servers on other machines, if they are
    /// not on this one themselves.)
    pub(crate) fn is_exposed(&self) -> bool {
        let addresses = match &self.kind {
            Kind::Single(address) => std::slice::from_ref(address),
            Kind::Sentinel { sentinels, .. } => sentinels,
            Kind::Cluster(nodes) => nodes,
        };
        let is_here = |address: &Address| {
            let ip = address.host.parse::<IpAddr>();
            ip.map_or(address.host == "localhost", |ip| ip.is_loopback())
        };
        !self.tls && !addresses.iter().all(is_here)
    }

    /// Parses a URL:
    ///
    /// ```text
    /// redis://[user:[password]@]host[:6379][/database]
    /// redis+sentinel://[user:password@]host[:26379][,host ..]/master-name[/database]
    /// redis+cluster://[user:password@]host[:6379][,host ..]
    /// ```
    ///
    /// With `rediss` in place of `redis`, all connections use TLS.
    pub(crate) fn parse(url: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl::Scheme)?;
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(BadUrl::Scheme),
        };
        // A password with an unescaped `/` or `@` must not be taken for a host, which messages quote.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(sign_in(credentials)?), rest),
            None => (None, rest),
        };
        if rest.contains(['?', '#']) {
            return Err(BadUrl::Options);
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let of = |port| -> Result<Vec<_>, _> {
            hosts.split(',').map(|host| address(host, port)).collect()
        };
        let (kind, database) = match form {
            "" if !scheme.contains('+') => (single(of(6379)?)?, database(path)?),
            "sentinel" => {
                let (master, number) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(BadUrl::NoMaster);
                }
                let master = master.to_owned();
                let sentinels = of(26379)?;
                (Kind::Sentinel { sentinels, master }, database(number)?)
            }
            "cluster" if !path.is_empty() => return Err(BadUrl::ClusterPath),
            "cluster" => (Kind::Cluster(of(6379)?), 0),
            _ => return Err(BadUrl::Scheme),
        };
        Ok(Self {
            kind,
            tls,
            credentials,
            database,
        })
    }
}

fn single(mut hosts: Vec<Address>) -> Result<Kind, BadUrl> {
    match (hosts.pop(), hosts.is_empty()) {
        (Some(host), true) => Ok(Kind::Single(host)),
        (Some(_), false) => Err(BadUrl::SeveralHosts),
        (None, _) => Err(BadUrl::NoHost),
    }
}

fn database(path: &str) -> Result<u32, BadUrl> {
    if path.is_empty() {
        return Ok(0);
    }
    path.parse().map_err(|_| BadUrl::Database(path.to_owned()))
}

fn sign_in(text: &str) -> Result<Credentials, BadUrl> {
    if text.contains(['/', '?', '#', '@', ' ']) {
        return Err(BadUrl::NotEscaped);
    }
    let (user, password) = text.split_once(':').ok_or(BadUrl::NoPassword)?;
    let (user, password) = (unescape(user)?, unescape(password)?);
    let user = (!user.is_empty()).then_some(user);
    Ok(Credentials { user, password })
}

fn unescape(text: &str) -> Result<String, BadUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || {
            let digit = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        bytes.push(match byte {
            b'%' => {
                let high = digit().ok_or(BadUrl::Escape)?;
                high << 4 | digit().ok_or(BadUrl::Escape)?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| BadUrl::Escape)
}

fn address(text: &str, default_port: u16) -> Result<Address, BadUrl> {
    let bad = || BadUrl::Host(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or_else(bad)?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(BadUrl::NoHost);
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if !host.bytes().all(is_name) {
        return Err(bad());
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(number) if number > 0 => number,
            Ok(_) | Err(_) => return Err(BadUrl::Port(port.to_owned())),
        },
    };
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn urls_of_every_kind_are_read() {
        let single = Target::parse("redis://127.0.0.1/3").unwrap();
        assert_eq!(single.kind, Kind::Single(at("127.0.0.1", 6379)));
        assert_eq!((single.database, single.tls), (3, false));

        let sentinel = Target::parse("rediss+sentinel://a.example:1,[::1]/main/2").unwrap();
        let sentinels = vec![at("a.example", 1), at("::1", 26379)];
        let master = "main".to_owned();
        assert_eq!(sentinel.kind, Kind::Sentinel { sentinels, master });
        assert_eq!((sentinel.database, sentinel.tls), (2, true));

        let cluster = Target::parse("redis+cluster://u:p%2F%40@a:7000,b:7001").unwrap();
        assert_eq!(
            cluster.kind,
            Kind::Cluster(vec![at("a", 7000), at("b", 7001)])
        );
        let credentials = cluster.credentials.unwrap();
        assert_eq!(credentials.user.as_deref(), Some("u"));
        assert_eq!(credentials.password, "p/@");

        let default = Target::parse("rediss://:secret@a").unwrap().credentials;
        assert_eq!(default.unwrap().user, None);

        let in_a_file = Target::parse("redis://u:@a").unwrap();
        assert_eq!(in_a_file.has_password(), Some(false));
        let credentials = in_a_file.with_password("p".to_owned()).credentials.unwrap();
        assert_eq!(
            (credentials.user.as_deref(), credentials.password.as_str()),
            (Some("u"), "p")
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (url, problem) in [
            ("127.0.0.1:6379", BadUrl::Scheme),
            ("http://a", BadUrl::Scheme),
            ("redis+://a", BadUrl::Scheme),
            ("redis+ring://a", BadUrl::Scheme),
            ("redis://", BadUrl::NoHost),
            ("redis://:6379", BadUrl::NoHost),
            ("redis://a:0", BadUrl::Port("0".to_owned())),
            ("redis://a:70000", BadUrl::Port("70000".to_owned())),
            ("redis://::1", BadUrl::NoHost),
            ("redis://[::g]", BadUrl::Host("[::g]".to_owned())),
            ("redis://a b", BadUrl::Host("a b".to_owned())),
            ("redis://a,b", BadUrl::SeveralHosts),
            ("redis://a/one", BadUrl::Database("one".to_owned())),
            ("redis://a?db=1", BadUrl::Options),
            ("redis+sentinel://a", BadUrl::NoMaster),
            ("redis+sentinel://a/m/x", BadUrl::Database("x".to_owned())),
            ("redis+cluster://a/1", BadUrl::ClusterPath),
            ("redis+cluster://a,,b", BadUrl::NoHost),
            ("redis://secret@a", BadUrl::NoPassword),
            ("redis://:%zz@a", BadUrl::Escape),
            ("redis://:%f@a", BadUrl::Escape),
        ] {
            assert_eq!(Target::parse(url), Err(problem), "{url}");
        }
    }

    #[test]
    fn no_message_and_no_debug_shows_the_password() {
        for url in [
            "redis://user:canary@host/1",
            "redis://user:canary@host/x",
            "redis://user:ca/canary@host",
            "redis://user:canary@x@host",
            "redis://user:canary#@host",
            "redis://user:canary%@host",
            "redis://canary@host",
            "user:canary@host",
            "redis:user:canary@host",
        ] {
            let said = match Target::parse(url) {
                Ok(target) => format!("{target:?}"),
                Err(problem) => format!("{problem} {problem:?}"),
            };
            assert!(!said.contains("canary"), "{url}: {said}");
        }
    }

    #[test]
    fn announced_addresses_have_no_brackets() {
        assert_eq!(Address::announced("::1:7000"), Some(at("::1", 7000)));
        assert_eq!(Address::announced("a:7000"), Some(at("a", 7000)));
        assert_eq!(Address::announced("a"), None);
    }
}
