//! Strict parsing of `application/x-www-form-urlencoded` parameters, and editing that leaves all other bytes unchanged.
//!
//! Frameworks disagree on ambiguous input (first or last of a duplicate, lossy UTF-8, broken escapes). If the gate
//! chose one reading, it could judge another request than it forwards. So ambiguous input is an error: broken escapes,
//! invalid UTF-8, NUL, a byte-order mark and empty names are refused, and duplicates are kept for the caller to see.

mod escape;
mod folding;
mod malformed;
pub(crate) mod set;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

use escape::Decoder;
pub use escape::decode;
pub(crate) use escape::{encode_into, hex, text_of};
pub(crate) use folding::{fold, foldings, folds_to, is_folding_of, letters};
pub(crate) use malformed::Malformed;

/// One decoded `name=value`, with its position in the input.
#[derive(Clone)]
pub struct Pair<'a> {
    name: Cow<'a, str>,
    /// `None`: the value cannot be decoded. Only [`Params::survey`] accepts such a pair.
    value: Option<Cow<'a, str>>,
    /// Index in `raw` at which the value begins; `None` if there is no `=`.
    value_at: Option<usize>,
    raw: &'a [u8],
    start: usize,
}

impl<'a> Pair<'a> {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The decoded value; empty if it is absent or, in a survey, cannot be decoded.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    pub fn is_decoded(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the pair has a `=`: `state` and `state=` differ.
    pub fn has_equals(&self) -> bool {
        self.value_at.is_some()
    }

    /// The undecoded bytes of the pair, without the surrounding `&`.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether some servers end the name or the value elsewhere: an unescaped `;` begins another parameter, and in qs a
    /// name with a bracket ends at the last `]=`.
    pub fn is_cut_elsewhere(&self) -> bool {
        let value = self.value_at.and_then(|at| self.raw.get(at..));
        let value = value.unwrap_or_default();
        let mut brackets = memchr_iter(b']', value);
        memchr(b';', self.raw).is_some() || brackets.any(|at| value.get(at + 1) == Some(&b'='))
    }

    /// The range of `raw` in the input.
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }
}

/// Initial capacity; most requests have fewer.
const USUAL_PAIRS: usize = 8;

/// The parameters in order, duplicates included.
#[derive(Clone, Default)]
pub struct Params<'a> {
    input: &'a [u8],
    pairs: Vec<Pair<'a>>,
}

/// A parameter that may occur only once occurs twice (RFC 6749 section 3.1), with equal values or not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0} occurs more than once")]
pub struct Duplicate(pub String);

impl<'a> Params<'a> {
    /// Parses at most `limit` pairs. Fails if any name or value cannot be decoded.
    pub fn parse(input: &'a [u8], limit: usize) -> Result<Self, Malformed> {
        Self::read(input, limit, true)
    }

    /// Like [`Params::parse`], but accepts *values* that cannot be decoded, for forms of other kinds (a password in
    /// Latin-1).
    pub fn survey(input: &'a [u8], limit: usize) -> Result<Self, Malformed> {
        Self::read(input, limit, false)
    }

    fn read(input: &'a [u8], limit: usize, strict: bool) -> Result<Self, Malformed> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        let mut decoder = Decoder::new(input);
        let mut pairs = Vec::with_capacity(USUAL_PAIRS.min(limit));
        let mut at = 0;
        while let Some(rest) = input.get(at..) {
            let start = at;
            // Whichever of `&` and `=` comes first ends the name; the next `&` ends the pair.
            let first = memchr2(b'&', b'=', rest);
            let equals = first.filter(|first| rest.get(*first) == Some(&b'='));
            let end = match equals {
                None => first,
                Some(equals) => rest
                    .get(equals + 1..)
                    .and_then(|value| Some(equals + 1 + memchr(b'&', value)?)),
            };
            let raw = end.map_or(rest, |end| rest.get(..end).unwrap_or_default());
            at += raw.len() + 1;
            if raw.is_empty() {
                continue;
            }
            if pairs.len() == limit {
                return Err(Malformed::TooMany);
            }
            let (name, value) = decoded(&mut decoder, start..start + raw.len(), equals, strict)?;
            pairs.push(Pair {
                name,
                value,
                value_at: equals.map(|equals| equals + 1),
                raw,
                start,
            });
        }
        Ok(Self { input, pairs })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pair<'a>> {
        self.pairs.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn input_length(&self) -> usize {
        self.input.len()
    }

    /// Whether [`Pair::is_cut_elsewhere`] is true for any pair.
    pub fn is_cut_elsewhere(&self) -> bool {
        memchr2(b';', b']', self.input).is_some() && self.iter().any(Pair::is_cut_elsewhere)
    }

    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Pair<'a>> {
        self.pairs.iter().filter(move |pair| pair.name == name)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a parameter that may occur only once. `None` if it is absent or empty (RFC 6749 section 3.1); an
    /// empty one still counts as an occurrence.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Duplicate> {
        let mut all = self.pairs.iter().filter(|pair| pair.name == name);
        let first = all.next();
        match all.next() {
            Some(_) => Err(Duplicate(name.to_owned())),
            None => Ok(first.map(Pair::value).filter(|value| !value.is_empty())),
        }
    }

