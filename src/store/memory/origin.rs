//! Client and redirect URI of a record, stored as a number of two bytes.
//!
//! Client and redirect URI are 48 bytes of digests and equal for all logins of one application, so they are stored once
//! and numbered. Numbers are never removed or reassigned, so a record can never come to belong to another client. The
//! list is short: a flood of invented clients fills it; later records contain the 48 bytes themselves, which only costs
//! memory.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::PoisonError;

use super::mix::Mix;
use super::sync::RwLock;
use crate::flow::PendingAuthorization;
use crate::oauth::{Digest, RedirectDigest};

/// Maximum number of entries: seven eighths of 4096, the full capacity of the map; 400 KB.
const LIMIT: u16 = 3584;

/// The parts of a record, besides the challenge, that a token request must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) client: Digest,
    pub(super) redirect: Option<RedirectDigest>,
}

/// Hashes only the exact redirect URI, which determines the digest of its target.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.client.as_bytes());
        if let Some((exact, _)) = self.redirect.map(RedirectDigest::to_parts) {
            state.write(exact.as_bytes());
        }
    }
}

impl Origin {
    pub(super) fn of(pending: &PendingAuthorization) -> Self {
        Self {
            client: pending.client,
            redirect: pending.redirect,
        }
    }
}

/// How a record refers to its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OriginName {
    Number(u16),
    Itself(Origin),
}

pub(super) struct Origins(RwLock<Known>);

struct Known {
    numbers: HashMap<Origin, u16, Mix>,
    list: Vec<Origin>,
}

impl Origins {
    pub(super) fn new() -> Self {
        let numbers = HashMap::with_hasher(Mix::new());
        Self(RwLock::new(Known {
            numbers,
            list: Vec::new(),
        }))
    }

    /// The number of the origin, assigned if there is room for a new one; otherwise the origin itself.
    pub(super) fn name(&self, origin: Origin) -> OriginName {
        let full = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(number) = known.numbers.get(&origin) {
                return OriginName::Number(*number);
            }
            known.list.len() >= usize::from(LIMIT)
        };
        if full {
            return OriginName::Itself(origin);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known
            .add(origin)
            .map_or(OriginName::Itself(origin), OriginName::Number)
    }

    /// `None`: the number was never assigned.
    pub(super) fn resolve(&self, name: OriginName) -> Option<Origin> {
        match name {
            OriginName::Itself(origin) => Some(origin),
            OriginName::Number(number) => {
                let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
                known.list.get(usize::from(number)).copied()
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.list.capacity() * size_of::<Origin>()
            + known.numbers.capacity() * 8 / 7 * (size_of::<(Origin, u16)>() + 1)
    }
}

impl Known {
    fn add(&mut self, origin: Origin) -> Option<u16> {
        // Another thread may have added it between the two locks.
        if let Some(number) = self.numbers.get(&origin) {
            return Some(*number);
        }
        let number = u16::try_from(self.list.len())
            .ok()
            .filter(|number| *number < LIMIT)?;
        self.list.push(origin);
        self.numbers.insert(origin, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::RedirectUri;

    fn origin(client: usize) -> Origin {
        let redirect =
            (client.is_multiple_of(2)).then(|| RedirectUri::new("https://app.example/cb").digest());
        Origin {
            client: Digest::of("client_id", &[&client.to_be_bytes()]),
            redirect,
        }
    }

    #[test]
    fn a_name_resolves_to_its_origin_even_if_the_list_is_full() {
        let origins = Origins::new();
        let names: Vec<_> = (0..5000)
            .map(|client| origins.name(origin(client)))
            .collect();
        for (client, name) in names.into_iter().enumerate() {
            assert_eq!(
                matches!(name, OriginName::Number(_)),
                client < usize::from(LIMIT)
            );
            assert_eq!(origins.resolve(name), Some(origin(client)));
            assert_eq!(origins.name(origin(client)), name);
        }
        assert!(origins.bytes() < 420_000);
        assert_eq!(origins.resolve(OriginName::Number(LIMIT)), None);
    }

    #[test]
    fn the_redirect_uri_is_part_of_an_origin() {
        let origins = Origins::new();
        let (with, without) = (
            origin(0),
            Origin {
                redirect: None,
                ..origin(0)
            },
        );
        assert_ne!(origins.name(with), origins.name(without));
    }
}
