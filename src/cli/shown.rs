//! Text of other origin in the file and in the terminal. Both are read by people, so nothing in it may end a comment or a string,
//! or move the cursor.

use std::fmt::Write as _;

/// The longest text that is shown.
const LONGEST: usize = 200;

/// The text for a comment or a message: printable ASCII, everything else escaped, and shortened.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() > LONGEST {
            return shown + "...";
        }
        if character.is_ascii_graphic() || character == ' ' {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    shown
}

/// The text as a TOML string, with every character that is not printable ASCII escaped.
pub(super) fn string(text: &str) -> String {
    let mut string = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            ' '..='~' => string.push(character),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(string, "\\U{:08x}", u32::from(other));
            }
        }
    }
    string + "\""
}

/// The texts as a list of TOML strings.
pub(super) fn list(texts: &[String]) -> String {
    let strings: Vec<String> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", strings.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_ends_a_line_or_controls_a_terminal() {
        assert_eq!(
            shown("a\nmode = \"off\" \u{1b}[2J\u{202e}ä\r"),
            "a\\nmode = \"off\" \\u{1b}[2J\\u{202e}\\u{e4}\\r"
        );
        let long = shown(&"a".repeat(1000));
        assert!(long.len() < 210 && long.ends_with("a..."), "{long}");
    }

    proptest! {
        #[test]
        fn a_string_is_one_value_whatever_it_contains(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let line = format!("# {}\na = {}", shown(&texts.concat()), list(&texts));
            prop_assert_eq!(line.lines().count(), 2);
            let table: toml::Table = line.parse().unwrap();
            let found: Vec<String> = table["a"].clone().try_into().unwrap();
            prop_assert_eq!(found, texts);
            prop_assert_eq!(table.len(), 1);
        }
    }
}
