//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

use orc_core::fuzzing::drive_some;
use orc_net::fuzzing::TARGETS;

/// Inputs for each target.
const CASES: usize = 10_000;

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { drive_some(TARGETS, stringify!($name), CASES); })*

        #[test]
        fn all_targets_have_a_test() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
            let programs = include_str!("../../fuzz/Cargo.toml");
            assert!(tested.iter().all(|name| programs.contains(&format!("name = \"{name}\""))), "each has a program");
        }
    };
}

targets! { dns_question host_files }
