//! Every fuzz program: the decoder of its own name.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orc_core::fuzzing::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env!("CARGO_BIN_NAME");
    let all = [
        orc_core::fuzzing::TARGETS,
        orc_store::fuzzing::TARGETS,
        orc_api::fuzzing::TARGETS,
        orc_net::fuzzing::TARGETS,
        orc_runtime::fuzzing::TARGETS,
    ];
    *all.into_iter().flatten().find(|target| target.name == name).expect("a target of the program's name")
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
