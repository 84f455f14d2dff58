//! Where pods go.
//!
//! Three layers, each usable alone: plugins say which nodes suit a pod and how well; the [`Engine`] keeps the cluster in
//! columns, remembers what the plugins said for pods that are alike, and decides; the [`driver`] watches pods and nodes, asks
//! the engine and binds. Engine and plugins are synchronous and pure: no clock, task, socket or global randomness, so a
//! simulator drives the very code that a cluster runs.
//!
//! | module | holds |
//! |---|---|
//! | [`pod`], [`node`] | [`PodInfo`] and [`NodeInfo`]: what scheduling reads of the objects |
//! | [`view`] | [`View`]: nodes as columns, changes, and a journal that takes "what if" back |
//! | [`facts`] | what scheduling reads beside nodes and pods |
//! | [`set`] | [`NodeSet`]: slots of nodes |
//! | [`plugin`] | [`Plugin`], the trait that a policy implements |
//! | [`plugins`] | the default plugins, with Kubernetes' semantics and messages |
//! | [`points`] | the other extension points: queueing, preemption, the way to the API |
//! | [`reasons`] | why nodes were refused, as data; [`FitError`] |
//! | [`profile`] | [`Profile`]: a scheduler name and its weighted plugins |
//! | [`engine`] | [`Engine`]: events in, decisions out |
//! | [`config`] | `KubeSchedulerConfiguration`, read into profiles |
//! | [`driver`] | the live scheduler: queue, binding, conditions, events |
//! | [`policies`] | policies from research, each a plugin |
//! | [`sim`] | the laboratory: traces and workloads in virtual time |

pub mod config;
pub mod driver;
pub mod engine;
pub mod facts;
pub mod node;
pub mod plugin;
pub mod plugins;
pub mod pod;
pub mod points;
pub mod policies;
pub mod profile;
pub mod reasons;
pub mod set;
pub mod sim;
pub mod view;

pub use driver::{Scheduler, SchedulerConfig};
pub use engine::{Decision, Engine, Event, Explanation, GroupPreemption, Preemption, PreemptionArgs, Reservation};
pub use facts::{Fact, FactKey, FactKind};
pub use node::NodeInfo;
pub use plugin::{Fragment, Normal, Plugin, Prepared, Touched};
pub use pod::PodInfo;
pub use profile::Profile;
pub use reasons::{FitError, Reason, Reasons};
pub use set::NodeSet;
pub use view::{Change, Mark, View};
