//! The log: one line an event, with stable field names.
//!
//! The writer is bounded and lossy: a reader that hangs or a full disk costs lines, which are counted, never a
//! request. Only our own lines are written; what libraries have to say at `debug` may hold request data.

mod json;
mod lines;
mod time;

use std::borrow::Cow;
use std::io::{self, Write as _};

use prometheus_client::metrics::counter::Counter;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level as TracingLevel, debug, dispatcher, error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::clock::calendar::Doubt;
use crate::clock::date;
use crate::oauth::CodeChallengeMethod;
use crate::policy::Violation;

use super::{Decided, Event, Format, Level, Settings};
use json::Json;
use lines::{End, Lines};

/// Characters of a client identifier that are written: whoever asks chooses it, and how long it is.
const CLIENT_CHARACTERS: usize = 128;

/// Keeps the writer alive; dropped last, it writes what is buffered.
#[derive(Debug)]
#[must_use]
pub struct Log {
    _end: End,
    dropped: Counter,
}

impl Log {
    /// Lines that were dropped because nobody read them.
    pub fn dropped(&self) -> Counter {
        self.dropped.clone()
    }
}

/// Sends the log of this process to standard output.
pub fn to_stdout(settings: Settings) -> Log {
    let told = |error: &io::Error| {
        // There may be nothing to say it on either.
        let _ = writeln!(
            io::stderr(),
            "warning: the log cannot be written: {error}; what is lost is counted in pkce_gate_log_lines_dropped_total"
        );
    };
    let (lines, end) = Lines::to(io::stdout(), told);
    let dropped = lines.dropped();
    // A second call in one process (tests) keeps the first log.
    let _first = dispatcher::set_global_default(dispatch(settings, lines));
    Log { _end: end, dropped }
}

/// What makes lines of our own events, and only of those that the level lets through.
fn dispatch(settings: Settings, lines: Lines) -> Dispatch {
    let level = match settings.level {
        Level::Error => TracingLevel::ERROR,
        Level::Warn => TracingLevel::WARN,
        Level::Info => TracingLevel::INFO,
        Level::Debug => TracingLevel::DEBUG,
        Level::Trace => TracingLevel::TRACE,
    };
    // For all there is, and not for one layer: what is off costs one comparison then.
    let ours = Targets::new().with_target("pkce_gate", level);
    let registry = tracing_subscriber::registry().with(ours);
    match settings.format {
        Format::Json => Dispatch::new(registry.with(Json(lines))),
        Format::Text => {
            // A failed write is told by the counter; told on stderr it would panic where stderr is closed too.
            let text = fmt::layer()
                .with_writer(lines)
                .with_ansi(false)
                .with_target(false)
                .log_internal_errors(false);
            Dispatch::new(registry.with(text))
        }
    }
}

/// Whether the operator wants a line for each request, and so for each event.
pub(super) fn leaves_nothing_out() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// Writes an event. `left_out`: how many like it, since the last line about one, had none.
pub(super) fn write(event: &Event<'_>, left_out: u64) {
    let unlogged = (left_out > 0).then_some(left_out);
    match event {
        Event::Decision { .. } => decision(event, unlogged),
        Event::Answered {
            request,
            upstream,
            endpoint,
            status,
            took,
        } => {
            debug!(
                event = "answered",
                %request,
                upstream = upstream.name(),
                endpoint = endpoint.label(),
                status,
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
            );
        }
        Event::Misdirected {
            request,
            host,
            reason,
            status,
        } => {
            warn!(event = "misdirected", %request, host, reason, status, unlogged);
        }
        Event::UpstreamFailed {
            request,
            upstream,
            fault,
            cause,
        } => {
            error!(event = "upstream_failed", %request, upstream = upstream.name(), fault, cause, unlogged);
        }
        Event::OtherBrowser { request, upstream } => {
            warn!(event = "other_browser", %request, upstream = upstream.name(), unlogged);
        }
        Event::UpstreamOriginInBody { request, upstream } => {
            warn!(event = "upstream_origin_in_body", %request, upstream = upstream.name(), unlogged);
        }
        Event::Overloaded { request, upstream } => {
            warn!(event = "overloaded", %request, upstream = upstream.name(), unlogged);
        }
        Event::Panicked => error!(event = "panicked", unlogged),
        Event::ConnectionTimedOut { peer } => {
            debug!(event = "connection_timed_out", %peer, unlogged);
        }
        Event::ConnectionSpared { peer } => debug!(event = "connection_spared", %peer, unlogged),
        Event::MalformedHead { peer, reason } => {
            warn!(event = "malformed_head", %peer, reason, unlogged);
        }
        Event::Listening { .. }
        | Event::FewDescriptors { .. }
        | Event::ClockInDoubt(_)
        | Event::SignalIgnored { .. }
        | Event::Reloaded { .. }
        | Event::ReloadFailed { .. }
        | Event::Draining { .. }
        | Event::Stopped { .. } => of_process(event),
    }
}

