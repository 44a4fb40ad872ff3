//! Reads a curl command line: the request that curl would send. Nothing is executed, and no file is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, header};

use super::answer::Unusable;
use super::request::Written;
use super::words;
use crate::oauth::params::encode_into;

/// Options without a value that change nothing that the gate judges.
const WITHOUT_EFFECT: [&str; 18] = [
    "--compressed",
    "--fail",
    "--include",
    "--insecure",
    "--location",
    "--show-error",
    "--silent",
    "--verbose",
    "--path-as-is",
    "--globoff",
    "-f",
    "-i",
    "-k",
    "-L",
    "-S",
    "-s",
    "-v",
    "-g",
];

/// What the options say.
#[derive(Default)]
struct Options {
    method: Option<String>,
    /// The options without a value.
    flags: Vec<String>,
    url: Option<String>,
    fields: Vec<String>,
    data: Option<String>,
    user: Option<String>,
}

/// The request of a command line.
pub(super) fn read(command: &str) -> Result<Written, Unusable> {
    let words = words::split(command)?;
    let mut words = words.into_iter();
    if words.next().as_deref() != Some("curl") {
        return wrong("it has to begin with curl");
    }
    let mut options = Options::default();
    let mut ended = false;
    while let Some(word) = words.next() {
        if ended || !word.starts_with('-') || word == "-" {
            options.url(word)?;
        } else if word == "--" {
            ended = true;
        } else {
            for (name, value) in options_in(&word)? {
                let mut value = || match value.clone().or_else(|| words.next()) {
                    Some(value) => Ok(value),
                    None => wrong(&format!("{name} needs a value")),
                };
                options.take(&name, &mut value)?;
            }
        }
    }
    options.request()
}

fn wrong<T>(why: &str) -> Result<T, Unusable> {
    Err(Unusable::Usage(format!(
        "the curl command cannot be read: {why}"
    )))
}

/// Whether a short option has a value.
fn has_value(letter: char) -> bool {
    "XHdub".contains(letter)
}

/// The options in one word, each with the value that follows in it: `-sXPOST` is `-s` and `-X POST`.
fn options_in(word: &str) -> Result<Vec<(String, Option<String>)>, Unusable> {
    if word.starts_with("--") {
        return Ok(vec![(word.to_owned(), None)]);
    }
    let mut letters = word.chars().skip(1);
    let mut found = Vec::new();
    while let Some(letter) = letters.next() {
        if !letter.is_ascii_alphanumeric() {
            return wrong("an option is unknown");
        }
        let rest: Option<String> = has_value(letter)
            .then(|| letters.by_ref().collect::<String>())
            .filter(|rest| !rest.is_empty());
        found.push((format!("-{letter}"), rest));
    }
    Ok(found)
}

impl Options {
    fn take(
        &mut self,
        name: &str,
        value: &mut dyn FnMut() -> Result<String, Unusable>,
    ) -> Result<(), Unusable> {
        match name {
            "-X" | "--request" => self.method = Some(value()?),
            "-I" | "--head" | "-G" | "--get" => self.flags.push(name.to_owned()),
            "--url" => {
                let url = value()?;
                self.url(url)?;
            }
            "-H" | "--header" => self.fields.push(inline(value()?)?),
            "-b" | "--cookie" => {
                let cookies = value()?;
                if !cookies.contains('=') {
                    return wrong("--cookie names a file, which is not read");
                }
                self.fields.push(format!("Cookie: {cookies}"));
            }
            "-d" | "--data" | "--data-ascii" | "--data-binary" => {
                let data = inline(value()?)?;
                self.add(&data);
            }
            "--data-raw" => {
                let data = value()?;
                self.add(&data);
            }
            "--data-urlencode" => {
                let data = encoded(&value()?)?;
                self.add(&data);
            }
            "-u" | "--user" => self.user = Some(value()?),
            known if WITHOUT_EFFECT.contains(&known) => self.flags.push(name.to_owned()),
            // The rest of an unknown word may be a secret.
            unknown
                if unknown.len() <= 24
                    && unknown
                        .bytes()
                        .all(|it| it == b'-' || it.is_ascii_alphanumeric()) =>
            {
                return wrong(&format!("the option {unknown} is not supported"));
            }
            _ => return wrong("an option is unknown"),
        }
        Ok(())
    }

