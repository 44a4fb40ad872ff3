//! One connection to one server: TCP, TLS, signing in.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use super::failed::{Failed, Meaning, of_connection};
use super::target::{Address, Credentials};
use super::tls::Tls;
use super::value::{Value, read};

/// Idle connections are probed, so that middleboxes do not forget them.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// How connections are opened.
pub(super) struct Entrance {
    tls: Option<Tls>,
    credentials: Option<Credentials>,
    database: u32,
    /// Why the last attempt to connect failed.
    trouble: Mutex<Option<String>>,
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        write!(f, "Entrance(tls: {tls}, database: {})", self.database)
    }
}

/// An open connection. Any number of calls share it; the server answers them in order. A call that was given up leaves the
/// connection in order: its answer is dropped when it arrives.
pub(super) struct Connection {
    address: Address,
    handle: MultiplexedConnection,
    driver: AbortHandle,
    /// Ends the driver when it is dropped. In a mutex only because it is then `Sync`.
    _task: Mutex<JoinSet<()>>,
}

/// The answer to `ROLE`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) is_master: bool,
    /// How many are connected to it and have a copy of its data.
    pub(super) replicas: u32,
}

impl Entrance {
    pub(super) fn new(tls: Option<Tls>, credentials: Option<Credentials>, database: u32) -> Self {
        Self {
            tls,
            credentials,
            database,
            trouble: Mutex::new(None),
        }
    }

    /// The server and the reason, if the last attempt to connect failed.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Connects, signs in and selects the database.
    pub(super) async fn open(&self, to: &Address) -> Result<Connection, Failed> {
        let connection = self.bare(to).await?;
        self.sign_in(&connection).await?;
        if self.database != 0 {
            connection
                .ask_for("SELECT", &[&self.database.to_string()])
                .await?;
        }
        Ok(connection)
    }

    /// Connects without signing in.
    pub(super) async fn bare(&self, to: &Address) -> Result<Connection, Failed> {
        let connected = self.connect(to).await;
        let mut trouble = lock(&self.trouble);
        *trouble = connected
            .as_ref()
            .err()
            .map(|error| format!("{to}: {error}"));
        connected.map_err(|_| Failed::Unreachable)
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        let tcp = tcp(to).await?;
        match &self.tls {
            None => Connection::over(tcp, to).await,
            Some(tls) => Connection::over(tls.connect(&to.host, tcp).await?, to).await,
        }
    }

    /// Sends the password, if there is one.
    pub(super) async fn sign_in(&self, connection: &Connection) -> Result<(), Failed> {
        if let Some(Credentials { user, password }) = &self.credentials {
            let names = user.iter().chain([password]);
            let names: Vec<&str> = names.map(String::as_str).collect();
            connection.ask_for("AUTH", &names).await?;
        }
        Ok(())
    }
}

async fn tcp(to: &Address) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((to.host.as_str(), to.port)).await?;
    tcp.set_nodelay(true)?;
    SockRef::from(&tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(tcp)
}

impl Connection {
    async fn over<S>(stream: S, address: &Address) -> io::Result<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // The library sends nothing by itself, and has no deadlines: the link's deadline covers everything.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (handle, driver) = made.map_err(io::Error::other)?;
        let mut task = JoinSet::new();
        let driver = task.spawn(driver);
        Ok(Self {
            address: address.clone(),
            handle,
            driver,
            _task: Mutex::new(task),
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection has ended, so that nothing can be sent on it.
    pub(super) fn is_over(&self) -> bool {
        self.driver.is_finished()
    }

    /// Sends one command.
    pub(super) async fn ask(&self, cmd: &Cmd) -> Result<Value, Meaning> {
        let sent = self.handle.clone().send_packed_command(cmd).await;
        sent.map_err(|error| of_connection(&error)).and_then(read)
    }

    /// Sends several commands at once; one answer or error each.
    pub(super) async fn ask_all(
        &self,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Result<Value, Meaning>>, Meaning> {
        let mut handle = self.handle.clone();
        let sent = handle.send_packed_commands(pipeline, 0, pipeline.len());
        let answers = sent.await.map_err(|error| of_connection(&error))?;
        if answers.len() == pipeline.len() {
            Ok(answers.into_iter().map(read).collect())
        } else {
            Err(Meaning::Lost(Failed::Garbage))
        }
    }

    /// What the server says about itself. A user without the permission to ask gets the benefit of the doubt: a replica refuses
    /// writes.
    pub(super) async fn role(&self) -> Result<Role, Failed> {
        match self.ask_for("ROLE", &[]).await {
            Ok(role) => Ok(Role {
                is_master: role.list().first().and_then(Value::text) == Some("master"),
                replicas: role.list().get(2).map_or(0, |replicas| {
                    replicas.list().len().try_into().unwrap_or(u32::MAX)
                }),
            }),
            Err(Failed::Refused(text)) if text.starts_with("NOPERM") => Ok(Role {
                is_master: true,
                replicas: 0,
            }),
            Err(failed) => Err(failed),
        }
    }

    /// A command of the link itself. A server that is not able to answer it now counts as unreachable.
    pub(super) async fn ask_for(&self, verb: &str, arguments: &[&str]) -> Result<Value, Failed> {
        let mut cmd = redis::cmd(verb);
        for argument in arguments {
            cmd.arg(*argument);
        }
        self.ask(&cmd).await.map_err(|meaning| match meaning {
            Meaning::Over(failed) | Meaning::Lost(failed) => failed,
            Meaning::NoScript
            | Meaning::Moved(_)
            | Meaning::Ask(_)
            | Meaning::Elsewhere
            | Meaning::Later => Failed::Unreachable,
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, over: {})", self.address, self.is_over())
    }
}

/// A lock whose holder panicked is still in order here: each value is replaced as a whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
