//! Digests of public names, remembered.
//!
//! The same client identifiers and redirect URIs come with request after request. To hash each anew, and to parse where each leads,
//! takes 14 % of a flow's instructions, and 4 % where SHA extensions make hashing nearly free. Each thread remembers those that it saw
//! last, in a fixed number of places: a flood of invented names makes it compute again, as it would without, and nothing grows.
//!
//! For public names only: they are not wiped, and how long an answer takes may tell that a name was seen before.

use std::cell::RefCell;

use super::Digest;

/// A power of two.
const PLACES: usize = 1024;
/// A longer name is hashed each time.
const LONGEST: usize = 256;

struct Seen {
    domain: &'static str,
    name: Box<str>,
    digest: Digest,
}

thread_local! {
    static SEEN: RefCell<Vec<Option<Seen>>> = const { RefCell::new(Vec::new()) };
}

impl Digest {
    /// What `compute` makes of a public name; it has to be the same whenever domain and name are.
    pub(crate) fn remembered(
        domain: &'static str,
        name: &str,
        compute: impl FnOnce(&str) -> Self,
    ) -> Self {
        if name.len() > LONGEST {
            return compute(name);
        }
        let place = place(domain, name);
        let known = SEEN.try_with(|seen| {
            let seen = seen.try_borrow().ok()?;
            let known = seen.get(place)?.as_ref()?;
            (known.domain == domain && *known.name == *name).then_some(known.digest)
        });
        if let Ok(Some(digest)) = known {
            return digest;
        }
        let digest = compute(name);
        let remember = |seen: &RefCell<Vec<_>>| {
            let mut seen = seen.try_borrow_mut().ok()?;
            seen.resize_with(PLACES, || None);
            *seen.get_mut(place)? = Some(Seen {
                domain,
                name: name.into(),
                digest,
            });
            Some(())
        };
        // A thread that ends remembers nothing any more.
        let _ = SEEN.try_with(remember);
        digest
    }
}

/// Any place would do. Nobody gains by names that fall into one: they are computed, as all others would be.
fn place(domain: &str, name: &str) -> usize {
    let mix = |hash: u64, word: u64| {
        (hash ^ word)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
    };
    let length = u64::try_from(domain.len() * PLACES + name.len()).unwrap_or_default();
    let (words, rest) = name.as_bytes().as_chunks();
    let hash = words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .chain(rest.iter().copied().map(u64::from))
        .fold(length, mix);
    let [low, high, ..] = mix(hash, 0).to_le_bytes();
    usize::from(u16::from_le_bytes([low, high])) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn anew(domain: &'static str, name: &str) -> Digest {
        Digest::of(domain, &[name.as_bytes()])
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_computed(names in prop::collection::vec("[ab]{0,3}|[a-z:/.]{0,40}|x{250,260}", 1..50)) {
            for name in &names {
                for domain in ["one", "two", "three"] {
                    prop_assert_eq!(Digest::remembered(domain, name, |name| anew(domain, name)), anew(domain, name));
                }
            }
        }
    }

    #[test]
    fn a_name_that_comes_again_is_not_computed_again() {
        let once = Digest::remembered("d", "https://app.example/cb", |name| anew("d", name));
        let again = Digest::remembered("d", "https://app.example/cb", |_| unreachable!());
        assert_eq!(once, again);
    }

    #[test]
    fn names_are_spread_over_the_places() {
        let places: std::collections::HashSet<_> = (0..4000)
            .map(|client| place("client_id", &format!("client-{client}")))
            .collect();
        assert!(places.len() > PLACES * 3 / 4, "{}", places.len());
    }
}
