//! The time of day of a line: RFC 3339 in UTC, to the microsecond.

use std::cell::Cell;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::date::civil;

const SECONDS_PER_DAY: u64 = 86_400;

/// Where the microseconds stand.
const MICROS: Range<usize> = 20..26;

/// `YYYY-MM-DDThh:mm:ss.ffffffZ`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rfc3339([u8; 27]);

thread_local! {
    /// The last second that was written, and how. Under load it serves thousands of lines.
    static SECOND: Cell<(u64, Rfc3339)> = const { Cell::new((0, EPOCH_TEXT)) };
}

const EPOCH_TEXT: Rfc3339 = Rfc3339(*b"1970-01-01T00:00:00.000000Z");

impl Rfc3339 {
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    fn of_second(second: u64) -> Self {
        let (days, of_day) = (second / SECONDS_PER_DAY, second % SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
        let numbers = [year, month, day, hour, minute, of_day % 60];
        let Self(mut text) = EPOCH_TEXT;
        let fields = text.split_mut(|byte| !byte.is_ascii_digit());
        for (field, number) in fields.zip(numbers) {
            write(field, number);
        }
        Self(text)
    }
}

/// Writes a point in time. There is none before 1970.
pub(super) fn rfc3339(time: SystemTime) -> Rfc3339 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (second, mut text) = SECOND.get();
    if second != since.as_secs() {
        text = Rfc3339::of_second(since.as_secs());
        SECOND.set((since.as_secs(), text));
    }
    if let Some(micros) = text.0.get_mut(MICROS) {
        write(micros, u64::from(since.subsec_micros()));
    }
    text
}

fn write(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::FormatTime as _;

    fn at(seconds: u64, micros: u64) -> String {
        let since = Duration::from_secs(seconds) + Duration::from_micros(micros);
        rfc3339(UNIX_EPOCH + since).as_str().to_owned()
    }

    #[test]
    fn known_times() {
        for (seconds, micros, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (86_399, 999_999, "1970-01-01T23:59:59.999999Z"),
            (86_399, 40, "1970-01-01T23:59:59.000040Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.000007Z"),
            (1_709_164_799, 0, "2024-02-28T23:59:59.000000Z"),
            (1_732_294_425, 47_669, "2024-11-22T16:53:45.047669Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, 999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(at(seconds, micros), text);
        }
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_secs(1)).as_str(),
            at(0, 0)
        );
    }

    #[test]
    fn it_is_the_time_that_the_text_format_tells() {
        let mut theirs = String::new();
        let clock = tracing_subscriber::fmt::time::SystemTime;
        clock.format_time(&mut Writer::new(&mut theirs)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the same clock is read twice")]
        let ours = rfc3339(SystemTime::now());
        assert_eq!(theirs.len(), ours.as_str().len());
        assert!(
            *theirs <= *ours.as_str(),
            "{theirs} was before {}",
            ours.as_str()
        );
    }

    proptest! {
        /// Text that sorts as time does, to the microsecond.
        #[test]
        fn later_is_greater(micros: [u32; 2], seconds in 0_u64..253_402_300_000, step in 0_u64..1_000_000) {
            let [before, after] = micros.map(|micros| u64::from(micros) % 1_000_000);
            let (earlier, later) = (at(seconds, before), at(seconds + step, after));
            prop_assert_eq!(earlier.cmp(&later), (0, before).cmp(&(step, after)));
        }
    }
}