/// What happens to the process, and is never left out.
fn of_process(event: &Event<'_>) {
    match event {
        Event::Listening { what, address } => info!(event = "listening", what, %address),
        Event::FewDescriptors {
            limit,
            needed,
            connections,
            in_flight,
        } => warn!(
            event = "few_descriptors",
            limit,
            needed,
            connections,
            in_flight,
            hint = "raise the limit of open files: LimitNOFILE= of systemd, ulimits of compose, ulimit -n of a shell"
        ),
        Event::ClockInDoubt(Doubt { shows, holds }) => warn!(
            event = "clock_in_doubt",
            shows = date::format(*shows),
            holds = holds.map(date::format),
            hint = "set the clock of this machine right: an exception that has ended stays so, and while no day is known none holds"
        ),
        Event::SignalIgnored { signal } => warn!(
            event = "signal_ignored",
            signal,
            hint = "SIGHUP reloads the configuration, SIGTERM ends the gate"
        ),
        Event::Reloaded {
            sha256,
            needs_restart,
        } => {
            let needs_restart = Some(*needs_restart).filter(|keys| !keys.is_empty());
            info!(event = "reloaded", sha256, needs_restart);
        }
        Event::ReloadFailed { problem } => error!(
            event = "reload_failed",
            problem,
            hint = "the configuration that was in force stays in force; pkce-gate check shows all that is wrong"
        ),
        Event::Draining { limit } => info!(event = "draining", limit_seconds = limit.as_secs()),
        Event::Stopped { cut_off } => info!(event = "stopped", cut_off),
        Event::Decision { .. }
        | Event::Answered { .. }
        | Event::Misdirected { .. }
        | Event::UpstreamFailed { .. }
        | Event::OtherBrowser { .. }
        | Event::UpstreamOriginInBody { .. }
        | Event::Overloaded { .. }
        | Event::Panicked
        | Event::ConnectionTimedOut { .. }
        | Event::ConnectionSpared { .. }
        | Event::MalformedHead { .. } => {}
    }
}

/// The outcome of a request or of an answer.
fn decision(event: &Event<'_>, unlogged: Option<u64>) {
    let Event::Decision {
        request,
        upstream,
        endpoint,
        decided,
        violation,
        client,
        method,
        redirect_origin,
        peer,
    } = event
    else {
        return;
    };
    let upstream = upstream.name();
    let (endpoint, decision) = (endpoint.label(), decided.label());
    let reason = violation.and_then(Violation::reason);
    let reason = reason.as_deref();
    let violation = violation.map(Violation::label);
    let client = client.map(shown);
    let client = client.as_deref();
    let method = method.map(CodeChallengeMethod::as_str);
    match decided {
        Decided::Allowed => {
            info!(event = "decision", %request, upstream, endpoint, decision, client, method, redirect_origin, peer, unlogged);
        }
        Decided::Reported | Decided::Refused => {
            warn!(
                event = "decision",
                %request,
                upstream,
                endpoint,
                decision,
                violation,
                reason,
                client,
                method,
                redirect_origin,
                peer,
                unlogged
            );
        }
    }
}

/// As much of a client identifier as fits a line; the writer escapes it.
fn shown(client: &str) -> Cow<'_, str> {
    if client.len() <= CLIENT_CHARACTERS {
        return Cow::Borrowed(client);
    }
    match client.char_indices().nth(CLIENT_CHARACTERS) {
        None => Cow::Borrowed(client),
        Some((end, _)) => Cow::Owned(format!("{}…", client.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests;