    fn has(&self, short: &str, long: &str) -> bool {
        let mut flags = self.flags.iter();
        flags.any(|flag| flag == short || flag == long)
    }

    fn url(&mut self, url: String) -> Result<(), Unusable> {
        if self.url.replace(url).is_some() {
            return wrong("it has more than one URL");
        }
        Ok(())
    }

    /// Several bodies are one form.
    fn add(&mut self, data: &str) {
        match &mut self.data {
            Some(all) => {
                all.push('&');
                all.push_str(data);
            }
            None => self.data = Some(data.to_owned()),
        }
    }

    fn request(self) -> Result<Written, Unusable> {
        let Some(url) = &self.url else {
            return wrong("it has no URL");
        };
        // curl reads a URL without a scheme so.
        let url = if url.contains("://") {
            url.clone()
        } else {
            format!("http://{url}")
        };
        let path = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'));
        let path = path.map_or("", |(_, path)| path);
        if !self.has("-g", "--globoff") && path.contains(['[', ']', '{', '}']) {
            return wrong("curl would expand [ ] { } in the URL: add --globoff, or escape them");
        }
        let mut request = Written::url(&url)?;
        let has_dots = request.path().split('/').any(|it| it == "." || it == "..");
        if has_dots && !self.has("--path-as-is", "--path-as-is") {
            return wrong("curl would remove . and .. from the path: add --path-as-is");
        }
        for field in &self.fields {
            add_field(&mut request, field)?;
        }
        let named = |name: &str| self.names_field(name);
        if let Some(user) = self.user.as_ref().filter(|_| !named("authorization")) {
            if !user.contains(':') {
                return wrong("curl would ask for the password: write -u NAME:PASSWORD");
            }
            let basic = format!("Basic {}", STANDARD.encode(user));
            request.add("authorization", &basic)?;
        }
        let (is_get, is_head) = (self.has("-G", "--get"), self.has("-I", "--head"));
        let default = match (&self.data, is_get, is_head) {
            (_, _, true) => Method::HEAD,
            (Some(_), false, false) => Method::POST,
            (_, _, false) => Method::GET,
        };
        request.method = match &self.method {
            Some(method) => {
                Method::from_bytes(method.as_bytes()).or_else(|_| wrong("its method is invalid"))?
            }
            None => default,
        };
        match &self.data {
            Some(data) if is_get || is_head => request.add_query(data)?,
            Some(data) => {
                request.body = Bytes::from(data.clone());
                if !named("content-type") {
                    request.add("content-type", "application/x-www-form-urlencoded")?;
                }
            }
            None => {}
        }
        Ok(request)
    }

    /// Whether a field of this name is given, or removed.
    fn names_field(&self, name: &str) -> bool {
        let mut names = self
            .fields
            .iter()
            .filter_map(|field| field.split([':', ';']).next());
        names.any(|known| known.trim().eq_ignore_ascii_case(name))
    }
}

/// A value that is not the name of a file.
fn inline(value: String) -> Result<String, Unusable> {
    if value.starts_with('@') {
        return wrong("a value begins with @, which names a file; files are not read");
    }
    Ok(value)
}

/// The value of `--data-urlencode`: `content`, `=content` or `name=content`.
fn encoded(value: &str) -> Result<String, Unusable> {
    let (name, content) = match value.split_once('=') {
        Some((name, content)) => (name, content),
        None if value.contains('@') => {
            return wrong("--data-urlencode names a file after @; files are not read");
        }
        None => ("", value),
    };
    let mut all = Vec::from(name);
    if !name.is_empty() {
        all.push(b'=');
    }
    encode_into(&mut all, content);
    String::from_utf8(all).or_else(|_| wrong("a value is not UTF-8"))
}

