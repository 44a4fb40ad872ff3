//! Sentinels and clusters, whose masters change.

use super::*;
use crate::store::redis::link::servers::{Nodes, Watched};

fn port(answer: &Value) -> Option<u16> {
    answer.list().get(1)?.text()?.parse().ok()
}

/// The port of the server that answers.
async fn where_is(link: &Link) -> Option<u16> {
    let question = Command::new("CONFIG").arg(b"GET").arg(b"port");
    port(&link.send(&question).await.ok()?)
}

#[tokio::test]
async fn a_call_follows_a_sentinel_failover() {
    let mut watched = Watched::start();
    let (link, script) = (link(&watched.url()), counting());
    let first = where_is(&link).await.unwrap();
    assert_eq!(first, watched.servers[0].port);

    watched.sentinels[0].ask(&["SENTINEL", "FAILOVER", "main"]);
    let second = until(
        "the link leaves the old master, which accepts writes",
        async || {
            drop(link.probe().await);
            where_is(&link).await.filter(|port| *port != first)
        },
    )
    .await;
    call(&link, &script, &[b"k"], &[b"t"]).await.unwrap();

    until("the old master follows the new one", async || {
        let role = watched.servers[0].ask(&["ROLE"]);
        (role.contains("slave") && role.contains("connected")).then_some(())
    })
    .await;
    let master = watched
        .servers
        .iter_mut()
        .find(|server| server.port == second);
    master.unwrap().kill();
    let third = until("the link finds the next master", async || {
        call(&link, &script, &[b"k"], &[b"t"]).await.ok()?;
        where_is(&link).await
    })
    .await;
    assert_ne!(third, second);
}

#[tokio::test]
async fn a_master_is_reachable_when_the_sentinels_are_not() {
    let watched = Watched::start();
    let deployment = deployment(&watched.url());
    let link = Link::new(Arc::clone(&deployment));
    set(&link, "k").await.unwrap();
    for sentinel in &watched.sentinels {
        sentinel.signal("STOP");
    }
    link.probe().await.unwrap();
    assert!(deployment.is_reachable());
    set(&link, "k").await.unwrap();
}

#[tokio::test]
async fn a_replica_is_not_reachable_as_a_single_server() {
    let master = Server::start(&[]);
    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&["--replicaof", &of]);
    let link = to(&replica);
    assert_eq!(link.probe().await, Err(Failed::Unreachable));
    assert!(set(&link, "k").await.is_err());
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    until("a write passes", async || set(&link, "k").await.ok()).await;
}

#[tokio::test]
async fn sentinels_may_require_the_password_as_well() {
    let watched = Watched::start();
    for server in watched.servers.iter().chain(&watched.sentinels[..2]) {
        server.protect("right");
    }
    let url = watched.url();
    let at = |user: &str| url.replace("://", &format!("://{user}@"));
    set(&link(&at(":right")), "k").await.unwrap();
    let wrong = set(&link(&at(":wrong")), "k").await;
    assert!(matches!(wrong, Err(Failed::Refused(_))), "{wrong:?}");
}

#[tokio::test]
async fn a_call_follows_a_failover_from_a_master_that_is_stopped() {
    let watched = Watched::start();
    let link = link(&watched.url());
    set(&link, "k").await.unwrap();
    watched.servers[0].signal("STOP");
    until("a write passes", async || set(&link, "k").await.ok()).await;
    let now = where_is(&link).await;
    assert_ne!(now, Some(watched.servers[0].port));
    watched.servers[0].signal("CONT");
    for _ in 0..20 {
        assert!(set(&link, "k").await.is_ok());
        assert!(link.probe().await.is_ok());
        assert_eq!(
            where_is(&link).await,
            now,
            "the old master is not followed again"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn no_replica_is_taken_for_the_master() {
    let mut watched = Watched::start();
    let link = link(&watched.url());
    set(&link, "k").await.unwrap();
    // The sentinels forget the others, so that no failover takes place, and name a replica.
    let replica = watched.servers[1].port.to_string();
    for sentinel in &watched.sentinels {
        sentinel.ask(&["SENTINEL", "REMOVE", "main"]);
        sentinel.ask(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &replica, "9"]);
    }
    watched.servers[0].kill();
    for _ in 0..10 {
        assert!(set(&link, "k").await.is_err());
    }
    assert!(get(&link, "k").await.is_err());
}

#[tokio::test]
async fn a_cluster_is_followed_through_a_failover() {
    let mut nodes = Nodes::start();
    let (link, script) = (link(&nodes.url()), counting());
    let keys: Vec<_> = (0..50).map(|number| format!("k{number}")).collect();
    let everywhere = async || {
        for key in &keys {
            call(&link, &script, &[key.as_bytes()], &[b"t"])
                .await
                .ok()?;
        }
        Some(())
    };
    assert_eq!(everywhere().await, Some(()));
    let gets: Vec<_> = keys
        .iter()
        .map(|key| Command::new("GET").key(key.as_bytes()))
        .collect();
    assert_eq!(link.send_all(&gets).await, Ok(vec![text("1"); keys.len()]));
    link.probe().await.unwrap();

    nodes.0[0].kill();
    until("every key can be written", everywhere).await;
    assert!(link.send_all(&gets).await.is_ok());
    until("all masters answer", async || link.probe().await.ok()).await;
}

#[tokio::test]
async fn a_cluster_is_followed_when_a_master_is_stopped() {
    let nodes = Nodes::start();
    let deployment = deployment(&nodes.url());
    let link = Link::new(Arc::clone(&deployment));
    link.probe().await.unwrap();
    assert!(deployment.is_reachable());
    nodes.0[1].signal("STOP");
    until("all masters answer", async || {
        drop(set(&link, "any").await);
        link.probe().await.ok()
    })
    .await;
    for number in 0..50 {
        set(&link, &format!("k{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let nodes = Nodes::start();
    let (link, script) = (link(&nodes.url()), counting());
    let slot = "12182"; // of the key `foo`
    let id = |node: &Server| {
        node.ask(&["CLUSTER", "MYID"])
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    call(&link, &script, &[b"foo"], &[b"t"]).await.unwrap();
    let from = nodes
        .0
        .iter()
        .find(|node| node.ask(&["GET", "foo"]).starts_with("$1"))
        .unwrap();
    let mut others = nodes
        .0
        .iter()
        .filter(|node| node.ask(&["ROLE"]).contains("master"));
    let to = others.find(|node| node.port != from.port).unwrap();
    to.ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &id(from)]);
    from.ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &id(to)]);
    let bar = b"{foo}bar";
    call(&link, &script, &[bar], &[b"t"]).await.unwrap();
    assert_eq!(
        link.send(&Command::new("GET").key(bar)).await,
        Ok(text("1")),
        "ASK"
    );

    let (port, own) = (to.port.to_string(), id(to));
    let moved = from.ask(&["MIGRATE", "127.0.0.1", &port, "foo", "0", "5000"]);
    assert!(moved.contains("OK"), "{moved}");
    for node in [to, from] {
        node.ask(&["CLUSTER", "SETSLOT", slot, "NODE", &own]);
    }
    assert_eq!(get(&link, "foo").await, Ok(text("1")), "MOVED");
    call(&link, &script, &[b"foo", bar], &[b"t"]).await.unwrap();
    assert_eq!(get(&link, "foo").await, Ok(text("2")));
}
