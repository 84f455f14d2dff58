//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

#[macro_use]
#[path = "../../fuzz/in_ci.rs"]
mod in_ci;

use orc_core::fuzzing::{TARGETS, drive_some};

/// Inputs for each target.
const CASES: usize = 10_000;

targets! {
    json_doc json_typed head proto_message proto_text proto_envelope json_patch merge_patch strategic_patch apply_patch
    managed_fields label_selector field_selector quantity names
}
