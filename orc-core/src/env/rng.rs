//! Random numbers from a seed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

/// A seeded stream of random numbers (SplitMix64; Steele, Lea and Flood, OOPSLA 2014). Clones share the stream.
///
/// For scheduling ties, jitter and generated names; never for secrets.
#[derive(Clone, Debug)]
pub struct Rng(Arc<Mutex<u64>>);

impl Rng {
    /// A stream from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// A stream from the operating system's randomness.
    pub fn random() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// A stream of its own, seeded from this one.
    pub fn fork(&self) -> Self {
        Self::seeded(self.next())
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The bias of the multiply-shift is below 2^-32 for every bound used here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let rng = Rng::seeded(seed);
            [rng.next(), rng.below(10), rng.fork().next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!((0..1000).all(|_| Rng::seeded(3).below(5) < 5));
    }
}
