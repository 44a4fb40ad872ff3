//! A request that is being mutated: its parts, and the resulting bytes.

use crate::support::client::Authorization;
use crate::support::params::{Params, encode};
use crate::support::rig::HOST;

pub(super) const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) method: String,
    /// The path in the request line, without the query.
    pub(super) path: String,
    /// `name=value` pairs with their separators.
    pub(super) query: Pairs,
    pub(super) form: Pairs,
    pub(super) media_type: Option<String>,
    /// A body that replaces the form.
    pub(super) body: Option<Vec<u8>>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) version: &'static str,
    /// The sizes of the chunks, repeated.
    pub(super) chunks: Option<Vec<usize>>,
}

#[derive(Clone, Debug)]
pub(super) struct Pairs {
    pub(super) list: Vec<Vec<u8>>,
    pub(super) separator: &'static str,
}

impl Pairs {
    fn new(params: &Params) -> Self {
        let pair = |(name, value)| format!("{}={}", encode(name), encode(value)).into_bytes();
        Self {
            list: params.iter().map(pair).collect(),
            separator: "&",
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.list.join(self.separator.as_bytes())
    }
}

impl Draft {
    pub(super) fn get(path: &str, query: &Params) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: Pairs::new(query),
            form: Pairs::new(&Params::default()),
            media_type: None,
            body: None,
            fields: Vec::new(),
            version: "1.1",
            chunks: None,
        }
    }

    pub(super) fn post(path: &str, form: &Params) -> Self {
        Self {
            method: "POST".to_owned(),
            form: Pairs::new(form),
            media_type: Some(FORM.to_owned()),
            ..Self::get(path, &Params::default())
        }
    }

    /// The query or the form, if it is not empty, for a mutation to change.
    pub(super) fn pairs(&mut self) -> &mut Pairs {
        if self.form.list.is_empty() {
            &mut self.query
        } else {
            &mut self.form
        }
    }

    /// The query as servers read it.
    pub(super) fn query_bytes(&self) -> Vec<u8> {
        let bytes = self.query.bytes();
        bytes
            .split(|&byte| byte == b'#')
            .next()
            .unwrap_or_default()
            .to_vec()
    }

    pub(super) fn body_bytes(&self) -> Vec<u8> {
        self.body.clone().unwrap_or_else(|| self.form.bytes())
    }

    /// Whether the media type of the body is a form.
    pub(super) fn is_form(&self) -> bool {
        let media_type = self.media_type.as_deref().unwrap_or_default();
        media_type
            .to_ascii_lowercase()
            .contains("x-www-form-urlencoded")
    }

    pub(super) fn bytes(&self, case: &str) -> Vec<u8> {
        let mut out = format!("{} {}", self.method, self.path).into_bytes();
        if !self.query.list.is_empty() {
            out.push(b'?');
            out.extend(self.query.bytes());
        }
        let mut lines = vec![
            format!(" HTTP/{}", self.version),
            format!("Host: {HOST}"),
            format!("X-Case: {case}"),
        ];
        let fields = self.fields.iter();
        lines.extend(fields.map(|(name, value)| format!("{name}: {value}")));
        lines.extend(
            self.media_type
                .iter()
                .map(|is| format!("Content-Type: {is}")),
        );
        let body = self.body_bytes();
        match &self.chunks {
            Some(_) => lines.push("Transfer-Encoding: chunked".to_owned()),
            None if body.is_empty() && self.method == "GET" => {}
            None => lines.push(format!("Content-Length: {}", body.len())),
        }
        out.extend(lines.join("\r\n").bytes());
        out.extend_from_slice(b"\r\n\r\n");
        match &self.chunks {
            Some(sizes) => out.extend(in_chunks(&body, sizes)),
            None => out.extend(body),
        }
        out
    }
}

/// The cookie that binds a sign-in to a browser is mutated like other fields.
pub(super) fn with_cookie(mut draft: Draft, cookie: Option<&str>) -> Draft {
    let cookie = cookie.map(|cookie| ("Cookie".to_owned(), cookie.to_owned()));
    draft.fields.extend(cookie);
    draft
}

/// A complete and correct authorization request.
pub(super) fn authorization(authorization: &Authorization) -> Draft {
    Draft::get("/authorize", &authorization.params)
}

fn in_chunks(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        out.extend(format!("{:X};x=\"y\"\r\n", chunk.len()).bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
