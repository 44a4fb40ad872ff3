//! Repeats what the gate's log says about one request, and explains it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Format, Unusable};
use super::report::explanation;
use crate::cli::shown::shown;

/// The longest line that is read; the gate's are much shorter.
const LINE: u64 = 64 * 1024;
/// The most lines about one request that are repeated.
const LINES: usize = 100;

type Line = Map<String, Value>;

/// The answer to `explain --request-id`. Refused is a request that the gate refused or reported.
pub(super) fn explain(id: &str, file: &Path, format: Format) -> Result<Answer, Unusable> {
    let is_id = id.len() == 16 && id.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_id {
        let text = "a request id has 16 hexadecimal digits";
        return Err(Unusable::Usage(text.to_owned()));
    }
    let cannot = |why: String| Unusable::File(format!("cannot read {}: {why}", file.display()));
    let open = || {
        // Opening a FIFO would block.
        if fs::metadata(file)?.is_file() {
            File::open(file)
        } else {
            Err(std::io::Error::other("not a regular file"))
        }
    };
    let open = open().map_err(|error| cannot(error.to_string()))?;
    let found = find(open, &id.to_ascii_lowercase()).map_err(|error| cannot(error.to_string()))?;
    if found.is_empty() {
        return Err(cannot(
            "it has no line in JSON with this request id\nhelp: lines that repeat are sampled; [log] format has to be json".to_owned(),
        ));
    }
    let is_refused = found.iter().any(|line| line.contains_key("violation"));
    let text = match format {
        Format::Text => found.iter().map(text).collect(),
        Format::Json => {
            json!({ "request_id": id, "lines": found.iter().map(explained).collect::<Vec<_>>() })
                .to_string()
                + "\n"
        }
    };
    Ok(Answer { text, is_refused })
}

/// The lines about a request.
fn find(log: impl std::io::Read, id: &str) -> std::io::Result<Vec<Line>> {
    let mut log = BufReader::new(log);
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    let mut is_rest = false;
    while found.len() < LINES {
        bytes.clear();
        let read = log.by_ref().take(LINE).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        let is_complete = bytes.ends_with(b"\n");
        // The parts of a line that is too long are not lines.
        if !is_rest && memchr::memmem::find(&bytes, id.as_bytes()).is_some() {
            found.extend(line(&bytes, id));
        }
        is_rest = !is_complete;
    }
    Ok(found)
}

/// `None`: it is not a line of the gate about this request.
fn line(bytes: &[u8], id: &str) -> Option<Line> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    let is_about = line.get("request").and_then(Value::as_str) == Some(id);
    is_about.then_some(line)
}

/// A line, with the explanation of its violation and its hint.
fn explained(line: &Line) -> Value {
    let mut line = line.clone();
    for name in ["violation", "hint"] {
        let code = line.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(about) = code.and_then(|code| explanation(&code)) {
            line.insert(format!("{name}_explained"), about);
        }
    }
    Value::from(line)
}

fn text(line: &Line) -> String {
    let mut text = String::new();
    for (name, value) in line {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<16} {}", shown(name), shown(&value));
    }
    for name in ["violation", "hint"] {
        let code = line.get(name).and_then(Value::as_str);
        let about = code.and_then(explanation);
        let parts = about.as_ref().and_then(Value::as_object);
        for (title, about) in parts.into_iter().flatten() {
            let title = title.replace('_', " ");
            let _ = writeln!(text, "\n{title}: {}", about.as_str().unwrap_or_default());
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000000000ab";

    #[test]
    fn only_lines_about_the_request_are_repeated() {
        let about = r#"{"timestamp":"t","event":"decision","request":"00000000000000ab","decision":"refused","violation":"missing_verifier"}"#;
        let log = [
            "not JSON 00000000000000ab",
            r#"{"request":"00000000000000ac","client":"00000000000000ab"}"#,
            about,
            r#"["00000000000000ab"]"#,
            &format!("{}{about}", " ".repeat(70_000)),
        ]
        .join("\n");
        let found = find(log.as_bytes(), ID).unwrap();
        assert_eq!(found.len(), 1);
        let text = text(&found[0]);
        assert!(
            text.contains("missing_verifier") && text.contains("RFC 7636"),
            "{text}"
        );
        assert!(text.contains("Send the verifier of this sign-in"), "{text}");
        let many = format!("{about}\n").repeat(LINES * 3);
        assert_eq!(find(many.as_bytes(), ID).unwrap().len(), LINES);
    }

    #[test]
    fn a_line_controls_no_terminal() {
        let line = r#"{"request":"00000000000000ab","client":"\u001b[2J\nx"}"#;
        let found = find(line.as_bytes(), ID).unwrap();
        let text = text(&found[0]);
        assert!(
            !text.contains('\u{1b}') && text.contains("\\u{1b}[2J\\nx"),
            "{text}"
        );
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        for wrong in ["", "x", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(explain(wrong, Path::new("/dev/null"), Format::Text).is_err());
        }
        let file = Path::new("/dev/zero");
        assert!(explain(ID, file, Format::Text).is_err(), "it never ends");
    }
}
