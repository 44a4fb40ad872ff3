//! One command on one connection, and how far a call has come.

use std::sync::Arc;

use super::command::Command;
use super::connection::Connection;
use super::failed::{Failed, Meaning};
use super::place::Place;
use super::value::Value;

/// How far a call has come, for the case that its time runs out.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) place: Option<Arc<Place>>,
    /// Where the command was sent, until it is answered.
    pub(super) waits_for: Option<Arc<Connection>>,
    /// A server answered that it cannot carry out the command now.
    pub(super) is_refused: bool,
    /// So many replicas have to confirm the command. Zero: none.
    pub(super) replicas: u32,
    /// The server has carried out the command, and replicas have not confirmed it yet.
    pub(super) is_written: bool,
}

pub(super) async fn answer(connection: &Connection, command: &Command) -> Result<Value, Meaning> {
    let answer = connection.ask(command.cmd()).await;
    if let Err(Meaning::NoScript) = &answer
        && let Some(with_text) = command.with_text()
    {
        return connection.ask(&with_text).await;
    }
    answer
}

/// The node answers only right after `ASKING`. It may not know the script.
pub(super) async fn after_asking(
    connection: &Connection,
    command: &Command,
) -> Result<Value, Meaning> {
    let mut pipeline = redis::Pipeline::with_capacity(2);
    let with_text = command.with_text();
    let cmd = with_text.unwrap_or_else(|| command.cmd().clone());
    pipeline.cmd("ASKING").add_command(cmd);
    let mut answers = connection.ask_all(&pipeline).await?;
    answers.pop().unwrap_or(Err(Meaning::Lost(Failed::Garbage)))
}
