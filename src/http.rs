//! Bodies and header fields of HTTP messages.

pub(crate) mod body;
pub(crate) mod headers;

/// Limits on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most header fields of a request.
    pub headers: usize,
    /// The most bytes of a request target.
    pub uri_bytes: usize,
    /// The most bytes of a request body that are read.
    pub form_bytes: usize,
    /// The most parameters in a query or a form.
    pub form_pairs: usize,
    /// How many bytes of an upstream's answer are searched for a code.
    pub response_scan_bytes: usize,
    /// The most requests in flight to an upstream.
    pub in_flight: usize,
}
