//! Dates of the Gregorian calendar as days since 1970-01-01.

use jiff::ToSpan as _;
use jiff::civil::Date;

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Days since 1970-01-01. `None`: not a valid date, or before that day.
pub fn days(year: u16, month: u8, day: u8) -> Option<u64> {
    let signed = |number: u8| i8::try_from(number).ok();
    let date = Date::new(year.try_into().ok()?, signed(month)?, signed(day)?);
    since_epoch(date.ok()?)
}

/// Parses `YYYY-MM-DD`.
pub fn parse(text: &str) -> Option<u64> {
    let date: Date = text.parse().ok()?;
    // ISO 8601 has other formats, which are refused.
    (date.to_string() == text).then(|| since_epoch(date))?
}

/// Formats as `YYYY-MM-DD`; dates after the year 9999 as its last day.
pub fn format(days: u64) -> String {
    let days = i64::try_from(days).ok();
    let span = days.and_then(|days| 0.days().try_days(days).ok());
    let date = span.and_then(|span| EPOCH.checked_add(span).ok());
    date.unwrap_or(Date::MAX).to_string()
}

fn since_epoch(date: Date) -> Option<u64> {
    let days = EPOCH.until(date).ok()?.get_days();
    days.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_parsed_and_formatted() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1970-12-31", 364),
            ("2000-02-29", 11_016),
            ("2024-02-29", 19_782),
            ("2026-01-01", 20_454),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(parse(text), Some(days), "{text}");
            assert_eq!(format(days), text);
        }
    }

    #[test]
    fn invalid_dates_are_refused() {
        for text in [
            "2026-02-29",
            "2100-02-29",
            "2026-04-31",
            "2026-00-10",
            "2026-13-01",
            "2026-01-00",
            "2026-1-01",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T00:00:00Z",
            "+026-01-01",
            "1969-12-31",
            "0000-01-01",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_survives_formatting_and_parsing() {
        for day in 0..200_000 {
            assert_eq!(parse(&format(day)), Some(day));
        }
    }
}
