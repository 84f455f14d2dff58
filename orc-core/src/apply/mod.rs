//! Server-side apply: who manages which fields, and what a configuration makes of an object.
//!
//! Pure, and driven by the schema table: [`fields`] says which fields a configuration speaks of, [`compare`] what a write
//! changed, [`Managers`] who manages what, with the rules of conflicts, force and removal. Follows the model of
//! `sigs.k8s.io/structured-merge-diff`; the texts are upstream's. What is not here: versions of one object that differ in
//! their fields (all served versions of a built-in kind but events and autoscalers are one), and the migration from
//! kubectl's `last-applied` annotation, which kubectl does itself.

mod compare;
mod element;
mod extract;
mod managers;
mod merge;
mod node;
mod set;
mod shape;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare};
pub use element::Element;
pub use extract::{check, fields};
pub use managers::{BEFORE_FIRST_APPLY, Conflict, Managed, Manager, Managers, Reach};
pub use merge::{merge, remove};
pub use node::{ListNode, Node, ObjectNode, Scalar};
pub use set::FieldSet;
pub use shape::{Build, Elements, Place};
