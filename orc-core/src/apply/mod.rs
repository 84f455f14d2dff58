//! Server-side apply: who manages which fields, and what a configuration makes of an object.
//!
//! Pure, and driven by the schema table: [`fields`] says which fields a configuration speaks of, [`compare`] what a write
//! changed, [`Managers`] who manages what, with the rules of conflicts, force and removal. Follows the model of
//! `sigs.k8s.io/structured-merge-diff`; the texts are upstream's. Versions of one object that differ in
//! their fields are asked of the caller ([`Versions`]). What is not here: the migration from kubectl's `last-applied`
//! annotation, which kubectl does itself.

mod compare;
mod element;
mod extract;
mod managers;
mod merge;
mod node;
mod overlay;
mod prune;
mod set;
mod shape;
#[cfg(test)]
mod tests;
mod versions;

pub use compare::{Comparison, compare};
pub use element::Element;
pub use extract::{check, fields};
pub use managers::{BEFORE_FIRST_APPLY, Conflict, Halt, Managed, Manager, Managers, Reach};
pub use merge::{merge, remove};
pub use node::{ListNode, Node, ObjectNode, Scalar};
pub use overlay::overlay;
pub use set::FieldSet;
pub use shape::{Build, Elements, Place};
pub use versions::{Needed, OneVersion, Versions};
