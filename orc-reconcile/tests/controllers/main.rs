//! The built-in loops over a store in memory: a cluster without a server, with virtual time.
#![cfg(feature = "controllers")]
#![allow(unreachable_pub, reason = "a test binary has no public items; `pub` marks what a module offers the others")]

mod cluster;
mod devices;
mod faults;
mod scenario;
mod workloads;

use scenario::{Faults, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = run(7, Faults::None);
    assert!(first.lines().count() > 150, "something happened");
    let second = run(7, Faults::None);
    let differs = first.lines().zip(second.lines()).find(|(a, b)| a != b);
    if let Some((one, other)) = differs {
        let at = one.bytes().zip(other.bytes()).position(|(a, b)| a != b).unwrap_or_default();
        let near = |line: &str| line.chars().skip(at.saturating_sub(150)).take(300).collect::<String>();
        panic!("the first difference:\n{}\n{}", near(one), near(other));
    }
    assert_eq!(first.len(), second.len());
    assert_ne!(first, run(8, Faults::None));
}

#[test]
fn faults_only_delay() {
    for seed in 0..6 {
        run(seed, Faults::Some);
    }
}

#[test]
fn workloads_come_up_roll_and_end_the_same_way_each_time() {
    let first = workloads::run(3, Faults::None);
    assert!(first.lines().count() > 150, "something happened");
    assert!(first == workloads::run(3, Faults::None), "the same seed gave another trace");
}

#[test]
fn faults_only_delay_workloads() {
    for seed in 0..4 {
        workloads::run(seed, Faults::Some);
    }
}
