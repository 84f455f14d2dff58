//! The object store: one log of changes, read by watching it.
//!
//! | module | holds |
//! |---|---|
//! | [`backend`] | [`Backend`], what an embedder implements: a log of raw records; memory and durable implementations |
//! | [`stored`] | [`Stored`], one revision of one object: key, head, body, shared typed views |
//! | [`event`] | [`WatchEvent`] and what ends a watch |
//! | [`client`] | [`ObjectClient`], the four verbs every loop is written against |
//! | [`store`] | [`Store`], written once over any backend: replica, snapshots, history, fan-out, paging |
//! | [`local`] | [`LocalClient`], the verbs with the rules of any object |
//! | [`api`] | [`Api`], the typed face |
//! | [`cache`] | [`Caches`] and [`Cache`], fed by watches, with indexes |
//! | [`dialer`] | [`NodeDialer`], the one way from the API to a node |
//! | [`env`](mod@env) | [`Env`], the one constructor argument of every loop |
//! | [`testing`] | laws that every backend must keep, and faults |
//!
//! An API without a server, in a test:
//!
//! ```
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use orc_store::{Api, testing::World};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), orc_core::ApiError> {
//! let world = World::seeded(1).await;
//! let maps: Api<ConfigMap> = Api::namespaced(world.env.client.clone(), "default");
//! let mut map = ConfigMap::default();
//! map.metadata.generate_name = Some("settings-".into());
//! let made = maps.create(&map).await?;
//! let name = made.metadata.name.as_deref().unwrap();
//! maps.modify(name, |map| drop(map.data.get_or_insert_default().insert("colour".into(), "blue".into()))).await?;
//!
//! let cached = world.env.caches.typed::<ConfigMap>();
//! cached.cache().synced().await;
//! assert_eq!(cached.in_namespace("default")[0].data.as_ref().unwrap()["colour"], "blue");
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod backend;
pub mod cache;
pub mod client;
pub mod dialer;
pub mod env;
pub mod event;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod local;
mod signal;
pub mod store;
pub mod stored;
pub mod testing;

pub use api::Api;
pub use backend::{Backend, BackendError};
pub use cache::{Cache, Caches};
pub use client::{ObjectClient, WatchStream};
pub use dialer::{NodeDialer, NodeService};
pub use env::Env;
pub use event::{Before, RemovedWhy, WatchEnd, WatchEvent};
pub use local::LocalClient;
pub use store::Store;
pub use stored::Stored;
