//! `check`: what the servers of a store in Redis say about themselves.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Deployment, Keyspace};

/// The shortest time that the servers get for their answer: `check` may run far away from them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Warnings about the servers, each with its help. Asks them once, as a gate does at its start.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let Some(at) = config.kind.remote() else {
        return Vec::new();
    };
    let unasked = |why: &str| {
        vec![format!(
            "warning: Redis cannot be asked from here: {why}\nhelp: that matters only where the gate runs; whether the server \
             removes records (maxmemory-policy) is not checked"
        )]
    };
    let deadline = at.deadline.max(PATIENCE);
    let deployment = Deployment::new(&at.target, at.ca.as_deref(), deadline, &Clock::system());
    let deployment = match deployment {
        Ok(deployment) => deployment.with_min_replicas(at.min_replicas),
        Err(error) => return unasked(&error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return unasked(&error.to_string()),
    };
    let warnings = runtime.block_on(async {
        let keyspace = Keyspace::new(Arc::new(deployment), &at.prefix, "check");
        let answer = keyspace.probe().await;
        if let Err(why) = answer {
            return unasked(&keyspace.trouble().unwrap_or(why));
        }
        let evicts = keyspace.evicts().map(|policy| {
            format!(
                "warning: the maxmemory-policy of Redis is {policy}: a full server removes sign-ins and claims that are still valid\n\
                 help: set maxmemory-policy noeviction"
            )
        });
        let lacks = keyspace.trouble().map(|trouble| {
            format!(
                "warning: {trouble}, so every sign-in would be refused\nhelp: connect more replicas, or lower store.min_replicas"
            )
        });
        evicts.into_iter().chain(lacks).collect()
    });
    // A name server that does not answer must not delay the end.
    runtime.shutdown_background();
    warnings
}
