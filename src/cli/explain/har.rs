//! Reads the requests of a HAR 1.2 file, which browsers write.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::answer::Unusable;
use super::request::Written;
use crate::files;
use crate::oauth::params::append_pair;

/// The most bytes of a file. It has the answers, too, with their pictures and scripts.
const MOST: u64 = 128 * 1024 * 1024;
/// The most requests that are explained.
const ENTRIES: usize = 10_000;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    params: Vec<Pair>,
}

/// The requests of a file, or only this one; 1 is the first.
pub(super) fn read(file: &Path, entry: Option<u32>) -> Result<Vec<Written>, Unusable> {
    let cannot = |why: String| Unusable::File(format!("cannot read {}: {why}", file.display()));
    let text = files::read_up_to(file, MOST).map_err(|error| cannot(error.to_string()))?;
    parse(&text, entry).map_err(cannot)
}

/// The text of an error contains nothing of the file, which has codes and passwords.
fn parse(text: &[u8], entry: Option<u32>) -> Result<Vec<Written>, String> {
    let har: Har = serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is no HAR file (line {line}, column {column})")
    })?;
    let entries = har.log.entries;
    if entries.len() > ENTRIES {
        return Err(format!("it has more than {ENTRIES} requests"));
    }
    let count = entries.len();
    let numbered = (1_u32..).zip(entries);
    let wanted = numbered.filter(|(number, _)| entry.is_none_or(|entry| entry == *number));
    let mut requests = Vec::new();
    for (number, Entry { request }) in wanted {
        match written(request) {
            Ok(request) => requests.push(request),
            // A page has data: URLs and WebSockets, too.
            Err(_) if entry.is_none() => {}
            Err(unusable) => return Err(format!("request {number}: {unusable}")),
        }
    }
    if requests.is_empty() {
        return Err(format!("it has {count} requests, and not this one"));
    }
    Ok(requests)
}

fn written(request: Request) -> Result<Written, Unusable> {
    let mut written = Written::url(&request.url)?;
    written.method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| Unusable::File("its method is invalid".to_owned()))?;
    // Fields of HTTP/2 begin with a colon; the host is in the URL. Chrome names fields of the connection that were not sent.
    let fields = request.headers.iter().filter(|field| {
        let name = field.name.to_ascii_lowercase();
        !name.starts_with(':') && !["host", "content-length"].contains(&name.as_str())
    });
    for field in fields.clone() {
        written.add(&field.name, &field.value)?;
    }
    let Some(data) = request.post_data else {
        return Ok(written);
    };
    let is_typed = fields
        .clone()
        .any(|it| it.name.eq_ignore_ascii_case("content-type"));
    if !is_typed && !data.mime_type.is_empty() {
        written.add("content-type", &data.mime_type)?;
    }
    let mut body = data.text.into_bytes();
    if body.is_empty() {
        for pair in &data.params {
            append_pair(&mut body, &pair.name, &pair.value);
        }
    }
    written.body = Bytes::from(body);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn har(requests: &[Value]) -> Vec<u8> {
        let entries: Vec<Value> = requests
            .iter()
            .map(|it| json!({"request": it, "response": {}}))
            .collect();
        json!({"log": {"version": "1.2", "creator": {}, "entries": entries}})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn requests_are_read_with_their_fields_and_bodies() {
        let file = har(&[
            json!({"method": "GET", "url": "https://g/authorize?a=b#c", "headers": [{"name": ":authority", "value": "g"}]}),
            json!({"method": "GET", "url": "data:text/plain,x", "headers": []}),
            json!({"method": "POST", "url": "https://g/token", "headers": [{"name": "A", "value": "b"}],
                   "postData": {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "b c"}]}}),
            json!({"method": "POST", "url": "https://g/token", "headers": [{"name": "Content-Type", "value": "x"}],
                   "postData": {"mimeType": "y", "text": "raw"}}),
        ]);
        let all = parse(&file, None).unwrap();
        assert_eq!(all.len(), 3, "what is not HTTP is left out");
        assert_eq!(all[1].body, "a=b%20c");
        assert_eq!(
            all[1].headers["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(all[2].body, "raw");
        assert_eq!(all[2].headers["content-type"], "x");
        assert_eq!(parse(&file, Some(4)).unwrap()[0].body, "raw");
        assert!(parse(&file, Some(2)).unwrap_err().starts_with("request 2:"));
        assert!(parse(&file, Some(5)).is_err());
    }

    #[test]
    fn wrong_files_are_refused_without_a_word_of_them() {
        let many: Vec<Value> = (0..=ENTRIES)
            .map(|_| json!({"method": "GET", "url": "https://g/"}))
            .collect();
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        for file in [
            &b""[..],
            b"hunter2",
            b"{}",
            b"{\"log\":{}}",
            b"{\"log\":{\"entries\":[{\"request\":\"hunter2\"}]}}",
            b"\xff",
            deep.as_bytes(),
            &har(&many),
            &har(&[]),
            &har(&[json!({"method": "hunter2 x", "url": "https://g/"})]),
        ] {
            let error = parse(file, None).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_request_is_read_or_refused(method in ".{0,8}", url in "(https://g)?.{0,30}", name in ".{0,8}", text in ".{0,20}") {
            let request = json!({"method": method, "url": url, "headers": [{"name": name, "value": text}],
                                 "postData": {"mimeType": name, "text": text}});
            let _ = parse(&har(&[request]), Some(1));
        }
    }
}
