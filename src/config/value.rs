//! What a text can mean: durations, sizes, addresses. Each reader says what is wrong with the text and
//! what to write instead; where it stands in the file is [`super::tree`]'s business.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

/// A kind of text.
pub(super) struct Kind<T> {
    /// With its article.
    pub(super) what: &'static str,
    /// A good one, without quotes.
    pub(super) example: &'static str,
    /// What turns a bare number into a good one.
    pub(super) unit: &'static str,
    /// Reads it.
    pub(super) read: fn(&str) -> Result<T, Wrong>,
}

/// Why a text is not of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Good, but only in a later version: what is not supported yet.
    pub(super) later: Option<String>,
    /// Why, at the caret.
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

/// A text for a message: quoted, escaped, and not too long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{:?}", start + "…")
}

/// `"15m"`.
pub(super) const DURATION: Kind<Duration> = Kind {
    what: "a duration",
    example: "5s",
    unit: "s",
    read: duration,
};

/// `"32KiB"`.
pub(super) const SIZE: Kind<usize> = Kind {
    what: "a size",
    example: "32KiB",
    unit: "B",
    read: size,
};

/// `"127.0.0.1:8080"`.
pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    what: "an address",
    example: "127.0.0.1:8080",
    unit: "",
    read: address,
};

/// `"10.0.0.0/8"`.
pub(super) const NETWORK: Kind<IpNet> = Kind {
    what: "a network",
    example: "10.0.0.0/8",
    unit: "",
    read: network,
};

/// Any text that can be printed.
pub(super) const TEXT: Kind<String> = Kind {
    what: "a text",
    example: "…",
    unit: "",
    read: text,
};

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

/// The number at the start of a text, and what comes after it.
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
                format!("{} is no unit", quoted(other.trim())),
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
                format!("{} is no unit", quoted(other.trim())),
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
            Err(_) => ("this is no IP address and port", ADDRESS.example.to_owned()),
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
                "this is no address with a prefix length",
                "write a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
            ),
        }),
    }
}

#[cfg(test)]
mod tests;