    /// Whether a value of `name` begins or ends with blanks or control characters, which some servers trim.
    pub fn is_padded(&self, name: &str) -> bool {
        let is_blank = |c: char| c.is_whitespace() || c.is_control();
        let padded = |value: &str| value.starts_with(is_blank) || value.ends_with(is_blank);
        self.pairs
            .iter()
            .any(|pair| pair.name == name && padded(pair.value()))
    }

    /// The first name that occurs twice and is not in `may_repeat`.
    pub fn duplicate(&self, may_repeat: &[&str]) -> Option<Duplicate> {
        let earlier =
            |index: usize, name: &str| self.pairs.iter().take(index).any(|pair| pair.name == name);
        self.pairs
            .iter()
            .enumerate()
            .find(|(index, pair)| !may_repeat.contains(&pair.name()) && earlier(*index, &pair.name))
            .map(|(_, pair)| Duplicate(pair.name.clone().into_owned()))
    }

    /// The first name that is not protected, but that some framework reads as a protected one: `CODE`, `code.verifier`,
    /// `code[]`, `+code`. After an unescaped `;` even the exact name counts, because some servers begin a parameter
    /// there and the gate does not.
    pub fn folded_collision(&self, protected: &[&str]) -> Option<String> {
        let collides = |name: &str| is_folding_of(name, protected);
        let semicolons = memchr(b';', self.input).is_some();
        let behind_semicolon = |pair: &Pair<'a>| {
            pair.raw
                .split(|&byte| byte == b';')
                .skip(1)
                .find_map(|piece| {
                    let name = piece.split(|&byte| byte == b'=').next()?;
                    let name = decode(name).ok()?;
                    collides(&name).then(|| name.into_owned())
                })
        };
        self.pairs.iter().find_map(|pair| {
            let name = pair.name();
            if !protected.contains(&name) && collides(name) {
                return Some(name.to_owned());
            }
            semicolons.then(|| behind_semicolon(pair)).flatten()
        })
    }

    /// Writes the input back with edited pairs; all other bytes stay unchanged.
    pub fn edit<'e>(&self, mut edit: impl FnMut(&Pair<'a>) -> Edit<'e>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.input.len() + 64);
        let mut copied = 0;
        for pair in &self.pairs {
            let span = pair.span();
            let edit = edit(pair);
            if matches!(edit, Edit::Keep) {
                continue;
            }
            out.extend_from_slice(self.input.get(copied..span.start).unwrap_or_default());
            copied = span.end;
            match edit {
                Edit::Keep => {}
                // Also drops one separator: the `&` before the pair, or the one after it if the pair is the first.
                Edit::Drop if out.last() == Some(&b'&') => drop(out.pop()),
                Edit::Drop => copied += usize::from(self.input.get(copied) == Some(&b'&')),
                Edit::Bare => encode_into(&mut out, &pair.name),
                Edit::Value(value) => {
                    encode_into(&mut out, &pair.name);
                    out.push(b'=');
                    encode_into(&mut out, &value);
                }
            }
        }
        out.extend_from_slice(self.input.get(copied..).unwrap_or_default());
        out
    }
}

/// The name and the value of a pair. `equals`: the position of its `=`. The value is `None` if it cannot be decoded, unless
/// `strict`.
fn decoded<'a>(
    decoder: &mut Decoder<'a>,
    pair: Range<usize>,
    equals: Option<usize>,
    strict: bool,
) -> Result<(Cow<'a, str>, Option<Cow<'a, str>>), Malformed> {
    let equals = equals.map(|equals| pair.start + equals);
    let name = decoder.part(pair.start..equals.unwrap_or(pair.end))?;
    if name.is_empty() {
        return Err(Malformed::EmptyName);
    }
    if name.starts_with('\u{feff}') {
        return Err(Malformed::ByteOrderMark);
    }
    match decoder.part(equals.map_or(pair.end, |equals| equals + 1)..pair.end) {
        Ok(value) => Ok((name, Some(value))),
        Err(malformed) if strict => Err(malformed),
        Err(_) => Ok((name, None)),
    }
}

#[derive(Clone)]
pub enum Edit<'e> {
    /// Keep its bytes.
    Keep,
    /// Remove the pair and one separator.
    Drop,
    /// Write the name without `=`.
    Bare,
    /// Write the name with this value, percent-encoded.
    Value(Cow<'e, str>),
}

/// The undecoded pairs of a malformed form. For the log only, never for a decision.
pub(crate) fn pairs_loosely(form: &[u8]) -> impl Iterator<Item = &[u8]> {
    /// More than a valid request may have.
    const PAIRS: usize = 256;
    form.split(|&byte| byte == b'&').take(PAIRS)
}

/// Appends `name=value`, percent-encoded, after a `&` if `out` is not empty.
pub(crate) fn append_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(b'&');
    }
    encode_into(out, name);
    out.push(b'=');
    encode_into(out, value);
}

/// Prints names only: values are codes, verifiers, states and passwords.
impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(Pair::name))
            .finish()
    }
}

impl fmt::Debug for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=[redacted]", self.name)
    }
}

impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Edit::Keep => "Keep",
            Edit::Drop => "Drop",
            Edit::Bare => "Bare",
            Edit::Value(_) => "Value([redacted])",
        })
    }
}

#[cfg(test)]
mod tests;
