//! A client of Redis's protocol (RESP2), for the tests' own commands.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Text(String),
    /// `-ERR …`
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Nil,
    List(Vec<Reply>),
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Each step may take that long.
    pub(crate) fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        let (kind, rest) = line.split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
        let number = || rest.parse::<i64>().map_err(|_| ErrorKind::InvalidData);
        Ok(match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
                Err(_) => Reply::Nil,
            },
            "*" => match number()? {
                ..0 => Reply::Nil,
                length => Reply::List(
                    (0..length)
                        .map(|_| self.reply())
                        .collect::<Result<_, _>>()?,
                ),
            },
            _ => return Err(ErrorKind::InvalidData.into()),
        })
    }
}

impl Reply {
    /// The items of a list; none of anything else.
    pub(crate) fn items(self) -> Vec<Self> {
        match self {
            Self::List(items) => items,
            Self::Text(_) | Self::Error(_) | Self::Integer(_) | Self::Bytes(_) | Self::Nil => {
                vec![]
            }
        }
    }

    /// The bytes of a string or a number.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) | Self::Error(text) => text.clone().into_bytes(),
            Self::Integer(number) => number.to_string().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Nil | Self::List(_) => vec![],
        }
    }

    /// The text of a string or a number.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("the reply is text")
    }

    pub(crate) fn is_error(&self, kind: &str) -> bool {
        matches!(self, Self::Error(text) if text.split(' ').next() == Some(kind))
    }

    /// Every string in it, also in nested lists.
    pub(crate) fn leaves(self) -> Vec<Vec<u8>> {
        match self {
            Self::List(items) => items.into_iter().flat_map(Self::leaves).collect(),
            Self::Text(_) | Self::Error(_) | Self::Integer(_) | Self::Bytes(_) | Self::Nil => {
                vec![self.bytes()]
            }
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Nil => write!(f, "nil"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Text(_) | Self::Integer(_) | Self::Bytes(_) => {
                write!(f, "\"{}\"", self.bytes().escape_ascii())
            }
        }
    }
}
