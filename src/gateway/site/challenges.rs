//! The challenges of recent sign-ins, for hints ([`crate::policy::Hint`]). No decision depends on them.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use crate::oauth::{CodeChallenge, Digest};
use crate::policy::hint::SignIn;

/// Workers seldom wait for each other with so many locks.
const SHARDS: usize = 16;
/// Places for each lock.
const PLACES: usize = 256;

/// A fixed number of places; each challenge has one, in which a later one replaces it. A flood of invented sign-ins takes hints away,
/// and no memory. The places are allocated when they are first used.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    shards: [Shard; SHARDS],
    /// Hashes states with a random key, so that a state is recognised and not kept.
    hasher: RandomState,
}

type Shard = Mutex<Vec<Option<Seen>>>;

#[derive(Debug, Clone, Copy)]
struct Seen {
    challenge: Digest,
    sign_in: SignIn,
}

impl Challenges {
    /// The hash under which a `state` is compared.
    pub(crate) fn hash(&self, state: &str) -> u64 {
        self.hasher.hash_one(state)
    }

    /// Remembers the challenge of a new sign-in. Returns the sign-in in which it was sent before.
    pub(crate) fn note(&self, challenge: &CodeChallenge, sign_in: SignIn) -> Option<SignIn> {
        let challenge = digest(challenge)?;
        let (shard, place) = self.place(challenge)?;
        let mut shard = locked(shard);
        if shard.is_empty() {
            shard.resize(PLACES, None);
        }
        let seen = Seen { challenge, sign_in };
        let before = shard.get_mut(place)?.replace(seen);
        same(before, challenge)
    }

    /// The last sign-in with this challenge, if it is remembered.
    pub(crate) fn find(&self, challenge: &CodeChallenge) -> Option<SignIn> {
        let challenge = digest(challenge)?;
        let (shard, place) = self.place(challenge)?;
        same(*locked(shard).get(place)?, challenge)
    }

    /// Digests are evenly distributed.
    fn place(&self, challenge: Digest) -> Option<(&Shard, usize)> {
        let [first, second, ..] = challenge.as_bytes().map(usize::from);
        let shard = self.shards.get(first % SHARDS)?;
        Some((shard, second % PLACES))
    }
}

fn locked(shard: &Shard) -> MutexGuard<'_, Vec<Option<Seen>>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn same(seen: Option<Seen>, challenge: Digest) -> Option<SignIn> {
    let seen = seen.filter(|seen| seen.challenge == challenge);
    seen.map(|seen| seen.sign_in)
}

/// The name of a challenge here. A plain one is a verifier, so it is not kept.
fn digest(challenge: &CodeChallenge) -> Option<Digest> {
    match challenge {
        CodeChallenge::S256(hash) => Some(Digest::first_half(*hash)),
        CodeChallenge::Plain(text) => Some(Digest::of("plain challenge", &[text.as_bytes()])),
        CodeChallenge::Useless(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::pkce::{CodeChallengeMethod, Useless};

    fn s256(number: u32) -> CodeChallenge {
        let mut hash = [0; 32];
        let digest = Digest::of("test", &[&number.to_be_bytes()]);
        for (to, from) in hash.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        CodeChallenge::S256(hash)
    }

    fn sign_in(number: u64) -> SignIn {
        SignIn {
            client: Digest::of("client_id", &[&number.to_be_bytes()]),
            state: Some(number),
        }
    }

    #[test]
    fn a_challenge_is_found_until_another_one_takes_its_place() {
        let challenges = Challenges::default();
        let plain = CodeChallenge::parse(CodeChallengeMethod::Plain, &"a".repeat(43)).unwrap();
        for challenge in [s256(1), plain] {
            assert_eq!(challenges.find(&challenge), None);
            assert_eq!(challenges.note(&challenge, sign_in(1)), None);
            assert_eq!(challenges.find(&challenge), Some(sign_in(1)));
            assert_eq!(challenges.note(&challenge, sign_in(2)), Some(sign_in(1)));
            assert_eq!(challenges.find(&challenge), Some(sign_in(2)));
        }
        let useless = CodeChallenge::Useless(Useless::UnknownMethod);
        assert_eq!(challenges.note(&useless, sign_in(1)), None);
        assert_eq!(challenges.note(&useless, sign_in(1)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_most_places_are_used() {
        let challenges = Challenges::default();
        for number in 0..100_000 {
            assert_eq!(challenges.note(&s256(number), sign_in(1)), None);
        }
        let used: usize = challenges
            .shards
            .iter()
            .map(|shard| {
                let shard = locked(shard);
                assert!(shard.len() <= PLACES);
                shard.iter().flatten().count()
            })
            .sum();
        assert!(used > SHARDS * PLACES * 9 / 10, "{used}");
        let recent = (99_500..100_000).filter(|number| challenges.find(&s256(*number)).is_some());
        assert!(recent.count() > 400);
    }

    #[test]
    fn states_are_hashed_with_a_key_of_this_process() {
        let (one, other) = (Challenges::default(), Challenges::default());
        assert_eq!(one.hash("state"), one.hash("state"));
        assert_ne!(one.hash("state"), one.hash("stat"));
        assert_ne!(one.hash("state"), other.hash("state"));
    }
}
