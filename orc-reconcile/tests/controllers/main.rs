//! The built-in loops over a store in memory: a cluster without a server, with virtual time.
#![cfg(feature = "controllers")]

mod cluster;
mod faults;
mod scenario;

use scenario::{Faults, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = run(7, Faults::None);
    assert!(first.lines().count() > 150, "something happened");
    let second = run(7, Faults::None);
    let differs = first.lines().zip(second.lines()).find(|(a, b)| a != b);
    assert!(differs.is_none(), "the first difference: {differs:?}");
    assert_eq!(first.len(), second.len());
    assert_ne!(first, run(8, Faults::None));
}

#[test]
fn faults_only_delay() {
    for seed in 0..6 {
        run(seed, Faults::Some);
    }
}
