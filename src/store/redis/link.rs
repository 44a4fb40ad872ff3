//! A worker's access to one deployment of Redis or Valkey: a server, a master that Sentinel names, or a cluster.
//!
//! Every call ends within the deadline, connecting included. A call is sent again only if it was certainly not carried out: it
//! was not sent, or the server answered so (`NOSCRIPT`, `MOVED`, `ASK`, `READONLY`, `LOADING` ..). After a deadline or a broken
//! connection it may have been carried out, and the caller gets the failure.
//!
//! A write can require that replicas have it ([`Link::write`]). It is then followed by `WAIT`, and while replicas are missing, further
//! writes fail at once.
//!
//! A connection is dropped at the first deadline, I/O error, or answer of a server that is not a master. The next call opens a new
//! one, to whichever server is the master then. While a server is down, its circuit breaker makes calls fail at once
//! (`breaker.rs`).

mod attempt;
mod breaker;
mod cluster;
mod command;
mod confirm;
mod connection;
mod deployment;
mod exchange;
mod failed;
mod lease;
mod place;
mod routes;
mod target;
mod tls;
mod value;

#[cfg(test)]
pub(super) mod servers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use attempt::{admit, carry_out, conclude, first_answers};
use exchange::Progress;
use routes::Routes;

pub(crate) use command::{Command, Script};
pub(crate) use deployment::Deployment;
#[cfg(test)]
pub(crate) use deployment::stand_in;
pub(crate) use failed::Failed;
pub(crate) use target::Target;
pub(crate) use value::Value;

/// Opens its connections when they are needed, in the runtime that calls it. They end with that runtime, so each worker has a
/// link of its own.
#[derive(Debug)]
pub(crate) struct Link {
    routes: Routes,
}

impl Link {
    pub(crate) fn new(deployment: Arc<Deployment>) -> Self {
        Self {
            routes: Routes::new(deployment),
        }
    }

    fn end(&self) -> Instant {
        Instant::now() + self.routes.deployment.deadline
    }

    /// Sends one command.
    pub(crate) async fn send(&self, command: &Command) -> Result<Value, Failed> {
        self.send_to(command, 0).await
    }

    /// Sends a command whose change must not be lost. The answer comes when as many replicas have the change as the deployment
    /// requires; without them it is [`Failed::TooFewReplicas`], and the change may have been made.
    pub(crate) async fn write(&self, command: &Command) -> Result<Value, Failed> {
        self.send_to(command, self.routes.deployment.min_replicas)
            .await
    }

    async fn send_to(&self, command: &Command, replicas: u32) -> Result<Value, Failed> {
        #[cfg(test)]
        if let Some(stand_in) = &self.routes.deployment.stand_in {
            return stand_in.answer(stand_in::Call::of(command, replicas)).await;
        }
        let progress = admit(&self.routes, command, replicas)?;
        self.send_until(self.end(), command, progress).await
    }

    async fn send_until(
        &self,
        end: Instant,
        command: &Command,
        mut progress: Progress,
    ) -> Result<Value, Failed> {
        let call = carry_out(&self.routes, command, end, &mut progress);
        let result = timeout_at(end, call).await.ok();
        conclude(&self.routes, &progress, result)
    }

    /// Sends several commands at once. Their answers, in the same order; or one of the failures, and then some of the commands may
    /// have been carried out.
    pub(crate) async fn send_all(&self, commands: &[Command]) -> Result<Vec<Value>, Failed> {
        #[cfg(test)]
        if let Some(stand_in) = &self.routes.deployment.stand_in {
            let mut values = Vec::new();
            for command in commands {
                values.push(stand_in.answer(stand_in::Call::of(command, 0)).await?);
            }
            return Ok(values);
        }
        let end = self.end();
        let mut unanswered = Vec::new();
        let first = first_answers(&self.routes, commands, &mut unanswered);
        let Ok(answers) = timeout_at(end, first).await else {
            for place in unanswered {
                place.leave_any();
                place.breaker.record(true);
            }
            self.routes.doubt();
            return Err(Failed::Deadline);
        };
        let mut values = Vec::with_capacity(commands.len());
        for (answer, command) in answers?.into_iter().zip(commands) {
            values.push(match answer {
                Some(value) => value,
                None => self.send_until(end, command, Progress::default()).await?,
            });
        }
        Ok(values)
    }

    /// Asks whether the server answers and is a master, whatever the breaker says; in a cluster, all masters. To be called about
    /// once a second by each worker, also without traffic: [`Deployment::is_reachable`] is then never older than that.
    ///
    /// It also asks for the confirmation of replicas, if the deployment requires some. With Sentinel it leaves a server that is not
    /// the master any more: after `SENTINEL FAILOVER` the old master accepts writes for some seconds, and these are lost.
    pub(crate) async fn probe(&self) -> Result<(), Failed> {
        let end = self.end();
        let places = timeout_at(end, self.routes.all()).await;
        let places = places.unwrap_or(Err(Failed::Deadline));
        let places = places.inspect_err(|_| self.routes.deployment.breaker().open())?;
        let mut probes = JoinSet::new();
        for place in places {
            let replicas = self.routes.deployment.min_replicas;
            probes.spawn(async move { attempt::probe(&place, replicas, end).await });
        }
        let mut result = Ok(());
        while let Some(probe) = probes.join_next().await {
            result = result.and(probe.unwrap_or(Err(Failed::Unreachable)));
        }
        if result.is_err() {
            self.routes.doubt();
        }
        result
    }
}
