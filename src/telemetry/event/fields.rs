//! Serialization of fields whose form in the log differs from their type.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serializer;
use serde::ser::SerializeStruct as _;

use crate::oauth::{CodeChallengeMethod, Endpoint};
use crate::policy::Violation;

/// Maximum number of characters of a client identifier in the log: the request chooses its length.
const CLIENT_CHARACTERS: usize = 128;

/// Two fields: the label of the violation, and its reason.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
pub(super) fn why<S: Serializer>(
    violation: &Option<&Violation>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let reason = violation.and_then(Violation::reason);
    let mut fields = serializer.serialize_struct("Violation", 2)?;
    if let Some(violation) = violation {
        fields.serialize_field("violation", violation.label())?;
    }
    if let Some(reason) = &reason {
        fields.serialize_field("reason", reason)?;
    }
    fields.end()
}

/// A client identifier, truncated if it is too long.
pub(super) fn client<S: Serializer>(
    client: &Option<&str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(client.unwrap_or_default()))
}

/// A text of the upstream, truncated if it is too long.
pub(super) fn text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(text))
}

fn shown(client: &str) -> Cow<'_, str> {
    if client.len() <= CLIENT_CHARACTERS {
        return Cow::Borrowed(client);
    }
    match client.char_indices().nth(CLIENT_CHARACTERS) {
        None => Cow::Borrowed(client),
        Some((end, _)) => Cow::Owned(format!("{}…", client.get(..end).unwrap_or_default())),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
pub(super) fn endpoint<S: Serializer>(
    endpoint: &Endpoint,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(endpoint.label())
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields so"
)]
pub(super) fn method<S: Serializer>(
    method: &Option<CodeChallengeMethod>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.map_or("", CodeChallengeMethod::as_str))
}

pub(super) fn micros<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_client_identifier_is_truncated() {
        assert_eq!(shown("portal"), "portal");
        for character in ["x", "ä"] {
            let longest = character.repeat(CLIENT_CHARACTERS);
            assert_eq!(shown(&longest), longest);
            assert_eq!(shown(&format!("{longest}x")), format!("{longest}…"));
            assert_eq!(shown(&longest.repeat(500)), format!("{longest}…"));
        }
    }
}
