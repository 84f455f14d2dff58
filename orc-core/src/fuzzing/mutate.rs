//! Damage to good inputs.

use crate::env::Rng;

/// The longest input that is made, bytes.
pub const MAX_INPUT: usize = 16 << 10;

/// What parsers stumble over: brackets, edges of numbers, odd characters, anchors, directives.
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"/",
    b"~1",
    b"~",
    b"%",
    b"%00",
    b"%zz",
    b"..",
    b"=",
    b"!",
    b"(",
    b")",
    b"&a ",
    b"*a",
    b"<<: ",
    b"- ",
    b"\n",
    b"null",
    b"-0",
    b"-1",
    b"1e999",
    b"0.1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e-1000000",
    b"99999999999999999999999999999999999999999",
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xf0\x9f\x98\x80",
    "µ".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{202e}".as_bytes(),
    b"$patch",
    b"k8s\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80",
    b"k:{",
    b"v:",
    b"f:",
    b".",
    b"Ki",
    b"-----BEGIN ",
];

/// A good input with one to four kinds of damage, or two of them run together.
pub fn mutate(rng: &Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pick(rng, seeds).clone();
    for _ in 0..=rng.below(4) {
        damage(rng, &mut bytes, seeds);
        bytes.truncate(MAX_INPUT);
    }
    bytes
}

fn pick<'a, T>(rng: &Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// A place in the bytes, or behind them.
fn place(rng: &Rng, bytes: &[u8]) -> usize {
    rng.below(bytes.len() as u64 + 1) as usize
}

fn damage(rng: &Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let (a, b) = (place(rng, bytes), place(rng, bytes));
    let (from, to) = (a.min(b), a.max(b));
    match rng.below(9) {
        0 if from < bytes.len() => bytes[from] ^= 1 << rng.below(8),
        1 if from < bytes.len() => bytes[from] = rng.next() as u8,
        2 => drop(bytes.drain(from..to)),
        3 => drop(bytes.drain(from..(from + 1 + rng.below(4) as usize).min(bytes.len()).max(from))),
        4 => bytes.truncate(from),
        5 => repeat(rng, bytes, from..to),
        6 => splice(rng, bytes, from, pick::<Vec<u8>>(rng, seeds)),
        _ => drop(bytes.splice(from..from, pick(rng, TOKENS).iter().copied())),
    }
}

/// A part many times over: depth bombs, long lists, doubled fields.
fn repeat(rng: &Rng, bytes: &mut Vec<u8>, range: std::ops::Range<usize>) {
    let part = bytes[range.start..range.end.min(range.start + 64)].to_vec();
    if !part.is_empty() {
        let times = 1 + rng.below(200) as usize;
        let times = times.min(MAX_INPUT / part.len());
        bytes.splice(range.end..range.end, part.repeat(times));
    }
}

/// The start of one input and the end of another.
fn splice(rng: &Rng, bytes: &mut Vec<u8>, at: usize, other: &[u8]) {
    bytes.truncate(at);
    bytes.extend_from_slice(&other[place(rng, other)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_does_the_same_damage_and_all_of_it_is_bounded() {
        let seeds = vec![b"{\"a\": [1, 2]}".to_vec(), Vec::new(), vec![7; MAX_INPUT]];
        let run = |seed| {
            (0..300)
                .map({
                    let rng = Rng::seeded(seed);
                    let seeds = &seeds;
                    move |_| mutate(&rng, seeds)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(3).iter().all(|bytes| bytes.len() <= MAX_INPUT));
    }
}
