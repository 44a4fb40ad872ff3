//! The log: one line an event, with stable field names.
//!
//! The writer is bounded and lossy: a reader that hangs or a full disk costs lines, which are counted, never a
//! request. Only our own lines are written; what libraries have to say at `debug` may hold request data.

use std::borrow::Cow;
use std::io;

use tracing::{Level as TracingLevel, debug, error, info, warn};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::policy::Violation;

use super::{Decided, Event, Format, Level, Settings};

/// Lines that may wait for a slow reader.
const BUFFERED_LINES: usize = 16 * 1024;

/// Characters of a client identifier that are written: whoever asks chooses it, and how long it is.
const CLIENT_CHARACTERS: usize = 128;

/// Keeps the writer alive; dropped last, it writes what is buffered.
#[derive(Debug)]
#[must_use]
pub struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Lines that were dropped because nobody read them.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Sends the log of this process to standard output.
pub fn to_stdout(settings: Settings) -> Log {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES)
        .finish(io::stdout());
    let dropped = writer.error_counter();
    let level = match settings.level {
        Level::Error => TracingLevel::ERROR,
        Level::Warn => TracingLevel::WARN,
        Level::Info => TracingLevel::INFO,
        Level::Debug => TracingLevel::DEBUG,
        Level::Trace => TracingLevel::TRACE,
    };
    let ours = Targets::new().with_target("pkce_gate", level);
    // A failed write is told by the counter; told on stderr it would panic where stderr is closed too.
    let lines = fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry();
    let installed = match settings.format {
        Format::Json => registry
            .with(lines.json().flatten_event(true).with_filter(ours))
            .try_init(),
        Format::Text => registry.with(lines.with_filter(ours)).try_init(),
    };
    // A second call in one process (tests) keeps the first log.
    drop(installed);
    Log {
        _writer: guard,
        dropped,
    }
}

/// Writes an event.
pub(super) fn write(event: &Event<'_>) {
    match event {
        Event::Decision {
            request,
            upstream,
            endpoint,
            decided,
            violation,
            client,
        } => {
            let (endpoint, decision) = (endpoint.label(), decided.label());
            let violation = violation.map(Violation::label);
            let client = client.map(shown);
            let client = client.as_deref();
            match decided {
                Decided::Allowed => {
                    info!(event = "decision", %request, upstream, endpoint, decision, client);
                }
                Decided::Reported | Decided::Refused => {
                    warn!(event = "decision", %request, upstream, endpoint, decision, violation, client);
                }
            }
        }
        Event::Answered {
            request,
            upstream,
            endpoint,
            status,
            took,
        } => {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            debug!(event = "answered", %request, upstream, endpoint = endpoint.label(), status, micros);
        }
        Event::Misdirected {
            request,
            reason,
            status,
        } => {
            warn!(event = "misdirected", %request, reason, status);
        }
        Event::UpstreamFailed {
            request,
            upstream,
            fault,
        } => {
            error!(event = "upstream_failed", %request, upstream, fault);
        }
        Event::OtherBrowser { request, upstream } => {
            warn!(event = "other_browser", %request, upstream);
        }
        Event::UpstreamOriginInBody { request, upstream } => {
            warn!(event = "upstream_origin_in_body", %request, upstream);
        }
        Event::Overloaded { request, upstream } => warn!(event = "overloaded", %request, upstream),
        Event::Panicked => error!(event = "panicked"),
        Event::ConnectionTimedOut { peer } => debug!(event = "connection_timed_out", %peer),
        Event::Listening { what, address } => info!(event = "listening", what, %address),
        Event::Draining { limit } => info!(event = "draining", limit_seconds = limit.as_secs()),
        Event::Stopped { cut_off } => info!(event = "stopped", cut_off),
    }
}

/// As much of a client identifier as fits a line; the writer escapes it.
fn shown(client: &str) -> Cow<'_, str> {
    match client.char_indices().nth(CLIENT_CHARACTERS) {
        None => Cow::Borrowed(client),
        Some((end, _)) => Cow::Owned(format!("{}…", client.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_client_is_cut() {
        assert_eq!(shown("portal"), "portal");
        let longest = "ä".repeat(CLIENT_CHARACTERS);
        assert_eq!(shown(&longest), longest);
        assert_eq!(shown(&format!("{longest}x")), format!("{longest}…"));
        assert_eq!(shown(&longest.repeat(500)), format!("{longest}…"));
    }
}
