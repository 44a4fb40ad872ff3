//! Splits a command line into words as a POSIX shell does (Shell Command Language, section 2.2). Nothing is expanded or executed: what
//! a shell would replace is refused, because its result is not known here.

use std::iter::Peekable;
use std::str::Chars;

use super::answer::Unusable;

/// The most bytes of a command line.
const LONGEST: usize = 1024 * 1024;

/// The words of one simple command.
pub(super) fn split(line: &str) -> Result<Vec<String>, Unusable> {
    if line.len() > LONGEST {
        return wrong("the command line is longer than a megabyte");
    }
    let mut words = Vec::new();
    let mut open: Option<String> = None;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' => words.extend(open.take()),
            '\n' => {
                words.extend(open.take());
                if rest.clone().any(|c| !c.is_ascii_whitespace()) {
                    return wrong("there is more than one command; a line goes on only after a \\");
                }
            }
            '\\' if rest.peek() == Some(&'\n') => drop(rest.next()),
            '\\' if rest.peek() == Some(&'\r') => {
                rest.next();
                rest.next_if_eq(&'\n');
            }
            '\\' => match rest.next() {
                Some(c) => open.get_or_insert_default().push(c),
                None => return wrong("the command ends with a \\"),
            },
            '\'' => single(&mut rest, open.get_or_insert_default())?,
            '"' => double(&mut rest, open.get_or_insert_default())?,
            '$' if rest.next_if_eq(&'\'').is_some() => {
                escaped(&mut rest, open.get_or_insert_default())?;
            }
            '$' | '`' => return wrong(EXPANDS),
            '&' | '|' | ';' | '<' | '>' | '(' | ')' => {
                return wrong(
                    "a shell would end the command at & | ; < > ( or ): put the URL and the values in single quotes",
                );
            }
            '*' | '?' | '[' | '~' | '#' | '{' if open.is_none() || c != '#' && c != '~' => {
                return wrong(
                    "a shell may replace * ? [ { ~ and #: put the URL and the values in single quotes",
                );
            }
            c => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    Ok(words)
}

const EXPANDS: &str = "a shell would replace $ and `: put the value itself in single quotes";

fn wrong<T>(why: &str) -> Result<T, Unusable> {
    Err(Unusable::Usage(format!(
        "the command line cannot be read: {why}"
    )))
}

/// After `'`: everything up to the next one.
fn single(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), Unusable> {
    for c in rest.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    wrong("a ' is not closed")
}

/// After `"`: a `\` escapes only what would be special.
fn double(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), Unusable> {
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(()),
            '$' | '`' => return wrong(EXPANDS),
            '\\' => match rest.next_if(|c| "$`\"\\\n".contains(*c)) {
                Some('\n') => {}
                Some(c) => word.push(c),
                None => word.push('\\'),
            },
            c => word.push(c),
        }
    }
    wrong("a \" is not closed")
}

/// After `$'`: the escapes of C that browsers write when they copy a request. (POSIX.1-2024 section 2.2.4; `\u` is bash's.)
fn escaped(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), Unusable> {
    while let Some(c) = rest.next() {
        match c {
            '\'' => return Ok(()),
            '\\' => word.push(match rest.next() {
                Some(c @ ('\\' | '\'' | '"' | '?')) => c,
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('x') => hex(rest, 2)?,
                Some('u') => hex(rest, 4)?,
                Some(_) | None => return wrong("an escape in $'...' is unknown"),
            }),
            c => word.push(c),
        }
    }
    wrong("a $' is not closed")
}

/// A character in hexadecimal. `\x` is a byte, so only ASCII is one character.
fn hex(rest: &mut Peekable<Chars<'_>>, most: usize) -> Result<char, Unusable> {
    let mut digits = String::new();
    while digits.len() < most
        && let Some(digit) = rest.next_if(char::is_ascii_hexdigit)
    {
        digits.push(digit);
    }
    let number = u32::from_str_radix(&digits, 16).ok();
    let number = number.filter(|number| *number > 0 && (most > 2 || *number < 0x80));
    match number.and_then(char::from_u32) {
        Some(c) => Ok(c),
        None => wrong("an escape in $'...' is not a character"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, expected) in [
            ("", &[] as &[&str]),
            ("  a\t b ", &["a", "b"]),
            ("a'b c'd", &["ab cd"]),
            ("'' \"\"", &["", ""]),
            (r#""a\"b\\c\d" \"e"#, &[r#"a"b\c\d"#, "\"e"]),
            ("a \\\n  b\\\nc", &["a", "bc"]),
            ("a \\\r\n b", &["a", "b"]),
            ("'a&b' \"c;d\" e\\&f", &["a&b", "c;d", "e&f"]),
            (r"$'a\'b\n\x41\u0021'", &["a'b\nA!"]),
            ("a=b#c d~", &["a=b#c", "d~"]),
            ("a\n\n", &["a"]),
            ("'\u{e9}\u{1f511}'", &["\u{e9}\u{1f511}"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn what_a_shell_would_replace_or_run_is_refused() {
        for line in [
            "curl $URL",
            "curl \"$(id)\"",
            "curl `id`",
            "curl \"`id`\"",
            "curl a&b=c",
            "a;b",
            "a|b",
            "a>b",
            "a<b",
            "(a)",
            "a *",
            "a?b",
            "a [b]",
            "~",
            "# a",
            "{a,b}",
            "a\nb",
            "'a",
            "\"a",
            "a\\",
            "$'a",
            "$'\\q'",
            "$'\\x00'",
            "$'\\xff'",
            "$'\\ud800'",
            "$'\\u'",
        ] {
            assert!(split(line).is_err(), "{line}");
        }
        assert!(split(&"a".repeat(LONGEST + 1)).is_err());
    }

    /// The word in single quotes.
    fn quoted(word: &str) -> String {
        format!("'{}'", word.replace('\'', r"'\''"))
    }

    proptest! {
        #[test]
        fn quoted_words_are_read_back(list in prop::collection::vec(any::<String>(), 0..5)) {
            let line: Vec<String> = list.iter().map(|word| quoted(word)).collect();
            prop_assert_eq!(words(&line.join(" ")), list.clone());
            let double = |word: &String| {
                let escaped = word.chars().flat_map(|c| {
                    let escape = "$`\"\\".contains(c).then_some('\\');
                    escape.into_iter().chain([c])
                });
                format!("\"{}\"", escaped.collect::<String>())
            };
            let line: Vec<String> = list.iter().map(double).collect();
            prop_assert_eq!(words(&line.join("\t")), list);
        }

        #[test]
        fn any_line_is_read_or_refused(line in "[a$'\"\\\\ \n&ux0-9]{0,40}") {
            let _ = split(&line);
        }
    }
}
