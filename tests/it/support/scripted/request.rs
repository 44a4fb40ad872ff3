//! One request as it was received.

use crate::support::params::Params;
use crate::support::wire::{Framing, dechunked, field, fields};

#[derive(Clone)]
pub(crate) struct Received {
    /// The number of its connection.
    pub(crate) connection: usize,
    /// Request line and fields, with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body with its framing, as far as it has arrived.
    pub(crate) body: Vec<u8>,
    /// Whether the body is complete.
    pub(crate) complete: bool,
}

impl Received {
    fn word(&self, index: usize) -> &str {
        let line = self.head.split(|&byte| byte == b'\r').next();
        let words = str::from_utf8(line.unwrap_or_default()).unwrap_or_default();
        words.split(' ').nth(index).unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.word(0)
    }

    pub(crate) fn target(&self) -> &str {
        self.word(1)
    }

    pub(crate) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of the first field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The names of its fields, in order.
    pub(crate) fn header_names(&self) -> Vec<String> {
        fields(&self.head)
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect()
    }

    /// The body without its framing.
    pub(crate) fn content(&self) -> Vec<u8> {
        match Framing::of_request(&self.head) {
            Framing::Chunked => dechunked(&self.body),
            Framing::Length(_) | Framing::UntilClose => self.body.clone(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.content()).expect("the body is UTF-8")
    }

    /// The parameters of the query.
    pub(crate) fn query_params(&self) -> Params {
        Params::from_query(self.query())
    }

    /// The parameters of a form.
    pub(crate) fn form(&self) -> Params {
        Params::from_query(&self.text())
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = if self.complete {
            ""
        } else {
            " (not all of it)"
        };
        let body = self.body.get(..1000).unwrap_or(&self.body);
        write!(
            f,
            "on connection {}: {}{}{part}",
            self.connection,
            self.head.escape_ascii(),
            body.escape_ascii()
        )
    }
}
