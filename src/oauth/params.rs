//! `application/x-www-form-urlencoded` parameters, read strictly and written back without touching the rest.
//!
//! Frameworks disagree on every doubtful input (first or last of a duplicate, lossy UTF-8, broken escapes). A gate
//! that resolves the doubt in its own way judges one request and forwards another, so doubt is an error here:
//! broken escapes, invalid UTF-8, NUL, a byte-order mark and empty names are refused, and duplicates stay visible.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// One `name=value`, decoded, with its place in the input.
#[derive(Clone)]
pub struct Pair<'a> {
    name: Cow<'a, str>,
    /// `None`: the value does not decode. Only [`Params::survey`] lets such a pair through.
    value: Option<Cow<'a, str>>,
    has_equals: bool,
    raw: &'a [u8],
    start: usize,
}

impl<'a> Pair<'a> {
    /// The decoded name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The decoded value; empty when it is absent or, in a survey, does not decode.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// Whether the value decoded.
    pub fn is_decoded(&self) -> bool {
        self.value.is_some()
    }

    /// Whether there was a `=`: a bare `state` is not `state=`.
    pub fn has_equals(&self) -> bool {
        self.has_equals
    }

    /// The bytes of the pair as they came, without the `&`s around it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether some servers see the end of the name, or of the value, elsewhere: a `;` that is not escaped begins another
    /// parameter, and to qs a name that has a bracket ends at the last `]=`.
    pub fn is_cut_elsewhere(&self) -> bool {
        let value = self.raw.splitn(2, |&byte| byte == b'=').nth(1);
        let value = value.unwrap_or_default();
        self.raw.contains(&b';') || value.windows(2).any(|two| two == b"]=")
    }

    /// Where they stand in the input.
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }
}

/// Ordered pairs; duplicates and order are kept.
#[derive(Clone, Default)]
pub struct Params<'a> {
    input: &'a [u8],
    pairs: Vec<Pair<'a>>,
}

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

/// A parameter that must occur once occurs twice (RFC 6749 section 3.1), equal or not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0} occurs more than once")]
pub struct Duplicate(pub String);

impl<'a> Params<'a> {
    /// Reads at most `limit` pairs; every name and every value has to decode.
    pub fn parse(input: &'a [u8], limit: usize) -> Result<Self, Malformed> {
        Self::read(input, limit, true)
    }

    /// Like [`Params::parse`], but a *value* may be undecodable: other people's forms (a password in Latin-1) pass
    /// through. Names are as strict as ever.
    pub fn survey(input: &'a [u8], limit: usize) -> Result<Self, Malformed> {
        Self::read(input, limit, false)
    }

    fn read(input: &'a [u8], limit: usize, strict: bool) -> Result<Self, Malformed> {
        let mut pairs = Vec::new();
        let mut start = 0;
        for raw in input.split(|&byte| byte == b'&') {
            let at = start;
            start += raw.len() + 1;
            if raw.is_empty() {
                continue;
            }
            if pairs.len() == limit {
                return Err(Malformed::TooMany);
            }
            pairs.push(Self::pair(raw, at, strict)?);
        }
        Ok(Self { input, pairs })
    }

    fn pair(raw: &'a [u8], at: usize, strict: bool) -> Result<Pair<'a>, Malformed> {
        let equals = raw.iter().position(|&byte| byte == b'=');
        let (name, value) = raw.split_at(equals.unwrap_or(raw.len()));
        let value = value.get(1..).unwrap_or_default();
        let name = decode(name)?;
        if name.is_empty() {
            return Err(Malformed::EmptyName);
        }
        if name.starts_with('\u{feff}') {
            return Err(Malformed::ByteOrderMark);
        }
        let value = match decode(value) {
            Ok(value) => Some(value),
            Err(malformed) if strict => return Err(malformed),
            Err(_) => None,
        };
        Ok(Pair {
            name,
            value,
            has_equals: equals.is_some(),
            raw,
            start: at,
        })
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Pair<'a>> {
        self.pairs.iter()
    }

    /// Whether there is no pair at all.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Every pair of that exact name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Pair<'a>> {
        self.pairs.iter().filter(move |pair| pair.name == name)
    }

