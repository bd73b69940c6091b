//! Seeded randomness, shared by handle: UUIDs, name suffixes and jitter.
//!
//! The generator is SplitMix64. It is for names and spreading, never for keys; keys come from `ring`.

use std::sync::{Arc, Mutex};

use ring::rand::{SecureRandom, SystemRandom};

/// Letters and digits of generated names: no vowels and no look-alikes, as upstream's, so that no words appear.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A handle on one stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(Arc<Mutex<u64>>);

impl Rng {
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        let mut seed = [0u8; 8];
        SystemRandom::new().fill(&mut seed).expect("invariant: the operating system hands out random bytes");
        Self::seeded(u64::from_le_bytes(seed))
    }

    pub fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; zero when `bound` is zero.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A random (version 4) UUID in its text form.
    pub fn uuid(&self) -> String {
        let (a, b) = (self.next_u64(), self.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    /// The suffix that generateName appends.
    pub fn name_suffix(&self, len: usize) -> String {
        let alphabet_len = NAME_ALPHABET.len() as u64;
        let letter = |_| char::from(NAME_ALPHABET[usize::try_from(self.below(alphabet_len)).unwrap_or(0)]);
        (0..len).map(letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names() {
        let (a, b) = (Rng::seeded(7), Rng::seeded(7));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.name_suffix(5), b.name_suffix(5));
    }

    #[test]
    fn uuids_are_version_4() {
        let uuid = Rng::seeded(1).uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
    }
}
