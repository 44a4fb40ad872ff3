//! Answers.

use super::failed::{Failed, Meaning, of_server};

/// An answer of the server, as RESP2 has them. An error in an answer is never a `Value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Int(i64),
    /// A string: stored bytes, or a status such as `OK`.
    Bytes(Vec<u8>),
    List(Vec<Self>),
}

/// Types that only RESP3 has are `Garbage`: the link never asks for RESP3.
pub(super) fn read(value: redis::Value) -> Result<Value, Meaning> {
    if let redis::Value::Nil = value {
        Ok(Value::Nil)
    } else if let redis::Value::Int(number) = value {
        Ok(Value::Int(number))
    } else if let redis::Value::BulkString(bytes) = value {
        Ok(Value::Bytes(bytes))
    } else if let redis::Value::SimpleString(text) = value {
        Ok(Value::Bytes(text.into_bytes()))
    } else if let redis::Value::Okay = value {
        Ok(Value::Bytes(b"OK".to_vec()))
    } else if let redis::Value::Array(values) = value {
        let values: Result<_, _> = values.into_iter().map(read).collect();
        values.map(Value::List)
    } else if let redis::Value::ServerError(error) = value {
        Err(of_server(&error))
    } else {
        Err(Meaning::Lost(Failed::Garbage))
    }
}

impl Value {
    /// The text of a string; `None` for other types and for bytes that are not UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Nil | Self::Int(_) | Self::List(_) => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Nil | Self::Bytes(_) | Self::List(_) => None,
        }
    }

    /// The elements of a list; none for other types.
    pub(crate) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            Self::Nil | Self::Int(_) | Self::Bytes(_) => &[],
        }
    }
}
