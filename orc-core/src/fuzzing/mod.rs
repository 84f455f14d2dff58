//! Decoders as functions of bytes, for fuzzers and for the property tests of CI.
//!
//! A [`Target`] takes any bytes and panics when a promise is broken: no input may crash a decoder, and what it takes reads back
//! as the same. libFuzzer (folder `fuzz/`) and [`Target::drive`] call the same function, so that what the one finds the other keeps.
//!
//! ```
//! let selectors = orc_core::fuzzing::TARGETS.iter().find(|target| target.name == "label_selector").unwrap();
//! selectors.drive(100, 7);
//! (selectors.run)(b"a in (b,c),!d");
//! ```
//!
//! Feature `fuzzing`; not for servers. Each crate with decoders has a module of this name. See `docs/design/fuzzing.md`.

mod mutate;
mod sample;
mod targets;

use std::panic::AssertUnwindSafe;

use crate::env::{Clock, Rng};

pub use mutate::{MAX_INPUT, mutate};
pub use sample::{Sampler, Values, sample};
pub use targets::TARGETS;

/// The longest that one input of at most [`MAX_INPUT`] bytes may take, seconds: a thousand times what a busy machine and an
/// unoptimised build need, so only work that is not linear shows.
const PATIENCE: i64 = 20;

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of libFuzzer's program as well.
    pub name: &'static str,
    /// Decodes, and checks what must hold. Panics when it does not.
    pub run: fn(&[u8]),
    /// Good inputs, which mutation starts from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Runs the good inputs, then so many mutations of them. The same seed gives the same inputs.
    ///
    /// # Panics
    /// When a promise is broken or an input takes unreasonably long; the message has the input.
    pub fn drive(&self, cases: usize, seed: u64) {
        let (rng, seeds) = (Rng::seeded(seed), (self.seeds)());
        assert!(!seeds.is_empty(), "{} has no good inputs", self.name);
        seeds.iter().for_each(|input| self.one(input));
        (0..cases).for_each(|_| self.one(&mutate(&rng, &seeds)));
    }

    fn one(&self, input: &[u8]) {
        let clock = Clock::wall();
        let start = clock.now();
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| (self.run)(input)));
        let taken = clock.now().duration_since(start).as_secs();
        let shown = || format!("{} with b\"{}\"", self.name, input.escape_ascii());
        assert!(result.is_ok(), "a promise is broken by {}", shown());
        assert!(taken < PATIENCE, "{taken} s were taken by {}", shown());
    }
}

/// Runs one of some targets in a test. `ORC_FUZZ_CASES` asks for another number of inputs, `ORC_FUZZ_SEED` for others.
///
/// # Panics
/// As [`Target::drive`], and when there is no such target.
pub fn drive_some(targets: &[Target], name: &str, cases: usize) {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let target = targets.iter().find(|target| target.name == name).expect("a target of this name");
    let cases = asked("ORC_FUZZ_CASES").and_then(|cases| usize::try_from(cases).ok()).unwrap_or(cases);
    target.drive(cases, asked("ORC_FUZZ_SEED").unwrap_or(1));
}

/// The text of an input; nothing when it is not UTF-8, for decoders that take only text.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The first byte, to choose with, and the rest.
pub fn choice(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest))
}

/// The parts of an input that holds two, apart by a zero byte.
pub fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}
