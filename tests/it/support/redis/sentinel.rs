//! A master and two replicas, watched by three sentinels.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::contents::Garbage;
use super::resp::Reply;
use super::{Kind, Options, Redis, wait_until};

/// The name of the master at the sentinels.
pub(crate) const NAME: &str = "gate";

/// Two of three sentinels decide. They call a server down that has been silent for two seconds, so that a busy machine does not
/// look like a failure.
const WATCH: &str = "sentinel down-after-milliseconds gate 2000\nsentinel failover-timeout gate 5000\n\
                     sentinel parallel-syncs gate 2\n";

pub(crate) struct Sentinel {
    nodes: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Sentinel {
    pub(crate) fn three() -> Self {
        Self::of(&Options::default())
    }

    /// Every server with these options. The sentinels have no password.
    pub(crate) fn of(options: &Options) -> Self {
        // A replica gets its copy of the data over the connection and at once, instead of from a file and after five seconds.
        let quickly = "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n";
        let start = |more: &str| {
            Redis::start_with(Kind::Server, options.clone(), &format!("{quickly}{more}"))
        };
        let master = start("");
        let port = master.port;
        let replicas = (0..2).map(|_| start(&format!("replicaof 127.0.0.1 {port}\n")));
        let nodes: Vec<_> = [master].into_iter().chain(replicas).collect();
        let login = options.login().unwrap_or_default();
        let login = match login[..] {
            [_, user, password] => {
                format!("sentinel auth-user {NAME} {user}\nsentinel auth-pass {NAME} {password}\n")
            }
            [_, password] => format!("sentinel auth-pass {NAME} {password}\n"),
            _ => String::new(),
        };
        let lines = format!("sentinel monitor {NAME} 127.0.0.1 {port} 2\n{WATCH}{login}");
        let sentinels = (0..3).map(|_| Redis::start_with(Kind::Sentinel, options.clone(), &lines));
        let all = Self {
            sentinels: sentinels.collect(),
            nodes,
        };
        all.wait();
        all
    }

    /// Where clients ask for the master named [`NAME`].
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Redis::address).collect()
    }

    pub(crate) fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The servers with data, which can be masters and replicas in turn.
    pub(crate) fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The master that all running sentinels name, and that is one. Waits until it exists.
    #[track_caller]
    pub(crate) fn master(&self) -> &Redis {
        wait_until(|| self.agreed().is_some(), || self.state());
        self.agreed().unwrap_or_else(|| self.master())
    }

    /// Waits until there is a master, the other running servers are its replicas, and each sentinel knows all of them.
    #[track_caller]
    pub(crate) fn wait(&self) {
        wait_until(|| self.is_complete(), || self.state());
    }

    /// Makes another server the master while all run, and waits until all sentinels name it.
    #[track_caller]
    pub(crate) fn failover(&self) {
        let old = self.master().port;
        let begins = || {
            let reply = self.sentinels[0].look(&["SENTINEL", "FAILOVER", NAME]);
            // INPROG: begun by an earlier attempt, whose answer was late.
            reply.is_some_and(|reply| reply.text() == "OK" || reply.is_error("INPROG"))
        };
        wait_until(begins, || self.state());
        wait_until(|| self.moved_from(old), || self.state());
    }

    /// Kills the master and returns it. The sentinels need at least two seconds to choose another one.
    #[track_caller]
    pub(crate) fn kill_master(&self) -> &Redis {
        let master = self.master();
        master.kill();
        master
    }

    /// Whether all running sentinels name another master than that one.
    pub(crate) fn moved_from(&self, port: u16) -> bool {
        self.agreed().is_some_and(|master| master.port != port)
    }

    fn agreed(&self) -> Option<&Redis> {
        let running = self.sentinels.iter().filter(|it| it.is_running());
        let named: Vec<_> = running.map(named_by).collect();
        let port = (*named.first()?)?;
        let master = self.nodes.iter().find(|node| node.port == port)?;
        let is_so = named.iter().all(|named| *named == Some(port))
            && master.is_running()
            && master.info("role") == "master";
        is_so.then_some(master)
    }

    fn is_complete(&self) -> bool {
        let Some(master) = self.agreed() else {
            return false;
        };
        let running = |nodes: &[Redis]| nodes.iter().filter(|node| node.is_running()).count();
        let mut replicas = self.nodes.iter().filter(|node| node.port != master.port);
        let follows = |node: &Redis| {
            node.info("master_link_status") == "up"
                && node.info("master_port") == master.port.to_string()
        };
        let mut sentinels = self.sentinels.iter().filter(|node| node.is_running());
        replicas.all(|node| !node.is_running() || follows(node))
            && sentinels.all(|sentinel| {
                let known = table(sentinel.look(&["SENTINEL", "MASTER", NAME]));
                let count = |what: &str| known.get(what).and_then(|n| n.parse::<usize>().ok());
                count("num-slaves") >= Some(running(&self.nodes) - 1)
                    && count("num-other-sentinels") >= Some(running(&self.sentinels) - 1)
                    && known.get("flags").is_some_and(|flags| flags == "master")
            })
    }

    fn state(&self) -> String {
        let nodes = self.nodes.iter().map(|node| {
            let (role, link) = (node.info("role"), node.info("master_link_status"));
            format!("{} {role} {link}", node.port)
        });
        let named = self.sentinels.iter().map(|sentinel| {
            let known = table(sentinel.look(&["SENTINEL", "MASTER", NAME]));
            format!("{} says {known:?}", sentinel.port)
        });
        nodes.chain(named).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> Reply {
        self.master().command(words)
    }

    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.master().keys()
    }

    /// Everything that one of the servers stores.
    pub(crate) fn dump(&self) -> Vec<BTreeMap<Vec<u8>, Vec<Vec<u8>>>> {
        let running = self.nodes.iter().filter(|node| node.is_running());
        running.map(Redis::dump).collect()
    }

    pub(crate) fn garbage(&self, pattern: &str, by: Garbage) -> usize {
        self.master().garbage(pattern, by)
    }
}

/// The port of the master as this sentinel says.
fn named_by(sentinel: &Redis) -> Option<u16> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
    let answer = sentinel.look(&words)?.items();
    answer.get(1)?.text().parse().ok()
}

/// Names and values in turn.
fn table(reply: Option<Reply>) -> BTreeMap<String, String> {
    let items = reply.map(Reply::items).unwrap_or_default();
    let pairs = items.chunks_exact(2);
    pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
}
