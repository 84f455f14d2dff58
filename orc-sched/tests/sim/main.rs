//! The laboratory: the published experiment on a small list, and virtual time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod openb;
mod time;
