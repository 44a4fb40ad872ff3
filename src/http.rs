//! What every HTTP message has: bodies that are read as far as somebody asks and then sent on, and header fields.

pub(crate) mod body;
pub(crate) mod headers;

/// Bounds on what is read of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Header fields in a request.
    pub headers: usize,
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a body at an intercepted endpoint.
    pub form_bytes: usize,
    /// Pairs in a query or body there.
    pub form_pairs: usize,
    /// Bytes of an upstream page that are read for a code.
    pub response_scan_bytes: usize,
    /// Requests at once per upstream.
    pub in_flight: usize,
}
