//! The calendar: days since 1970-01-01, and dates.

const DAYS_PER_ERA: u64 = 146_097; // 400 years
const EPOCH: u64 = 719_468; // from 0000-03-01 to 1970-01-01

/// Days since 1970-01-01 of a date of the Gregorian calendar; `None`: there is no such day, or it lies before.
pub fn days(year: u16, month: u8, day: u8) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year_from_march = u64::from(year).checked_sub(u64::from(month <= 2))?;
    let month_from_march = (u64::from(month) + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + u64::from(day) - 1;
    let (era, of_era) = (year_from_march / 400, year_from_march % 400);
    let days = era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = days.checked_sub(EPOCH)?;
    // The 31st of a shorter month would come out as a day of the next one.
    (civil(days) == (u64::from(year), u64::from(month), u64::from(day))).then_some(days)
}

/// Year, month and day of days since 1970-01-01, in the Gregorian calendar. Years begin in March,
/// so that the leap day is the last of its year.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(EPOCH);
    let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (DAYS_PER_ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Reads `YYYY-MM-DD`.
pub fn parse(text: &str) -> Option<u64> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    let mut parts = text.split('-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    days(year, month, parts.next()?.parse().ok()?)
}

/// Writes `YYYY-MM-DD`.
pub fn format(days: u64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
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
    fn what_is_no_day() {
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
    fn every_day_comes_back() {
        for day in 0..200_000 {
            assert_eq!(parse(&format(day)), Some(day));
        }
    }
}
