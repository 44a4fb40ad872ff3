//! Kinds of string values: durations, sizes, addresses. Each parser returns why a string is invalid and what to write
//! instead; [`super::tree`] adds the position in the file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::wording::quoted;

/// A kind of string value.
#[derive(Debug)]
pub(super) struct Kind<T> {
    /// The name of the kind, with its article.
    pub(super) what: &'static str,
    /// A valid value, without quotes.
    pub(super) example: &'static str,
    /// The unit that a bare number lacks.
    pub(super) unit: &'static str,
    /// The only valid values, if they can be listed.
    words: &'static [&'static str],
    /// A regular expression that every valid value matches.
    pattern: &'static str,
    pub(super) read: fn(&str) -> Result<T, Wrong>,
}

impl<T> Kind<T> {
    pub(super) const fn new(
        what: &'static str,
        example: &'static str,
        read: fn(&str) -> Result<T, Wrong>,
    ) -> Self {
        Self {
            what,
            example,
            unit: "",
            words: &[],
            pattern: ".",
            read,
        }
    }

    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    pub(super) const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    pub(super) const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = pattern;
        self
    }

    /// The JSON Schema of the kind. It accepts every valid value, and some that the parser rejects.
    pub(super) fn json(&self) -> Value {
        if self.words.is_empty() {
            json!({ "type": "string", "pattern": self.pattern, "examples": [self.example] })
        } else {
            json!({ "enum": self.words })
        }
    }
}

/// Why a string is not valid for its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The unsupported feature, if the value is reserved for a later version.
    pub(super) later: Option<String>,
    /// The reason, shown at the caret.
    pub(super) label: String,
    /// What to write instead.
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(label: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            later: None,
            label: label.into(),
            help: help.into(),
        }
    }

    pub(super) fn later(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            later: Some(what.into()),
            ..Self::new("comes with a later version", help)
        }
    }
}

/// `"15m"`.
pub(super) const DURATION: Kind<Duration> = Kind {
    unit: "s",
    ..Kind::new("a duration", "5s", duration).pattern("^[0-9]+(ms|s|m|h)$")
};

/// `"32KiB"`.
pub(super) const SIZE: Kind<usize> = Kind {
    unit: "B",
    ..Kind::new("a size", "32KiB", size).pattern("^[0-9]+(B|KiB|MiB|GiB)$")
};

/// `"127.0.0.1:8080"`.
pub(super) const ADDRESS: Kind<SocketAddr> =
    Kind::new("an address", "127.0.0.1:8080", address).pattern(":[0-9]+$");

/// `"10.0.0.0/8"`.
pub(super) const NETWORK: Kind<IpNet> =
    Kind::new("a network", "10.0.0.0/8", network).pattern("/[0-9]+$");

/// Any printable string.
pub(super) const TEXT: Kind<String> = Kind::new("a text", "…", text);

fn text(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("it is empty", "write a text between the quotes"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "it has a control character",
            "write it without line breaks, tabs and other control characters",
        ));
    }
    Ok(text.to_owned())
}

/// Splits a string into its leading number and the rest.
fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.parse().ok(), unit)
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    const HELP: &str = "write a whole number and ms, s, m or h, for example \"250ms\" or \"15m\"";
    let (number, unit) = number_and_unit(text);
    let seconds = match unit {
        "ms" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "" => return Err(Wrong::new("the unit is missing", HELP)),
        other => {
            return Err(Wrong::new(
                format!("{} is not a unit", quoted(other.trim())),
                HELP,
            ));
        }
    };
    let number = number.ok_or_else(|| Wrong::new("the number is missing or too large", HELP))?;
    if unit == "ms" {
        return Ok(Duration::from_millis(number));
    }
    let seconds = number.checked_mul(seconds);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| Wrong::new("this is too long", HELP))
}

fn size(text: &str) -> Result<usize, Wrong> {
    const HELP: &str = "write a whole number and B, KiB or MiB, for example \"32KiB\" or \"1MiB\"";
    let (number, unit) = number_and_unit(text);
    let factor = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        "" => return Err(Wrong::new("the unit is missing", HELP)),
        "kB" | "KB" | "K" | "k" | "kb" | "MB" | "M" | "mb" => {
            return Err(Wrong::new("sizes are powers of 1024", HELP));
        }
        other => {
            return Err(Wrong::new(
                format!("{} is not a unit", quoted(other.trim())),
                HELP,
            ));
        }
    };
    number
        .and_then(|number| usize::try_from(number).ok())
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| Wrong::new("the number is missing or too large", HELP))
}

fn address(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.starts_with("unix:") {
        return Err(Wrong::later(
            "a unix: socket",
            "write a TCP address, for example \"127.0.0.1:8080\"",
        ));
    }
    let (label, instead) = match text.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            ("the address is missing", format!("0.0.0.0:{port}"))
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
            ("names are not looked up here", format!("127.0.0.1:{port}"))
        }
        _ => match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ("the port is missing", format!("{ip}:8080")),
            Ok(IpAddr::V6(ip)) => ("the port is missing", format!("[{ip}]:8080")),
            Err(_) => ("not an IP address and port", ADDRESS.example.to_owned()),
        },
    };
    Err(Wrong::new(
        label,
        format!("write an IP address and a port, for example \"{instead}\""),
    ))
}

fn network(text: &str) -> Result<IpNet, Wrong> {
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(network),
        Ok(network) => Err(Wrong::new(
            "it has bits beyond its prefix length",
            format!("write \"{}\"", network.trunc()),
        )),
        Err(_) => Err(match text.parse::<IpAddr>() {
            Ok(ip) => Wrong::new(
                "the prefix length is missing",
                format!("write \"{}\"", IpNet::from(ip)),
            ),
            Err(_) => Wrong::new(
                "not an address with a prefix length",
                "write a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
            ),
        }),
    }
}

/// Formats a duration with the largest unit that represents it exactly.
pub(super) fn show_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.as_millis());
    if millis % 1000 != 0 {
        format!("\"{millis}ms\"")
    } else if seconds == 0 || !seconds.is_multiple_of(60) {
        format!("\"{seconds}s\"")
    } else if !seconds.is_multiple_of(3600) {
        format!("\"{}m\"", seconds / 60)
    } else {
        format!("\"{}h\"", seconds / 3600)
    }
}

/// Formats a size with the largest unit that represents it exactly.
pub(super) fn show_size(size: usize) -> String {
    const KIB: usize = 1024;
    if size == 0 || !size.is_multiple_of(KIB) {
        format!("\"{size}B\"")
    } else if size.is_multiple_of(KIB * KIB) {
        format!("\"{}MiB\"", size / KIB / KIB)
    } else {
        format!("\"{}KiB\"", size / KIB)
    }
}

#[cfg(test)]
mod tests;
