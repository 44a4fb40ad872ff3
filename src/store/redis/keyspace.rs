//! The keys of one upstream in Redis: calls about them, and how they ended.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::fields::{decimal, lifetime};
use super::link::{Command, Deployment, Failed, Value};
use super::scripts::LEARN;
use super::workers::Workers;
use crate::oauth::Digest;
use crate::store::calls::{Calls, Trouble, Verb};
use crate::store::operations::StoreError;
use crate::store::settings::Limit;

/// How long a learned redirect URI is known. Each gate learns it again after its start.
const LEARNED: Duration = Duration::from_hours(30 * 24);

/// When a full server is asked again.
const FULL: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(crate) struct Keyspace {
    /// The hash tag with the colon after it.
    prefix: String,
    workers: Workers,
    calls: Arc<Calls>,
    /// `maxmemory-policy`, once a server has told it.
    policy: Arc<OnceLock<String>>,
}

impl Keyspace {
    /// `prefix` and the upstream's name are the beginning of all keys.
    pub(crate) fn new(deployment: Arc<Deployment>, prefix: &str, upstream: &str) -> Self {
        Self {
            // A brace in a name would end the hash tag.
            prefix: format!("{{{}:{}}}:", unbraced(prefix), unbraced(upstream)),
            workers: Workers::new(deployment),
            calls: Arc::default(),
            policy: Arc::default(),
        }
    }

    /// Goes on with the counters of an earlier configuration.
    pub(super) fn count_on(&mut self, before: &Self) {
        self.calls = Arc::clone(&before.calls);
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Why the servers did not answer the last calls.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.workers.deployment().trouble()
    }

    /// Whether the servers answered the last calls.
    pub(crate) fn is_reachable(&self) -> bool {
        self.workers.deployment().is_reachable()
    }

    /// Asks the servers whether they answer, and what [`Keyspace::evicts`] returns. To be called about once a second by each worker.
    /// The error is a text for operators, without a secret.
    pub(crate) fn probe(&self) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (link, policy) = (self.workers.link(), Arc::clone(&self.policy));
        async move {
            let explained = |failed: Failed| failed.to_string();
            link.probe().await.map_err(explained)?;
            if policy.get().is_some() {
                return Ok(());
            }
            let info = Command::new("INFO").arg(b"memory");
            let answer = link.send(&info).await.map_err(explained)?;
            if let Some(text) = answer.text()
                && let Some((_, after)) = text.split_once("maxmemory_policy:")
            {
                let _known = policy.set(after.lines().next().unwrap_or_default().to_owned());
            }
            Ok(())
        }
    }

    /// The server's `maxmemory-policy`, if it is known and lets a full server remove records that are still valid.
    pub(crate) fn evicts(&self) -> Option<&str> {
        let policy = self.policy.get().map(String::as_str);
        policy.filter(|policy| *policy != "noeviction")
    }

    /// Remembers a redirect URI to which the upstream has sent a code for this client. A client has at most `most`.
    pub(crate) async fn learn(
        &self,
        client: Digest,
        redirect: Digest,
        most: usize,
    ) -> Result<(), StoreError> {
        let most = decimal(most.try_into().unwrap_or(u64::MAX));
        let args: [&[u8]; 3] = [redirect.as_bytes(), &lifetime(LEARNED), &most];
        let command = LEARN.command(&[&self.key("r", client)], &args);
        self.call(Verb::Redirects, command).await.map(drop)
    }

    /// Which of these redirect URIs was learned for this client, the first one.
    pub(crate) async fn learned(
        &self,
        client: Digest,
        redirects: &[Digest],
    ) -> Result<Option<Digest>, StoreError> {
        let command = Command::new("HMGET").key(&self.key("r", client));
        let fields = redirects.iter().map(Digest::as_bytes);
        let command = fields.fold(command, |command, field| command.arg(field));
        let answer = self.call(Verb::Redirects, command).await?;
        if answer.list().len() != redirects.len() {
            return Err(self.garbage(Verb::Redirects));
        }
        let mut both = redirects.iter().zip(answer.list());
        let found = both.find(|(_, answer)| **answer != Value::Nil);
        Ok(found.map(|(redirect, _)| *redirect))
    }

    pub(super) fn key(&self, kind: &str, digest: Digest) -> Vec<u8> {
        use std::fmt::Write as _;
        let mut key = format!("{}{kind}:", self.prefix);
        for byte in digest.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key.into_bytes()
    }

    /// The key with this name.
    pub(super) fn named(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.prefix).into_bytes()
    }

    pub(super) async fn call(&self, verb: Verb, command: Command) -> Result<Value, StoreError> {
        let result = self.workers.link().send(&command).await;
        self.counted(verb, result)
    }

    /// A call whose change must not be lost.
    pub(super) async fn write(&self, verb: Verb, command: Command) -> Result<Value, StoreError> {
        let result = self.workers.link().write(&command).await;
        self.counted(verb, result)
    }

    pub(super) async fn call_all(
        &self,
        verb: Verb,
        commands: &[Command],
    ) -> Result<Vec<Value>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.workers.link().send_all(commands).await;
        self.counted(verb, result)
    }

    fn counted<T>(&self, verb: Verb, result: Result<T, Failed>) -> Result<T, StoreError> {
        self.calls.count(verb, result.as_ref().err().map(trouble));
        result.map_err(|failed| match failed {
            Failed::Unreachable | Failed::Refused(_) | Failed::Garbage => StoreError::Unreachable,
            Failed::Deadline => StoreError::Deadline,
            Failed::TooFewReplicas => StoreError::TooFewReplicas,
            Failed::Full => StoreError::NoRoom(Limit::Capacity, FULL),
        })
    }

    /// An answer, or a record in it, that this store did not write.
    pub(super) fn garbage(&self, verb: Verb) -> StoreError {
        self.calls.count(verb, Some(Trouble::Garbage));
        StoreError::Unreachable
    }
}

/// Prints no record and no password.
impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyspace")
            .field(self.workers.deployment())
            .field(&self.trouble())
            .field(&self.calls.numbers().collect::<Vec<_>>())
            .finish()
    }
}

fn trouble(failed: &Failed) -> Trouble {
    match failed {
        Failed::Unreachable => Trouble::Unreachable,
        Failed::Deadline => Trouble::Deadline,
        Failed::Full => Trouble::Full,
        Failed::TooFewReplicas => Trouble::TooFewReplicas,
        Failed::Refused(_) => Trouble::Refused,
        Failed::Garbage => Trouble::Garbage,
    }
}

fn unbraced(name: &str) -> String {
    name.replace(['{', '}'], "_")
}
