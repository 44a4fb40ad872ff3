//! The chart of the sign-ins of each day.

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::model::Daily;

/// The height of the drawing.
const HEIGHT: f32 = 100.0;

/// The width of a column with the gap to the next one.
const WIDTH: usize = 20;

/// Bars with a scale, and the same in words and numbers. `None`: there was no sign-in.
pub(super) fn chart(days: &[Daily]) -> Option<Value> {
    let busiest = days.iter().max_by_key(|day| all(day))?;
    if all(busiest) == 0 {
        return None;
    }
    let top = top(all(busiest));
    let scaled = |number: u32| match number {
        0 => 0.0,
        // Few among many are still visible.
        number => (HEIGHT * as_f32(number) / as_f32(top)).max(1.0),
    };
    let bars = days.iter().enumerate().map(|(at, day)| {
        let (failing, good) = (scaled(day.failing), scaled(all(day) - day.failing));
        context! {
            x => at * WIDTH,
            failing_y => HEIGHT - failing,
            failing,
            good_y => HEIGHT - failing - good,
            good,
            day => Value::from(Serde(day)),
        }
    });
    let sum = |number: fn(&Daily) -> u32| days.iter().map(number).fold(0, u32::saturating_add);
    let used = days.iter().filter(|day| all(day) > 0);
    Some(context! {
        bars => bars.collect::<Vec<_>>(),
        width => days.len() * WIDTH,
        top,
        middle => top / 2,
        first => days.first().map(|day| &day.day),
        last => days.last().map(|day| &day.day),
        busiest => Value::from(Serde(busiest)),
        sign_ins => sum(all),
        failing => sum(|day| day.failing),
        used => used.map(|day| Value::from(Serde(day))).collect::<Vec<_>>(),
    })
}

/// A sign-in that fails at midnight began on the day before.
fn all(day: &Daily) -> u32 {
    day.sign_ins.max(day.failing)
}

/// The end of a scale that has room for this number: even, so that its middle is a whole number, and easy to read.
fn top(highest: u32) -> u32 {
    let mut ten = 1_u32;
    loop {
        for digit in [2, 4, 6, 8, 10] {
            let top = ten.saturating_mul(digit);
            if top >= highest {
                return top;
            }
        }
        ten = ten.saturating_mul(10);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a height in pixels")]
fn as_f32(number: u32) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_room_for_the_busiest_day() {
        for (highest, expected) in [
            (1, 2),
            (2, 2),
            (3, 4),
            (9, 10),
            (11, 20),
            (61, 80),
            (4_000_000_000, 4_000_000_000),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(top(highest), expected);
        }
    }

    #[test]
    fn no_bar_leaves_the_drawing() {
        let day = |sign_ins, failing| Daily {
            day: "2026-11-29".to_owned(),
            sign_ins,
            failing,
        };
        for days in [
            vec![day(10, 10)],
            vec![day(0, 3), day(1, 0)],
            vec![day(u32::MAX, 1), day(u32::MAX, u32::MAX)],
        ] {
            let chart = chart(&days).expect("a chart");
            for bar in chart.get_attr("bars").unwrap().try_iter().unwrap() {
                let number = |name: &str| f64::try_from(bar.get_attr(name).unwrap()).unwrap();
                assert!(number("good_y") >= -1.0, "{bar}");
                let end = number("good_y") + number("good");
                assert!((end - number("failing_y")).abs() < 0.01, "{bar}");
            }
        }
        assert!(chart(&[day(0, 0)]).is_none());
        assert!(chart(&[]).is_none());
    }
}
