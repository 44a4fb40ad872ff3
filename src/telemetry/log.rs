//! The log: one line for each event, with stable field names.
//!
//! What happened is an [`Event`]; a `Line` adds the time, and serde writes it. Events go straight to the writer: by way of
//! `tracing` each field would be visited one by one and lose its type. What libraries tell through `tracing` is heard from
//! `warn` on, but only where in the library it was said: its own words may hold what a request holds.
//!
//! The writer is bounded and lossy: a reader that hangs or a full disk costs lines, which are counted, never a request.

mod writer;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::event::Event;
use super::settings::{Format, Level, Settings};
use writer::{Queue, Told};

pub(crate) use writer::End;

/// Bytes of a usual line, and some more.
const LINE: usize = 384;

/// Of a time, without its fraction.
const TO_SECOND: usize = "2026-11-22T11:55:30.".len();

/// Writes events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    settings: Arc<InForce>,
    queue: Queue,
}

impl Log {
    /// To standard output, until the end is dropped.
    pub(crate) fn to_stdout(settings: Settings) -> (Self, End) {
        let told = |error: &io::Error| {
            // There may be nothing to say it on either.
            let _ = writeln!(
                io::stderr(),
                "warning: the log cannot be written: {error}; what is lost is counted in pkce_gate_log_lines_dropped_total"
            );
        };
        Self::to(io::stdout(), settings, told)
    }

    /// `error` is called with the first error of a write.
    fn to(
        out: impl io::Write + Send + 'static,
        settings: Settings,
        error: impl FnOnce(&io::Error) + Send + 'static,
    ) -> (Self, End) {
        let in_force = Arc::new(InForce::new(settings));
        let settings = Arc::clone(&in_force);
        let lost = move |lines| {
            let event = Event::LogLinesLost { lines };
            if settings.has(event.level()) {
                line(settings.format(), &event, 0)
            } else {
                Vec::new()
            }
        };
        let (queue, end) = Queue::to(
            out,
            Told {
                error: Box::new(error),
                lost: Box::new(lost),
            },
        );
        (
            Self {
                settings: in_force,
                queue,
            },
            end,
        )
    }

    /// Changes what is written from now on, and how.
    pub(super) fn set(&self, settings: Settings) {
        self.settings.set(settings);
    }

    /// Lines that were lost: the queue was full, or they could not be written.
    pub(crate) fn lost(&self) -> Counter {
        self.queue.lost()
    }

    /// Whether lines of that level are written.
    pub(super) fn has(&self, level: Level) -> bool {
        self.settings.has(level)
    }

    /// Writes an event. `left_out`: how many like it, since the last line about one, had none.
    pub(super) fn write(&self, event: &Event<'_>, left_out: u64) {
        self.queue
            .add(line(self.settings.format(), event, left_out));
    }
}

/// How the log is written, as it is now.
#[derive(Debug)]
struct InForce {
    /// As [`Level`] numbers it.
    level: AtomicU8,
    is_json: AtomicBool,
}

impl InForce {
    fn new(settings: Settings) -> Self {
        let in_force = Self {
            level: AtomicU8::new(0),
            is_json: AtomicBool::new(false),
        };
        in_force.set(settings);
        in_force
    }

    fn set(&self, Settings { level, format }: Settings) {
        self.level.store(level as u8, Ordering::Relaxed);
        let is_json = format == Format::Json;
        self.is_json.store(is_json, Ordering::Relaxed);
    }

    fn has(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    fn format(&self) -> Format {
        if self.is_json.load(Ordering::Relaxed) {
            Format::Json
        } else {
            Format::Text
        }
    }
}

/// What is written of an event, in this order.
#[derive(Debug, Serialize)]
struct Line<'e> {
    #[serde(serialize_with = "rfc3339")]
    timestamp: Timestamp,
    level: Level,
    #[serde(flatten)]
    event: &'e Event<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlogged: Option<u64>,
}

/// With the newline at its end.
#[expect(
    clippy::disallowed_methods,
    reason = "a line tells the time of day at which it was written; nothing is decided by it"
)]
fn line(format: Format, event: &Event<'_>, left_out: u64) -> Vec<u8> {
    let line = Line {
        timestamp: Timestamp::try_from(SystemTime::now()).unwrap_or_default(),
        level: event.level(),
        event,
        hint: event.hint(),
        unlogged: (left_out > 0).then_some(left_out),
    };
    let mut text = Vec::with_capacity(LINE);
    // Strings as keys, and a vector: neither fails.
    let _never_fails = match format {
        Format::Json => serde_json::to_writer(&mut text, &line),
        Format::Text => serde_json::to_value(&line).map(|line| for_people(&line, &mut text)),
    };
    text.push(b'\n');
    text
}

thread_local! {
    /// The last second that was written, and how: the calendar is the dear part of the time.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// In UTC, to the microsecond. There is no time before 1970.
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let time = time.max(&Timestamp::UNIX_EPOCH);
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.as_second() {
            (*second, *text) = (time.as_second(), time.strftime("%FT%T.").to_string());
        }
        text.truncate(TO_SECOND);
        // With a one in front it has all of its zeros.
        let mut micros = itoa::Buffer::new();
        let micros = micros.format(1_000_000 + time.subsec_microsecond());
        text.push_str(micros.get(1..).unwrap_or_default());
        text.push('Z');
        serializer.serialize_str(text)
    })
}

/// The time, the level, and `name=value` for each field. Text is quoted and escaped; request ids and addresses need neither.
fn for_people(line: &Value, text: &mut Vec<u8>) {
    let fields = line.as_object().into_iter().flatten();
    for (at, (name, value)) in fields.enumerate() {
        let _never_fails = match (at, value) {
            (0, Value::String(time)) => write!(text, "{time}"),
            (1, Value::String(level)) => write!(text, " {level:>5}"),
            (_, Value::String(plain))
                if name == "request" || plain.parse::<SocketAddr>().is_ok() =>
            {
                write!(text, " {name}={plain}")
            }
            (_, Value::String(foreign)) => write!(text, " {name}={foreign:?}"),
            (_, number) => write!(text, " {name}={number}"),
        };
    }
}

#[cfg(test)]
mod tests;
