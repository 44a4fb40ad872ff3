//! Writes that replicas have to confirm: the command and `WAIT` in one go, on a connection of their own.

use tokio::time::Instant;

use super::command::Command;
use super::connection::Connection;
use super::exchange::{Progress, after_asking};
use super::failed::{Failed, Meaning};
use super::place::Place;
use super::value::Value;

/// The answer to a write, once `progress.replicas` have it. `live` is the connection that other calls share.
pub(super) async fn confirmed(
    place: &Place,
    live: &Connection,
    command: &Command,
    is_asking: bool,
    end: Instant,
    progress: &mut Progress,
) -> Result<Value, Meaning> {
    let mut lease = place.lease(live).await.map_err(Meaning::Lost)?;
    let wait = wait(progress.replicas, end);
    let (value, confirmations) = if is_asking {
        let value = after_asking(&lease.connection, command).await?;
        progress.is_written = true;
        (value, lease.connection.ask(&wait).await)
    } else {
        let answer = with_wait(&lease.connection, command.cmd(), &wait, progress).await;
        match (answer, command.with_text()) {
            (Err(Meaning::NoScript), Some(with_text)) => {
                // This connection may still wait for replicas.
                drop(lease);
                lease = place.lease(live).await.map_err(Meaning::Lost)?;
                with_wait(&lease.connection, &with_text, &wait, progress).await?
            }
            (answer, _) => answer?,
        }
    };
    let number = match confirmations {
        Ok(value) => value.number().ok_or(Meaning::Lost(Failed::Garbage))?,
        Err(Meaning::Lost(failed)) => return Err(Meaning::Lost(failed)),
        Err(Meaning::Over(Failed::Refused(text))) if !text.starts_with("UNBLOCKED") => {
            return Err(Meaning::Over(Failed::Refused(text)));
        }
        // The server is not a master any more. The command must not be sent again.
        Err(_) => return Err(Meaning::Over(Failed::TooFewReplicas)),
    };
    place.give_back(lease);
    if number >= i64::from(progress.replicas) {
        Ok(value)
    } else {
        Err(Meaning::Over(Failed::TooFewReplicas))
    }
}

/// Sends a command and `WAIT` without waiting in between. The answer to `WAIT` is awaited only if the command was carried out.
async fn with_wait(
    connection: &Connection,
    cmd: &redis::Cmd,
    wait: &redis::Cmd,
    progress: &mut Progress,
) -> Result<(Value, Result<Value, Meaning>), Meaning> {
    let (mut sent, mut waiting) = (
        Box::pin(connection.ask(cmd)),
        Box::pin(connection.ask(wait)),
    );
    let mut early = None;
    let value = loop {
        tokio::select! {
            // The command is sent first.
            biased;
            value = &mut sent => break value,
            answer = &mut waiting, if early.is_none() => early = Some(answer),
        }
    };
    let value = value?;
    progress.is_written = true;
    let confirmations = match early {
        Some(answer) => answer,
        None => waiting.await,
    };
    Ok((value, confirmations))
}

/// `WAIT` for what was sent before it on the same connection, until `end`; the server may take a little longer.
fn wait(replicas: u32, end: Instant) -> redis::Cmd {
    let left = end.saturating_duration_since(Instant::now()).as_millis();
    let mut wait = redis::cmd("WAIT");
    // Zero would be forever.
    wait.arg(replicas)
        .arg(u64::try_from(left).unwrap_or(u64::MAX).max(1));
    wait
}

/// Asks whether replicas confirm what the server has carried out until now, and records it.
pub(super) async fn probe(place: &Place, replicas: u32, end: Instant) -> Result<(), Failed> {
    let live = place.connection().await?;
    let lease = place.lease(&live).await?;
    // `WAIT` is about the last command of its connection, and on a new one about none.
    lease.connection.ask_for("PING", &[]).await?;
    let confirmations = lease.connection.ask(&wait(replicas, end)).await;
    if let Ok(Value::Int(number)) = confirmations {
        place.give_back(lease);
        place
            .breaker
            .replicas
            .record_probe(number < i64::from(replicas));
    }
    Ok(())
}