    /// Whether the name occurs, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The one value of `name`. A parameter without a value is an omitted one (RFC 6749 section 3.1), but it still
    /// counts as an occurrence.
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
        let trimmed = |value: &str| {
            let is_blank = |c: char| c.is_whitespace() || c.is_control();
            value.trim_matches(is_blank).len() < value.len()
        };
        self.pairs
            .iter()
            .any(|pair| pair.name == name && trimmed(pair.value()))
    }

    /// The first name that occurs twice, leaving out those that may.
    pub fn duplicate(&self, may_repeat: &[&str]) -> Option<Duplicate> {
        let earlier =
            |index: usize, name: &str| self.pairs.iter().take(index).any(|pair| pair.name == name);
        self.pairs
            .iter()
            .enumerate()
            .find(|(index, pair)| !may_repeat.contains(&pair.name()) && earlier(*index, &pair.name))
            .map(|(_, pair)| Duplicate(pair.name.clone().into_owned()))
    }

    /// The first name that some framework would take for a protected one, though it is not: `CODE`,
    /// `code.verifier`, `code[]`, `+code`. Behind a `;` that is not escaped, a protected name itself is one: there it
    /// begins a parameter in some servers, and none here.
    pub fn folded_collision(&self, protected: &[&str]) -> Option<String> {
        let collides = |name: &str| foldings(name).any(|folded| is_folded(protected, &folded));
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
            behind_semicolon(pair)
        })
    }

    /// Writes the input back. Only the pairs that change, change: everything else stays, byte for byte.
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
                // With the pair goes one of its separators: the one before it, or at the start the one behind it.
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

/// What [`Params::edit`] does with a pair.
#[derive(Clone)]
pub enum Edit<'e> {
    /// Leave its bytes alone.
    Keep,
    /// Leave it out.
    Drop,
    /// The name alone, without `=`.
    Bare,
    /// The name with this value, percent-encoded.
    Value(Cow<'e, str>),
}

/// Appends `name=value`, percent-encoded, with a `&` where something stands before it.
pub fn append_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(b'&');
    }
    encode_into(out, name);
    out.push(b'=');
    encode_into(out, value);
}

/// Percent-encodes everything but RFC 3986's unreserved characters: correct in a query, a fragment and a form.
pub fn encode_into(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.push(b'%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(HEX.get(usize::from(digit)));
            }
        }
    }
}

fn is_folded(protected: &[&str], folded: &str) -> bool {
    let letters = |known: &str| {
        let letters = known.bytes().filter(u8::is_ascii_alphanumeric);
        letters
            .map(|byte| byte.to_ascii_lowercase())
            .eq(folded.bytes())
    };
    protected.iter().any(|known| letters(known))
}

/// What a name looks like to forgiving frameworks. To most of them it ends at a bracket, and to those written in C at a
/// NUL; to PHP a bracket that is not closed is a `_`.
pub fn foldings(name: &str) -> impl Iterator<Item = String> {
    let brackets = ['[', ']'];
    let opened = name.trim_start_matches(brackets);
    let cut = opened.split(['[', ']', '\0']).next().unwrap_or_default();
    let unclosed = opened
        .split_once('[')
        .is_some_and(|(_, rest)| !rest.contains(']'));
    let whole = unclosed.then(|| fold(opened.split('\0').next().unwrap_or_default()));
    // Others drop the NUL.
    let without_nul = name.contains('\0').then(|| fold(name));
    std::iter::once(fold(cut)).chain(whole).chain(without_nul)
}

/// A name without case and punctuation.
///
/// Case is folded as Unicode does it (`ſ` is an `s`, the Kelvin sign a `k`), because some runtimes do.
pub fn fold(name: &str) -> String {
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// Strict form decoding of one name or value: `+` is a space, `%HH` exactly, then UTF-8 without NUL.
pub fn decode(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    if !raw.iter().any(|&byte| matches!(byte, b'%' | b'+' | 0)) {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Malformed::Encoding);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes
                    .next()
                    .and_then(|&digit| hex(digit))
                    .ok_or(Malformed::Escape)?;
                let low = bytes
                    .next()
                    .and_then(|&digit| hex(digit))
                    .ok_or(Malformed::Escape)?;
                high << 4 | low
            }
            other => other,
        });
    }
    if out.contains(&0) {
        return Err(Malformed::Nul);
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| Malformed::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Values are codes, verifiers, states and passwords: only names are shown.
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
