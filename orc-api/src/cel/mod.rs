//! CEL, the expression language of Kubernetes' rules and policies.
//!
//! Parsing is the work of the `cel` crate; types, costs, evaluation and Kubernetes' function libraries are here. One engine
//! serves `x-kubernetes-validations`, ValidatingAdmissionPolicy, MutatingAdmissionPolicy and `matchConditions`: each
//! declares its variables in an [`Environment`] and gives their values in an [`Activation`].
//!
//! ```
//! use orc_api::cel::{Activation, Budget, Environment, Program, Type, Value};
//!
//! let environment = Environment::new().with("object", Type::Dyn);
//! let program = Program::compile("object.spec.replicas <= 5", &environment).unwrap();
//! let object = serde_json::json!({"spec": {"replicas": 3}});
//! let activation = Activation::new().with_json("object", &object);
//! assert_eq!(program.evaluate(&activation, &mut Budget::default()), Ok(Value::Bool(true)));
//! ```
//!
//! Nothing here is unbounded: sources and nesting have limits, each step takes from a [`Budget`], and patterns run in time
//! linear in the text. The variable `authorizer` is declared as `dyn` where it is given: see [`authorizer`].

mod activation;
pub mod budget;
mod check;
pub mod convert;
pub mod duration;
mod environment;
mod error;
mod eval;
mod functions;
mod macros;
pub mod names;
mod node;
mod parse;
pub mod pattern;
mod program;
mod types;
mod value;

pub use activation::Activation;
pub use budget::Budget;
pub use environment::Environment;
pub use error::{CompileError, EvalError, Issue};
pub use functions::authorizer::{Authority, Question, authorizer};
pub use parse::MAX_SOURCE;
pub use program::Program;
pub use types::{MAX_REQUEST, ObjectType, Opaque, Type};
pub use value::{Key, List, ListKind, OpaqueValue, Outcome, Value};
