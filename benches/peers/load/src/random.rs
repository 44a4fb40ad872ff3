//! Pseudorandom numbers for load, not for secrets.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub struct Random(u64);

impl Random {
    /// Each process has another sequence.
    pub fn new() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(mix(since.as_nanos() as u64))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// `length` characters of the base64url alphabet.
    pub fn letters(&mut self, length: usize, into: &mut Vec<u8>) {
        into.clear();
        while into.len() < length {
            let mut bits = self.next();
            for _ in 0..10.min(length - into.len()) {
                into.push(LETTERS[(bits & 63) as usize]);
                bits >>= 6;
            }
        }
    }
}

/// The finalizer of splitmix64: a bijection in which every bit depends on every other.
pub fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
