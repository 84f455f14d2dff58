//! Measurements of orc: what one is, how several runs become one line, and how they are printed.
//!
//! Nothing here is asserted. A number is worth something beside the machine, the build and the command it came from, so
//! each program prints those too, and says with `--json` everything that it measured, run by run.

pub mod cluster;
pub mod http2;
pub mod plot;
pub mod pods;
pub mod process;
pub mod report;
pub mod server;

pub use report::{Measure, Report, Unit};
