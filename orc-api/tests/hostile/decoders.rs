//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

use orc_api::fuzzing::TARGETS;
use orc_core::fuzzing::drive_some;

/// Inputs for each target: these are slower than orc-core's.
const CASES: usize = 3000;

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { drive_some(TARGETS, stringify!($name), CASES); })*

        #[test]
        fn all_targets_have_a_test() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
            let programs = include_str!("../../../fuzz/Cargo.toml");
            assert!(tested.iter().all(|name| programs.contains(&format!("name = \"{name}\""))), "each has a program");
        }
    };
}

targets! {
    request_body request_line continue_token request_headers cel cel_pattern custom_schema json_path certificate_request
    audit_policy static_tokens
}
