/// Why parameters cannot be parsed unambiguously.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `%4`, `%zz`, `%u0063`.
    #[error("a percent escape is invalid")]
    Escape,
    /// Not UTF-8 after decoding. A lossy decoder would make different inputs equal.
    #[error("not valid UTF-8")]
    Encoding,
    /// NUL ends a string in some servers but not in others.
    #[error("a NUL character")]
    Nul,
    /// A pair such as `=value`.
    #[error("a parameter without a name")]
    EmptyName,
    #[error("a byte-order mark")]
    ByteOrderMark,
    #[error("too many parameters")]
    TooMany,
}
