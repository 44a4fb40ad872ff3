//! Why parameters cannot be read.

/// Why an input cannot be read without doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `%4`, `%zz`, `%u0063`.
    #[error("a percent escape is broken")]
    Escape,
    /// Not UTF-8 after decoding: two different inputs would become equal.
    #[error("not valid UTF-8")]
    Encoding,
    /// NUL truncates a string in some servers and not in others.
    #[error("a NUL character")]
    Nul,
    /// `=value`.
    #[error("a parameter without a name")]
    EmptyName,
    /// A byte-order mark before the first name.
    #[error("a byte-order mark")]
    ByteOrderMark,
    /// More pairs than allowed.
    #[error("too many parameters")]
    TooMany,
}
