//! One JSON object a line: `timestamp`, `level`, then the fields of the event.
//!
//! It stands in the way of every request, so it writes straight into a line: no map, no string for each value.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::lines::Lines;
use super::time;

/// Bytes of a usual line, and some more.
const LINE: usize = 384;

/// Writes events so.
#[derive(Debug)]
pub(super) struct Json(pub(super) Lines);

impl<S: Subscriber> Layer<S> for Json {
    #[expect(
        clippy::disallowed_methods,
        reason = "a line tells the time of day at which it was written; nothing is decided by it"
    )]
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = String::with_capacity(LINE);
        line.push_str("{\"timestamp\":\"");
        line.push_str(time::rfc3339(SystemTime::now()).as_str());
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        event.record(&mut Members(&mut line));
        line.push_str("}\n");
        self.0.add(line.as_bytes());
    }
}

/// The members of an object, after the first one.
struct Members<'l>(&'l mut String);

impl Members<'_> {
    /// `begins`: what the value begins with.
    fn name(&mut self, field: &Field, begins: &str) {
        self.0.push_str(",\"");
        // An identifier of this program.
        self.0.push_str(field.name());
        self.0.push_str(begins);
    }

    /// Numbers and the like; `String` takes whatever is written.
    fn literal(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field, "\":");
        let _never_fails = self.0.write_fmt(value);
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field, "\":\"");
        escape(value, self.0);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field, "\":\"");
        // What cannot be shown ends where it fails: the line stays an object.
        let _shown = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }
}

/// What is written here is a part of a string.
struct Escaped<'l>(&'l mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

/// Adds what stands between the quotes of a string.
fn escape(text: &str, line: &mut String) {
    // To the end and without a branch for each byte: that is many bytes at once.
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        line.push_str(text);
        return;
    }
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let escaped = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    line.push_str(escaped.unwrap_or_default());
}

#[cfg(test)]
mod tests;
