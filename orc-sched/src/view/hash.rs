//! A fast hash for names.
//!
//! Nodes and uids are looked up several times a decision, and the standard library's hash, made to withstand keys chosen by an
//! attacker, took a tenth of it. Uids are given by the API server, and node names by those who run the nodes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by names.
pub(crate) type ByName<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// Multiplies and rotates eight bytes at a time, as the compiler's own hash does.
#[derive(Default)]
pub(crate) struct NameHasher(u64);

const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        }
    }

    fn finish(&self) -> u64 {
        // The map takes its bits from both ends; the lower ones are mixed least.
        self.0 ^ (self.0 >> 32)
    }
}
