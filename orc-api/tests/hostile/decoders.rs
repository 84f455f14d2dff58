//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

#[macro_use]
#[path = "../../../fuzz/in_ci.rs"]
mod in_ci;

use orc_api::fuzzing::TARGETS;
use orc_core::fuzzing::drive_some;

/// Inputs for each target: these are slower than orc-core's.
const CASES: usize = 3000;

targets! {
    request_body request_line continue_token request_headers cel cel_pattern custom_schema json_path certificate_request
    audit_policy static_tokens
}
