//! One call: it is sent again only if it was certainly not carried out.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::command::Command;
use super::confirm::{self, confirmed};
use super::exchange::{Progress, after_asking, answer};
use super::failed::{Failed, Meaning};
use super::place::Place;
use super::routes::Routes;
use super::value::Value;

/// The pause before a command is sent again after a server refused it.
const PAUSE: Duration = Duration::from_millis(10);

/// So often servers may pass a command on to another without a pause.
const REDIRECTIONS: u32 = 4;

/// Carries out a command. `end` is told to servers that wait for their replicas; the caller has to keep it. `progress` shows how
/// far the call has come when it is dropped.
pub(super) async fn carry_out(
    routes: &Routes,
    command: &Command,
    end: Instant,
    progress: &mut Progress,
) -> Result<Value, Failed> {
    let mut place = routes.find(command.slot()).await?;
    let (mut redirections, mut is_asking) = (0, false);
    loop {
        progress.place = Some(Arc::clone(&place));
        let connection = place.connection().await?;
        progress.waits_for = Some(Arc::clone(&connection));
        let answer = if progress.replicas > 0 {
            confirmed(&place, &connection, command, is_asking, end, progress).await
        } else if is_asking {
            after_asking(&connection, command).await
        } else {
            answer(&connection, command).await
        };
        progress.waits_for = None;
        let meaning = match answer {
            Ok(value) => return Ok(value),
            Err(meaning) => meaning,
        };
        progress.is_refused = true;
        is_asking = matches!(meaning, Meaning::Ask(_));
        match meaning {
            Meaning::Over(failed) => return Err(failed),
            Meaning::Lost(failed) => {
                place.leave(&connection);
                return Err(failed);
            }
            Meaning::Moved(to) | Meaning::Ask(to) => {
                if !is_asking {
                    routes.doubt();
                }
                place = routes.named(&connection, &to).ok_or_else(no_cluster)?;
                redirections += 1;
                if redirections > REDIRECTIONS {
                    sleep(PAUSE).await;
                }
            }
            Meaning::Elsewhere => {
                place.leave(&connection);
                routes.doubt();
                sleep(PAUSE).await;
                place = routes.find(command.slot()).await?;
            }
            Meaning::Later | Meaning::NoScript => sleep(PAUSE).await,
        }
    }
}

fn no_cluster() -> Failed {
    Failed::Refused(
        "the server is a node of a cluster: write redis+cluster:// in the URL".to_owned(),
    )
}

/// Whether the server may be called; otherwise the call fails at once. `replicas`: see [`Progress`].
pub(super) fn admit(routes: &Routes, command: &Command, replicas: u32) -> Result<Progress, Failed> {
    let (place, breaker) = routes.known(command.slot());
    if !breaker.admits() {
        return Err(Failed::Unreachable);
    }
    if replicas > 0 && !breaker.replicas.admit() {
        return Err(Failed::TooFewReplicas);
    }
    Ok(Progress {
        place,
        replicas,
        ..Progress::default()
    })
}

/// Records how a call ended. `None`: its time ran out. The connection that did not answer in time is dropped.
pub(super) fn conclude(
    routes: &Routes,
    progress: &Progress,
    result: Option<Result<Value, Failed>>,
) -> Result<Value, Failed> {
    let result = result.unwrap_or_else(|| match (&progress.place, &progress.waits_for) {
        _ if progress.is_written => Err(Failed::TooFewReplicas),
        (Some(place), Some(connection)) => {
            place.leave(connection);
            Err(Failed::Deadline)
        }
        _ if progress.is_refused => Err(Failed::Unreachable),
        _ => Err(Failed::Deadline),
    });
    let is_outage = result.as_ref().is_err_and(Failed::is_outage);
    let breaker = match &progress.place {
        Some(place) => &place.breaker,
        None => routes.deployment.breaker(),
    };
    breaker.record(is_outage);
    if is_outage {
        routes.doubt();
    }
    let are_missing = result == Err(Failed::TooFewReplicas);
    if progress.replicas > 0 && (result.is_ok() || are_missing) {
        breaker.replicas.record(are_missing);
    }
    result
}

/// Commands for the same server.
struct Group {
    place: Arc<Place>,
    pipeline: redis::Pipeline,
    /// The positions of the commands among all.
    positions: Vec<usize>,
}