/// `Name: value`; `Name;` has an empty value, and `Name:` removes a field that curl would add.
fn add_field(request: &mut Written, field: &str) -> Result<(), Unusable> {
    match field.split_once(':') {
        Some((name, value)) if !value.trim().is_empty() => request.add(name.trim(), value.trim()),
        Some((name, _)) => {
            if name.trim().eq_ignore_ascii_case("host") {
                request.headers.remove(header::HOST);
            }
            Ok(())
        }
        None => match field.strip_suffix(';') {
            Some(name) => request.add(name, ""),
            None => wrong("a header field has no colon"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Method, target, body, and the fields as `name: value`.
    fn sent(command: &str) -> (String, String, String, Vec<String>) {
        let written = read(command).unwrap_or_else(|error| panic!("{command}: {error}"));
        let (shown, request) = written.split();
        let fields = request.headers().iter();
        let fields = fields.filter(|(name, _)| **name != header::HOST);
        let fields = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        (
            shown.method,
            request.uri().to_string(),
            body,
            fields.collect(),
        )
    }

    #[test]
    fn the_request_is_the_one_that_curl_would_send() {
        const FORM: &str = "content-type: application/x-www-form-urlencoded";
        for (command, method, target, body, fields) in [
            (
                "curl 'https://g/authorize?a=b'",
                "GET",
                "/authorize?a=b",
                "",
                &[] as &[&str],
            ),
            ("curl -s g/x", "GET", "/x", "", &[]),
            (
                "curl -d a=b -d c https://g/token",
                "POST",
                "/token",
                "a=b&c",
                &[FORM],
            ),
            (
                "curl --data-urlencode 'a=b c&d' --data-urlencode '=x=y' --data-raw @z --url https://g/t",
                "POST",
                "/t",
                "a=b%20c%26d&x%3Dy&@z",
                &[FORM],
            ),
            ("curl -G -d a=b https://g/x?c", "GET", "/x?c&a=b", "", &[]),
            (
                "curl -u app:pw -XPUT https://g/t",
                "PUT",
                "/t",
                "",
                &["authorization: Basic YXBwOnB3"],
            ),
            (
                "curl -u app:pw -H 'Authorization: Bearer x' https://g/t",
                "GET",
                "/t",
                "",
                &["authorization: Bearer x"],
            ),
            (
                "curl -H 'content-type: text/plain' -d x -H 'A;' -H 'Accept:' https://g/t",
                "POST",
                "/t",
                "x",
                &["content-type: text/plain", "a: "],
            ),
            ("curl -sSLk -I https://g/t", "HEAD", "/t", "", &[]),
            (
                "curl -b a=b -- https://g/t",
                "GET",
                "/t",
                "",
                &["cookie: a=b"],
            ),
            (
                "curl -g 'https://g/t?a[]=b' --path-as-is",
                "GET",
                "/t?a[]=b",
                "",
                &[],
            ),
            ("curl 'https://[::1]:8080/t'", "GET", "/t", "", &[]),
        ] {
            let command = command.replace("x?c", "'x?c'");
            let expected: Vec<String> = fields.iter().map(|it| (*it).to_owned()).collect();
            let expected = (
                method.to_owned(),
                target.to_owned(),
                body.to_owned(),
                expected,
            );
            assert_eq!(sent(&command), expected, "{command}");
        }
    }

    #[test]
    fn what_curl_would_read_or_ask_for_is_refused_without_its_values() {
        for command in [
            "",
            "wget https://g/",
            "curl",
            "curl -d @/etc/passwd https://g/t",
            "curl -H @hunter2 https://g/t",
            "curl --data-urlencode hunter2@file https://g/t",
            "curl -u hunter2 https://g/t",
            "curl -F a=hunter2 https://g/t",
            "curl https://g/hunter2 https://g/b",
            "curl --next https://g/t",
            "curl -d",
            "curl 'https://g/t?{hunter2,b}'",
            "curl 'https://g/t?[1-9]'",
            "curl https://g/a/../t",
            "curl -b hunter2 https://g/t",
            "curl -H hunter2 https://g/t",
            "curl -X 'hunter2 x' https://g/t",
            "curl https://hunter2@g/t",
            "curl '--x=hunter2' https://g/t",
            "curl '-\u{e9}'",
        ] {
            let error = read(command).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_form_is_sent_as_it_is_written(values in prop::collection::vec("[^\0]{0,20}", 1..4)) {
            let mut command = "curl https://g/token".to_owned();
            for value in &values {
                let value = value.replace('\'', r"'\''");
                command.extend([" --data-urlencode 'x=", &value, "'"]);
            }
            let (_, _, body, _) = sent(&command);
            let params = crate::oauth::Params::parse(body.as_bytes(), 64).unwrap();
            let found: Vec<&str> = params.iter().map(crate::oauth::params::Pair::value).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn any_command_is_read_or_refused(rest in "[ -~\n]{0,60}") {
            let _ = read(&format!("curl {rest}"));
        }
    }
}
