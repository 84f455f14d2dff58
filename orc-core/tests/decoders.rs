//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

use orc_core::fuzzing::{TARGETS, drive_some};

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

targets! {
    json_doc json_typed head proto_message proto_text proto_envelope json_patch merge_patch strategic_patch apply_patch
    managed_fields label_selector field_selector quantity names
}
