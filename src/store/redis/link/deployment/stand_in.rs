//! Something that answers commands in place of servers, for the simulator and for tests of the model.

use std::pin::Pin;

use super::super::{Command, Failed, Value};

/// The answer to one command, sooner or later.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Value, Failed>> + Send>>;

/// Answers every command of a deployment. Deadlines are up to it.
pub(crate) trait StandIn: Send + Sync {
    fn answer(&self, command: Call) -> Answer;
}

/// A command, as a server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The text of the script that it calls; `None` for other commands.
    pub(crate) script: Option<&'static str>,
    /// The name and the arguments. For a script: `EVALSHA`, the SHA-1, the number of keys, keys, arguments.
    pub(crate) words: Vec<Vec<u8>>,
    /// So many replicas have to confirm it (`WAIT`).
    pub(crate) replicas: u32,
}

impl Call {
    pub(crate) fn of(command: &Command, replicas: u32) -> Self {
        let words = command.cmd().args_iter();
        let words = words.filter_map(|word| {
            if let redis::Arg::Simple(word) = word {
                Some(word.to_vec())
            } else {
                None
            }
        });
        Self {
            script: command.script_text(),
            words: words.collect(),
            replicas,
        }
    }
}
