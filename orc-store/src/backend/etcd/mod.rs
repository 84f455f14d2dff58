//! A backend over an etcd v3 cluster (3.4 or newer), which several servers may share.
//!
//! etcd is a log of revisions already, so this is a translation: a change is one transaction on one key, a revision is etcd's,
//! a feed is a watch, a scan is a range read at a revision. What has to be added is in the modules below, and argued in
//! `docs/design/etcd.md`.
//!
//! | module | |
//! |---|---|
//! | `layout` | keys |
//! | `link` | calls with a time limit; what is known of revisions |
//! | `errors` | what etcd's errors mean, and whether a change was made |
//! | `setup` | versions |
//! | `write` | a change |
//! | `scan` | pages of one revision |
//! | `assemble`, `feed` | watches, by whole revisions |
//! | `reader` | fresh reads of the revision, shared |
//! | `barrier` | proof of progress on an etcd that others write to |
//! | `leases` | expiry |
//! | `compactor` | compaction |
//!
//! Not here: retrying a change whose outcome is unknown. Nothing in etcd tells our own success from an equal write of another.

mod assemble;
mod barrier;
mod compactor;
mod config;
mod errors;
mod feed;
mod layout;
mod leases;
mod link;
mod members;
mod reader;
mod scan;
mod setup;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::Revision;
use orc_core::env::{System, Task};

pub use self::config::{EtcdConfig, Pem};
use self::errors::Asked;
use self::leases::Leases;
use self::link::{Link, unusable};
use self::reader::Reader;
use super::{Backend, BackendError, Bounds, KeyRange, Page, RawChange, RawFeed, RawPage};

/// A backend over etcd. Its tasks end when it is dropped; feeds that are open go on.
pub struct EtcdBackend {
    link: Arc<Link>,
    reader: Reader,
    leases: Leases,
    _tasks: Vec<Task>,
}

impl EtcdBackend {
    /// Connects, checks etcd's version and the layout's, and makes an empty prefix a store.
    ///
    /// # Errors
    /// `Open` when etcd cannot be reached or used, with the reason; or the configuration cannot work.
    pub async fn connect(config: EtcdConfig, system: &System) -> Result<Self, BackendError> {
        let link = Arc::new(Link::open(&config, system.clock.clone()).await?);
        let checked = async {
            setup::check_version(&link).await?;
            setup::check_format(&link).await?;
            link.find_floor().await.map_err(|error| error.backend(Asked::Read))
        };
        checked.await.map_err(|error| unusable(&config, &error))?;
        let mut tasks = vec![system.spawn.spawn(barrier::run(link.clone()))];
        tasks.extend(config.compact_every.map(|every| system.spawn.spawn(compactor::run(link.clone(), every))));
        let reader = Reader::start(link.clone(), &system.spawn);
        let leases = Leases::start(link.clone(), &system.spawn);
        Ok(Self { link, reader, leases, _tasks: tasks })
    }
}

#[async_trait]
impl Backend for EtcdBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        write::commit(&self.link, &self.leases, change).await
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        scan::scan(&self.link, range, at, page).await
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        feed::feed(&self.link, after).await
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        Ok(Bounds { current: self.reader.current().await?, compacted: self.link.compacted() })
    }

    fn expires(&self) -> bool {
        true
    }
}
