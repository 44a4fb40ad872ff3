//! The log: one line for each event, with stable field names.
//!
//! A `Line` adds the time to an [`Event`] and is serialized by serde. Events do not pass through `tracing`, which would
//! visit each field separately and lose its type. Of the libraries' own `tracing` events, those from `warn` on are
//! logged, but only their origin: their text may contain parts of a request.
//!
//! The writer is bounded and lossy: if the reader hangs or the disk is full, lines are lost and counted, but requests
//! continue.

mod writer;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;
use memchr::memchr;
use prometheus_client::metrics::counter::Counter;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::event::{About, Event};
use super::settings::{Format, Level, Settings};
use writer::Queue;

pub(crate) use writer::End;

/// Initial capacity for a line, in bytes; more than usual.
const LINE: usize = 384;

/// Length of a timestamp without its fraction.
const TO_SECOND: usize = "2026-11-22T11:55:30.".len();

/// Writes events to the log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    settings: Arc<InForce>,
    queue: Queue,
}

impl Log {
    /// Logs to standard output until the `End` is dropped.
    pub(crate) fn to_stdout(settings: Settings) -> (Self, End) {
        let report = |error: &io::Error| {
            // Standard error may not be writable either.
            let _ = writeln!(
                io::stderr(),
                "warning: the log cannot be written: {error}; pkce_gate_log_lines_dropped_total counts the lost lines"
            );
        };
        Self::to(io::stdout(), settings, report)
    }

    /// Calls `error` with the first write error.
    fn to(
        out: impl io::Write + Send + 'static,
        settings: Settings,
        error: impl FnOnce(&io::Error) + Send + 'static,
    ) -> (Self, End) {
        let settings = Arc::new(InForce::new(settings));
        let in_force = Arc::clone(&settings);
        let lost = move |lines| {
            let event = Event::LogLinesLost { lines };
            if in_force.has(event.about().level) {
                line(in_force.format(), &event, 0)
            } else {
                Vec::new()
            }
        };
        let (queue, end) = Queue::to(out, error, lost);
        (Self { settings, queue }, end)
    }

    /// Changes level and format from now on.
    pub(super) fn set(&self, settings: Settings) {
        self.settings.set(settings);
    }

    /// The number of lines lost because the queue was full or they could not be written.
    pub(crate) fn lost(&self) -> Counter {
        self.queue.lost()
    }

    pub(super) fn has(&self, level: Level) -> bool {
        self.settings.has(level)
    }

    /// Writes an event. `left_out` is the number of similar events since the last line that got none.
    pub(super) fn write(&self, event: &Event<'_>, left_out: u64) {
        self.queue
            .add(line(self.settings.format(), event, left_out));
    }
}

/// The current settings of the log.
#[derive(Debug)]
struct InForce {
    /// The number of a [`Level`].
    level: AtomicU8,
    is_json: AtomicBool,
}

impl InForce {
    fn new(settings: Settings) -> Self {
        Self {
            level: AtomicU8::new(settings.level as u8),
            is_json: AtomicBool::new(settings.format == Format::Json),
        }
    }

    fn set(&self, settings: Settings) {
        self.level.store(settings.level as u8, Ordering::Relaxed);
        let is_json = settings.format == Format::Json;
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

/// A log line; the fields are written in this order.
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

/// Formats a line, including the newline.
#[expect(
    clippy::disallowed_methods,
    reason = "the timestamp of a log line; no decision depends on it"
)]
fn line(format: Format, event: &Event<'_>, left_out: u64) -> Vec<u8> {
    let About { level, hint, .. } = event.about();
    let line = Line {
        timestamp: Timestamp::try_from(SystemTime::now()).unwrap_or_default(),
        level,
        event,
        hint,
        unlogged: (left_out > 0).then_some(left_out),
    };
    let mut text = Vec::with_capacity(LINE);
    // Writing to a vector with string keys cannot fail.
    let _never_fails = match format {
        Format::Json => serde_json::to_writer(&mut text, &line),
        Format::Text => serde_json::to_value(&line).map(|line| for_people(&line, &mut text)),
    };
    if format == Format::Json {
        text = visible(text);
    }
    text.push(b'\n');
    text
}

/// Escapes what the text format escapes, too: characters that a terminal acts on or does not show, and that some readers take for
/// the end of a line. They occur in the strings of a line only.
fn visible(json: Vec<u8>) -> Vec<u8> {
    // Other control characters of ASCII are escaped already.
    const DELETE: u8 = 0x7f;
    if json.is_ascii() && memchr(DELETE, &json).is_none() {
        return json;
    }
    let mut shown = String::with_capacity(json.len());
    for character in str::from_utf8(&json).unwrap_or_default().chars() {
        if character.is_ascii_graphic() || character.escape_debug().len() == 1 {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _never_fails = write!(shown, "\\u{unit:04x}");
        }
    }
    shown.into_bytes()
}

thread_local! {
    /// The last formatted second, cached because the calendar computation is the expensive part.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Formats the time in UTC with microseconds. Times before 1970 become 1970.
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let time = time.max(&Timestamp::UNIX_EPOCH);
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.as_second() {
            (*second, *text) = (time.as_second(), time.strftime("%FT%T.").to_string());
        }
        text.truncate(TO_SECOND);
        // Adding one million keeps the leading zeros.
        let mut micros = itoa::Buffer::new();
        let micros = micros.format(1_000_000 + time.subsec_microsecond());
        text.push_str(micros.get(1..).unwrap_or_default());
        text.push('Z');
        serializer.serialize_str(text)
    })
}

/// The text format: time, level, and `name=value` for each field. Texts are quoted and escaped, except request ids and
/// addresses, which need neither.
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
