//! Selectors: which objects a list, a watch, a Service or a controller means.
//!
//! [`Selector`] chooses by labels, [`FieldSelector`] by the few fields that a resource declares selectable. Both read
//! the text form of URLs and command lines, print a canonical form, and match without allocating.

mod field;
mod parse;
mod requirement;
mod selector;
mod set;

pub use field::{FieldRequirement, FieldSelector, FieldSelectorError, escape_value};
pub use requirement::{Operator, Requirement};
pub use selector::{Selector, SelectorError};
pub use set::{LabelMap, Labels};
