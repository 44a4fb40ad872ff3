//! Why a call failed.

use redis::ErrorKind;

/// The longest text of a server that is kept, in characters.
const MOST: usize = 200;

/// Why a call has no answer. After `Unreachable`, `Deadline`, `Garbage` and `TooFewReplicas` the command may have been carried out;
/// after the others it was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    /// No server can be reached that accepts the command, or the connection broke before the answer.
    #[error("no server can be reached, or the connection broke")]
    Unreachable,
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    Deadline,
    /// The server has no memory left (`OOM`).
    #[error("the server has no memory left")]
    Full,
    /// The server refuses: wrong password, missing permission, or any other error; with its text.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server has carried out the command, or would have, but fewer replicas than required have confirmed it.
    #[error("too few replicas have the change")]
    TooFewReplicas,
    /// The answer is not valid RESP, or a type that no command here yields.
    #[error("the server's answer cannot be understood")]
    Garbage,
}

impl Failed {
    /// A refusal with the server's text. `ERR unknown command` repeats the arguments of the command, which are secrets here; the
    /// text ends before them.
    fn refused(code: &str, text: &str) -> Self {
        let text = text.split(", with args").next().unwrap_or_default();
        let text = format!("{code} {text}").chars().take(MOST).collect();
        Self::Refused(text)
    }

    /// Whether the server is to blame: it is down, slow or broken. A refusal proves that it runs.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable | Self::Deadline | Self::Garbage => true,
            Self::Full | Self::Refused(_) | Self::TooFewReplicas => false,
        }
    }
}

/// What an error tells the caller to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The server does not know the script. It was not run.
    NoScript,
    /// Another node is responsible for the key, at `host:port`. Nothing was carried out.
    Moved(String),
    /// As `Moved`, for this one command.
    Ask(String),
    /// Not carried out: the server is a replica, loads its data, or has lost its quorum. Another server may accept the command.
    Elsewhere,
    /// Not carried out: the server is busy or its cluster changes. The same server may accept the command later.
    Later,
    /// The call ends; the connection is still in order.
    Over(Failed),
    /// The call ends, and so does the connection.
    Lost(Failed),
}

/// The meaning of an error that the server answered.
pub(super) fn of_server(error: &redis::ServerError) -> Meaning {
    of_text(error.code(), error.details().unwrap_or_default())
}

/// Redis before 7 wraps an error of a command in a script: `ERR Error running script (call to f_..): @user_script:1: -OOM ..`.
fn wrapped(text: &str) -> Option<&'static str> {
    let known = ["READONLY", "OOM", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN"];
    let is_in = |code: &&str| text.contains(&format!(": -{code} "));
    known.into_iter().find(is_in)
}

fn of_text(code: &str, text: &str) -> Meaning {
    let target = || text.split_whitespace().nth(1).map(str::to_owned);
    match code {
        "NOSCRIPT" => Meaning::NoScript,
        "MOVED" => target().map_or(Meaning::Lost(Failed::Garbage), Meaning::Moved),
        "ASK" => target().map_or(Meaning::Lost(Failed::Garbage), Meaning::Ask),
        "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOREPLICAS" => Meaning::Elsewhere,
        "TRYAGAIN" | "BUSY" => Meaning::Later,
        "OOM" => Meaning::Over(Failed::Full),
        "NOAUTH" | "WRONGPASS" => Meaning::Lost(Failed::refused(code, text)),
        "ERR" => match wrapped(text) {
            Some(inner) => of_text(inner, ""),
            None => Meaning::Over(Failed::refused(code, text)),
        },
        _ => Meaning::Over(Failed::refused(code, text)),
    }
}

/// The meaning of an error of the connection.
pub(super) fn of_connection(error: &redis::RedisError) -> Meaning {
    if error.kind() == ErrorKind::Parse || error.kind() == ErrorKind::UnexpectedReturnType {
        Meaning::Lost(Failed::Garbage)
    } else {
        Meaning::Lost(Failed::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_prove_that_nothing_was_carried_out_allow_another_attempt() {
        for code in [
            "READONLY",
            "LOADING",
            "MASTERDOWN",
            "CLUSTERDOWN",
            "NOREPLICAS",
        ] {
            assert_eq!(of_text(code, "any"), Meaning::Elsewhere, "{code}");
        }
        assert_eq!(of_text("TRYAGAIN", ""), Meaning::Later);
        assert_eq!(
            of_text("MOVED", "3999 127.0.0.1:6381"),
            Meaning::Moved("127.0.0.1:6381".to_owned())
        );
        assert_eq!(
            of_text("MOVED", "3999"),
            Meaning::Lost(Failed::Garbage),
            "without a target"
        );
    }

    #[test]
    fn errors_in_scripts_of_old_servers_keep_their_meaning() {
        let of = |inner| {
            let text =
                format!("Error running script (call to f_ab): @user_script:1: -{inner} text.");
            of_text("ERR", &text)
        };
        assert_eq!(of("READONLY"), Meaning::Elsewhere);
        assert_eq!(of("OOM"), Meaning::Over(Failed::Full));
        assert!(matches!(of("WRONGTYPE"), Meaning::Over(Failed::Refused(_))));
    }

    #[test]
    fn a_refusal_does_not_repeat_the_arguments() {
        let text = "unknown command 'GTE', with args beginning with: 'canary' ";
        let Meaning::Over(Failed::Refused(kept)) = of_text("ERR", text) else {
            panic!("not refused");
        };
        assert_eq!(kept, "ERR unknown command 'GTE'");
    }
}
