//! No bytes crash a decoder, and what it takes reads back: what fuzzers run (folder `fuzz/`), for a bounded number of inputs.

#[macro_use]
#[path = "../../fuzz/in_ci.rs"]
mod in_ci;

use orc_core::fuzzing::drive_some;
use orc_runtime::fuzzing::TARGETS;

/// Inputs for each target.
const CASES: usize = 10_000;

targets! { spdy_frames websocket_channels }