/// Sends all commands at once; those for the same server in one write. `None` for a command that has to be sent again.
pub(super) async fn first_answers(
    routes: &Routes,
    commands: &[Command],
    places: &mut Vec<Arc<Place>>,
) -> Result<Vec<Option<Value>>, Failed> {
    let mut groups: Vec<Group> = Vec::new();
    for (position, command) in commands.iter().enumerate() {
        let place = routes.find(command.slot()).await?;
        let mut known = groups.iter_mut();
        if let Some(group) = known.find(|group| Arc::ptr_eq(&group.place, &place)) {
            group.pipeline.add_command(command.cmd().clone());
            group.positions.push(position);
            continue;
        }
        if !place.breaker.admits() {
            return Err(Failed::Unreachable);
        }
        places.push(Arc::clone(&place));
        let mut pipeline = redis::Pipeline::new();
        pipeline.add_command(command.cmd().clone());
        groups.push(Group {
            place,
            pipeline,
            positions: vec![position],
        });
    }
    let mut sent = JoinSet::new();
    for group in groups {
        sent.spawn(async move {
            let answers = group_answers(&group).await;
            (group, answers)
        });
    }
    let mut values = vec![None; commands.len()];
    let mut result = Ok(());
    while let Some(joined) = sent.join_next().await {
        let Ok((group, answers)) = joined else {
            return Err(Failed::Unreachable);
        };
        let is_outage = answers.as_ref().is_err_and(Failed::is_outage);
        group.place.breaker.record(is_outage);
        places.retain(|place| !Arc::ptr_eq(place, &group.place));
        if is_outage {
            routes.doubt();
        }
        match answers {
            Err(failed) => result = result.and(Err(failed)),
            Ok(answers) => {
                for (position, answer) in group.positions.into_iter().zip(answers) {
                    if let Some(value) = values.get_mut(position) {
                        *value = answer;
                    }
                }
            }
        }
    }
    result.map(|()| values)
}

async fn group_answers(group: &Group) -> Result<Vec<Option<Value>>, Failed> {
    let connection = group.place.connection().await?;
    let answers = connection.ask_all(&group.pipeline).await;
    let answers = answers.and_then(|answers| {
        let answers = answers.into_iter().map(|answer| match answer {
            Ok(value) => Ok(Some(value)),
            Err(Meaning::Over(failed)) => Err(Meaning::Over(failed)),
            Err(Meaning::Lost(failed)) => Err(Meaning::Lost(failed)),
            Err(_certainly_not_carried_out) => Ok(None),
        });
        answers.collect()
    });
    answers.map_err(|meaning| {
        if let Meaning::Over(failed) = meaning {
            return failed;
        }
        group.place.leave(&connection);
        match meaning {
            Meaning::Lost(failed) => failed,
            Meaning::Over(_)
            | Meaning::NoScript
            | Meaning::Moved(_)
            | Meaning::Ask(_)
            | Meaning::Elsewhere
            | Meaning::Later => Failed::Unreachable,
        }
    })
}

/// Asks a server whether it answers, and whether it is a master, until `end`. At the same time it asks the sentinels; if they do
/// not answer, that is no failure of the server. Then it asks for the confirmation of so many replicas.
pub(super) async fn probe(place: &Place, replicas: u32, end: Instant) -> Result<(), Failed> {
    let answers = place.breaker.answers();
    let follow = timeout_at(end, place.follow());
    let (_, answer) = tokio::join!(follow, timeout_at(end, role(place)));
    let answer = answer.unwrap_or(Err(Failed::Deadline));
    if answer.as_ref().is_err_and(Failed::is_outage) {
        place.leave_any();
        place.breaker.record_probe_failure(answers);
    } else {
        place.breaker.record(false);
    }
    answer?;
    if replicas > 0 {
        let confirmation = timeout_at(end, confirm::probe(place, replicas, end)).await;
        // A refusal shows in the metrics of writes.
        if confirmation.is_err() {
            place.breaker.replicas.record_probe(true);
        }
    }
    Ok(())
}

async fn role(place: &Place) -> Result<(), Failed> {
    let connection = place.connection().await?;
    let role = connection.role().await?;
    place.breaker.replicas.saw(role.replicas);
    if role.is_master {
        Ok(())
    } else {
        Err(Failed::Unreachable)
    }
}
