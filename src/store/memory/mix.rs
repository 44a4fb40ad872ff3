//! The keyed hash function of the maps.
//!
//! Keys are digests and thus uniform, but many are digests of values that a client sends, and an attacker who computes
//! a million of them finds a thousand that fall into one bucket. So they are mixed with a key that is drawn for each
//! store: three multiplications, a tenth of the cost of `SipHash`, which would be 2 % of a flow. This is strong enough
//! because no hash is ever visible outside.

use std::hash::{BuildHasher, Hasher, RandomState};

#[derive(Debug, Clone)]
pub(super) struct Mix {
    seed: u64,
    keys: [u64; 2],
}

impl Mix {
    pub(super) fn new() -> Self {
        // The standard library's source of random numbers. It panics if there are none, as this code would have to.
        let random = RandomState::new();
        Self {
            seed: random.hash_one(0),
            // Odd, because an even factor would lose bits of the product's lower half.
            keys: [random.hash_one(1) | 1, random.hash_one(2) | 1],
        }
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for Mix {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer {
            state: self.seed,
            keys: self.keys,
        }
    }
}

pub(super) struct Mixer {
    state: u64,
    keys: [u64; 2],
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.keys[0]);
    }

    /// Ignored: all keys have the same length.
    fn write_usize(&mut self, _: usize) {}

    /// A second multiplication: after one, inputs that differ in few bits still agree in some bits of the hash.
    fn finish(&self) -> u64 {
        fold(self.state, self.keys[1])
    }
}

fn fold(word: u64, key: u64) -> u64 {
    let (low, high) = word.carrying_mul(key, 0);
    low ^ high
}

/// Number of shards of an index, and of logs. One under the model checker, so that threads meet more often.
pub(super) const SHARDS: usize = if cfg!(shuttle) { 1 } else { 64 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_keys_are_spread_differently_in_each_store() {
        let stores = [Mix::new(), Mix::new()];
        let keys: Vec<[u8; 16]> = (0..65_536u128)
            .map(|key| (key << 60).to_le_bytes())
            .collect();
        for shift in [0, 20, 40, 54] {
            let mut places = [[0u32; 1024]; 2];
            let mut agree = 0;
            for key in &keys {
                let [one, other] = stores
                    .each_ref()
                    .map(|mix| (mix.hash(key) >> shift & 1023) as usize);
                places[0][one] += 1;
                places[1][other] += 1;
                agree += u32::from(one == other);
            }
            // 64 on average.
            assert!(
                places.iter().flatten().all(|keys| *keys < 160),
                "{places:?}"
            );
            assert!(agree < 160, "{agree}");
        }
    }
}
