//! Writes that replicas have to confirm.

use super::*;
use crate::store::redis::link::servers::{self, Nodes, Watched};

fn requiring(replicas: u32, url: &str, deadline: Duration) -> Arc<Deployment> {
    let target = Target::parse(url).unwrap();
    let deployment = Deployment::new(&target, None, deadline, &Clock::system()).unwrap();
    Arc::new(deployment.with_min_replicas(replicas))
}

async fn write(link: &Link, key: &str) -> Result<Value, Failed> {
    let command = Command::script(&counting(), &[key.as_bytes()], &[b"t"]);
    link.write(&command).await
}

/// A master and its replica.
fn pair() -> [Server; 2] {
    let master = Server::start(&[]);
    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&["--replicaof", &of]);
    servers::until("the replica follows the master", || {
        master
            .ask(&["INFO", "replication"])
            .contains("state=online")
    });
    [master, replica]
}

#[tokio::test]
async fn a_write_is_answered_when_the_replica_has_it() {
    let [master, replica] = pair();
    let url = format!("redis://{}", master.address());
    let link = Link::new(requiring(1, &url, GENEROUS));
    for number in 1..=20 {
        let key = format!("k{number}");
        assert_eq!(write(&link, &key).await, Ok(text("t")));
        assert!(replica.ask(&["GET", &key]).starts_with("$1\r\n1"));
        // The server forgets the script, and the connection is used again.
        master.ask(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn without_the_replica_writes_are_refused_within_the_deadline_and_reads_go_on() {
    let [master, replica] = pair();
    let url = format!("redis://{}", master.address());
    let deployment = requiring(1, &url, Duration::from_secs(1));
    let link = Link::new(Arc::clone(&deployment));
    link.probe().await.unwrap();
    write(&link, "k").await.unwrap();
    assert!(deployment.is_reachable());

    replica.signal("STOP");
    let start = Instant::now();
    for _ in 0..3 {
        let (refused, read) = tokio::join!(write(&link, "k"), get(&link, "k"));
        assert_eq!(refused, Err(Failed::TooFewReplicas));
        assert!(read.is_ok(), "{read:?}");
    }
    assert!(start.elapsed() < 2 * GENEROUS, "{:?}", start.elapsed());
    assert_eq!(get(&link, "k").await, Ok(text("4")), "the master has them");
    assert!(!deployment.is_reachable());
    let trouble = deployment.trouble().unwrap();
    assert!(trouble.contains("fewer than 1 of 1 replicas"), "{trouble}");

    // Now they fail without being sent, except one at times.
    let at_once = async {
        for _ in 0..1000 {
            assert_eq!(write(&link, "k").await, Err(Failed::TooFewReplicas));
        }
    };
    let passed = timeout(Duration::from_millis(300), at_once).await;
    let number = get(&link, "k").await.unwrap();
    let number: usize = number.text().unwrap().parse().unwrap();
    assert!(number < 20, "{number} of a thousand, {passed:?}");

    replica.signal("CONT");
    until("writes pass", async || write(&link, "k").await.ok()).await;
    assert!(deployment.is_reachable() && deployment.trouble().is_none());
}

#[tokio::test]
async fn many_writes_at_once_wait_beside_each_other() {
    let [master, _replica] = pair();
    let url = format!("redis://{}", master.address());
    let link = Arc::new(Link::new(requiring(1, &url, 4 * GENEROUS)));
    let mut writes = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let link = Arc::clone(&link);
        writes.spawn(async move { write(&link, "k").await });
    }
    for answer in writes.join_all().await {
        assert_eq!(answer, Ok(text("t")));
    }
    assert_eq!(get(&link, "k").await, Ok(text("200")));
}

#[tokio::test]
async fn a_probe_finds_that_replicas_are_missing_and_that_they_are_back() {
    let master = Server::start(&[]);
    let url = format!("redis://{}", master.address());
    let deployment = requiring(1, &url, DEADLINE);
    let link = Link::new(Arc::clone(&deployment));
    link.probe().await.unwrap();
    assert!(!deployment.is_reachable(), "there is none");
    let trouble = deployment.trouble().unwrap();
    assert_eq!(trouble, "only 0 of 1 replicas are connected");

    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&["--replicaof", &of]);
    let reachable = async || {
        drop(link.probe().await);
        deployment.is_reachable().then_some(())
    };
    until("the replica confirms", reachable).await;
    // It is still connected.
    replica.signal("STOP");
    until("the probe notices", async || {
        drop(link.probe().await);
        (!deployment.is_reachable()).then_some(())
    })
    .await;
    replica.signal("CONT");
    until("the replica confirms again", reachable).await;
}

#[tokio::test]
async fn confirmed_writes_survive_a_failover_and_follow_the_master() {
    let mut watched = Watched::start();
    let link = Link::new(requiring(2, &watched.url(), GENEROUS));
    for number in 0..20 {
        write(&link, &format!("k{number}")).await.unwrap();
    }
    watched.servers[0].kill();
    // Until the killed server is back, a replica is missing.
    let read = until("the link finds the next master", async || {
        drop(link.probe().await);
        get(&link, "k0").await.ok()
    })
    .await;
    assert_eq!(read, text("1"));
    for number in 1..20 {
        assert_eq!(get(&link, &format!("k{number}")).await, Ok(text("1")));
    }
    assert!(write(&link, "k").await.is_err());
    watched.servers[0].restart();
    until("writes pass", async || {
        drop(link.probe().await);
        write(&link, "k").await.ok()
    })
    .await;
}

#[tokio::test]
async fn in_a_cluster_the_node_of_the_slot_waits_for_its_replica() {
    let nodes = Nodes::start();
    let link = Link::new(requiring(1, &nodes.url(), GENEROUS));
    for number in 0..30 {
        let key = format!("k{number}");
        write(&link, &key).await.unwrap();
        let has = |node: &Server| {
            // Of the master and of the replica; others refuse.
            let own = node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot_of(node, &key)]);
            own.starts_with(":1")
        };
        assert_eq!(nodes.0.iter().filter(|node| has(node)).count(), 2, "{key}");
    }
    let two = Link::new(requiring(2, &nodes.url(), DEADLINE));
    assert_eq!(write(&two, "k").await, Err(Failed::TooFewReplicas));
}

fn slot_of(node: &Server, key: &str) -> String {
    let answer = node.ask(&["CLUSTER", "KEYSLOT", key]);
    answer.trim_start_matches(':').trim_end().to_owned()
}
