//! Custom resources: what a CustomResourceDefinition says about them, as pure functions.

pub mod columns;
pub mod conversion;
pub mod definition;
pub mod paths;
pub mod review;
pub mod rules;
pub mod scale;
pub mod structural;
pub mod types;
